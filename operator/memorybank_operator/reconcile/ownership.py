"""Whose an object is that has one of the bank's names."""

from __future__ import annotations

from enum import Enum, auto

from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.constants import FIELD_MANAGER, GROUP, KIND, LABEL_BANK, LABEL_MANAGED_BY
from memorybank_operator.reconcile.observed import KubeObject


class Ownership(Enum):
    """What we may do with an object."""

    OURS = auto()
    """Ours to change: we own it, or nobody does and it carries the bank's label, as a retained
    volume claim and what `kubectl delete --cascade=orphan` left behind do.
    """
    LEAVING = auto()
    """On its way out, itself or with a former bank of the same name."""
    FOREIGN = auto()
    """Somebody else's: never touched."""


def ownership(bank: MemoryBank, live: KubeObject) -> Ownership:
    """Tell whose a live object is."""
    metadata = live["metadata"]
    if metadata.get("deletionTimestamp"):
        return Ownership.LEAVING
    references = metadata.get("ownerReferences", ())
    if is_owned(bank, live):
        return Ownership.OURS
    if any(_names_former(bank, each) for each in references):
        return Ownership.LEAVING
    if any(each.get("controller") for each in references):
        return Ownership.FOREIGN
    labelled = metadata.get("labels", {}).get(LABEL_BANK) == bank.name
    return Ownership.OURS if labelled else Ownership.FOREIGN


def is_owned_and_managed(bank: MemoryBank, live: KubeObject) -> bool:
    """Tell whether this incarnation of the bank made the object, so that it may delete it."""
    metadata = live["metadata"]
    made_by = metadata.get("labels", {}).get(LABEL_MANAGED_BY)
    return made_by == FIELD_MANAGER and is_owned(bank, live)


def is_owned(bank: MemoryBank, live: KubeObject) -> bool:
    """Tell whether this incarnation of the bank owns the object."""
    return any(each["uid"] == bank.uid for each in live["metadata"].get("ownerReferences", ()))


def _names_former(bank: MemoryBank, reference: KubeObject) -> bool:
    group, _, _ = str(reference["apiVersion"]).partition("/")
    return group == GROUP and reference["kind"] == KIND and reference["name"] == bank.name
