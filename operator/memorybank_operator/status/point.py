"""The status of a MemoryBankBackup, from how it stands, and the events about it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from memorybank_operator.api.v1alpha1.conditions import BackupPhase, ConditionType, Reason
from memorybank_operator.api.v1alpha1.memorybankbackup import (
    MemoryBankBackup,
    MemoryBankBackupStatus,
)
from memorybank_operator.errors import InvalidSpec
from memorybank_operator.reconcile.observed import KubeObject
from memorybank_operator.reconcile.points import Standing
from memorybank_operator.reconcile.steps import Note
from memorybank_operator.status.conditions import condition
from memorybank_operator.status.pods import progress_of
from memorybank_operator.status.verdict import Verdict, find


def point_status(backup: MemoryBankBackup, standing: Standing, now: datetime) -> dict[str, Any]:
    """Return the status as JSON: Complete once the recovery point is there."""
    verdict = _judge(standing)
    progress = {}
    if standing.phase in (BackupPhase.PENDING, BackupPhase.TAKING):
        progress[ConditionType.RECONCILING] = verdict._replace(status="True")
    elif standing.phase is BackupPhase.FAILED:
        progress[ConditionType.STALLED] = verdict._replace(status="True")
    return _status(
        backup,
        {ConditionType.COMPLETE: verdict, **progress},
        now,
        phase=standing.phase.value,
        point=standing.point,
        expires_at=standing.expires_at,
    )


def invalid_point_status(body: KubeObject, error: InvalidSpec, now: datetime) -> dict[str, Any]:
    """Return the status of a MemoryBankBackup that cannot be parsed. What was taken stays said."""
    # Spec and name of the bank are not looked at.
    backup = MemoryBankBackup.model_validate({**body, "spec": {"bank": {"name": "unread"}}})
    verdict = Verdict("False", Reason.INVALID_SPEC, str(error))
    verdicts = {
        ConditionType.COMPLETE: verdict,
        ConditionType.STALLED: verdict._replace(status="True"),
    }
    status = backup.status
    return _status(
        backup, verdicts, now,
        phase=BackupPhase.PENDING.value, point=status.point, expires_at=status.expires_at,
    )  # fmt: skip


def _status(
    backup: MemoryBankBackup, verdicts: Mapping[ConditionType, Verdict], now: datetime, **said: Any
) -> dict[str, Any]:
    conditions = (condition(backup, kind, each, now) for kind, each in verdicts.items())
    status = MemoryBankBackupStatus(
        observed_generation=backup.generation,
        conditions=tuple(sorted(conditions, key=lambda each: each.type)),
        **said,
    )
    return status.model_dump(mode="json", exclude_none=True)


def _judge(standing: Standing) -> Verdict:
    match standing.phase:
        case BackupPhase.COMPLETE:
            return Verdict(
                "True", Reason.TAKEN, "It was restored, checked and put to the destination"
            )
        case BackupPhase.EXPIRED:
            return Verdict("False", Reason.EXPIRED, "spec.expireAfter is over: it is removed there")
        case BackupPhase.FAILED:
            return Verdict("False", Reason.FAILED, standing.message)
        case BackupPhase.PENDING:
            return Verdict("False", Reason.WAITING, standing.message)
        case _:
            return Verdict("False", Reason.TAKING, standing.message or _progress(standing))


def _progress(standing: Standing) -> str:
    """Say how far a Job is, or what keeps it."""
    if standing.trial is None:
        return "A Job is made that takes it"
    return progress_of(standing.trial)


def notes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Note]:
    """Yield what is worth an event when one status follows another."""
    told = find(after.get("conditions"), ConditionType.COMPLETE) or {}
    was = find(before.get("conditions"), ConditionType.COMPLETE) or {}
    if told.get("reason") == was.get("reason"):
        return
    if told.get("reason") == Reason.TAKEN:
        point = after["point"]
        yield Note(
            Reason.BACKUP_TAKEN,
            f"A recovery point of {point['memories']} memories ({point['size']}) is at the "
            f"destination; restoring it took {point['restoreSeconds']:.1f} s.",
        )
    elif told.get("reason") in (Reason.FAILED, Reason.INVALID_SPEC):
        yield Note(Reason.BACKUP_FAILED, told["message"], warning=True)
