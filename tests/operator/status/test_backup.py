"""What the status says of a bank's backups, and which of it are events."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from memorybank_operator.reconcile.observed import BackupReading, CopyReading
from memorybank_operator.reconcile.report import backup
from memorybank_operator.reconcile.steps import Note
from tests.operator.world import BACKED_UP, NOW, World, bank, running, unready

PLACE = "s3://memories/team/agents/uid-1"
EPOCH = "00000002-1a2b3c4d"
WELL = BackupReading(EPOCH, "volume", NOW)
LOST = replace(WELL, problem="the bucket does not exist")
UNKNOWN = replace(WELL, synced_at=None)


def with_backup(**changes: Any) -> dict[str, Any]:
    """A spec with backups that differ so."""
    return {"backup": BACKED_UP["backup"] | changes}


def saying(said: BackupReading | None, spec: dict[str, Any] = BACKED_UP) -> World:
    world = running(bank(spec))
    world.backup = said
    return world


def status(
    said: BackupReading | None,
    spec: dict[str, Any] = BACKED_UP,
    *,
    before: dict[str, Any] | None = None,
) -> dict[str, Any]:
    return saying(said, spec).status(bank(spec, status=before))


def healthy(of: dict[str, Any], kind: str = "BackupHealthy") -> tuple[str, str]:
    """Status and reason of the condition; empty when there is none."""
    for each in of["conditions"]:
        if each["type"] == kind:
            return each["status"], each["reason"]
    return "", ""


def message(of: dict[str, Any]) -> str:
    [found] = [each["message"] for each in of["conditions"] if each["type"] == "BackupHealthy"]
    return str(found)


def ready(of: dict[str, Any]) -> str:
    [found] = [each["status"] for each in of["conditions"] if each["type"] == "Ready"]
    return str(found)


def test_a_bank_without_backups_says_nothing_of_them() -> None:
    without = status(None, {})
    assert healthy(without) == ("", "")
    assert "backup" not in without


def test_a_bank_whose_backups_arrive_says_where_and_in_which_epoch() -> None:
    well = status(WELL)
    assert healthy(well) == ("True", "Replicating")
    assert message(well) == f"Everything that is written arrives at {PLACE}."
    assert well["backup"] == {
        "destination": PLACE, "epoch": EPOCH, "origin": "volume",
        "recoverableTo": "2026-01-01T12:00:00Z",
    }  # fmt: skip


def test_backups_that_do_not_arrive_leave_the_bank_ready_and_say_since_when_and_why() -> None:
    lost = status(LOST)
    assert (ready(lost), lost["phase"]) == ("True", "Running")
    assert healthy(lost) == ("False", "BackupFailing")
    assert message(lost).startswith(
        f"Nothing arrives at {PLACE} since 2026-01-01T12:00:00Z: the bucket does not exist. "
    )
    assert lost["backup"]["lastSync"] == "2026-01-01T12:00:00Z"
    never = status(replace(LOST, synced_at=None))
    assert message(never).startswith(f"Nothing arrives at {PLACE} yet: the bucket does not exist. ")
    assert "lastSync" not in never["backup"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "What is written is on the bank's volume alone until it arrives there."),
        ({"durability": "replicated"}, "Writes are refused until then."),
        (
            {"durability": "replicated", "whenUnreachable": "acknowledge"},
            "Until then, what is written is on the bank's volume alone.",
        ),
    ],
)
def test_it_says_what_that_means_for_writes(changes: dict[str, Any], words: str) -> None:
    assert message(status(LOST, with_backup(**changes))).endswith(words)


@pytest.mark.parametrize("said", [None, UNKNOWN])
def test_nothing_is_said_of_backups_that_no_pod_spoke_of(said: BackupReading | None) -> None:
    assert healthy(status(said)) == ("Unknown", "BackupUnknown")


@pytest.mark.parametrize("said", [WELL, LOST])
def test_what_was_said_stands_when_the_operator_restarts(said: BackupReading) -> None:
    before = status(said)
    assert status(None, before=before) == before


@pytest.mark.parametrize("said", [WELL, LOST])
def test_of_a_pod_that_is_no_more_nothing_stands_but_its_epoch(said: BackupReading) -> None:
    before = status(said)
    world = saying(None)
    unready(world.pods[0], {"waiting": {"reason": "PodInitializing"}})
    after = world.status(bank(BACKED_UP, status=before))
    assert healthy(after) == ("Unknown", "BackupUnknown")
    assert after["backup"]["epoch"] == EPOCH


def test_of_another_destination_nothing_is_known() -> None:
    before = status(WELL)
    elsewhere = with_backup(destination={"volume": {"claimName": "backups", "path": "a/b"}})
    after = status(None, elsewhere, before=before)
    assert after["backup"] == {"destination": "pvc://backups/a/b/team/agents/uid-1"}


def test_a_bank_that_sleeps_says_only_where_its_backups_are() -> None:
    before = status(WELL)
    spec = BACKED_UP | {"hibernate": True}
    asleep = status(None, spec, before=before)
    assert healthy(asleep) == ("", "")
    assert asleep["backup"] == before["backup"]


def test_syncs_cause_a_write_an_hour() -> None:
    before = status(WELL)
    later = replace(WELL, synced_at=NOW + timedelta(minutes=59))
    assert status(later, before=before) == before
    later = replace(WELL, synced_at=NOW + timedelta(minutes=60))
    assert status(later, before=before)["backup"]["recoverableTo"] == "2026-01-01T13:00:00Z"


def recoverable(of: dict[str, Any]) -> tuple[str | None, str | None]:
    """From and to when."""
    return of["backup"].get("recoverableFrom"), of["backup"].get("recoverableTo")


def test_it_says_from_when_and_to_when_the_bank_can_be_restored() -> None:
    old = replace(WELL, recoverable_from=NOW - timedelta(days=30))
    assert recoverable(status(UNKNOWN)) == (None, None)
    well = status(old)
    assert recoverable(well) == ("2025-12-02T12:00:00Z", "2026-01-01T12:00:00Z")
    assert recoverable(status(UNKNOWN, before=well)) == recoverable(well), "of another pod"
    expired = status(replace(old, recoverable_from=NOW - timedelta(days=29)), before=well)
    assert recoverable(expired) == ("2025-12-03T12:00:00Z", "2026-01-01T12:00:00Z")
    lost = replace(old, synced_at=NOW + timedelta(seconds=20), problem=LOST.problem)
    assert recoverable(status(lost, before=well))[1] == "2026-01-01T12:00:20Z", "to the second"
    behind = replace(lost, synced_at=NOW - timedelta(minutes=5))
    assert recoverable(status(behind, before=well)) == recoverable(well), "by another clock"
    elsewhere = with_backup(destination={"volume": {"claimName": "backups"}})
    assert recoverable(status(UNKNOWN, elsewhere, before=well)) == (None, None)


def test_each_change_for_better_or_worse_is_an_event() -> None:
    unknown, well, lost = status(UNKNOWN), status(WELL), status(LOST)
    warning = Note("BackupFailing", message(lost), warning=True)
    for before, after, notes in (
        ({}, unknown, []),
        (unknown, well, [Note("Replicating", message(well))]),
        (well, well, []),
        (well, lost, [warning]),
        (unknown, lost, [warning]),
        (lost, lost, []),
        (lost, well, [Note("Replicating", message(well))]),
        (well, unknown, []),
    ):
        assert list(backup(before, after)) == notes


COPIED = with_backup(copies=[
    {"name": "far-away", "s3": {"bucket": "elsewhere"}},
    {"name": "nearby", "volume": {"claimName": "copies"}},
])  # fmt: skip
FAR_AWAY, NEARBY = CopyReading("far-away", NOW), CopyReading("nearby", NOW)
COPY_LOST = replace(FAR_AWAY, problem="the copy far-away: the bucket does not exist")


def copying(*said: CopyReading) -> BackupReading:
    return replace(WELL, copies=said)


def test_copies_that_go_on_say_where_they_are() -> None:
    well = status(copying(FAR_AWAY, NEARBY), COPIED)
    assert healthy(well, "CopiesHealthy") == ("True", "Copying")
    assert well["backup"]["copies"] == [
        {"name": "far-away", "destination": "s3://elsewhere/team/agents/uid-1"},
        {"name": "nearby", "destination": "pvc://copies/team/agents/uid-1"},
    ]


def test_a_copy_that_fails_leaves_the_backups_healthy_and_says_which_and_why() -> None:
    failing = status(copying(COPY_LOST, NEARBY), COPIED)
    assert healthy(failing, "CopiesHealthy") == ("False", "CopyFailing")
    assert healthy(failing) == ("True", "Replicating")
    assert ready(failing) == "True"
    [told] = [each["message"] for each in failing["conditions"] if each["type"] == "CopiesHealthy"]
    assert told == (
        "Nothing arrives at the copy far-away since 2026-01-01T12:00:00Z: the copy far-away: the "
        "bucket does not exist."
    )
    assert failing["backup"]["copies"][0] == {
        "name": "far-away", "destination": "s3://elsewhere/team/agents/uid-1",
        "lastCopy": "2026-01-01T12:00:00Z", "problem": COPY_LOST.problem,
    }  # fmt: skip
    [event] = list(backup(status(copying(FAR_AWAY, NEARBY), COPIED), failing))
    assert (event.reason, event.warning) == ("CopyFailing", True)


@pytest.mark.parametrize("said", [(FAR_AWAY,), (FAR_AWAY, replace(NEARBY, copied_at=None)), ()])
def test_of_a_copy_that_nobody_spoke_of_nothing_is_known(said: tuple[CopyReading, ...]) -> None:
    assert healthy(status(copying(*said), COPIED), "CopiesHealthy") == ("Unknown", "CopiesUnknown")


def test_what_was_said_of_copies_stands_when_the_operator_restarts() -> None:
    before = status(copying(COPY_LOST, NEARBY), COPIED)
    after = status(None, COPIED, before=before)
    assert healthy(after, "CopiesHealthy") == ("False", "CopyFailing")
    assert after["backup"]["copies"] == before["backup"]["copies"]


def test_a_bank_without_copies_says_nothing_of_them() -> None:
    without = status(WELL)
    assert healthy(without, "CopiesHealthy") == ("", "")
    assert "copies" not in without["backup"]


def test_a_restore_is_an_event_once() -> None:
    unknown, well = (
        status(replace(each, origin="backup", epoch="00000003-5e6f7a8b"))
        for each in (UNKNOWN, WELL)
    )
    [note] = backup(status(None), unknown)
    assert (note.reason, note.warning) == ("Restored", False)
    assert PLACE in note.message
    assert [each.reason for each in backup(unknown, well)] == ["Replicating"]


def test_that_a_bank_began_with_another_ones_backup_is_an_event() -> None:
    [note] = backup(status(None), status(replace(UNKNOWN, origin="restored")))
    assert note.reason == "Restored"
    assert "spec.bootstrap.restore" in note.message
