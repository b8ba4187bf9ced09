"""The volume's size in the status, and VolumeResizing, which is present only while it is True."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from memorybank_operator.api.quantity import parse_quantity
from memorybank_operator.api.v1alpha1.conditions import ConditionType, Reason
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.api.v1alpha1.status import StorageStatus
from memorybank_operator.reconcile.claim import Claim, Growth, read_claim
from memorybank_operator.reconcile.observed import Observed
from memorybank_operator.reconcile.ownership import Ownership, ownership
from memorybank_operator.resources import names
from memorybank_operator.status.verdict import Verdict


def storage(bank: MemoryBank, observed: Observed) -> StorageStatus | None:
    """Return what is known of the volume, None before it is bound."""
    claim = claim_of(bank, observed)
    if claim is None or claim.capacity is None:
        return None
    return StorageStatus(
        capacity=claim.capacity, requested=claim.asked, message=_larger(bank, claim)
    )


def claim_of(bank: MemoryBank, observed: Observed) -> Claim | None:
    """Return the bank's own claim, None while there is none."""
    live = observed.children.get(names.volume_claim(bank))
    if live is None or ownership(bank, live) is not Ownership.OURS:
        return None
    return read_claim(live)


def _larger(bank: MemoryBank, claim: Claim) -> str | None:
    size = bank.spec.storage.volume.size
    if parse_quantity(claim.asked) <= parse_quantity(size):
        return None
    return (
        f"The PersistentVolumeClaim {claim.name} asks for {claim.asked}, which is more than the "
        f"{size} of spec.storage.volume.size, and stays so: a volume never shrinks."
    )


def judge_volume(
    bank: MemoryBank, observed: Observed, *, now: datetime, deadline: timedelta
) -> Iterator[tuple[ConditionType, Verdict]]:
    """Yield how the growth of the volume goes, nothing when it does not grow.

    The claim alone says it, so a restarted operator says the same.
    """
    claim = claim_of(bank, observed)
    if claim is None or claim.growth is Growth.NONE:
        return
    known = bank.status.condition(ConditionType.VOLUME_RESIZING)
    overdue = known is not None and now - known.last_transition_time >= deadline
    reason, message = _growing(bank, claim, overdue=overdue, deadline=deadline)
    yield ConditionType.VOLUME_RESIZING, Verdict("True", reason, message)


def _growing(
    bank: MemoryBank, claim: Claim, *, overdue: bool, deadline: timedelta
) -> tuple[Reason, str]:
    sizes = f"from {claim.capacity} to {claim.asked}"
    if claim.growth is Growth.FAILED:
        return Reason.VOLUME_GROWTH_FAILED, (
            f"The volume could not grow {sizes}{f': {claim.words}' if claim.words else ''}. It is "
            "tried again by its driver; to give it up, put spec.storage.volume.size back to "
            f"{claim.capacity} or more, and the claim {claim.name} to the same size"
        )
    if claim.growth is Growth.NODE and bank.spec.pods == 0:
        return Reason.FILE_SYSTEM_GROWS_LATER, (
            f"The volume grew {sizes}; its file system grows when the bank's pod runs again."
        )
    if overdue:
        return Reason.VOLUME_GROWTH_OVERDUE, (
            f"The volume did not grow {sizes} within {deadline.total_seconds():g} s: "
            f"`kubectl describe pvc {claim.name}` says what its driver does. "
            + (
                "A driver that grows no file system in use needs another pod: set spec.restart."
                if claim.growth is Growth.NODE
                else f"StorageClass {claim.storage_class or '(none)'} allows growth, but maybe its "
                "driver has nobody who does it (external-resizer)."
            )
        )
    if claim.growth is Growth.NODE:
        return Reason.FILE_SYSTEM_GROWS_LATER, (
            f"The volume grew {sizes}; the node has still to grow the file system in it."
        )
    return Reason.VOLUME_GROWING, f"The storage driver grows the volume {sizes}."
