"""What is done for a bank in PostgreSQL, and what is done when its Secret changes or is missing."""

from __future__ import annotations

from typing import Any

import pytest

from memorybank_operator.reconcile.observed import ChildKey
from memorybank_operator.reconcile.steps import Apply, Create
from tests.operator.world import DATABASE_URL, IN_POSTGRES, World, bank, running, secret_with

FENCED = IN_POSTGRES | {"networkPolicy": {"enabled": True}, "replicas": 3}


def written(world: World, spec: dict[str, Any] = IN_POSTGRES) -> list[str]:
    steps = world.plan(bank(spec)).steps
    return [each.body["kind"] for each in steps if isinstance(each, Apply | Create)]


def test_a_new_bank_needs_no_volume_and_no_storage_class() -> None:
    world = World(storage_classes={})
    assert world.converge(bank(IN_POSTGRES)).problems == ()
    assert {each.kind for each in world.children} == {
        "ServiceAccount", "ConfigMap", "Secret", "Service", "Deployment",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("secrets", "reason", "field"),
    [
        ({}, "SecretNotFound", "spec.storage.postgres.urlSecretRef.name"),
        (
            {"database": secret_with("database", uri=DATABASE_URL)},
            "SecretNotFound",
            "spec.storage.postgres.urlSecretRef.key",
        ),
        (
            {"database": secret_with("database", url="bank:p-not-a-secret@db")},
            "SecretInvalid",
            "spec.storage.postgres.urlSecretRef",
        ),
    ],
)
def test_without_an_address_no_pod_is_made_and_it_is_said_where_it_is_missing(
    secrets: dict[str, Any], reason: str, field: str
) -> None:
    world = World(named_secrets=secrets)
    planned = world.converge(bank(IN_POSTGRES))
    [problem] = planned.problems
    assert (problem.reason, problem.terminal) == (reason, False)
    assert problem.message.startswith(f"{field}: ")
    assert "p-not-a-secret" not in problem.message
    assert ChildKey("Deployment", "agents") not in world.children
    assert planned.requeue_after == 10
    world.named_secrets = World().named_secrets
    assert world.converge(bank(IN_POSTGRES)).problems == ()


def test_a_secret_that_is_lost_leaves_pods_and_fence_as_they_are() -> None:
    world = running(bank(FENCED))
    world.named_secrets = {}
    assert world.plan(bank(FENCED)).steps == ()


def test_another_password_is_for_the_running_pods() -> None:
    world = running(bank(FENCED))
    before = world.plan(bank(FENCED))
    other = DATABASE_URL.replace("p-not", "q-not")
    world.named_secrets = {"database": secret_with("database", url=other)}
    planned = world.plan(bank(FENCED))
    assert (planned.steps, planned.revision) == ((), before.revision)
    assert planned.configuration != before.configuration


def test_another_database_is_for_other_pods_and_the_fence_opens_first() -> None:
    world = running(bank(FENCED))
    other = DATABASE_URL.replace(".data.", ".other.")
    world.named_secrets = {"database": secret_with("database", url=other)}
    assert written(world, FENCED) == ["NetworkPolicy", "Deployment"]


@pytest.mark.parametrize("mode", ["Automatic", "Supervised"])
def test_another_database_waits_like_a_change_of_the_spec(mode: str) -> None:
    spec = IN_POSTGRES | {"updatePolicy": {"mode": mode}}
    world = running(bank(spec))
    status = world.status(bank(spec))
    world.named_secrets = {"database": secret_with("database", url=f"{DATABASE_URL}2")}
    planned = world.plan(bank(spec, status=status))
    assert (planned.held is not None) == (mode == "Supervised")
    if planned.held is not None:
        assert planned.held.by_user
        assert planned.held.plan is not None
        assert "agents are served" in planned.held.plan.restarts[0]
        assert planned.steps == ()


def test_what_waits_keeps_the_connections_that_the_bank_has() -> None:
    before = IN_POSTGRES | {"updatePolicy": {"mode": "Supervised"}}
    storage = IN_POSTGRES["storage"]
    after = before | {
        "storage": storage | {"postgres": storage["postgres"] | {"readers": 9}},
        "logging": {"level": "debug"},
    }
    world = running(bank(before))
    of = bank(after, status=world.status(bank(before)), generation=2)
    planned = world.plan(of)
    assert planned.held is not None
    assert planned.steps == ()
    del world.children[ChildKey("ConfigMap", "agents-config")]
    [step] = world.plan(of).steps
    assert isinstance(step, Apply)
    assert "readers: 4" in step.body["data"]["config.yaml"]


def test_more_pods_restart_none() -> None:
    world = running(bank(IN_POSTGRES))
    before = world.deployment(bank())["spec"]["template"]
    world.converge(bank(IN_POSTGRES | {"replicas": 3}, generation=2))
    assert world.deployment(bank())["spec"]["template"] == before
    assert world.deployment(bank())["spec"]["replicas"] == 3


def test_the_volume_of_a_former_bank_is_neither_used_nor_deleted_nor_told() -> None:
    former = running(bank())
    claim = ChildKey("PersistentVolumeClaim", "agents-data")
    world = World(children={claim: former.children[claim]})
    world.children[claim]["status"]["phase"] = "Lost"
    of = bank(IN_POSTGRES)
    world.converge(of)
    world.run(of)
    assert claim in world.children
    status = world.status(of)
    assert "storage" not in status
    assert {each["type"]: each["status"] for each in status["conditions"]} == {
        "Available": "True", "Ready": "True",
    }  # fmt: skip
