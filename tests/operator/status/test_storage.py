"""What the status says about a volume's size."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from tests.operator.world import DEADLINE, NOW, World, bank, running


def growing(of: MemoryBank | None = None, **status: Any) -> World:
    """A world in which the claim asks for 2Gi and the volume has 1Gi."""
    world = running(of or bank())
    claim = world.volume_claim(bank())
    claim["spec"]["resources"]["requests"]["storage"] = "2Gi"
    claim["status"] |= status
    return world


LARGER = {"storage": {"volume": {"size": "2Gi"}}}


def resizing(status: dict[str, Any]) -> dict[str, Any]:
    conditions = {each["type"]: each for each in status["conditions"]}
    found: dict[str, Any] = conditions.get("VolumeResizing", {})
    return found


def conditions(kind: str, message: str = "") -> list[dict[str, str]]:
    return [{"type": kind, "status": "True", "message": message}]


@pytest.mark.parametrize(
    ("claim", "reason", "words"),
    [
        ({}, "VolumeGrowing", "from 1Gi to 2Gi"),
        ({"conditions": conditions("Resizing")}, "VolumeGrowing", "storage driver"),
        (
            {"conditions": conditions("FileSystemResizePending")},
            "FileSystemGrowsLater", "the node has still to grow the file system",
        ),
        (
            {"conditions": conditions("ControllerResizeError", "quota of the cloud")},
            "VolumeGrowthFailed", "from 1Gi to 2Gi: quota of the cloud.",
        ),
        (
            {"allocatedResourceStatuses": {"storage": "NodeResizeInfeasible"}},
            "VolumeGrowthFailed", "put spec.storage.volume.size back to 1Gi",
        ),
    ],
)  # fmt: skip
def test_the_growth_of_a_volume_is_told_and_the_bank_stays_ready(
    claim: dict[str, Any], reason: str, words: str
) -> None:
    of = bank(LARGER, generation=2)
    world = growing(**claim)
    world.canary = world.passed(of)
    status = world.status(of)
    condition = resizing(status)
    assert (condition["status"], condition["reason"]) == ("True", reason)
    assert words in condition["message"]
    assert status["storage"] == {"capacity": "1Gi", "requested": "2Gi"}
    ready = next(each for each in status["conditions"] if each["type"] == "Ready")
    assert ready["status"] == "True"
    assert world.status(bank(LARGER, generation=2, status=status), now=NOW + DEADLINE / 2) == status


def test_a_volume_as_large_as_asked_for_does_not_resize() -> None:
    assert resizing(running(bank()).status(bank())) == {}


def test_a_hibernated_bank_tells_that_its_file_system_grows_when_it_wakes() -> None:
    of = bank(LARGER | {"hibernate": True})
    world = growing(conditions=conditions("FileSystemResizePending"))
    late = NOW + DEADLINE + timedelta(seconds=1)
    status = world.status(of)
    for now in (NOW, late):
        status = world.status(bank(of.spec.model_dump(by_alias=True), status=status), now=now)
        assert resizing(status)["reason"] == "FileSystemGrowsLater"
        assert "when the bank's pod runs again" in resizing(status)["message"]


@pytest.mark.parametrize(
    ("claim", "words"),
    [
        ({}, "StorageClass standard allows growth, but maybe its driver has nobody"),
        ({"conditions": conditions("FileSystemResizePending")}, "set spec.restart"),
    ],
)
def test_a_volume_that_takes_too_long_to_grow_says_so_with_the_cure(
    claim: dict[str, Any], words: str
) -> None:
    world = growing(**claim)
    status = world.status(bank(LARGER))
    again = bank(LARGER, status=status)
    assert resizing(world.status(again, now=NOW + DEADLINE - timedelta(seconds=1))) == resizing(
        status
    )
    late = resizing(world.status(again, now=NOW + DEADLINE))
    assert late["reason"] == "VolumeGrowthOverdue"
    assert words in late["message"]
    assert late["lastTransitionTime"] == resizing(status)["lastTransitionTime"]


def test_a_volume_that_is_larger_than_the_spec_is_kept_and_said() -> None:
    world = growing(capacity={"storage": "2Gi"})
    assert world.converge(bank()).problems == ()
    storage = world.status(bank())["storage"]
    assert (storage["capacity"], storage["requested"]) == ("2Gi", "2Gi")
    assert "a volume never shrinks" in storage["message"]
    assert "message" not in world.status(bank(LARGER))["storage"]


def test_what_a_storage_driver_rounds_up_is_not_remarkable() -> None:
    world = running(bank())
    world.volume_claim(bank())["status"]["capacity"] = {"storage": "4Gi"}
    assert world.status(bank())["storage"] == {"capacity": "4Gi", "requested": "1Gi"}


def test_somebody_elses_claim_says_nothing_about_the_bank() -> None:
    world = growing()
    world.volume_claim(bank())["metadata"] = {"name": "agents-data", "uid": "theirs"}
    status = world.status(bank())
    assert resizing(status) == {}
    assert "storage" not in status
