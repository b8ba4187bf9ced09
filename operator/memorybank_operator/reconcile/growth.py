"""Whether a volume is to grow before its disk is full, and if not, why. Pure.

One growth ends before the next begins: the claim must have what it asks for, and the file system
must have become larger than it was when the last growth was asked for, which is written on the
claim with the request itself. So a reading from before the growth asks for no second one, neither
does a restarted operator, and a growth that gives no room is not repeated up to the maximum.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from enum import Enum

from memorybank_operator.api.quantity import parse_quantity
from memorybank_operator.api.v1alpha1.spec import AutoGrow
from memorybank_operator.constants import ANNOTATION_GROWN_FROM
from memorybank_operator.reconcile.claim import Claim, Growth
from memorybank_operator.reconcile.observed import Disk, KubeObject

MI, GI = Decimal(2) ** 20, Decimal(2) ** 30
SHARED_FACTOR = Decimal("1.25")
"""A file system that is so much larger than the volume is not the volume's own, but a folder on the
node or a share on a server. One of its own is smaller than the volume, by what it keeps for itself.
"""


class Stand(Enum):
    """What can be done for a disk that is nearly full."""

    OFF = "off"
    """The volume does not grow by itself."""
    GROWS = "grows"
    """A growth is under way, and has to end first."""
    AWAITED = "awaited"
    """The volume grew, and its file system was not seen larger yet."""
    MAXIMUM = "maximum"
    RIGID = "rigid"
    """The storage class does not let volumes grow."""
    SHARED = "shared"
    """A larger volume gives no room."""
    GROW = "grow"
    """It is time to ask for more."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done for a disk that is nearly full."""

    stand: Stand
    size: str = ""
    """What to ask for, when it is time to."""


def is_low(policy: AutoGrow, disk: Disk) -> bool:
    """Tell whether a disk is so full that something has to be done."""
    return disk.used_percent >= policy.threshold_percent


def relieve(
    policy: AutoGrow, claim: Claim, disk: Disk, *, grown_from: int | None, can_grow: bool
) -> Decision:
    """Decide what to do for a disk that is low.

    `grown_from` is the size of the file system in bytes when the last growth was asked for, and
    `can_grow` whether the storage class lets volumes grow.
    """
    if not policy.enabled or policy.max_size is None or claim.capacity is None:
        return Decision(Stand.OFF)
    if claim.growth is not Growth.NONE:
        return Decision(Stand.GROWS)
    has = max(parse_quantity(claim.asked), parse_quantity(claim.capacity))
    if disk.total > SHARED_FACTOR * has:
        return Decision(Stand.SHARED)
    if has >= parse_quantity(policy.max_size):
        return Decision(Stand.MAXIMUM)
    if not can_grow:
        return Decision(Stand.RIGID)
    if grown_from is not None and disk.total <= grown_from:
        return Decision(Stand.AWAITED)
    return Decision(Stand.GROW, next_size(has, policy.step, policy.max_size))


def next_size(has: Decimal, step: str, max_size: str) -> str:
    """Return the size after a volume of `has` bytes, in whole Gi or Mi, or the maximum as written.

    It is larger than `has` wherever the maximum is.
    """
    more = has * Decimal(step[:-1]) / 100 if step.endswith("%") else parse_quantity(step)
    wanted = has + more
    unit, name = (GI, "Gi") if wanted >= GI else (MI, "Mi")
    whole = (wanted / unit).to_integral_value(ROUND_CEILING)
    return max_size if whole * unit >= parse_quantity(max_size) else f"{whole}{name}"


def grown_from(claim: KubeObject) -> int | None:
    """Return what the claim says of the file system before its last growth, None for nothing."""
    text = (claim["metadata"].get("annotations") or {}).get(ANNOTATION_GROWN_FROM, "")
    return int(text) if text.isdecimal() and text.isascii() else None


def can_grow(storage_class: str, classes: Mapping[str, KubeObject]) -> bool:
    """Tell whether volumes of a class may be asked to grow."""
    return bool(classes.get(storage_class, {}).get("allowVolumeExpansion"))


def rigid(storage_class: str, classes: Mapping[str, KubeObject]) -> str:
    """Say why volumes of a class cannot grow, and the cure."""
    if not storage_class:
        return "no StorageClass, so that nobody can let it grow: give it a class"
    if storage_class not in classes:
        return (
            f"its StorageClass {storage_class} is gone: create the class anew, one that allows it"
        )
    return (
        f"its StorageClass {storage_class} does not let volumes grow: set allowVolumeExpansion on "
        "the class"
    )
