"""Labels, selectors and owner references of a bank's objects. None is copied from the bank's own
labels and annotations: tools such as Argo CD, Flux and Helm would take the objects for theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memorybank_operator import constants
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.reconcile.observed import ChildKey


def labels(bank: MemoryBank) -> dict[str, str]:
    """Return the labels of every object of the bank."""
    return selector(bank) | {
        constants.LABEL_COMPONENT: constants.COMPONENT_SERVER,
        constants.LABEL_MANAGED_BY: constants.FIELD_MANAGER,
    }


def selector(bank: MemoryBank) -> dict[str, str]:
    """Return the labels that select the bank's pods; a Deployment's selector can never change."""
    return {constants.LABEL_NAME: constants.APP_NAME, constants.LABEL_BANK: bank.name}


def read_selector(bank: MemoryBank) -> dict[str, str]:
    """Return the labels that select the bank's read replicas, and no other pod."""
    return {constants.LABEL_NAME: constants.READ_NAME, constants.LABEL_BANK: bank.name}


def read_labels(bank: MemoryBank) -> dict[str, str]:
    """Return the labels of a read replica's pod."""
    return read_selector(bank) | {
        constants.LABEL_COMPONENT: constants.COMPONENT_READ,
        constants.LABEL_MANAGED_BY: constants.FIELD_MANAGER,
    }


def backup_selector(bank: MemoryBank) -> dict[str, str]:
    """Return the labels that select the pods which work on the bank's backups, and no other."""
    return {
        constants.LABEL_NAME: constants.BACKUP_NAME,
        constants.LABEL_BANK: bank.name,
    }


def metadata_of_ours(bank: MemoryBank, name: str, *, component: str) -> dict[str, Any]:
    """Return the metadata of something about the bank that we made and that outlives it."""
    return {
        "name": name,
        "namespace": bank.namespace,
        "labels": {
            constants.LABEL_BANK: bank.name,
            constants.LABEL_COMPONENT: component,
            constants.LABEL_MANAGED_BY: constants.FIELD_MANAGER,
        },
    }


def selector_text(bank: MemoryBank) -> str:
    """Return the same as kubectl and the scale subresource write it."""
    return ",".join(f"{key}={value}" for key, value in sorted(selector(bank).items()))


def owner_reference(bank: MemoryBank) -> dict[str, Any]:
    """Return the reference that lets the garbage collector delete an object with its bank."""
    return {
        "apiVersion": constants.API_VERSION,
        "kind": constants.KIND,
        "name": bank.name,
        "uid": bank.uid,
        "controller": True,
    }


def changed_owners(
    bank: MemoryBank, live: Mapping[str, Any], *, owned: bool
) -> list[dict[str, Any]] | None:
    """Return the owner references of an object once the bank owns it, or does not; None when that
    is so. References to other owners are somebody else's, and stay.
    """
    owners = list(live["metadata"].get("ownerReferences") or ())
    kept = [each for each in owners if each["uid"] != bank.uid]
    if owned == (len(kept) < len(owners)):
        return None
    return [*kept, owner_reference(bank)] if owned else kept


def metadata(
    bank: MemoryBank,
    key: ChildKey,
    *,
    annotations: Mapping[str, str] | None = None,
    owned: bool = True,
) -> dict[str, Any]:
    """Return an object's metadata. What is not `owned` outlives the bank."""
    result: dict[str, Any] = {
        "name": key.name,
        "namespace": bank.namespace,
        "labels": labels(bank),
    }
    if annotations:
        result["annotations"] = dict(annotations)
    if owned:
        result["ownerReferences"] = [owner_reference(bank)]
    return result
