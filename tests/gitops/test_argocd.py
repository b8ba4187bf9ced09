"""The scripts for Argo CD, run as it runs them, over what the operator writes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from memorybank_operator.api.v1alpha1.memorybankbackup import MemoryBankBackup
from memorybank_operator.api.v1alpha1.memorybankrestore import MemoryBankRestore
from tests.gitops.argocd import CUSTOMIZATIONS, acted, actions, health, manifest, tables
from tests.gitops.manifests import written
from tests.gitops.states import AGREE
from tests.operator.status.kstatus import kstatus
from tests.operator.world import NOW

HEALTH = tables("health_test.yaml")
ACTIONS = tables("action_test.yaml")
DISCOVERED = [(folder, case) for folder, case in ACTIONS if "result" in case]
ACTED = [(folder, case) for folder, case in ACTIONS if "action" in case]


def named(case: Any) -> str:
    return case if isinstance(case, str) else case.get("action") or case["inputPath"]


@pytest.mark.parametrize(("folder", "case"), HEALTH, ids=named)
def test_health_is_told_by_a_sentence(folder: str, case: dict[str, Any]) -> None:
    resource = manifest(folder, case["inputPath"])
    said = health(resource)
    assert said == case["healthStatus"]
    assert kstatus(resource) in AGREE[said["status"]]


@pytest.mark.parametrize(("folder", "case"), DISCOVERED, ids=named)
def test_an_action_is_offered_where_it_does_something(folder: str, case: dict[str, Any]) -> None:
    offered = actions(manifest(folder, case["inputPath"]))
    assert offered == {each["name"]: not each["disabled"] for each in case["result"]}


@pytest.mark.parametrize(("folder", "case"), ACTED, ids=named)
def test_an_action_changes_that_one_thing(folder: str, case: dict[str, Any]) -> None:
    before, expected = (manifest(folder, case[key]) for key in ("inputPath", "expectedOutputPath"))
    result = acted(before, case["action"])
    if isinstance(result, list):
        [made] = result
        assert made == {"operation": "create", "resource": expected}
    else:
        assert without_empty(result) == without_empty(expected)


def test_every_action_is_discovered_and_tried() -> None:
    scripts = {
        (str(each.parents[1].relative_to(CUSTOMIZATIONS)), each.parent.name)
        for each in CUSTOMIZATIONS.rglob("action.lua")
    }
    offered = {(folder, each["name"]) for folder, case in DISCOVERED for each in case["result"]}
    assert offered == scripts
    assert {(folder, case["action"]) for folder, case in ACTED} == scripts


def test_what_an_action_makes_is_what_the_operator_takes() -> None:
    bank = manifest("MemoryBank/actions", "testdata/backed-up.yaml")
    [point], [trial] = (acted(bank, action) for action in ("backup", "verify"))
    assert MemoryBankBackup.parse(stored(point["resource"])).spec.expire_hours == 720
    assert MemoryBankRestore.parse(stored(trial["resource"])).spec.check


def test_what_is_made_later_has_another_name() -> None:
    bank = manifest("MemoryBank/actions", "testdata/backed-up.yaml")
    names = {
        acted(bank, "backup", now=NOW + timedelta(seconds=each))[0]["resource"]["metadata"]["name"]
        for each in range(3)
    }
    assert len(names) == 3


def test_nothing_of_argo_cd_gets_to_what_an_action_makes() -> None:
    """By such labels it would take what is made for a part of the application, and prune it."""
    bank = manifest("MemoryBank/actions", "testdata/backed-up.yaml")
    bank["metadata"]["labels"] = {"app.kubernetes.io/instance": "fleet"}
    bank["metadata"]["annotations"] = {"argocd.argoproj.io/tracking-id": "fleet:x"}
    for action in ("backup", "verify"):
        [made] = acted(bank, action)
        assert set(made["resource"]["metadata"]) == {"name", "namespace"}


def test_the_manifests_are_what_the_operator_writes_today() -> None:
    stored = {
        str(each.relative_to(CUSTOMIZATIONS)): each.read_text()
        for each in CUSTOMIZATIONS.rglob("testdata/*.yaml")
    }
    assert stored == written(), "python -m tests.gitops.manifests --write"


def stored(made: dict[str, Any]) -> dict[str, Any]:
    """Return it as the API server keeps it."""
    return made | {"metadata": made["metadata"] | {"uid": "uid-9", "generation": 1}}


def without_empty(value: Any) -> Any:
    """Return it without empty lists and objects, which are the same in Lua; Argo CD puts back what
    of them was there before.
    """
    if isinstance(value, dict):
        kept = {key: without_empty(each) for key, each in value.items()}
        return {key: each for key, each in kept.items() if each not in ({}, [])}
    return [without_empty(each) for each in value] if isinstance(value, list) else value
