"""What becomes of a bank that is deleted under deletionPolicy Snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank_operator import constants
from memorybank_operator.api.v1alpha1.conditions import BackupPhase, Reason, RestorePhase
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.api.v1alpha1.memorybankbackup import MemoryBankBackup
from memorybank_operator.reconcile.final import (
    WITHIN,
    Parting,
    final_backup,
    final_name,
    given_up,
    guard,
    hand_over,
    is_kept,
    part,
    release,
)
from memorybank_operator.reconcile.observed import ChildKey
from memorybank_operator.reconcile.points import Scene, missing, stand
from memorybank_operator.reconcile.restores import Stage, advance
from memorybank_operator.reconcile.steps import Create
from memorybank_operator.resources import names
from memorybank_operator.status.reduce import reduce_leaving
from tests.operator.recovery import backup_body, replicated, restore, scene
from tests.operator.world import BACKED_UP, FOLLOWING, NOW, World, bank, bank_body, running

SNAPSHOT = BACKED_UP | {"deletionPolicy": "Snapshot"}
ENCRYPTED = SNAPSHOT | {"encryption": {"enabled": True}}
DELETED: dict[str, Any] = {
    "deletionTimestamp": NOW.isoformat(),
    "finalizers": [constants.FINALIZER],
    "uid": "12345678-90ab-cdef-1234-567890abcdef",
}


def deleted(spec: Mapping[str, Any] = SNAPSHOT) -> tuple[MemoryBank, World]:
    """A bank that ran, was replicated and was deleted."""
    before, world = replicated(spec, uid=DELETED["uid"])
    return bank(spec, status=world.status(before), **DELETED), world


BANK, WORLD = deleted()
VOLUME, RING = names.volume_claim(BANK), names.key_ring(BANK)
POINT = "agents-final-12345678"


def point(phase: str = "", message: str = "") -> dict[str, Any]:
    said = {"type": "Complete", "status": "False", "reason": "x", "message": message}
    status: dict[str, Any] = {"phase": phase, "conditions": [said]}
    if phase in ("Complete", "Expired"):
        status["point"] = {"dataLossSeconds": 0.0}
    return backup_body(status=status, name=POINT)


def changed(policy: str) -> MemoryBank:
    """The bank whose policy is another one since it was deleted."""
    return bank(SNAPSHOT | {"deletionPolicy": policy}, **DELETED)


def owners(world: World, child: ChildKey) -> list[str]:
    return [each["uid"] for each in world.children[child]["metadata"].get("ownerReferences", ())]


@pytest.mark.parametrize("policy", ["Retain", "Snapshot", "Delete"])
@pytest.mark.parametrize("before", [[], [constants.FINALIZER]], ids=["without", "with"])
def test_a_bank_has_the_finalizer_exactly_under_snapshot(policy: str, before: list[str]) -> None:
    others = ["example.org/first", "example.org/last"]
    finalizers = [others[0], *before, others[1]]
    spec = SNAPSHOT | {"deletionPolicy": policy}
    body = bank_body(spec, finalizers=finalizers, resourceVersion="7")
    step = guard(bank(spec, finalizers=finalizers), body)
    if (policy == "Snapshot") == bool(before):
        assert step is None
        return
    assert step is not None
    assert step.key == ("MemoryBank", "agents")
    assert step.version == "7", "whoever else changes them is not overwritten"
    kept = [each for each in step.changes["finalizers"] if each != constants.FINALIZER]
    assert kept == others
    assert (constants.FINALIZER in step.changes["finalizers"]) == (policy == "Snapshot")


def test_only_a_deleted_bank_with_our_finalizer_stays_for_us() -> None:
    assert is_kept(bank_body(SNAPSHOT, **DELETED))
    assert not is_kept(bank_body(SNAPSHOT, finalizers=[constants.FINALIZER]))
    assert not is_kept(bank_body(SNAPSHOT, deletionTimestamp=NOW.isoformat()))
    others: dict[str, Any] = {
        "finalizers": ["example.org/other"],
        "deletionTimestamp": NOW.isoformat(),
    }
    assert not is_kept(bank_body(SNAPSHOT, **others))


def test_it_is_let_go_and_others_finalizers_stay() -> None:
    body = bank_body(SNAPSHOT, finalizers=["example.org/a", constants.FINALIZER])
    assert release(body).changes == {"finalizers": ["example.org/a"]}


@pytest.mark.parametrize("spec", [SNAPSHOT, ENCRYPTED], ids=["plain", "encrypted"])
def test_nobody_owns_the_data_before_the_recovery_point_is_complete(spec: dict[str, Any]) -> None:
    of = bank(spec, uid=DELETED["uid"])
    world = running(of)
    assert owners(world, VOLUME) == []
    assert [owners(world, each) for each in world.children if each == RING] == (
        [[]] if spec is ENCRYPTED else []
    )


def test_of_a_standby_nothing_is_taken_and_its_copy_goes() -> None:
    spec = FOLLOWING | {"deletionPolicy": "Snapshot"}
    world = running(bank(spec, uid=DELETED["uid"]))
    found = part(bank(spec, **DELETED), world.children, None, NOW)
    assert found == Parting(goes=frozenset({VOLUME}))


def test_a_recovery_point_is_asked_for_that_outlives_the_bank() -> None:
    parting = part(BANK, WORLD.children, None, NOW)
    assert isinstance(parting.step, Create)
    body = parting.step.body
    assert body["metadata"]["name"] == POINT == final_name(BANK)
    assert "ownerReferences" not in body["metadata"]
    assert body["spec"] == {"bank": {"name": "agents"}}, "it does not expire"
    assert "2026-01-01T13:00:00Z" in parting.message
    assert "Retain" in parting.message, "it says how not to wait"
    again = part(BANK, WORLD.children, point("Taking", "A Job takes it"), NOW)
    assert again.step is None, "once"
    assert "A Job takes it." in again.message


def test_the_last_recovery_point_does_not_expire_as_those_of_a_schedule_do() -> None:
    points = {"schedule": "0 0 * * *", "expireAfter": "48h"}
    of = bank({**SNAPSHOT, "backup": {**SNAPSHOT["backup"], "points": points}}, **DELETED)
    assert "expireAfter" not in final_backup(of)["spec"]


def test_the_last_recovery_point_has_the_export_that_those_of_the_schedule_have() -> None:
    points = {"schedule": "0 0 * * *", "export": "JSONL"}
    of = bank({**SNAPSHOT, "backup": {**SNAPSHOT["backup"], "points": points}}, **DELETED)
    assert final_backup(of)["spec"]["export"] == "JSONL"
    assert "export" not in final_backup(BANK)["spec"]


def test_the_last_recovery_point_of_a_bank_that_is_gone_is_not_taken_of_the_next_one() -> None:
    wanted = MemoryBankBackup.parse({**final_backup(BANK), "metadata": _made(BANK)})
    assert stand(wanted, scene(BANK, WORLD), NOW).phase is BackupPhase.TAKING
    before, world = replicated(SNAPSHOT, uid="another-one")
    for there in (scene(before, world), Scene(None)):
        found = stand(wanted, there, NOW)
        assert (found.phase, found.step) == (BackupPhase.FAILED, None)
        assert "was let go before" in found.message


@pytest.mark.parametrize(("changes", "waits"), [({}, True), ({"hibernate": True}, False)])
def test_its_job_waits_for_the_word_of_a_bank_that_has_a_pod(
    changes: Mapping[str, Any], waits: bool
) -> None:
    wanted = MemoryBankBackup.parse({**final_backup(BANK), "metadata": _made(BANK)})
    changed_since = bank({**SNAPSHOT, **changes}, status=_status(BANK), **DELETED)
    step = stand(wanted, scene(changed_since, WORLD), NOW).step
    assert step is not None
    [container] = step.body["spec"]["template"]["spec"]["containers"]
    assert ("--wait" in container["args"]) == waits


def test_names_of_recovery_points_fit() -> None:
    assert len(final_name(bank(SNAPSHOT, name="a" * 40, uid="1" * 36))) <= 63


def test_the_volume_goes_and_the_ring_stays_once_it_is_complete() -> None:
    of, world = deleted(ENCRYPTED)
    parting = part(of, world.children, point("Complete"), NOW)
    assert parting.message == ""
    assert parting.note is not None
    assert (parting.note.reason, parting.note.warning) == (Reason.FINAL_BACKUP_TAKEN, False)
    [step] = hand_over(of, world.children, parting.goes)
    assert step.key == VOLUME
    [owner] = step.changes["ownerReferences"]
    assert owner["uid"] == of.uid
    world.children[VOLUME]["metadata"]["ownerReferences"] = [owner]
    assert list(hand_over(of, world.children, parting.goes)) == [], "once"


@pytest.mark.parametrize("lost", [{}, {"dataLossSeconds": None}, {"dataLossSeconds": 0.5}])
def test_the_volume_is_kept_while_it_may_have_more(lost: dict[str, Any]) -> None:
    """Of a bank that does not serve nobody knows whether everything arrived."""
    taken = point("Complete")
    taken["status"]["point"] = lost
    parting = part(BANK, WORLD.children, taken, NOW)
    assert (parting.message, parting.goes) == ("", frozenset())
    assert parting.note is not None
    assert (parting.note.reason, parting.note.warning) == (Reason.FINAL_BACKUP_TAKEN, True)
    assert "agents-data is kept" in parting.note.message


def test_a_recovery_point_of_before_is_not_the_last_one() -> None:
    before = point("Complete")
    before["metadata"]["creationTimestamp"] = "2026-01-01T11:59:59Z"
    parting = part(BANK, WORLD.children, before, NOW)
    assert (parting.message, parting.goes) == ("", frozenset())
    assert parting.note is not None
    assert "older than the deletion" in parting.note.message


@pytest.mark.parametrize("phase", ["Failed", "Expired"])
def test_without_a_recovery_point_the_volume_is_kept_and_that_is_told(phase: str) -> None:
    parting = part(BANK, WORLD.children, point(phase, "The bucket is full."), NOW)
    assert parting.goes == frozenset()
    assert parting.note is not None
    assert parting.note.warning
    assert parting.note.reason == Reason.FINAL_BACKUP_FAILED
    assert "The bucket is full. PersistentVolumeClaim agents-data is kept" in parting.note.message


@pytest.mark.parametrize("found", [None, point("Taking"), point("Pending", "It cannot begin.")])
def test_after_an_hour_the_bank_goes_without(found: dict[str, Any] | None) -> None:
    last = NOW + WITHIN - timedelta(seconds=1)
    assert part(BANK, WORLD.children, found, last).message
    parting = part(BANK, WORLD.children, found, NOW + WITHIN)
    assert parting.message == ""
    assert parting.step is None
    assert parting.note is not None
    assert parting.note.warning


def test_what_is_complete_counts_also_when_it_is_late() -> None:
    parting = part(BANK, WORLD.children, point("Complete"), NOW + 2 * WITHIN)
    assert parting.goes == {VOLUME}


@given(
    st.sampled_from(["", *sorted(BackupPhase)]),
    st.integers(-10, 7200),
    st.sampled_from(["Retain", "Snapshot", "Delete"]),
)
def test_the_volume_goes_only_with_a_copy_or_under_delete(
    phase: str, seconds: int, policy: str
) -> None:
    now = NOW + timedelta(seconds=seconds)
    parting = part(changed(policy), WORLD.children, point(phase), now)
    if VOLUME in parting.goes:
        assert policy == "Delete" or phase == BackupPhase.COMPLETE
    if RING in parting.goes:
        assert policy == "Delete"
    assert bool(parting.message) <= (now < NOW + WITHIN), "nobody waits for ever"


@pytest.mark.parametrize(("policy", "goes"), [("Retain", set()), ("Delete", {VOLUME, RING})])
def test_another_policy_lets_a_deleted_bank_go_at_once(policy: str, goes: set[ChildKey]) -> None:
    parting = part(changed(policy), WORLD.children, None, NOW)
    assert (parting.message, parting.step, parting.note) == ("", None, None)
    assert parting.goes == goes


def test_a_volume_that_was_the_banks_is_nobodys_when_it_is_kept() -> None:
    of = bank(SNAPSHOT | {"deletionPolicy": "Delete"}, uid=DELETED["uid"])
    world = running(of)
    assert owners(world, VOLUME) == [of.uid]
    world.children[VOLUME]["metadata"]["ownerReferences"].append({"uid": "somebody"})
    [step] = hand_over(BANK, world.children, frozenset())
    assert step.changes == {"ownerReferences": [{"uid": "somebody"}]}


def test_nobody_elses_volume_is_touched() -> None:
    foreign = {"metadata": {"name": VOLUME.name, "labels": {}}}
    assert list(hand_over(BANK, {VOLUME: foreign}, frozenset({VOLUME}))) == []


def test_what_is_left_alone_needs_no_copy() -> None:
    """As `kubectl delete --cascade=orphan` does, which takes the owner off everything."""
    deployment = names.deployment(BANK)
    orphaned = {"metadata": {**WORLD.children[deployment]["metadata"], "ownerReferences": []}}
    parting = part(BANK, {**WORLD.children, deployment: orphaned}, None, NOW)
    assert parting == Parting()
    under_way = {**DELETED, "finalizers": ["orphan", constants.FINALIZER]}
    assert part(bank(SNAPSHOT, **under_way), WORLD.children, None, NOW) == Parting()


def test_nothing_is_made_that_the_garbage_collector_would_take_again() -> None:
    """As long as it deletes what the bank owns, by `kubectl delete --cascade=foreground`."""
    under_way = {**DELETED, "finalizers": ["foregroundDeletion", constants.FINALIZER]}
    assert World().plan(bank(SNAPSHOT, **under_way)).steps == ()
    assert World().plan(BANK).steps != ()
    let_go = {**DELETED, "finalizers": ["example.org/other"]}
    assert World().plan(bank(SNAPSHOT, **let_go)).steps == ()


def test_a_bank_that_has_nothing_goes_at_once() -> None:
    assert part(bank(SNAPSHOT, **DELETED), {}, None, NOW).message == ""
    assert part(BANK, {}, None, NOW).message, "what it had is at the destination"
    volume = {VOLUME: WORLD.children[VOLUME]}
    assert part(bank(SNAPSHOT, **DELETED), volume, None, NOW).message


def test_a_spec_that_cannot_be_read_keeps_the_volume() -> None:
    parting = given_up(BANK, "its spec cannot be read: spec.new: unknown")
    assert parting.note is not None
    assert "is kept" in parting.note.message
    assert parting.goes == frozenset()


@pytest.mark.parametrize("changes", [{}, {"paused": True}, {"hibernate": True}])
def test_the_recovery_point_is_taken_of_a_bank_in_any_state(changes: Mapping[str, Any]) -> None:
    changed_since = bank({**SNAPSHOT, **changes}, status=_status(BANK), **DELETED)
    assert missing(scene(changed_since, WORLD)) == ""


def test_a_restore_of_a_deleted_bank_goes_no_further() -> None:
    for phase in RestorePhase:
        wanted = restore(phase=phase)
        found = advance(wanted, Stage(scene(BANK, WORLD), {}, is_stopped=True))
        assert (found.step, found.phase) == (None, phase)
        assert found.message == "MemoryBank agents is being deleted"


def test_a_deleted_bank_says_what_it_waits_for_and_keeps_what_else_is_known() -> None:
    status = reduce_leaving(BANK, "It waits.", now=NOW)
    assert status["phase"] == "Deleting"
    assert status["backup"] == _status(BANK)["backup"]
    [ready] = [each for each in status["conditions"] if each["type"] == "Ready"]
    assert (ready["status"], ready["reason"]) == ("False", Reason.FINAL_BACKUP)
    again = reduce_leaving(bank(SNAPSHOT, status=status, **DELETED), "It waits.", now=_later())
    assert again == status, "it is written once"


def _made(of: MemoryBank) -> dict[str, Any]:
    """The metadata of its last recovery point, as the API server has it."""
    given = {"uid": "uid-7", "generation": 1, "creationTimestamp": NOW.isoformat()}
    return {**final_backup(of)["metadata"], **given}


def _status(of: MemoryBank) -> dict[str, Any]:
    return of.status.model_dump(mode="json", exclude_none=True)


def _later() -> datetime:
    return NOW + timedelta(minutes=1)
