"""BackupHealthy, and the backups in the status: by what the pod says of them, which it does without
being asked whether it is ready; of a bank in PostgreSQL, by its recovery points, and by what
CloudNativePG says of its own backups.

No time goes on here while all is well but one, each hour: an idle bank causes no other writes.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from memorybank_operator.api.v1alpha1.backup import PATH, Backup, Destination, Points
from memorybank_operator.api.v1alpha1.conditions import ConditionType, Reason
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.api.v1alpha1.status import BackupStatus, CopyStatus
from memorybank_operator.reconcile.observed import BackupReading, Observed
from memorybank_operator.reconcile.points import last_failure
from memorybank_operator.reconcile.schedule import is_stale
from memorybank_operator.status.servers import judge_servers
from memorybank_operator.status.serving import is_running
from memorybank_operator.status.verdict import Verdict

WRITTEN_AGAIN = timedelta(hours=1)
"""How far behind the time may be to which a bank can be restored."""
FAILING = {
    ("async", "refuse"): "What is written is on the bank's volume alone until it arrives there",
    ("replicated", "refuse"): "Writes are refused until then",
    ("replicated", "acknowledge"): "Until then, what is written is on the bank's volume alone",
}
"""What it means, by durability and whenUnreachable."""
_WORSE = ("False", "Unknown", "True")


def judge_backup(
    bank: MemoryBank, observed: Observed, status: BackupStatus | None, *, now: datetime
) -> Iterator[tuple[ConditionType, Verdict]]:
    """Yield whether the backups are well, by what the status says of them from now on; nothing for
    a bank without, and of one that is to have no pod.
    """
    backup = bank.spec.backed_up
    if status is None or bank.spec.pods == 0:
        return
    if backup is not None and bank.spec.replicated is not None:
        yield ConditionType.BACKUP_HEALTHY, _judge(bank, backup, observed)
        if backup.copies:
            yield ConditionType.COPIES_HEALTHY, _judge_copies(bank, backup, observed)
        return
    found = []
    if backup is not None and backup.points is not None:
        found.append(_judge_points(bank, backup.points, observed, status, now))
    servers = judge_servers(bank, observed)
    if servers is not None:
        found.append(servers)
    if found:
        worst = min(found, key=lambda each: _WORSE.index(each.status))
        said = " ".join(each.message for each in found if each.status == worst.status)
        yield ConditionType.BACKUP_HEALTHY, worst._replace(message=said)


def _judge_points(
    bank: MemoryBank, points: Points, observed: Observed, status: BackupStatus, now: datetime
) -> Verdict:
    """Judge by the recovery points that are there: nobody hears of what is written in between."""
    place, last = status.destination, status.last_backup_time
    failed = last_failure(bank, observed, since=last)
    if failed is not None:
        had = "no recovery point was taken yet" if last is None else f"the newest is of {at(last)}"
        return Verdict(
            "False",
            Reason.BACKUP_FAILING,
            f"No recovery point gets to {place}, {had}: {failed.rstrip('.')}.",
        )
    since = last or bank.metadata.creation_timestamp
    if since is not None and is_stale(points.schedule, since, now):
        return Verdict(
            "False",
            Reason.BACKUP_FAILING,
            f"No recovery point was brought to {place} for two periods of {PATH}.points.schedule: "
            "see the MemoryBankBackups of the bank.",
        )
    if last is None:
        message = f"No recovery point was brought to {place} yet: see {PATH}.points.schedule."
        return Verdict("Unknown", Reason.BACKUP_UNKNOWN, message)
    message = f"Recovery points are brought to {place} by {PATH}.points.schedule."
    return Verdict("True", Reason.POINTS_TAKEN, message)


def _judge(bank: MemoryBank, backup: Backup, observed: Observed) -> Verdict:
    place, said = destination(bank, backup), observed.backup
    known = bank.status.condition(ConditionType.BACKUP_HEALTHY)
    if said is None and known is not None and any(map(is_running, observed.pods)):
        # The operator was restarted, and the pod, which runs on, has not spoken to it yet.
        return Verdict(known.status, known.reason, known.message)
    if said is None or not said.is_known:
        message = f"No pod has said yet whether what is written arrives at {place}."
        return Verdict("Unknown", Reason.BACKUP_UNKNOWN, message)
    if said.problem:
        since = "yet" if said.synced_at is None else f"since {at(said.synced_at)}"
        return Verdict(
            "False",
            Reason.BACKUP_FAILING,
            f"Nothing arrives at {place} {since}: {said.problem.rstrip('.')}. "
            f"{FAILING[backup.durability, backup.when_unreachable]}.",
        )
    return Verdict("True", Reason.REPLICATING, f"Everything that is written arrives at {place}.")


def _judge_copies(bank: MemoryBank, backup: Backup, observed: Observed) -> Verdict:
    said = {} if observed.backup is None else {each.name: each for each in observed.backup.copies}
    known = bank.status.condition(ConditionType.COPIES_HEALTHY)
    if observed.backup is None and known is not None and any(map(is_running, observed.pods)):
        return Verdict(known.status, known.reason, known.message)  # as above
    failing = [
        f"Nothing arrives at the copy {each.name} "
        f"{'yet' if of.copied_at is None else f'since {at(of.copied_at)}'}: "
        f"{of.problem.rstrip('.')}."
        for each in backup.copies
        if (of := said.get(each.name)) is not None and of.problem
    ]
    if failing:
        return Verdict("False", Reason.COPY_FAILING, " ".join(failing))
    awaited = [
        each.name
        for each in backup.copies
        if (of := said.get(each.name)) is None or of.copied_at is None
    ]
    if awaited:
        message = f"It is not known yet whether everything is at {', '.join(awaited)}."
        return Verdict("Unknown", Reason.COPIES_UNKNOWN, message)
    names = ", ".join(each.name for each in backup.copies)
    message = f"What is at the destination of the backups arrives at {names}."
    return Verdict("True", Reason.COPYING, message)


def backup_status(bank: MemoryBank, observed: Observed) -> BackupStatus | None:
    """Return what is known of the backups; None for a bank without."""
    backup, said, known = bank.spec.backed_up, observed.backup, bank.status.backup
    if backup is None:
        return None
    place = destination(bank, backup)
    if bank.spec.replicated is None:
        return BackupStatus(destination=place)
    if known is None or known.destination != place:
        known = BackupStatus(destination=place)  # of another place nothing is known
    copies = tuple(_copies(bank, backup, observed)) or None
    if said is None:
        return known.model_copy(update={"copies": copies})
    return BackupStatus(
        destination=place,
        epoch=said.epoch,
        origin=said.origin,
        last_sync=said.synced_at if said.problem else None,
        recoverable_from=said.recoverable_from or known.recoverable_from,
        recoverable_to=_recoverable_to(said, known.recoverable_to),
        copies=copies,
    )


def _copies(bank: MemoryBank, backup: Backup, observed: Observed) -> Iterator[CopyStatus]:
    """Yield what is known of the copies: as before, where no pod says anything."""
    known = None if bank.status.backup is None else bank.status.backup.copies
    before = {(each.name, each.destination): each for each in known or ()}
    said = {} if observed.backup is None else {each.name: each for each in observed.backup.copies}
    for each in backup.copies:
        place = folder(each, bank.namespace, bank.name, bank.uid)
        of = said.get(each.name)
        if of is None:
            yield before.get((each.name, place), CopyStatus(name=each.name, destination=place))
        else:
            last = of.copied_at if of.problem else None
            why = of.problem or None
            yield CopyStatus(name=each.name, destination=place, last_copy=last, problem=why)


def _recoverable_to(said: BackupReading, known: datetime | None) -> datetime | None:
    """Return to when the bank can be restored at least: what is known, as long as it is of use."""
    if known is None or said.synced_at is None:
        return said.synced_at or known
    behind = said.synced_at - known
    is_last = bool(said.problem) and behind > timedelta()
    return said.synced_at if is_last or behind >= WRITTEN_AGAIN else known


def destination(bank: MemoryBank, backup: Backup) -> str:
    """Return the bank's own folder at the destination, for people and for tools."""
    return folder(backup.destination, bank.namespace, bank.name, bank.uid)


def folder(where: Destination, *names: str) -> str:
    """Return a folder of a destination, likewise."""
    s3, volume = where.s3, where.volume
    if s3 is not None:
        root, path = f"s3://{s3.bucket}", s3.path
    else:
        assert volume is not None  # noqa: S101 - the API server sees that there is one of both
        root, path = f"pvc://{volume.claim_name}", volume.path
    return "/".join(filter(None, (root, path, *names)))


def at(moment: datetime) -> str:
    """Show a moment."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
