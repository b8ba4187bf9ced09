"""What becomes of a bank that is deleted under deletionPolicy Snapshot. Pure: the time is given.

A finalizer keeps it, as it is and with its pod, until a last recovery point of it is taken. Its
volume has no owner until then, so that whatever goes wrong keeps it: only a recovery point that has
all that the bank had makes the volume go with it. A generated key ring stays, for it is what opens
the recovery point.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from memorybank_operator import constants
from memorybank_operator.api.v1alpha1.backup import Points
from memorybank_operator.api.v1alpha1.conditions import BackupPhase, Reason
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.reconcile.observed import ChildKey, KubeObject
from memorybank_operator.reconcile.ownership import Ownership, is_owned, ownership
from memorybank_operator.reconcile.steps import Create, Mark, Note
from memorybank_operator.resources import names
from memorybank_operator.resources.labels import changed_owners, metadata_of_ours

POLICY = "Snapshot"
WITHIN = timedelta(hours=1)
"""From the deletion on; after that the volume is kept instead."""
UID_CHARACTERS = 8
ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"
"""Finalizers by which the garbage collector deals with what a bank owns while it is still there."""


@dataclass(frozen=True, slots=True)
class Parting:
    """What is to be done about a bank that was deleted and stays for now."""

    message: str = ""
    """What it waits for; empty when it is let go."""
    step: Create | None = None
    """The recovery point that is to be asked for."""
    goes: frozenset[ChildKey] = frozenset()
    """Of what holds its data, what goes with it."""
    note: Note | None = None


def is_kept(body: KubeObject) -> bool:
    """Tell whether a bank was deleted and stays until we let it go."""
    metadata = body["metadata"]
    finalizers = metadata.get("finalizers") or ()
    return bool(metadata.get("deletionTimestamp")) and constants.FINALIZER in finalizers


def is_kept_up(bank: MemoryBank) -> bool:
    """Tell whether a deleted bank stays and is to have all that it had. While the garbage collector
    deletes what it owns, it would take also what is made anew.
    """
    finalizers = bank.metadata.finalizers
    return constants.FINALIZER in finalizers and FOREGROUND not in finalizers


def guard(bank: MemoryBank, body: KubeObject) -> Mark | None:
    """Return what makes a bank stay when it is deleted, or not, as its policy says; None when it
    is so already.
    """
    wanted = bank.spec.deletion_policy == POLICY
    if wanted == (constants.FINALIZER in bank.metadata.finalizers):
        return None
    return _keep(body, wanted=wanted)


def release(body: KubeObject) -> Mark:
    """Return what lets a bank go."""
    return _keep(body, wanted=False)


def final_name(bank: MemoryBank) -> str:
    """Name the last recovery point of a bank: each incarnation of a name has its own."""
    return f"{bank.name}-final-{bank.uid[:UID_CHARACTERS]}"


def final_backup(bank: MemoryBank) -> dict[str, Any]:
    """Build the MemoryBankBackup of what a bank is when it is deleted. Nobody owns it and it does
    not expire: it is what is left of the bank.
    """
    points = None if bank.spec.backup is None else bank.spec.backup.points
    return {
        "apiVersion": constants.API_VERSION,
        "kind": constants.BACKUP_KIND,
        "metadata": metadata_of_ours(bank, final_name(bank), component=constants.COMPONENT_FINAL),
        "spec": {"bank": {"name": bank.name}, **exported(points)},
    }


def exported(points: Points | None) -> dict[str, Any]:
    """Return what a MemoryBankBackup says of the export that a bank wants beside its recovery
    points.
    """
    return {} if points is None or points.export is None else {"export": points.export}


def part(
    bank: MemoryBank,
    children: Mapping[ChildKey, KubeObject],
    backup: KubeObject | None,
    now: datetime,
) -> Parting:
    """Decide about a bank that was deleted. `backup` is its last recovery point, as far as it is
    asked for.
    """
    volume, ring = names.volume_claim(bank), names.key_ring(bank)
    if bank.spec.deletion_policy != POLICY:  # changed on purpose, so as not to wait
        return Parting(
            goes=frozenset({volume, ring} if bank.spec.deletion_policy == "Delete" else ())
        )
    if bank.spec.followed is not None:  # what is on its volume is a copy
        return Parting(goes=frozenset({volume}))
    if _was_left_alone(bank, children) or _has_nothing(bank, children):
        return Parting()
    phase, said = _state(backup)
    name = final_name(bank)
    if backup is not None and _is_older(bank, backup):
        return given_up(bank, f"MemoryBankBackup {name} is older than the deletion")
    if phase == BackupPhase.COMPLETE:
        return _taken(bank, is_whole=_is_whole(backup))
    if phase in (BackupPhase.FAILED, BackupPhase.EXPIRED):
        return given_up(bank, f"MemoryBankBackup {name} is {phase}. {said}")
    deadline = until(bank)
    if deadline <= now:
        return given_up(bank, f"MemoryBankBackup {name} was not taken within an hour. {said}")
    step = Create(final_backup(bank)) if backup is None else None
    return Parting(waits(bank, said), step=step)


def _taken(bank: MemoryBank, *, is_whole: bool) -> Parting:
    volume = names.volume_claim(bank)
    taken = f"MemoryBankBackup {final_name(bank)} is the last recovery point"
    if is_whole:
        note = Note(Reason.FINAL_BACKUP_TAKEN, f"{taken}, so the volume goes.")
        return Parting(goes=frozenset({volume}), note=note)
    message = (
        f"{taken}, of what was at the destination. The bank did not serve, so that nobody knows "
        f"whether that was everything: PersistentVolumeClaim {volume.name} is kept; a bank of the "
        "same name takes it again."
    )
    return Parting(note=Note(Reason.FINAL_BACKUP_TAKEN, message, warning=True))


def given_up(bank: MemoryBank, why: str) -> Parting:
    """Let a bank go without a last recovery point: what holds its data stays."""
    message = (
        f"No last recovery point was taken: {why.rstrip('. ')}. PersistentVolumeClaim "
        f"{names.volume_claim(bank).name} is kept with all memories; a bank of the same name takes "
        "it again."
    )
    return Parting(note=Note(Reason.FINAL_BACKUP_FAILED, message, warning=True))


def given_up_with_namespace() -> Parting:
    """Let a bank go where nothing can be made any more, and nothing stays."""
    message = (
        "No last recovery point was taken: the namespace is being deleted, and the volume with it. "
        "What is at the destination of the backups stays there."
    )
    return Parting(note=Note(Reason.FINAL_BACKUP_FAILED, message, warning=True))


def waits(bank: MemoryBank, said: str) -> str:
    """Say what a bank waits for, until when, and how not to."""
    found = f" {said.rstrip('. ')}." if said else ""
    return (
        f"The bank was deleted, and runs on until MemoryBankBackup {final_name(bank)} is "
        f"Complete.{found} Without that it goes at {until(bank):%Y-%m-%dT%H:%M:%SZ}, and its "
        "volume is kept; at once when spec.deletionPolicy is set to Retain, or to Delete, which "
        "deletes the volume."
    )


def until(bank: MemoryBank) -> datetime:
    """Return when a bank goes without a last recovery point."""
    deleted = bank.metadata.deletion_timestamp
    assert deleted is not None  # noqa: S101 - asked of one that was
    return deleted + WITHIN


def hand_over(
    bank: MemoryBank, children: Mapping[ChildKey, KubeObject], goes: frozenset[ChildKey]
) -> Iterator[Mark]:
    """Yield what has the garbage collector take of a bank's data what goes with it, and no more."""
    for child in (names.volume_claim(bank), names.key_ring(bank)):
        live = children.get(child)
        if live is None or ownership(bank, live) is not Ownership.OURS:
            continue
        owners = changed_owners(bank, live, owned=child in goes)
        if owners is not None:
            version = live["metadata"].get("resourceVersion", "")
            yield Mark(child, version, {"ownerReferences": owners})


def _keep(body: KubeObject, *, wanted: bool) -> Mark:
    """Put the finalizer there or take it away. Others' stay: the resource version sees to that."""
    metadata = body["metadata"]
    others = [each for each in metadata.get("finalizers") or () if each != constants.FINALIZER]
    finalizers = [*others, constants.FINALIZER] if wanted else others
    key = ChildKey(constants.KIND, metadata["name"])
    return Mark(key, metadata.get("resourceVersion", ""), {"finalizers": finalizers})


def _was_left_alone(bank: MemoryBank, children: Mapping[ChildKey, KubeObject]) -> bool:
    """Tell whether all that the bank had is to stay, by `kubectl delete --cascade=orphan`: the
    garbage collector is still at it, or is done with it.
    """
    workload = children.get(names.deployment(bank))
    is_orphan = workload is not None and not is_owned(bank, workload)
    return ORPHAN in bank.metadata.finalizers or is_orphan


def _has_nothing(bank: MemoryBank, children: Mapping[ChildKey, KubeObject]) -> bool:
    """Tell whether the bank has neither a volume nor anything at the destination."""
    replicated = bank.status.backup is not None and bank.status.backup.epoch
    return not replicated and names.volume_claim(bank) not in children


def _is_older(bank: MemoryBank, backup: KubeObject) -> bool:
    """Tell whether somebody took the name for a recovery point of the time before."""
    made, deleted = backup["metadata"]["creationTimestamp"], bank.metadata.deletion_timestamp
    return deleted is not None and datetime.fromisoformat(made) < deleted


def _is_whole(backup: KubeObject | None) -> bool:
    """Tell whether a recovery point has all that its bank had, by the bank's own word: one that
    does not serve may have more on its volume than what is at the destination.
    """
    status = {} if backup is None else backup.get("status") or {}
    return (status.get("point") or {}).get("dataLossSeconds") == 0


def _state(backup: KubeObject | None) -> tuple[str, str]:
    """Return the phase of a MemoryBankBackup, and what it says."""
    status: Mapping[str, Any] = {} if backup is None else backup.get("status") or {}
    told = [each for each in status.get("conditions") or () if each["type"] == "Complete"]
    return str(status.get("phase") or ""), str(told[0].get("message") or "") if told else ""
