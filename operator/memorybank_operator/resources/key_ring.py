"""The Secret with the key ring that the operator generated for an encrypted bank.

It is worth as much as the volume: under Retain nobody owns it either, so it outlives the bank, and
under Snapshot, since the last recovery point is worth nothing without it. It
is created once and its content never written again, so it has no hash of a rendering.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.resources import names
from memorybank_operator.resources.labels import changed_owners, metadata
from memorybank_operator.resources.named_secrets import RING_ENTRY


def build_key_ring(bank: MemoryBank, ring: str) -> dict[str, Any]:
    """Build the Secret with a new ring, a JSON document as the service reads it."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata(bank, names.key_ring(bank), owned=_goes_with(bank)),
        "type": "Opaque",
        "data": {RING_ENTRY: base64.b64encode(ring.encode()).decode()},
    }


def changed_metadata(bank: MemoryBank, live: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of the metadata of the bank's ring has to become different, as a merge patch:
    labels that are missing, and the owner as the deletion policy has it. Empty for nothing.
    """
    found = live["metadata"]
    wanted = metadata(bank, names.key_ring(bank))["labels"]
    labels = {
        key: value for key, value in wanted.items() if (found.get("labels") or {}).get(key) != value
    }
    changes: dict[str, Any] = {"labels": labels} if labels else {}
    owners = changed_owners(bank, live, owned=_goes_with(bank))
    return changes if owners is None else changes | {"ownerReferences": owners}


def _goes_with(bank: MemoryBank) -> bool:
    return bank.spec.deletion_policy == "Delete"
