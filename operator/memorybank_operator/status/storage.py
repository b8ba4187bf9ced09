"""The volume in the status, and its conditions VolumeResizing and DiskLow, which are present only
while they are True.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from memorybank_operator.api.quantity import parse_quantity
from memorybank_operator.api.v1alpha1.conditions import ConditionType, Reason
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.api.v1alpha1.spec import AutoGrow
from memorybank_operator.api.v1alpha1.status import StorageStatus
from memorybank_operator.reconcile.claim import Claim, Growth, read_claim
from memorybank_operator.reconcile.growth import Stand, can_grow, grown_from, is_low, relieve, rigid
from memorybank_operator.reconcile.observed import Observed
from memorybank_operator.reconcile.ownership import Ownership, ownership
from memorybank_operator.resources import names
from memorybank_operator.status.verdict import Verdict

NOTABLE_PERCENT = 5
"""By how much the used share has to change to be written, or to be low no more."""
SIZE, AUTO = "spec.storage.volume.size", "spec.storage.volume.autoGrow"


def storage(bank: MemoryBank, observed: Observed) -> StorageStatus | None:
    """Return what is known of the volume, None before it is bound."""
    claim = claim_of(bank, observed)
    if claim is None or claim.capacity is None:
        return None
    return StorageStatus(
        capacity=claim.capacity,
        requested=claim.asked,
        used_percent=_used(bank, observed),
        message=_larger(bank, claim),
    )


def _used(bank: MemoryBank, observed: Observed) -> int | None:
    """Return the used share as it is written, until it is clearly another one: who stores a memory
    now and then causes no write of the status each time.
    """
    known = bank.status.storage.used_percent if bank.status.storage else None
    if observed.disk is None:
        return known
    used = observed.disk.used_percent
    return known if known is not None and abs(used - known) < NOTABLE_PERCENT else used


def claim_of(bank: MemoryBank, observed: Observed) -> Claim | None:
    """Return the bank's own claim, None while there is none, and for a bank without a volume: a
    former bank of its name may have left one.
    """
    live = observed.children.get(names.volume_claim(bank))
    if live is None or ownership(bank, live) is not Ownership.OURS:
        return None
    if not bank.spec.storage.has_volume:
        return None
    return read_claim(live)


def _larger(bank: MemoryBank, claim: Claim) -> str | None:
    size = bank.spec.storage.volume.size
    if bank.spec.storage.volume.auto_grow.enabled:
        return None  # it is so that the spec stays as it is
    if parse_quantity(claim.asked) <= parse_quantity(size):
        return None
    return (
        f"The PersistentVolumeClaim {claim.name} asks for {claim.asked}, which is more than the "
        f"{size} of spec.storage.volume.size, and stays so: a volume never shrinks."
    )


def judge_volume(
    bank: MemoryBank, observed: Observed, *, now: datetime, deadline: timedelta
) -> Iterator[tuple[ConditionType, Verdict]]:
    """Yield how the growth of the volume goes, and whether its disk is low; nothing when all is
    well.
    """
    claim = claim_of(bank, observed)
    if claim is None:
        return
    if claim.growth is not Growth.NONE:
        yield _resizing(bank, claim, now=now, deadline=deadline)
    low = _disk_low(bank, observed, claim)
    if low is not None:
        yield ConditionType.DISK_LOW, low


def _resizing(
    bank: MemoryBank, claim: Claim, *, now: datetime, deadline: timedelta
) -> tuple[ConditionType, Verdict]:
    """Say how a growth goes, which the claim alone tells: a restarted operator says the same."""
    known = bank.status.condition(ConditionType.VOLUME_RESIZING)
    overdue = known is not None and now - known.last_transition_time >= deadline
    reason, message = _growing(bank, claim, overdue=overdue, deadline=deadline)
    return ConditionType.VOLUME_RESIZING, Verdict("True", reason, message)


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


def _disk_low(bank: MemoryBank, observed: Observed, claim: Claim) -> Verdict | None:
    """Judge the disk. What was said of it stands until the pod has spoken to this operator."""
    known = bank.status.condition(ConditionType.DISK_LOW)
    disk, policy = observed.disk, bank.spec.storage.volume.auto_grow
    if disk is None:
        return None if known is None else Verdict("True", known.reason, known.message)
    low = is_low(policy, disk)
    slack = NOTABLE_PERCENT if known is not None else 0
    if disk.used_percent < policy.threshold_percent - slack:
        return None
    classes, live = observed.storage_classes, observed.children[names.volume_claim(bank)]
    expandable = can_grow(claim.storage_class, classes)
    relief = relieve(policy, claim, disk, grown_from=grown_from(live), can_grow=expandable)
    if not low and relief.stand in (Stand.GROW, Stand.GROWS, Stand.AWAITED):
        return None  # what was to be done has been done
    rigid_class = "" if expandable else rigid(claim.storage_class, classes)
    reason, cure = _relief(relief.stand, claim, policy, observed.growth_refused, rigid_class)
    if bank.spec.paused and relief.stand is Stand.GROW:
        reason, cure = Reason.DISK_LOW, "The volume does not grow while spec.paused is true."
    used = f"The disk of the volume is used to {policy.threshold_percent} % or more."
    return Verdict("True", reason, f"{used} {cure}")


def _relief(
    stand: Stand, claim: Claim, policy: AutoGrow, refused: str, rigid_class: str
) -> tuple[Reason, str]:
    """Say what is done about a low disk, or what somebody has to do."""
    free = "delete memories (memorybank forget, DELETE /v1/trash)"
    match stand:
        case Stand.OFF if rigid_class:
            return Reason.DISK_LOW, f"The volume has {rigid_class}, or {free}."
        case Stand.OFF:
            return Reason.DISK_LOW, f"Raise {SIZE}, set {AUTO}, or {free}."
        case Stand.MAXIMUM:
            return Reason.MAXIMUM_REACHED, (
                f"The volume has reached the {policy.max_size} of {AUTO}.maxSize: raise that, or "
                f"{free}."
            )
        case Stand.RIGID:
            return Reason.VOLUME_NOT_EXPANDABLE, (
                f"It cannot grow by itself: the volume has {rigid_class}, or {free}."
            )
        case Stand.SHARED:
            return Reason.DISK_SHARED, (
                f"Its file system is larger than the volume, which has {claim.capacity}, so others "
                "use it too and a larger volume would give no room: free space on that disk, or "
                "move to a StorageClass whose volumes have file systems of their own."
            )
        case Stand.AWAITED:
            return Reason.FILE_SYSTEM_GROWS_LATER, (
                f"The volume grew to {claim.capacity}, but its file system was not seen larger "
                "yet, which the node does. When it stays so, set spec.restart."
            )
        case Stand.GROW if refused:
            return Reason.GROWTH_REFUSED, f"It is to grow by itself, which is refused: {refused}"
        case _:
            return Reason.AUTO_GROWING, f"The volume grows by itself ({AUTO})."
