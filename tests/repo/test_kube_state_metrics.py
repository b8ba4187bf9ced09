"""The example for kube-state-metrics reads fields that the kinds have; e2e/ has the real program
read it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import yaml

from memorybank_operator.api import crd
from memorybank_operator.api.v1alpha1.conditions import Phase
from tests.repo.checkout import ROOT

VALUES = yaml.safe_load((ROOT / "examples/monitoring/kube-state-metrics.yaml").read_text())
RESOURCES = VALUES["customResourceState"]["config"]["spec"]["resources"]
SCHEMAS = {
    each["spec"]["names"]["kind"]: each["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for each in crd.build_all()
}


def paths(resource: dict[str, Any]) -> Iterator[Sequence[str]]:
    """Every path that it reads, from the object's root."""
    yield from resource["labelsFromPath"].values()
    for metric in resource["metrics"]:
        [settings] = [value for name, value in metric["each"].items() if name != "type"]
        root = settings.get("path", ())
        yield root
        if "valueFrom" in settings:
            yield [*root, *settings["valueFrom"]]
        for path in settings.get("labelsFromPath", {}).values():
            yield [*root, *path]


def exists(schema: dict[str, Any], path: Sequence[str]) -> bool:
    """Whether the schema has what a path leads to; entries of lists are looked into."""
    if path[:1] == ["metadata"]:
        return path[1] in {"name", "namespace", "creationTimestamp", "generation"}
    for name in path:
        schema = schema.get("items", schema)
        if name not in schema.get("properties", {}):
            return False
        schema = schema["properties"][name]
    return True


@pytest.mark.parametrize(
    "resource", RESOURCES, ids=lambda each: str(each["groupVersionKind"]["kind"])
)
def test_every_path_is_a_field_of_the_kind(resource: dict[str, Any]) -> None:
    of = resource["groupVersionKind"]
    schema = SCHEMAS[of["kind"]]
    wanted = [list(each) for each in paths(resource)]
    assert len(wanted) > 4
    assert [each for each in wanted if not exists(schema, each)] == []


def test_a_path_that_is_none_would_be_found() -> None:
    assert not exists(SCHEMAS["MemoryBank"], ["status", "mood"])
    assert exists(SCHEMAS["MemoryBank"], ["status", "conditions", "reason"])


def test_all_kinds_are_read_with_the_rights_for_it() -> None:
    assert {each["groupVersionKind"]["kind"] for each in RESOURCES} == set(SCHEMAS)
    plurals = {each["spec"]["names"]["plural"] for each in crd.build_all()}
    [ours, _] = VALUES["rbac"]["extraRules"]
    assert set(ours["resources"]) == plurals


def test_every_phase_of_a_bank_has_its_series() -> None:
    [bank] = [each for each in RESOURCES if each["groupVersionKind"]["kind"] == "MemoryBank"]
    [phase] = [each for each in bank["metrics"] if each["name"] == "status_phase"]
    assert phase["each"]["stateSet"]["list"] == [each.value for each in Phase]
