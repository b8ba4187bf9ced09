"""Which changes of readiness are worth an event."""

from __future__ import annotations

import re
from typing import Any

import pytest

from memorybank_operator.api.v1alpha1.conditions import Reason
from memorybank_operator.reconcile.report import (
    EXPECTED,
    TROUBLE_WITH_VOLUMES,
    transition,
    until_ready,
    volume,
)
from memorybank_operator.reconcile.steps import Note
from memorybank_operator.status.degraded import OF_OBJECTS
from tests.repo.checkout import ROOT

READY = {"status": "True", "reason": "CanaryPassed", "message": "found"}
BROKEN = {"status": "False", "reason": "CanaryFailed", "message": "not found"}
STARTING = {"status": "False", "reason": "DeploymentProgressing", "message": "starts"}
VERIFYING = {"status": "Unknown", "reason": "Verifying", "message": "not yet"}


def status(*conditions: tuple[str, str, int]) -> dict[str, Any]:
    """Conditions by type, status and the second in which they came to be so."""
    return {
        "conditions": [
            {"type": kind, "status": state, "lastTransitionTime": f"2026-01-01T12:00:{at:02}Z"}
            for kind, state, at in conditions
        ]
    }


@pytest.mark.parametrize("progress", ["Reconciling", "Stalled"])
def test_the_time_to_ready_is_that_in_which_a_bank_was_worked_on(progress: str) -> None:
    before = status(("Ready", "False", 1), (progress, "True", 3))
    assert until_ready(before, status(("Ready", "True", 20))) == 17


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (status(("Ready", "True", 1)), status(("Ready", "True", 1))),
        (status(("Ready", "False", 1), ("Reconciling", "True", 1)), status(("Ready", "False", 1))),
        (status(("Ready", "False", 1)), status(("Ready", "True", 20))),
        ({}, status(("Ready", "True", 20))),
    ],
)
def test_a_bank_that_was_ready_or_asleep_took_no_time_to_be_ready(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    assert until_ready(before, after) is None


def test_becoming_ready_is_told() -> None:
    assert transition(VERIFYING, READY) == Note("CanaryPassed", "found")


def test_losing_readiness_is_a_warning() -> None:
    assert transition(READY, BROKEN) == Note("CanaryFailed", "not found", warning=True)


def test_losing_readiness_to_a_rollout_is_no_warning() -> None:
    assert transition(READY, STARTING) == Note("DeploymentProgressing", "starts")


@pytest.mark.parametrize("before", [{}, STARTING])
@pytest.mark.parametrize("after", [STARTING, VERIFYING])
def test_the_way_to_ready_is_not_told(before: dict[str, str], after: dict[str, str]) -> None:
    assert transition(before, after) is None


@pytest.mark.parametrize("before", [{}, STARTING, VERIFYING])
def test_what_needs_somebody_is_a_warning(before: dict[str, str]) -> None:
    note = transition(before, BROKEN)
    assert note is not None
    assert note.warning


@pytest.mark.parametrize("state", [READY, BROKEN, STARTING, VERIFYING])
def test_nothing_new_is_not_told(state: dict[str, str]) -> None:
    assert transition(state, state) is None


def test_another_message_for_the_same_trouble_is_not_told() -> None:
    assert transition(BROKEN, {**BROKEN, "message": "still not found"}) is None


def sized(capacity: str, **storage: str) -> dict[str, Any]:
    return {"storage": {"capacity": capacity} | storage}


def resizing(reason: str) -> dict[str, Any]:
    return {"conditions": [{"type": "VolumeResizing", "reason": reason, "message": "why"}]}


def test_a_volume_that_grew_is_told_once() -> None:
    (note,) = volume(sized("1Gi"), sized("2Gi"))
    assert note == Note("VolumeGrown", "The volume has 2Gi now, 1Gi before.")
    assert list(volume(sized("2Gi"), sized("2Gi"))) == []
    assert list(volume(sized("1Gi"), sized("1024Mi"))) == []
    assert list(volume({}, sized("1Gi"))) == []


def test_a_volume_larger_than_the_spec_is_told_once() -> None:
    larger = sized("2Gi", message="larger")
    assert list(volume({}, larger)) == [Note("VolumeLargerThanSpec", "larger")]
    assert list(volume(larger, larger)) == []


def test_a_volume_that_cannot_grow_is_a_warning_once_and_one_that_grows_is_none() -> None:
    failed = resizing("VolumeGrowthFailed")
    growing = resizing("VolumeGrowing")
    assert list(volume(growing, failed)) == [Note("VolumeGrowthFailed", "why", warning=True)]
    assert list(volume(failed, failed)) == []
    assert list(volume({}, growing)) == []


def test_the_reference_names_exactly_the_reasons_that_there_are() -> None:
    text = (ROOT / "docs" / "reference" / "events.md").read_text()
    named = set(re.findall(r"`([A-Z][A-Za-z]+)`", text)) - {"Ready"}
    told = {
        Reason.BACKUP_FAILED,
        Reason.BACKUP_FAILING,
        Reason.BACKUP_TAKEN,
        Reason.CHECKED,
        Reason.CANARY_PASSED,
        Reason.DEFAULTS_ACCEPTED,
        Reason.CONSOLIDATION_FAILING,
        Reason.COPYING,
        Reason.COPY_FAILING,
        Reason.DEFAULTS_REFUSED,
        Reason.DRIFT_CORRECTED,
        Reason.EMBEDDING_UNAVAILABLE,
        Reason.FENCED,
        Reason.FINAL_BACKUP_FAILED,
        Reason.FINAL_BACKUP_TAKEN,
        Reason.FOLLOWING,
        Reason.FOLLOWING_LATE,
        Reason.KEY_ACCEPTED,
        Reason.KEY_EXPIRES_SOON,
        Reason.KEY_REPLACED,
        Reason.KEY_RING_GENERATED,
        Reason.KEY_ROTATED,
        Reason.PROMOTED,
        Reason.REPLICATING,
        Reason.RESTORED,
        Reason.RESTORE_FAILED,
        Reason.RESTORE_STARTED,
        Reason.ROLLED_BACK_TO,
        Reason.SOURCE_UNREACHABLE,
        Reason.VOLUME_ADOPTED,
        Reason.ROLLED_BACK,
        Reason.SERVICE_DEGRADED,
        Reason.STALE,
        Reason.UPDATE_BEGINS,
        Reason.UPDATE_FAILED,
        Reason.VECTORS_UNAVAILABLE,
        Reason.VERIFICATION_FAILED,
        Reason.VERIFIED,
        Reason.VERSION_REFUSED,
        Reason.VOLUME_GROWN,
        Reason.VOLUME_GROWS,
        Reason.VOLUME_LARGER_THAN_SPEC,
    }
    assert named == {str(each) for each in EXPECTED | TROUBLE_WITH_VOLUMES | OF_OBJECTS | told}
