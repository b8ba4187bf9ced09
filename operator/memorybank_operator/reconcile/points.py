"""What is to be done about a MemoryBankBackup, and how it stands. Pure: the time is given.

A Job takes the recovery point. It is created, never overwritten, under a name that is the same for
whoever comes after a crash; and what it does can be done twice. What it found is in the status of
the MemoryBankBackup from then on, and the Job is needed no more.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Self

from memorybank_operator import constants
from memorybank_operator.api.quantity import parse_quantity
from memorybank_operator.api.v1alpha1.conditions import BackupPhase, ConditionType
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.api.v1alpha1.memorybankbackup import MemoryBankBackup, PointStatus
from memorybank_operator.reconcile.final import exported, final_name
from memorybank_operator.reconcile.jobs import Report, Trial, trial
from memorybank_operator.reconcile.observed import ChildKey, KubeObject, Observed
from memorybank_operator.reconcile.schedule import moment_of, stamped
from memorybank_operator.reconcile.steps import Create
from memorybank_operator.resources import names
from memorybank_operator.resources.backup_job import build_take_job, take_name
from memorybank_operator.resources.labels import metadata_of_ours

MEBIBYTE = 1024**2
COPIES = 2
"""Of the database that a Job may have at a time: what it restored, and what it makes of it."""
_SIZES = ((1024**3, "Gi"), (MEBIBYTE, "Mi"), (1024, "Ki"))


@dataclass(frozen=True, slots=True)
class Scene:
    """What there is around the backups of one bank."""

    bank: MemoryBank | None
    """None when there is none, it cannot be read, or is on its way out and does not stay for a last
    recovery point.
    """
    children: Mapping[ChildKey, KubeObject] = field(default_factory=dict)
    """Its Deployment and its claim, as far as they exist."""
    jobs: Mapping[str, KubeObject] = field(default_factory=dict)
    """Its Jobs by name."""
    pods: tuple[KubeObject, ...] = ()
    """Those of its Jobs."""

    @property
    def deployment(self) -> KubeObject | None:
        """The Deployment that Jobs are made from."""
        return None if self.bank is None else self.children.get(names.deployment(self.bank))

    @property
    def scratch(self) -> str:
        """How much room a Job gets, by the size of the bank's volume or of those of its servers;
        empty when nobody knows how large its database may be.
        """
        return self.room(COPIES)

    def room(self, copies: int) -> str:
        """Return how much room so many copies of the database need at most; empty likewise."""
        assert self.bank is not None  # noqa: S101 - asked where there is one
        storage = self.bank.spec.storage
        if not storage.has_volume:
            cluster = storage.cluster
            return "" if cluster is None else _copies_of(cluster.size, copies)
        claim = self.children.get(names.volume_claim(self.bank), {})
        asked = claim.get("spec", {}).get("resources", {}).get("requests", {}).get("storage")
        return _copies_of(str(asked or storage.volume.size), copies)


def _copies_of(size: str, copies: int) -> str:
    return f"{math.ceil(copies * parse_quantity(size) / MEBIBYTE)}Mi"


@dataclass(frozen=True, slots=True)
class Standing:
    """How a MemoryBankBackup stands."""

    phase: BackupPhase
    message: str = ""
    """What it waits for, or why it failed."""
    step: Create | None = None
    trial: Trial | None = None
    point: PointStatus | None = None
    expires_at: datetime | None = None

    @classmethod
    def waits_for_others(cls) -> Self:
        """Return how one stands whose turn has not come."""
        message = "Others that schedules asked for are taken first, a few at a time"
        return cls(BackupPhase.PENDING, message)

    @classmethod
    def refused(cls, said: str) -> Self:
        """Return how one stands whose Job the cluster does not take."""
        return cls(BackupPhase.PENDING, f"The Job that takes it cannot be made: {said}")


def missing(scene: Scene) -> str:
    """Say what has to be there before a Job can be made; empty when everything is."""
    bank = scene.bank
    if bank is None:
        return "spec.bank.name: there is no MemoryBank of this name: create it"
    if bank.spec.followed is not None:
        return f"MemoryBank {bank.name} follows another one: take it of that one, or promote this"
    if bank.spec.backed_up is None:
        return f"MemoryBank {bank.name} has no spec.backup: say there where its backups go"
    # To delete a bank was the later wish; and a Job beside it changes nothing of it.
    if bank.spec.paused and not bank.is_leaving:
        return f"MemoryBank {bank.name} is paused: set its spec.paused to false"
    if bank.status.observed_generation != bank.generation and not bank.is_leaving:
        # Its Secrets and volumes may be others: the Deployment has the old ones, its settings lead.
        return f"MemoryBank {bank.name} was changed, and is not as its spec says yet"
    known = bank.status.backup
    if bank.spec.replicated is None:
        has_served = known is not None and bank.status.version
        if scene.deployment is None or not has_served:
            return f"No pod of MemoryBank {bank.name} has served it yet"
    elif scene.deployment is None or known is None or not known.epoch:
        return f"No pod of MemoryBank {bank.name} has begun to replicate it"
    return ""


def asleep(bank: MemoryBank) -> str:
    """Say why nothing can be read of a bank; empty when it can be."""
    if bank.spec.storage.cluster is None or not bank.spec.hibernate:
        return ""
    return f"MemoryBank {bank.name} is hibernated, and its servers are with it: wake it"


def stand(backup: MemoryBankBackup, scene: Scene, now: datetime) -> Standing:
    """Tell how a MemoryBankBackup stands, and what is to be done about it."""
    status = backup.status
    if status.point is not None:
        over = status.expires_at is not None and status.expires_at <= now
        phase = BackupPhase.EXPIRED if over else BackupPhase.COMPLETE
        return Standing(phase, point=status.point, expires_at=status.expires_at)
    found = take_trial(backup, scene)
    if found is None:
        return _begin(backup, scene)
    if found.failed:
        return Standing(BackupPhase.FAILED, found.message, trial=found)
    if found.ended is None:
        return Standing(BackupPhase.TAKING, trial=found)
    point = None if found.good is None else point_of(found.good)
    if point is None:
        # What it did is done, and done again it finds that out.
        message = (
            f"Job {found.name} has ended, and what its pod said of it is lost: it is asked again "
            "when the Job is removed"
        )
        return Standing(BackupPhase.TAKING, message, trial=found)
    return Standing(
        BackupPhase.COMPLETE, trial=found, point=point, expires_at=_expiry(backup, found, point)
    )


def take_trial(backup: MemoryBankBackup, scene: Scene) -> Trial | None:
    """Return how the Job stands that takes a recovery point; None when there is none."""
    bank = scene.bank
    if bank is None:
        return None
    job = scene.jobs.get(take_name(backup, bank))
    if job is None:
        return None
    return trial(job, scene.pods, operation="take", bank=identity(bank), point=backup.name)


def identity(bank: MemoryBank) -> str:
    """Return by what a report names a bank."""
    return f"{bank.namespace}/{bank.name}/{bank.uid}"


def point_of(report: Report) -> PointStatus | None:
    """Return what a report says of a recovery point; None when it leaves something out."""
    said = report.model_dump()
    needed = [name for name, each in PointStatus.model_fields.items() if each.is_required()]
    if any(said.get(name) is None for name in needed):
        return None
    moments = {
        name: None if said[name] is None else said[name].replace(microsecond=0)
        for name in ("moment", "taken_at")
    }
    kept = {name: said[name] for name in PointStatus.model_fields if name in said}
    return PointStatus(**kept | moments, size=size_of(said["bytes"]))


def size_of(count: int) -> str:
    """Return a number of bytes for people."""
    for unit, name in _SIZES:
        if count >= unit:
            return f"{count / unit:.1f}{name}"
    return str(count)


def scheduled(bank: MemoryBank, moment: datetime) -> dict[str, Any]:
    """Build the MemoryBankBackup that a schedule asks for. Nobody owns it: the recovery point
    outlives the bank, and so does what tells of it, until it expires.
    """
    assert bank.spec.backed_up is not None  # noqa: S101 - of it comes the schedule
    assert bank.spec.backed_up.points is not None  # noqa: S101
    return {
        "apiVersion": constants.API_VERSION,
        "kind": constants.BACKUP_KIND,
        "metadata": metadata_of_ours(
            bank, stamped(bank.name, moment), component=constants.COMPONENT_SCHEDULED
        ),
        "spec": {
            "bank": {"name": bank.name},
            "expireAfter": bank.spec.backed_up.points.expire_after,
            **exported(bank.spec.backed_up.points),
        },
    }


def is_scheduled(body: KubeObject) -> bool:
    """Tell whether a schedule asked for a MemoryBankBackup."""
    labels = body["metadata"].get("labels") or {}
    return bool(labels.get(constants.LABEL_COMPONENT) == constants.COMPONENT_SCHEDULED)


def is_over(backup: MemoryBankBackup, standing: Standing, now: datetime) -> bool:
    """Tell whether a MemoryBankBackup that a schedule asked for tells of nothing any more."""
    if standing.phase is BackupPhase.EXPIRED:
        return True
    made, hours = backup.metadata.creation_timestamp, backup.spec.expire_hours
    if standing.phase is not BackupPhase.FAILED or made is None or hours is None:
        return False
    return made + timedelta(hours=hours) <= now


def last_failure(bank: MemoryBank, observed: Observed, *, since: datetime | None) -> str | None:
    """Return why the recovery point failed that a schedule asked for last, unless one was taken
    since then.
    """
    failed = [
        (moment, (each.get("status") or {}).get("conditions") or ())
        for each in observed.backups
        if is_scheduled(each)
        and (each.get("status") or {}).get("phase") == BackupPhase.FAILED
        and (moment := moment_of(bank.name, each["metadata"]["name"])) is not None
        and (since is None or moment > since)
    ]
    if not failed:
        return None
    _, conditions = max(failed, key=lambda each: each[0])
    said = (each["message"] for each in conditions if each["type"] == ConditionType.COMPLETE)
    return next(said, "")


def newest(backups: Iterable[MemoryBankBackup]) -> MemoryBankBackup | None:
    """Return the one of some that was taken last; None when none was."""
    taken = [(each.status.point.taken_at, each.name, each) for each in backups if each.status.point]
    return max(taken, key=lambda each: each[:2])[2] if taken else None


def _begin(backup: MemoryBankBackup, scene: Scene) -> Standing:
    if backup.status.phase == BackupPhase.FAILED:
        stalled = backup.status.condition("Complete")
        return Standing(BackupPhase.FAILED, "" if stalled is None else stalled.message)
    if _came_too_late(backup, scene.bank):
        message = f"MemoryBank {backup.spec.bank.name} was let go before this was taken"
        return Standing(BackupPhase.FAILED, message)
    lacking = missing(scene) or (asleep(scene.bank) if scene.bank is not None else "")
    if lacking or scene.bank is None or scene.deployment is None:
        return Standing(BackupPhase.PENDING, lacking)
    size = scene.scratch if backup.spec.export is None else scene.room(COPIES + 1)
    job = build_take_job(scene.bank, backup, scene.deployment, size=size)
    return Standing(BackupPhase.TAKING, step=Create(job))


def _came_too_late(backup: MemoryBankBackup, bank: MemoryBank | None) -> bool:
    """Tell whether it was to be the last recovery point of a bank that is gone. One of the same
    name is another bank.
    """
    is_final = backup.metadata.labels.get(constants.LABEL_COMPONENT) == constants.COMPONENT_FINAL
    return is_final and (bank is None or backup.name != final_name(bank))


def _expiry(backup: MemoryBankBackup, found: Trial, point: PointStatus) -> datetime | None:
    said = None if found.report is None else found.report.expires_at
    if said is not None:
        return said.replace(microsecond=0)
    hours = backup.spec.expire_hours
    return None if hours is None else point.taken_at + timedelta(hours=hours)
