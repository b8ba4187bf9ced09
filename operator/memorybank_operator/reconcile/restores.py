"""What is to be done about a MemoryBankRestore, and how far it is. Pure.

The phase in its status is what counts: it is written before anything is done that it stands for,
and each Job has a name that is the same for whoever comes after a crash, and does nothing twice.
The bank has no pod while a phase says so, and as long as anything of such a Job may still run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from memorybank_operator import constants
from memorybank_operator.api.v1alpha1.conditions import BackupPhase, RestorePhase
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.api.v1alpha1.memorybankrestore import MemoryBankRestore, RestoredStatus
from memorybank_operator.reconcile.jobs import Report, Trial, has_ended, trial
from memorybank_operator.reconcile.observed import KubeObject
from memorybank_operator.reconcile.points import Scene, identity, missing
from memorybank_operator.reconcile.steps import Create
from memorybank_operator.resources.backup_job import (
    build_check_job,
    build_rewind_job,
    build_undo_job,
    restore_name,
)
from memorybank_operator.resources.labels import metadata_of_ours

STOPPED = frozenset({RestorePhase.STOPPING, RestorePhase.RESTORING, RestorePhase.ROLLING_BACK})
"""Phases in which the bank has no pod."""
DONE = frozenset({RestorePhase.COMPLETE, RestorePhase.FAILED, RestorePhase.ROLLED_BACK})
KEPT = "720h"
"""How long the recovery point is kept of what a bank was before it was put back."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a MemoryBankRestore is."""

    phase: RestorePhase
    message: str = ""
    """What it waits for, or why it failed."""
    step: Create | None = None
    """What is to be done once the phase is written."""
    trial: Trial | None = None
    safety_backup: str = ""
    restored: RestoredStatus | None = None


def phase_of(restore: MemoryBankRestore) -> RestorePhase:
    """Return how far a restore is by its status."""
    said = restore.status.phase
    # Another version of the operator may know others.
    return next((each for each in RestorePhase if each == said), RestorePhase.PENDING)


def is_open(restore: MemoryBankRestore) -> bool:
    """Tell whether there is something to do about a restore."""
    phase = phase_of(restore)
    rolls_back = restore.spec.rollback and phase is RestorePhase.COMPLETE
    return phase not in DONE or rolls_back


def first(restores: Iterable[MemoryBankRestore]) -> MemoryBankRestore | None:
    """Return the one whose turn it is: one that has begun, or else the oldest; None for none."""
    waiting = [each for each in restores if is_open(each)]

    def order(each: MemoryBankRestore) -> tuple[bool, str, str]:
        made = each.metadata.creation_timestamp
        return (
            phase_of(each) is RestorePhase.PENDING,
            made.isoformat() if made is not None else "",
            each.name,
        )

    return min(waiting, key=order, default=None)


def halted(
    restores: Iterable[MemoryBankRestore], jobs: Iterable[KubeObject], pods: Iterable[KubeObject]
) -> str:
    """Say why a bank is to have no pod; empty when nothing is done to its database.

    A MemoryBankRestore that is deleted in the middle leaves a Job, and a Job that is deleted a pod.
    """
    for each in restores:
        phase = phase_of(each)
        if phase is RestorePhase.ROLLING_BACK:
            return f"MemoryBankRestore {each.name} puts back what its database was before"
        if phase in STOPPED:
            return f"MemoryBankRestore {each.name} replaces its database"
    for job in jobs:
        if is_in_place(job) and not has_ended(job):
            return f"Job {job['metadata']['name']} replaces its database"
    for pod in pods:
        over = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
        if is_in_place(pod) and not over:
            return f"Pod {pod['metadata']['name']} replaces its database"
    return ""


def is_acknowledged(restore: MemoryBankRestore, bank: MemoryBank | None) -> bool:
    """Tell whether the bank's own reconcile has seen this very phase. One that had not when it
    decided may still be about to ask for a pod, though the Deployment has none.
    """
    why = halted([restore], (), ())
    ready = None if bank is None else bank.status.condition("Ready")
    return bool(why) and ready is not None and why in ready.message


def is_in_place(body: KubeObject) -> bool:
    """Tell whether a Job or a pod has the bank's own database."""
    labels = body["metadata"].get("labels") or {}
    return bool(labels.get(constants.LABEL_COMPONENT) == constants.COMPONENT_REWIND)


@dataclass(frozen=True, slots=True)
class Stage:
    """What a restore is played on."""

    scene: Scene
    backups: Mapping[str, KubeObject]
    """The bank's MemoryBankBackups, by name."""
    is_stopped: bool
    """Whether the bank has no pod, and will get none."""


def advance(restore: MemoryBankRestore, stage: Stage) -> Progress:
    """Tell how far a restore is whose turn it is, and what is to be done about it."""
    status, phase = restore.status, phase_of(restore)
    now = Progress(phase, safety_backup=status.safety_backup, restored=status.restored)
    bank = stage.scene.bank
    lacking = missing(stage.scene)
    if bank is not None and bank.is_leaving:
        return replace(now, message=f"MemoryBank {bank.name} is being deleted")
    if bank is None or stage.scene.deployment is None or (lacking and phase not in STOPPED):
        return replace(now, message=lacking)
    match phase:
        case RestorePhase.PENDING | RestorePhase.CHECKING:
            return _check(now, restore, stage, bank)
        case RestorePhase.SAFETY_COPY:
            return _secure(now, restore, stage, bank)
        case RestorePhase.STOPPING | RestorePhase.RESTORING:
            return _rewind(now, restore, stage, bank)
        case RestorePhase.STARTING:
            return _start(now, restore, bank)
        case _:
            return _undo(now, restore, stage, bank)


def safety_copy(restore: MemoryBankRestore, bank: MemoryBank) -> dict[str, Any]:
    """Build the MemoryBankBackup of what a bank is before it is put back. Nobody owns it: it is
    there for the case that the restore was a mistake.
    """
    return {
        "apiVersion": constants.API_VERSION,
        "kind": constants.BACKUP_KIND,
        "metadata": metadata_of_ours(
            bank, safety_name(restore, bank), component=constants.COMPONENT_SAFETY
        ),
        "spec": {"bank": {"name": bank.name}, "expireAfter": KEPT},
    }


def safety_name(restore: MemoryBankRestore, bank: MemoryBank) -> str:
    """Name that MemoryBankBackup."""
    return restore_name(restore, bank, "before")


def _check(now: Progress, restore: MemoryBankRestore, stage: Stage, bank: MemoryBank) -> Progress:
    found = _trial(restore, stage, bank, "check", operation="verify")
    now = replace(now, phase=RestorePhase.CHECKING, trial=found)
    if found is None and bank.spec.replicated is None and restore.spec.backup is None:
        message = (
            "spec.backup.name: a bank in PostgreSQL is put back to a recovery point: name a "
            "MemoryBankBackup; the bank is as it was"
        )
        return replace(now, phase=RestorePhase.FAILED, message=message)
    if found is None:
        scene = stage.scene
        assert scene.deployment is not None  # noqa: S101 - seen by `advance`
        job = build_check_job(bank, restore, scene.deployment, size=scene.scratch)
        return replace(now, step=Create(job))
    if found.failed:
        message = (
            f"What is asked for cannot be restored, and the bank is as it was: {found.message}"
        )
        return replace(now, phase=RestorePhase.FAILED, message=message)
    if found.good is None:
        return replace(now, message=_lost(found) if found.ended else "")
    if restore.spec.check:
        restored = _restored(found.good)
        return replace(now, phase=RestorePhase.COMPLETE, restored=restored)
    return _secure(replace(now, phase=RestorePhase.SAFETY_COPY), restore, stage, bank)


def _secure(now: Progress, restore: MemoryBankRestore, stage: Stage, bank: MemoryBank) -> Progress:
    name = safety_name(restore, bank)
    body = stage.backups.get(name)
    if body is None:
        return replace(now, trial=None, step=Create(safety_copy(restore, bank)))
    phase = (body.get("status") or {}).get("phase")
    if phase == BackupPhase.COMPLETE:
        return replace(now, phase=RestorePhase.STOPPING, trial=None, safety_backup=name)
    if phase == BackupPhase.FAILED:  # a bank that is broken cannot be saved so
        return replace(now, phase=RestorePhase.STOPPING, trial=None)
    return replace(now, trial=None, message=f"MemoryBankBackup {name} is taken")


def _rewind(now: Progress, restore: MemoryBankRestore, stage: Stage, bank: MemoryBank) -> Progress:
    found = _trial(restore, stage, bank, "rewind", operation="rewind")
    if found is None:
        if now.phase is RestorePhase.STOPPING and stage.is_stopped:
            return replace(now, phase=RestorePhase.RESTORING)
        if now.phase is RestorePhase.STOPPING or not stage.is_stopped:
            return now
        assert stage.scene.deployment is not None  # noqa: S101 - seen by `advance`
        scene = stage.scene
        job = build_rewind_job(bank, restore, stage.scene.deployment, size=scene.scratch)
        return replace(now, step=Create(job))
    now = replace(now, phase=RestorePhase.RESTORING, trial=found)
    if found.failed:
        message = f"The bank is as it was, and runs again: {found.message}"
        return replace(now, phase=RestorePhase.FAILED, message=message)
    if found.good is None:
        return replace(now, message=_lost(found) if found.ended else "")
    restored = _restored(found.good)
    return replace(now, phase=RestorePhase.STARTING, restored=restored)


def _start(now: Progress, restore: MemoryBankRestore, bank: MemoryBank) -> Progress:
    if restore.spec.rollback:
        return replace(now, phase=RestorePhase.ROLLING_BACK)
    ready = bank.status.condition("Ready")
    if bank.spec.pods == 0 or (ready is not None and ready.status == "True"):
        return replace(now, phase=RestorePhase.COMPLETE)
    return replace(now, message="" if ready is None else ready.message)


def _undo(now: Progress, restore: MemoryBankRestore, stage: Stage, bank: MemoryBank) -> Progress:
    now = replace(now, phase=RestorePhase.ROLLING_BACK)
    found = _trial(restore, stage, bank, "undo", operation="undo")
    if found is None:
        is_begun = phase_of(restore) is RestorePhase.ROLLING_BACK
        if not is_begun or not stage.is_stopped:
            return now
        assert stage.scene.deployment is not None  # noqa: S101 - seen by `advance`
        scene = stage.scene
        job = build_undo_job(bank, restore, stage.scene.deployment, size=scene.scratch)
        return replace(now, step=Create(job))
    now = replace(now, trial=found)
    if found.failed:
        message = f"What was there before could not be put back: {found.message}"
        return replace(now, phase=RestorePhase.FAILED, message=message)
    if found.good is None:
        return replace(now, message=_lost(found) if found.ended else "")
    return replace(now, phase=RestorePhase.ROLLED_BACK)


def _trial(
    restore: MemoryBankRestore, stage: Stage, bank: MemoryBank, job: str, *, operation: str
) -> Trial | None:
    body = stage.scene.jobs.get(restore_name(restore, bank, job))
    if body is None:
        return None
    return trial(body, stage.scene.pods, operation=operation, bank=identity(bank), point=None)


def _restored(report: Report) -> RestoredStatus:
    moment = report.moment
    return RestoredStatus(
        epoch=report.epoch or "",
        moment=None if moment is None else moment.replace(microsecond=0),
        memories=report.memories,
        restore_seconds=report.restore_seconds,
    )


def _lost(found: Trial) -> str:
    return (
        f"Job {found.name} has ended, and what its pod said of it is lost: it is asked again when "
        "the Job is removed"
    )
