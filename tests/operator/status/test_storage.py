"""What the status says about a volume's size."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.reconcile.observed import Disk
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


# DiskLow


GI = 2**30
AUTO = {"enabled": True, "maxSize": "4Gi"}


def of_policy(
    status: dict[str, Any] | None = None, auto_grow: dict[str, Any] | None = None
) -> MemoryBank:
    return bank({"storage": {"volume": {"autoGrow": auto_grow or {}}}}, status=status)


def filled(of: MemoryBank, percent: int, total: int = GI) -> World:
    """A world whose disk is used to that share."""
    world = running(of)
    world.disk = Disk(total=total, free=total * (100 - percent) // 100)
    return world


def low(status: dict[str, Any]) -> dict[str, Any]:
    conditions = {each["type"]: each for each in status["conditions"]}
    found: dict[str, Any] = conditions.get("DiskLow", {})
    return found


def ready(status: dict[str, Any]) -> str:
    return str(next(each["status"] for each in status["conditions"] if each["type"] == "Ready"))


def test_a_low_disk_is_told_with_the_cure_though_nothing_grows_by_itself() -> None:
    status = filled(of_policy(), 80).status(of_policy())
    assert low(status)["reason"] == "DiskLow"
    assert "used to 80 % or more. Raise spec.storage.volume.size, set" in low(status)["message"]
    assert ready(status) == "True"
    assert status["storage"]["usedPercent"] == 80
    assert low(filled(of_policy(), 79).status(of_policy())) == {}
    assert low(filled(of_policy(), 85).status(of_policy(auto_grow={"thresholdPercent": 90}))) == {}


def test_a_disk_that_is_low_says_so_until_it_clearly_is_not() -> None:
    status = filled(of_policy(), 82).status(of_policy())
    for percent in (79, 75, 82):
        status = filled(of_policy(), percent).status(of_policy(status))
        assert low(status)["reason"] == "DiskLow"
    assert low(filled(of_policy(), 74).status(of_policy(status))) == {}


def test_what_is_stored_now_and_then_causes_no_write() -> None:
    status = filled(of_policy(), 40).status(of_policy())
    for percent in (41, 44, 36):
        assert filled(of_policy(), percent).status(of_policy(status)) == status
    changed = filled(of_policy(), 45).status(of_policy(status))
    assert changed["storage"]["usedPercent"] == 45


def test_what_was_said_of_a_disk_stands_while_nobody_says_anything() -> None:
    status = filled(of_policy(), 82).status(of_policy())
    silent = filled(of_policy(), 82)
    silent.disk = None
    assert silent.status(of_policy(status)) == status
    assert "usedPercent" not in silent.status(of_policy())["storage"]


def test_a_disk_that_grows_by_itself_is_low_until_it_has_grown() -> None:
    of = of_policy(auto_grow=AUTO)
    world = filled(of, 90)
    world.execute(world.plan(of))
    status = world.status(of)
    assert low(status)["reason"] == "AutoGrowing"
    assert resizing(status)["reason"] == "VolumeGrowing"
    assert status["storage"] == {"capacity": "1Gi", "requested": "2Gi", "usedPercent": 90}
    assert ready(status) == "True"
    world.volume_claim(of)["status"]["capacity"] = {"storage": "2Gi"}
    status = world.status(of_policy(status, AUTO))
    assert low(status)["reason"] == "FileSystemGrowsLater"
    world.disk = Disk(total=2 * GI, free=2 * GI - GI * 9 // 10)
    status = world.status(of_policy(status, AUTO))
    assert (low(status), resizing(status)) == ({}, {})
    assert "message" not in status["storage"]


@pytest.mark.parametrize(
    ("auto", "volume", "total", "reason", "words"),
    [
        (AUTO | {"maxSize": "1Gi"}, {}, GI, "MaximumReached", "the 1Gi of spec.storage.volume."),
        (AUTO, {"storageClassName": "rigid"}, GI, "VolumeNotExpandable", "set allowVolumeExp"),
        (AUTO, {}, 100 * GI, "DiskShared", "a larger volume would give no room"),
        ({}, {"storageClassName": "rigid"}, GI, "DiskLow", "StorageClass rigid does not let"),
    ],
)
def test_a_low_disk_for_which_nothing_can_be_done_says_why_and_what_helps(
    auto: dict[str, Any], volume: dict[str, Any], total: int, reason: str, words: str
) -> None:
    of = bank({"storage": {"volume": volume | {"autoGrow": auto}}})
    world = running(of)
    world.disk = Disk(total=total, free=total // 10)
    assert world.plan(of).steps == ()
    status = world.status(of)
    assert low(status)["reason"] == reason
    assert words in low(status)["message"]
    assert ready(status) == "True"


def test_a_growth_that_is_refused_is_told_and_leaves_the_bank_ready() -> None:
    of = of_policy(auto_grow=AUTO)
    world = filled(of, 90)
    world.growth_refused = "exceeded quota: storage"
    assert world.plan(of).steps == ()
    status = world.status(of)
    assert low(status)["reason"] == "GrowthRefused"
    assert "exceeded quota: storage" in low(status)["message"]
    assert ready(status) == "True"


def test_a_paused_bank_does_not_grow_and_says_so() -> None:
    of = bank({"paused": True, "storage": {"volume": {"autoGrow": AUTO}}})
    world = filled(bank(), 90)
    assert world.plan(of).steps == ()
    assert "while spec.paused is true" in low(world.status(of))["message"]
