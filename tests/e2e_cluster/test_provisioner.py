"""What the volume provisioner decides to do, from what claims, volumes and classes say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from e2e.cluster.leveled import Object
from e2e.cluster.provisioner import (
    PROVISIONED_BY,
    PROVISIONER,
    SELECTED_NODE,
    Action,
    Expand,
    Free,
    Provision,
    plan,
)

DIRECTORY = Path("/volumes")
STANDARD: Object = {
    "metadata": {"name": "standard"},
    "provisioner": PROVISIONER,
    "volumeBindingMode": "WaitForFirstConsumer",
    "allowVolumeExpansion": True,
    "reclaimPolicy": "Delete",
}


def claim(*, node: str | None = "node", size: str = "1Gi", has: str | None = None) -> Object:
    metadata: dict[str, Any] = {"namespace": "team", "name": "data", "uid": "u1"}
    if node is not None:
        metadata["annotations"] = {SELECTED_NODE: node}
    return {
        "metadata": metadata,
        "spec": {
            "storageClassName": "standard",
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": size}},
        },
        "status": {"capacity": {"storage": has}} if has else {},
    }


def volume(*, phase: str = "Bound", policy: str = "Delete", by: str = PROVISIONER) -> Object:
    return {
        "metadata": {"name": "pvc-u1", "annotations": {PROVISIONED_BY: by}},
        "spec": {"persistentVolumeReclaimPolicy": policy},
        "status": {"phase": phase},
    }


def decide(claims: list[Object], volumes: list[Object], storage_class: Object) -> list[Action]:
    return plan(claims, volumes, [storage_class], directory=DIRECTORY, node="node")


def test_a_claim_with_a_scheduled_pod_gets_a_volume_of_its_own() -> None:
    [action] = decide([claim()], [], STANDARD)
    assert isinstance(action, Provision)
    made = action.volume
    assert made["metadata"]["name"] == "pvc-u1"
    assert made["spec"]["local"] == {"path": "/volumes/pvc-u1"}
    assert made["spec"]["capacity"] == {"storage": "1Gi"}
    assert made["spec"]["claimRef"]["uid"] == "u1"
    assert made["spec"]["persistentVolumeReclaimPolicy"] == "Delete"


@pytest.mark.parametrize("node", [None, "other-node"])
def test_a_claim_waits_until_its_pod_is_scheduled_here(node: str | None) -> None:
    assert decide([claim(node=node)], [], STANDARD) == []


def test_a_class_that_binds_at_once_waits_for_nobody() -> None:
    immediate = {**STANDARD, "volumeBindingMode": "Immediate"}
    [action] = decide([claim(node=None)], [], immediate)
    assert isinstance(action, Provision)


def test_a_claim_that_has_its_volume_needs_nothing() -> None:
    assert decide([claim(has="1Gi")], [volume()], STANDARD) == []


def test_a_claim_of_another_class_or_on_its_way_out_is_left_alone() -> None:
    foreign = {**STANDARD, "provisioner": "other.example"}
    assert decide([claim()], [], foreign) == []
    leaving = claim()
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert decide([leaving], [], STANDARD) == []


def test_a_raw_block_claim_or_one_for_a_named_volume_gets_no_folder() -> None:
    block, named = claim(), claim()
    block["spec"]["volumeMode"] = "Block"
    named["spec"]["volumeName"] = "by-hand"
    assert decide([block, named], [], STANDARD) == []


def test_a_claim_that_asks_for_more_grows() -> None:
    expected = Expand("pvc-u1", "team", "data", "2Gi")
    assert decide([claim(size="2Gi", has="1Gi")], [volume()], STANDARD) == [expected]


def test_a_volume_in_memory_is_a_file_system_that_is_made_so_large() -> None:
    in_memory = {**STANDARD, "parameters": {"medium": "memory"}}
    [made] = decide([claim()], [], in_memory)
    assert isinstance(made, Provision)
    assert made.in_memory is True
    [grown] = decide([claim(size="2Gi", has="1Gi")], [volume()], in_memory)
    assert grown == Expand("pvc-u1", "team", "data", "2Gi", in_memory=DIRECTORY / "pvc-u1")


def test_equal_sizes_in_other_units_are_no_growth() -> None:
    assert decide([claim(size="1024Mi", has="1Gi")], [volume()], STANDARD) == []


def test_nothing_grows_where_the_class_does_not_allow_it() -> None:
    fixed = {**STANDARD, "allowVolumeExpansion": False}
    assert decide([claim(size="2Gi", has="1Gi")], [volume()], fixed) == []


@pytest.mark.parametrize("phase", ["Released", "Failed"])
def test_a_volume_whose_claim_is_gone_is_freed(phase: str) -> None:
    expected = Free("pvc-u1", DIRECTORY / "pvc-u1")
    assert decide([], [volume(phase=phase)], STANDARD) == [expected]


def test_a_volume_that_is_kept_bound_or_not_ours_is_not_freed() -> None:
    kept = volume(phase="Released", policy="Retain")
    foreign = volume(phase="Released", by="other.example")
    assert decide([], [kept, foreign, volume(phase="Bound")], STANDARD) == []
