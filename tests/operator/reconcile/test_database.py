"""A bank waits for its own servers of PostgreSQL before it has a pod, and never for those of a pod
that runs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from memorybank_operator.reconcile.observed import ChildKey
from memorybank_operator.reconcile.steps import Delete
from memorybank_operator.resources import names
from tests.operator.world import World, bank, running

OWN: dict[str, Any] = {"storage": {"engine": "postgres", "postgres": {"cluster": {}}}}
CLUSTER = ChildKey("Cluster", "agents-postgres")
WORKLOAD = ChildKey("Deployment", "agents")
SECRET = "agents-postgres-app"


def problems(world: World, spec: dict[str, Any] = OWN) -> list[str]:
    return [each.reason for each in world.plan(bank(spec)).problems]


def test_pods_are_made_when_the_servers_answer_and_their_address_is_known() -> None:
    of, world = bank(OWN), World()
    world.converge(of)
    assert problems(world) == ["DatabaseStarting"]
    assert world.plan(of).requeue_after == 10, "the Secret is not ours to watch"
    world.start_database(of)
    known, world.named_secrets = world.named_secrets, {}
    assert problems(world) == ["DatabaseStarting"]
    world.named_secrets = known
    answering, world.children[CLUSTER]["status"] = world.children[CLUSTER]["status"], {}
    assert problems(world) == ["DatabaseStarting"]
    assert WORKLOAD not in world.children
    world.children[CLUSTER]["status"] = answering
    assert world.converge(of).problems == ()
    assert WORKLOAD in world.children


def test_pods_that_run_stay_while_their_servers_are_lost() -> None:
    world = running(bank(OWN))
    world.children[CLUSTER]["status"] = {"phase": "Not enough disk space"}
    planned = world.plan(bank(OWN))
    assert (planned.steps, planned.problems) == ((), ())


def test_pods_that_run_stay_without_the_address_and_it_is_said() -> None:
    world = running(bank(OWN))
    world.named_secrets = {}
    planned = world.plan(bank(OWN | {"replicas": 3}))
    assert [each.reason for each in planned.problems] == ["SecretNotFound"]
    assert SECRET in planned.problems[0].message
    assert [step for step in planned.steps if isinstance(step, Delete)] == []


SEARCHED: dict[str, Any] = {**OWN, "vector": {"provider": "pgvector"}}


def bootstrap(world: World) -> Any:
    return world.children[CLUSTER]["spec"].get("bootstrap")


def test_servers_of_a_bank_that_is_searched_there_begin_with_the_extension() -> None:
    world = World()
    world.converge(bank(SEARCHED))
    assert bootstrap(world)["initdb"]["postInitApplicationSQL"] == [
        "CREATE EXTENSION IF NOT EXISTS vector"
    ]
    others = World()
    others.converge(bank(OWN))
    assert bootstrap(others) is None


def test_what_an_extension_is_added_to_is_filled_in_by_others_and_stays() -> None:
    world = running(bank(SEARCHED))
    bootstrap(world)["initdb"] |= {"encoding": "UTF8", "localeCType": "C"}
    assert world.plan(bank(SEARCHED)).steps == ()


@pytest.mark.parametrize(
    "began",
    [
        {"recovery": {"source": "backup", "database": "app", "owner": "app"}},
        {"initdb": {"database": "agents", "owner": "agents"}},
    ],
    ids=str,
)
def test_servers_that_somebody_else_began_get_no_second_beginning(began: dict[str, Any]) -> None:
    world = running(bank(OWN))
    world.children[CLUSTER]["spec"]["bootstrap"] = began
    world.converge_with_servers(bank(SEARCHED))
    assert bootstrap(world) == began


def test_what_servers_said_before_they_slept_does_not_count() -> None:
    of, world = bank(OWN | {"hibernate": True}), World()
    world.converge_with_servers(of)
    assert world.children[WORKLOAD]["spec"]["replicas"] == 0
    world.children[CLUSTER]["status"]["conditions"].append(
        {"type": "cnpg.io/hibernation", "status": "True"}
    )
    assert world.converge(bank(OWN, generation=2)).problems
    assert world.children[CLUSTER]["metadata"]["annotations"]["cnpg.io/hibernation"] == "off"
    assert world.children[WORKLOAD]["spec"]["replicas"] == 0
    world.start_database(of)
    world.converge(bank(OWN, generation=2))
    assert world.children[WORKLOAD]["spec"]["replicas"] == 1


@pytest.mark.parametrize("spec", [OWN | {"replicas": 0}, OWN | {"hibernate": True}])
def test_a_bank_that_is_to_have_no_pod_waits_for_nothing(spec: dict[str, Any]) -> None:
    world = World()
    assert "DatabaseStarting" not in {each.reason for each in world.converge(bank(spec)).problems}


def test_servers_that_hold_memories_are_never_deleted_by_the_operator() -> None:
    for policy in ("Retain", "Delete"):
        world = running(bank(OWN | {"deletionPolicy": policy}))
        of = bank({"deletionPolicy": policy})  # which the API server refuses
        assert Delete(CLUSTER, "") not in [
            replace(step, uid="") for step in world.plan(of).steps if isinstance(step, Delete)
        ]


def test_servers_outlive_the_bank_unless_it_says_otherwise() -> None:
    for policy, owners in (("Retain", 0), ("Delete", 1)):
        world = running(bank(OWN | {"deletionPolicy": policy}))
        assert len(world.children[CLUSTER]["metadata"].get("ownerReferences", ())) == owners


def test_another_number_of_servers_changes_no_pod() -> None:
    world = running(bank(OWN))
    more = {"storage": {"engine": "postgres", "postgres": {"cluster": {"instances": 5}}}}
    planned = world.plan(bank(more))
    assert [step.body["kind"] for step in planned.steps] == ["Cluster"]  # type: ignore[union-attr]
    assert planned.revision == world.plan(bank(OWN)).revision


def test_labels_that_reach_its_pods_do_not_make_them_the_banks_own() -> None:
    world = running(bank(OWN))
    copied = world.children[CLUSTER]["metadata"]["labels"]
    service = world.children[names.service(bank(OWN))]
    assert not service["spec"]["selector"].items() <= copied.items()
