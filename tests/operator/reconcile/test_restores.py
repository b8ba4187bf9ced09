"""How far a restore is, and when a bank is to have no pod."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank_operator.api.v1alpha1.conditions import Reason, RestorePhase
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.errors import InvalidSpec
from memorybank_operator.reconcile.points import Scene
from memorybank_operator.reconcile.restores import (
    DONE,
    STOPPED,
    Stage,
    advance,
    first,
    halted,
    is_acknowledged,
    is_in_place,
    is_open,
)
from memorybank_operator.reconcile.steps import Create
from memorybank_operator.resources.backup_job import (
    build_rewind_job,
    build_take_job,
    job_labels,
)
from memorybank_operator.resources.effective import without_pods
from memorybank_operator.status.restore import invalid_restore_status, notes, restore_status
from tests.operator.recovery import (
    backup,
    end_job,
    pod_that_said,
    replicated,
    report,
    restore,
    restore_body,
    scene,
    with_this_job,
)
from tests.operator.world import DEADLINE, NOW, World, bank

BANK, WORLD = replicated()
PHASES = st.sampled_from(sorted(RestorePhase))


def stage(*, is_stopped: bool = False, of: Scene | None = None, **backups: Any) -> Stage:
    return Stage(scene(BANK, WORLD) if of is None else of, backups, is_stopped=is_stopped)


def rewind_job(of: MemoryBank = BANK) -> dict[str, Any]:
    return build_rewind_job(of, restore(), WORLD.deployment(of), size="2048Mi")


@given(PHASES, st.booleans(), st.booleans())
def test_nothing_has_the_volume_before_the_bank_is_stopped_and_a_phase_says_so(
    phase: RestorePhase, is_stopped: bool, rolls_back: bool
) -> None:
    wanted = restore({"latest": True, "rollback": rolls_back}, phase=phase)
    found = advance(wanted, stage(is_stopped=is_stopped))
    if isinstance(found.step, Create) and is_in_place(found.step.body):
        assert is_stopped
        assert phase in STOPPED
        assert found.phase is phase, "it is written already"
    if found.phase not in STOPPED and phase in STOPPED:
        raise AssertionError("the bank is woken though no Job said that it is done")


@given(st.lists(PHASES, max_size=5))
def test_one_restore_of_a_bank_is_done_at_a_time_and_one_that_began_goes_on(
    phases: list[RestorePhase],
) -> None:
    restores = [
        restore(
            phase=phase, name=f"back-{number}",
            creationTimestamp=(NOW + timedelta(seconds=number)).isoformat(),
        )
        for number, phase in enumerate(phases)
    ]  # fmt: skip
    turn = first(reversed(restores))
    waiting = [each for each in restores if each.status.phase not in DONE]
    if turn is None:
        assert waiting == []
        return
    begun = [each for each in waiting if each.status.phase != RestorePhase.PENDING]
    assert turn == (begun or waiting)[0]


def test_a_restore_that_is_done_is_open_again_to_be_taken_back() -> None:
    taken_back = {"latest": True, "rollback": True}
    assert not is_open(restore(phase="Complete"))
    assert is_open(restore(taken_back, phase="Complete"))
    assert not is_open(restore(taken_back, phase="RolledBack"))
    assert not is_open(restore(taken_back, phase="Failed"))


def test_the_word_of_another_version_is_as_none() -> None:
    assert advance(restore(phase="Dancing"), stage()).phase is RestorePhase.CHECKING


def test_a_bank_has_no_pod_while_anything_may_have_its_volume() -> None:
    job = rewind_job()
    job["metadata"]["uid"] = "job-1"
    beside = build_take_job(BANK, backup(), WORLD.deployment(BANK), size="1Mi")
    assert halted([restore(phase="Complete")], [beside], []) == ""
    for phase in RestorePhase:
        assert bool(halted([restore(phase=phase)], [], [])) == (phase in STOPPED)
    assert "Job agents-rewind-" in halted([], [job], [])
    pod = pod_that_said(job, "")
    pod["status"]["phase"] = "Running"
    end_job(job, "Complete")
    assert halted([], [job], []) == ""
    assert "Pod agents-rewind-" in halted([], [job], [pod])
    pod["status"] = {}
    assert "Pod agents-rewind-" in halted([], [], [pod]), "nobody said that it ended"
    for over in ("Succeeded", "Failed"):
        pod["status"] = {"phase": over}
        assert halted([], [], [pod]) == ""


def test_a_phase_that_the_bank_has_not_seen_is_not_acknowledged() -> None:
    """Such as RollingBack right after Starting: its reconcile may be about to ask for a pod."""
    phases = [each for each in RestorePhase if each is not RestorePhase.RESTORING]
    for seen in phases:
        why = halted([restore(phase=seen)], [], [])
        said = {
            "type": "Ready", "status": "False", "reason": "Restoring",
            "message": f"The bank is stopped: {why}.", "lastTransitionTime": NOW.isoformat(),
        }  # fmt: skip
        of = bank({}, status={"conditions": [said]})
        for phase in phases:
            found = is_acknowledged(restore(phase=phase), of)
            assert found == (phase is seen and phase in STOPPED), (seen, phase)
        assert not is_acknowledged(restore(phase=seen, name="another"), of)
        assert not is_acknowledged(restore(phase=seen), None)


def test_a_bank_that_is_to_be_stopped_says_so_whatever_else_is_wrong() -> None:
    world, of = World(**vars(WORLD)), without_pods(BANK)
    world.halted = "MemoryBankRestore back replaces its database"
    world.named_secrets = {}
    [ready] = [each for each in world.status(of)["conditions"] if each["type"] == "Ready"]
    assert ready["reason"] == Reason.RESTORING


def test_what_has_the_volume_is_none_of_the_banks_pods() -> None:
    labels = rewind_job()["spec"]["template"]["metadata"]["labels"]
    assert labels["app.kubernetes.io/name"] == job_labels(BANK)["app.kubernetes.io/name"]
    assert labels["app.kubernetes.io/name"] != "memorybank"


def test_a_bank_that_is_stopped_says_why_and_for_as_long_as_it_takes() -> None:
    world, of = World(**vars(WORLD)), without_pods(BANK)
    world.halted = "MemoryBankRestore back replaces its database"
    world.converge(of)
    assert world.deployment(of)["spec"]["replicas"] == 0
    status: dict[str, Any] = {}
    for now in (NOW, NOW + 2 * DEADLINE):
        known = bank({}, status=status).status if status else of.status
        status = world.status(of.model_copy(update={"status": known}), now=now)
        said = {each["type"]: (each["status"], each["reason"]) for each in status["conditions"]}
        assert said["Ready"] == ("False", Reason.RESTORING)
        assert said["Reconciling"][0] == "True"
        assert "Stalled" not in said


def test_a_job_that_did_its_work_and_lost_its_words_is_asked_again() -> None:
    found = advance(
        restore(phase="Restoring"),
        stage(is_stopped=True, of=with_this_job(scene(BANK, WORLD), rewind_job(), "Complete")),
    )
    assert found.phase is RestorePhase.RESTORING
    assert "lost" in found.message


def test_what_was_restored_is_told() -> None:
    said = report(operation="rewind", name="uid-9")
    with_job = with_this_job(scene(BANK, WORLD), rewind_job(), "Complete", said)
    found = advance(restore(phase="Restoring"), stage(is_stopped=True, of=with_job))
    assert found.phase is RestorePhase.STARTING
    status = restore_status(restore(phase="Restoring"), found, NOW)
    assert status["restored"] == {
        "epoch": "00000002-1a2b3c4d", "moment": "2026-01-01T11:59:58Z", "memories": 12,
        "restoreSeconds": 1.25,
    }  # fmt: skip


@pytest.mark.parametrize("phase", ["Stopping", "Restoring", "RollingBack"])
def test_a_bank_that_is_gone_is_waited_for(phase: str) -> None:
    found = advance(restore(phase=phase), stage(of=replace(scene(BANK, WORLD), bank=None)))
    assert found.step is None
    assert "there is no MemoryBank" in found.message


def test_a_restore_that_cannot_be_read_keeps_its_phase() -> None:
    body = restore_body({"hue": "red"}, phase="Restoring", generation=2)
    after = invalid_restore_status(body, InvalidSpec("spec.hue", "remove it"), NOW)
    assert after["phase"] == "Restoring"
    assert after["observedGeneration"] == 2
    assert [(each["type"], each["reason"]) for each in after["conditions"]] == [
        ("Complete", "InvalidSpec"), ("Stalled", "InvalidSpec"),
    ]  # fmt: skip
    assert [each.reason for each in notes(body["status"], after)] == [Reason.RESTORE_FAILED]
