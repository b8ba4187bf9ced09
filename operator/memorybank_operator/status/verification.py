"""BackupVerified, and what the status says of backups that were restored: by Jobs and by
MemoryBankBackups, each of which was restored before it was taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from memorybank_operator.api.v1alpha1.conditions import ConditionType, Reason
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.api.v1alpha1.memorybankbackup import MemoryBankBackup
from memorybank_operator.api.v1alpha1.status import BackupStatus
from memorybank_operator.errors import InvalidSpec
from memorybank_operator.reconcile.jobs import Trial, trial
from memorybank_operator.reconcile.observed import Observed
from memorybank_operator.reconcile.points import identity, is_scheduled, newest
from memorybank_operator.reconcile.schedule import (
    is_stale,
    moment_of,
    verification_prefix,
    verification_schedule,
)
from memorybank_operator.status.verdict import Verdict


@dataclass(frozen=True, slots=True)
class _Restored:
    """One time that a backup was restored and found whole."""

    at: datetime
    restore_seconds: float | None
    data_loss_seconds: float | None


def judge_verified(
    bank: MemoryBank, observed: Observed, backup: BackupStatus | None, *, now: datetime
) -> Iterator[tuple[ConditionType, Verdict]]:
    """Yield whether the backups can be restored, by what the status says of them from now on;
    nothing for a bank without, and where nobody is to try.
    """
    schedule = verification_schedule(bank)
    if schedule is not None and backup is not None:
        yield ConditionType.BACKUP_VERIFIED, _judge(bank, observed, backup, schedule, now)


def _judge(
    bank: MemoryBank, observed: Observed, backup: BackupStatus, schedule: str, now: datetime
) -> Verdict:
    verified = backup.last_verified
    found = _last_verification(bank, observed)
    if found is not None and found.failed and found.ended is not None:
        is_newest = verified is None or verified <= found.ended
        if is_newest:
            return Verdict(
                "False",
                Reason.VERIFICATION_FAILED,
                "A backup could not be restored, or what came of it is not whole: "
                f"{found.message.rstrip('.')}.",
            )
    known = bank.status.condition(ConditionType.BACKUP_VERIFIED)
    is_news = bank.status.backup is None or bank.status.backup.last_verified != verified
    if known is not None and known.reason == Reason.VERIFICATION_FAILED and not is_news:
        return Verdict(known.status, known.reason, known.message)
    if verified is None:
        return Verdict("Unknown", Reason.NOT_VERIFIED_YET, "No backup was restored to try it yet.")
    if is_stale(schedule, verified, now):
        return Verdict(
            "False",
            Reason.STALE,
            "No backup was restored to try it for two periods of spec.backup.verify.schedule: see "
            "the Jobs of the bank, and the log of the operator.",
        )
    return Verdict("True", Reason.VERIFIED, "The newest backup that was tried is whole.")


def with_verification(bank: MemoryBank, observed: Observed, status: BackupStatus) -> BackupStatus:
    """Return what is known of the backups with what is known of their restores. A time changes
    when something was tried, and not with the clock.
    """
    known = bank.status.backup
    if known is None or known.destination != status.destination:
        known = BackupStatus(destination=status.destination)
    found = _last_verification(bank, observed)
    done = None if found is None else _due_of(bank, found)
    taken = [each for each in _taken(bank, observed) if each.status.point is not None]
    last = newest(taken)
    restored = max(_restored(found, last), key=lambda each: each.at, default=None)
    changes: dict[str, object] = {
        "last_verification": _latest(known.last_verification, done),
        "last_scheduled": _latest(known.last_scheduled, *_scheduled(bank, observed)),
    }
    if restored is not None and (known.last_verified is None or known.last_verified < restored.at):
        changes |= {
            "last_verified": restored.at,
            "measured_restore_seconds": restored.restore_seconds,
            "measured_data_loss_seconds": restored.data_loss_seconds,
        }
    if last is not None and last.status.point is not None:
        at = last.status.point.taken_at
        if known.last_backup_time is None or known.last_backup_time < at:
            changes |= {"last_backup": last.name, "last_backup_time": at}
    names = (
        "last_verified", "measured_restore_seconds", "measured_data_loss_seconds",
        "last_backup", "last_backup_time",
    )  # fmt: skip
    return status.model_copy(update={name: getattr(known, name) for name in names} | changes)


def _last_verification(bank: MemoryBank, observed: Observed) -> Trial | None:
    """Return the newest verification that ended and told how, unless a later one is known."""
    known = None if bank.status.backup is None else bank.status.backup.last_verification
    newest_due, newest_trial = known, None
    for name, job in observed.jobs.items():
        moment = moment_of(verification_prefix(bank), name)
        if moment is None or (newest_due is not None and moment < newest_due):
            continue
        found = trial(job, observed.job_pods, operation="verify", bank=identity(bank), point=None)
        if found.failed or found.good is not None:
            newest_due, newest_trial = moment, found
    return newest_trial


def _due_of(bank: MemoryBank, found: Trial) -> datetime | None:
    return moment_of(verification_prefix(bank), found.name)


def _restored(found: Trial | None, last: MemoryBankBackup | None) -> Iterator[_Restored]:
    if found is not None and found.good is not None and found.ended is not None:
        said = found.good
        yield _Restored(found.ended, said.restore_seconds, said.data_loss_seconds)
    point = None if last is None else last.status.point
    if point is not None:
        yield _Restored(point.taken_at, point.restore_seconds, point.data_loss_seconds)


def _taken(bank: MemoryBank, observed: Observed) -> Iterator[MemoryBankBackup]:
    """Yield the MemoryBankBackups that can be read and are of this bank, not of a former one."""
    made = bank.metadata.creation_timestamp
    for body in observed.backups:
        try:
            backup = MemoryBankBackup.parse(body)
        except InvalidSpec:
            continue
        point = backup.status.point
        if point is not None and (made is None or point.taken_at >= made):
            yield backup


def _scheduled(bank: MemoryBank, observed: Observed) -> Iterator[datetime | None]:
    for body in observed.backups:
        if is_scheduled(body):
            yield moment_of(bank.name, body["metadata"]["name"])


def _latest(*moments: datetime | None) -> datetime | None:
    return max((each for each in moments if each is not None), default=None)
