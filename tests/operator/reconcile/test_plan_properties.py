"""What holds for every valid bank."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from memorybank_operator.configfiles.app_config import AppConfig
from memorybank_operator.reconcile.observed import Observed
from memorybank_operator.reconcile.plan import plan
from memorybank_operator.reconcile.steps import Apply, Create
from memorybank_operator.resources.build import build_all
from memorybank_operator.resources.context import BuildContext
from memorybank_operator.resources.names import key_ring, key_secret
from tests.operator.strategies import bank_names, engines, namespaces, specs
from tests.operator.world import (
    CLASSES,
    KEY,
    OTHER_KEY,
    OTHER_RING,
    RING,
    SETTINGS,
    World,
    bank,
    running,
)

everything = settings(max_examples=25, deadline=None)


def objects_of(spec: dict[str, Any], name: str = "agents", namespace: str = "team") -> Any:
    of = bank(spec, name=name, namespace=namespace)
    size = of.spec.storage.volume.size
    return build_all(BuildContext(of, SETTINGS, admin_key=KEY, volume_size=size))


@everything
@given(specs)
def test_the_same_bank_gives_the_same_objects(spec: dict[str, Any]) -> None:
    assert json.dumps(objects_of(spec)) == json.dumps(objects_of(json.loads(json.dumps(spec))))


@everything
@given(specs, bank_names, namespaces)
def test_names_and_labels_fit_their_fields(spec: dict[str, Any], name: str, namespace: str) -> None:
    for body in objects_of(spec, name, namespace):
        assert len(body["metadata"]["name"]) <= 63
        assert body["metadata"]["namespace"] == namespace
        assert all(len(value) <= 63 for value in body["metadata"]["labels"].values())


@everything
@given(specs)
def test_objects_survive_yaml_unchanged(spec: dict[str, Any]) -> None:
    for body in objects_of(spec):
        plain = json.loads(json.dumps(body))
        assert yaml.safe_load(yaml.safe_dump(plain)) == plain


@everything
@given(specs)
def test_the_configuration_reads_back_as_what_it_was_made_of(spec: dict[str, Any]) -> None:
    of = bank(spec)
    config_map = next(each for each in objects_of(spec) if each["kind"] == "ConfigMap")
    read = AppConfig.model_validate(yaml.safe_load(config_map["data"]["config.yaml"]))
    assert read.limits.max_body_bytes == of.spec.limits.max_body_bytes
    assert read.logging.model_dump() == of.spec.logging.model_dump()
    assert read.security.allowed_hosts[0] == of.name


@everything
@given(specs)
def test_the_key_is_nowhere_but_in_the_secret(spec: dict[str, Any]) -> None:
    for body in objects_of(spec):
        assert KEY not in json.dumps(body)  # in the Secret it is base64
        assert (body["kind"] == "Secret") == ("bWJfa2tra2tra2" in json.dumps(body))


@everything
@given(specs)
def test_once_everything_is_applied_the_plan_is_empty(spec: dict[str, Any]) -> None:
    of = bank(spec)
    world = running(of)
    planned = world.converge(of)  # read replicas are made once the bank serves
    assert planned.steps == ()
    assert planned.notes == ()
    assert planned.problems == ()
    assert planned.requeue_after is None
    assert planned.revision


@everything
@given(st.sampled_from(engines).flatmap(lambda specs: st.tuples(specs, specs)))
def test_any_change_of_the_spec_converges_to_what_a_new_bank_would_get(
    specs: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    before, after = specs
    # What is immutable or would need a volume to grow is another test's matter.
    after = after | {each: before.get(each, {}) for each in ("storage", "encryption")}
    changed, fresh = World(), World()
    changed.converge_with_servers(bank(before))
    changed.converge_with_servers(bank(after, generation=2))
    fresh.converge_with_servers(bank(after, generation=2))
    if bank(after).spec.autoscaled is not None:  # there are as many pods as there were
        count = changed.deployment(bank(after))["spec"]["replicas"]
        fresh.deployment(bank(after))["spec"]["replicas"] = count
    assert {k: v.get("spec") for k, v in changed.children.items()} == {
        k: v.get("spec") for k, v in fresh.children.items()
    }


@everything
@given(specs, st.integers(min_value=0, max_value=7))
def test_a_crash_after_any_write_leaves_a_bank_that_converges_with_one_key_and_one_ring(
    spec: dict[str, Any], writes: int
) -> None:
    of, world = bank(spec), World()
    planned = world.plan(of)
    interrupted = type(planned)(steps=planned.steps[:writes], revision=planned.revision)
    world.execute(interrupted)
    # The next start generates others; the first ones count if they were stored.
    has_key, has_ring = (each in world.children for each in (key_secret(of), key_ring(of)))
    world.converge(of, key=OTHER_KEY, ring=OTHER_RING)
    whole = World()
    whole.converge(of, key=KEY if has_key else OTHER_KEY, ring=RING if has_ring else OTHER_RING)
    assert {k: v.get("data") for k, v in world.children.items()} == {
        k: v.get("data") for k, v in whole.children.items()
    }


@everything
@given(specs)
def test_nothing_is_written_that_was_not_rendered_for_this_bank(spec: dict[str, Any]) -> None:
    of = bank(spec)
    for step in World().plan(of).steps:
        assert isinstance(step, Apply | Create)
        assert step.body["metadata"]["labels"]["memorybank.dev/bank"] == of.name
        assert step.body["metadata"]["namespace"] == of.namespace


def test_a_key_is_generated_only_when_one_is_needed() -> None:
    def no_key() -> str:
        pytest.fail("a key was generated")

    of, world = bank(), World()
    world.converge(of)
    assert plan(of, world.observed(), SETTINGS, no_key, no_key).steps == ()
    nothing = Observed(storage_classes=CLASSES)
    plan(bank({"auth": {"adminKeySecretRef": {"name": "mine"}}}), nothing, SETTINGS, no_key, no_key)
    plan(bank({"paused": True}), nothing, SETTINGS, no_key, no_key)
