"""What a volume claim says about itself: what it asks for, what it has, and how growing goes.

Growing takes two steps after the claim asks for more: the storage driver enlarges the volume, then
the node enlarges the file system in it. Either may fail, and the claim says so in its own words
(KEP-1790, https://kubernetes.io/docs/concepts/storage/persistent-volumes/).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from memorybank_operator.api.quantity import parse_quantity
from memorybank_operator.reconcile.observed import KubeObject

DRIVER_FAILED = "ControllerResizeError"
NODE_FAILED = "NodeResizeError"
NODE_PENDING = "FileSystemResizePending"
MAX_WORDS = 300
"""Characters of what a storage driver says that are passed on."""


class Growth(Enum):
    """How far the growth of a volume has come."""

    NONE = "none"
    """The volume is as large as asked for, or not there yet."""
    DRIVER = "driver"
    """Somebody else enlarges the volume, or is to."""
    NODE = "node"
    """The volume is enlarged; its file system is not, which the node does when a pod has it."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Claim:
    """A PersistentVolumeClaim, as far as sizes go."""

    name: str
    asked: str
    """What it asks for."""
    bound: bool
    """Whether it has a volume; before, what it asks for cannot change."""
    capacity: str | None
    """What the volume has; None before it is bound."""
    storage_class: str
    """Name of its class, empty when it has none."""
    growth: Growth
    words: str = ""
    """What the driver or the node said of a growth that failed."""


def read_claim(claim: KubeObject) -> Claim:
    """Read a claim as the API server shows it."""
    spec, status = claim["spec"], claim.get("status") or {}
    asked = str(spec["resources"]["requests"]["storage"])
    bound = status.get("phase") == "Bound"
    capacity = (status.get("capacity") or {}).get("storage") if bound else None
    growth, words = _growth(claim, asked, capacity)
    return Claim(
        name=claim["metadata"]["name"],
        asked=asked,
        bound=bound,
        capacity=capacity,
        storage_class=spec.get("storageClassName") or "",
        growth=growth,
        words=words,
    )


def _growth(claim: KubeObject, asked: str, capacity: str | None) -> tuple[Growth, str]:
    if capacity is None or parse_quantity(asked) <= parse_quantity(capacity):
        return Growth.NONE, ""
    status = claim["status"]
    said = {
        each["type"]: str(each.get("message") or "")
        for each in status.get("conditions") or ()
        if each.get("status") == "True"
    }
    stage = str((status.get("allocatedResourceStatuses") or {}).get("storage") or "")
    failed = next((each for each in (DRIVER_FAILED, NODE_FAILED) if each in said), None)
    if failed is not None or stage.endswith("Infeasible"):
        words = " ".join(said.get(failed or "", "").split()).rstrip(".")
        return Growth.FAILED, words[:MAX_WORDS]
    if NODE_PENDING in said or stage.startswith("NodeResize"):
        return Growth.NODE, ""
    return Growth.DRIVER, ""
