"""The status of a MemoryBankRestore, from how far it is, and the events about it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from memorybank_operator.api.v1alpha1.conditions import ConditionType, Reason, RestorePhase
from memorybank_operator.api.v1alpha1.memorybankrestore import (
    MemoryBankRestore,
    MemoryBankRestoreStatus,
)
from memorybank_operator.errors import InvalidSpec
from memorybank_operator.reconcile.observed import KubeObject
from memorybank_operator.reconcile.restores import DONE, Progress
from memorybank_operator.reconcile.steps import Note
from memorybank_operator.status.conditions import condition
from memorybank_operator.status.pods import progress_of
from memorybank_operator.status.verdict import Verdict, find

_REASONS = {
    RestorePhase.PENDING: Reason.WAITING,
    RestorePhase.CHECKING: Reason.CHECKING,
    RestorePhase.SAFETY_COPY: Reason.SAFETY_COPY,
    RestorePhase.STOPPING: Reason.STOPPING,
    RestorePhase.RESTORING: Reason.RESTORING,
    RestorePhase.STARTING: Reason.STARTING,
    RestorePhase.COMPLETE: Reason.RESTORED,
    RestorePhase.FAILED: Reason.FAILED,
    RestorePhase.ROLLING_BACK: Reason.ROLLING_BACK,
    RestorePhase.ROLLED_BACK: Reason.ROLLED_BACK_TO,
}
_COMPLETE = "The bank serves what was restored"
_UNSAVED = (
    " Of what it was before there is only what was kept when it was replaced, since no recovery "
    "point of it could be taken while it served"
)
_SAYS = {
    RestorePhase.COMPLETE: _COMPLETE,
    RestorePhase.ROLLED_BACK: "What the bank was before is there again",
}


def restore_status(restore: MemoryBankRestore, progress: Progress, now: datetime) -> dict[str, Any]:
    """Return the status as JSON: Complete once the bank serves what was restored."""
    verdict = _judge(restore, progress)
    verdicts = {ConditionType.COMPLETE: verdict}
    if progress.phase is RestorePhase.FAILED:
        verdicts[ConditionType.STALLED] = verdict._replace(status="True")
    elif progress.phase not in DONE:
        verdicts[ConditionType.RECONCILING] = verdict._replace(status="True")
    return _status(
        restore, verdicts, now,
        phase=progress.phase.value,
        safety_backup=progress.safety_backup,
        restored=progress.restored,
    )  # fmt: skip


def invalid_restore_status(body: KubeObject, error: InvalidSpec, now: datetime) -> dict[str, Any]:
    """Return the status of a MemoryBankRestore that cannot be parsed; its phase stays."""
    # Spec and name of the bank are not looked at.
    unread = {"bank": {"name": "unread"}}
    restore = MemoryBankRestore.model_validate({**body, "spec": unread})
    verdict = Verdict("False", Reason.INVALID_SPEC, str(error))
    verdicts = {
        ConditionType.COMPLETE: verdict,
        ConditionType.STALLED: verdict._replace(status="True"),
    }
    status = restore.status
    return _status(
        restore, verdicts, now,
        phase=status.phase, safety_backup=status.safety_backup, restored=status.restored,
    )  # fmt: skip


def _status(
    restore: MemoryBankRestore,
    verdicts: Mapping[ConditionType, Verdict],
    now: datetime,
    **said: Any,
) -> dict[str, Any]:
    conditions = (condition(restore, kind, each, now) for kind, each in verdicts.items())
    status = MemoryBankRestoreStatus(
        observed_generation=restore.generation,
        conditions=tuple(sorted(conditions, key=lambda each: each.type)),
        **said,
    )
    dumped = status.model_dump(mode="json", exclude_none=True)
    return {name: value for name, value in dumped.items() if value != ""}


def _judge(restore: MemoryBankRestore, progress: Progress) -> Verdict:
    phase = progress.phase
    reason = _REASONS[phase]
    if phase is RestorePhase.COMPLETE and restore.spec.check:
        return Verdict("True", Reason.CHECKED, "It can be restored, and is whole")
    if phase is RestorePhase.COMPLETE:
        unsaved = "" if progress.safety_backup else f".{_UNSAVED}"
        return Verdict("True", reason, f"{_COMPLETE}{unsaved}")
    return Verdict("False", reason, _SAYS.get(phase) or progress.message or _doing(progress))


def _doing(progress: Progress) -> str:
    """Say how far a Job is, or what keeps it."""
    if progress.trial is None:
        return _REASONS[progress.phase].meaning
    return progress_of(progress.trial)


def notes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Note]:
    """Yield what is worth an event when one status follows another."""
    told = find(after.get("conditions"), ConditionType.COMPLETE) or {}
    was = find(before.get("conditions"), ConditionType.COMPLETE) or {}
    reason, message = told.get("reason"), told.get("message", "")
    if reason == was.get("reason"):
        return
    if reason == Reason.STOPPING:
        yield Note(Reason.RESTORE_STARTED, "The bank is stopped, and put back to another state.")
    elif reason in (Reason.RESTORED, Reason.CHECKED, Reason.ROLLED_BACK_TO):
        yield Note(reason, f"{message}.")
    elif reason in (Reason.FAILED, Reason.INVALID_SPEC):
        yield Note(Reason.RESTORE_FAILED, message, warning=True)
