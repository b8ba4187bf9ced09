"""Parsing: what is accepted, and how a wrong field is named."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings

from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.errors import InvalidSpec
from tests.operator.strategies import specs
from tests.operator.world import bank, bank_body

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "unknown field": (
        {"hibernating": True},
        "spec.hibernating: this version of the operator has no such field: remove it or upgrade",
    ),
    "unknown nested field": (
        {"storage": {"volume": {"sice": "1Gi"}}},
        "spec.storage.volume.sice: this version",
    ),
    "wrong type": ({"replicas": "three"}, "spec.replicas: "),
    "bad quantity": (
        {"storage": {"volume": {"size": "lots"}}},
        "spec.storage.volume.size: not a quantity: write a number and a unit, such as 1Gi",
    ),
    "bad amount of cpu": ({"resources": {"limits": {"cpu": "fast"}}}, "spec.resources.limits.cpu"),
    "several writers": ({"replicas": 3}, "spec: spec.replicas must be 0 or 1"),
    "unknown engine": ({"storage": {"engine": "oracle"}}, "spec.storage.engine: "),
    "item of a list": ({"env": [{"name": "A"}, {"value": "x"}]}, "spec.env[1].name: "),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_an_older_crd_let_through_is_refused_with_the_fields_name(case: str) -> None:
    spec, words = WRONG[case]
    with pytest.raises(InvalidSpec) as refused:
        bank(spec)
    assert str(refused.value).startswith(words)


def test_a_wrong_value_is_not_repeated() -> None:
    with pytest.raises(InvalidSpec) as refused:
        bank({"env": [{"name": "A", "value": {"password": "hunter2"}}]})
    assert refused.value.path == "spec.env[0].value"
    assert "hunter2" not in str(refused.value)


def test_what_the_server_adds_to_a_resource_does_not_matter() -> None:
    body = bank_body(managedFields=[{"manager": "kubectl"}], creationTimestamp="2026-01-01T00:00Z")
    body["status"]["somethingNewer"] = {"a": 1}
    parsed = MemoryBank.parse(body)
    assert (parsed.name, parsed.namespace, parsed.uid, parsed.generation) == (
        "agents", "team", "uid-1", 1,
    )  # fmt: skip
    assert parsed.metadata.deletion_timestamp is None


def test_a_resource_without_spec_and_status_has_the_defaults() -> None:
    body = bank_body()
    del body["spec"], body["status"]
    parsed = MemoryBank.parse(body)
    assert parsed.spec.deletion_policy == "Retain"
    assert parsed.spec.storage.volume.size == "1Gi"
    assert parsed.status.observed_generation == -1


def test_numbers_are_as_good_as_texts_for_cpu_and_switches_are_not() -> None:
    resources = bank({"resources": {"limits": {"cpu": 2}}}).spec.resources
    assert resources is not None
    assert resources.limits == {"cpu": "2"}
    with pytest.raises(InvalidSpec, match=r"spec\.resources\.limits\.cpu"):
        bank({"resources": {"limits": {"cpu": True}}})


@settings(max_examples=50, deadline=None)
@given(specs)
def test_a_parsed_spec_is_written_as_it_was_read(spec: dict[str, Any]) -> None:
    parsed = bank(spec).spec
    written = json.loads(parsed.model_dump_json(exclude_unset=True))
    assert bank(written).spec == parsed
    assert written.keys() == spec.keys()
