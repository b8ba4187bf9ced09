"""The key ring of an encrypted bank whose spec names none: generated once, kept as long as the
data that it opens, and never replaced.

A ring may be generated only while there is no volume, since whatever is on one may be sealed by a
ring before; and a volume is claimed only once the snapshot shows the ring. So a crash at any point
leaves no ring, or the one that counts. A ring that is lost or damaged is for people to put back:
another one would open nothing.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import yaml

from memorybank_operator.api.v1alpha1.conditions import Reason
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.constants import LABEL_BANK
from memorybank_operator.reconcile.entries import read_entry
from memorybank_operator.reconcile.observed import Observed
from memorybank_operator.reconcile.ownership import Ownership, ownership
from memorybank_operator.reconcile.steps import Create, Mark, Note, Problem
from memorybank_operator.resources import names
from memorybank_operator.resources.key_ring import build_key_ring, changed_metadata
from memorybank_operator.resources.named_secrets import RING_ENTRY

KEY_BYTES = 32
"""AES-256."""
_KEY_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", re.ASCII)


@dataclass(frozen=True, slots=True)
class RingDecision:
    """What is to be done about a generated ring. All empty for a bank that needs none."""

    awaited: bool = False
    """Whether the bank needs one and the snapshot shows none that can be used."""
    ring: str | None = field(default=None, repr=False)
    """The content of the Secret, if it can be used."""
    step: Create | Mark | None = None
    note: Note | None = None
    problem: Problem | None = None


def decide_ring(bank: MemoryBank, observed: Observed, new_ring: Callable[[], str]) -> RingDecision:
    """Decide from the Secret and the volume claim. `new_ring` is called only when there is neither,
    and the bank is not paused.
    """
    if not bank.spec.encryption.ring_is_generated:
        return RingDecision()
    secret = observed.children.get(names.key_ring(bank))
    if secret is None:
        return _absent(bank, observed, new_ring)
    if ownership(bank, secret) is not Ownership.OURS:
        return RingDecision(awaited=True)  # the plan reports whose it is
    ring = read_entry(secret, RING_ENTRY)
    if ring is None or not is_ring(ring):
        return RingDecision(awaited=True, problem=_damaged(bank))
    changes = changed_metadata(bank, secret)
    version = secret["metadata"].get("resourceVersion", "")
    step = Mark(names.key_ring(bank), version, changes) if changes else None
    return RingDecision(ring=ring, step=step)


def is_ring(text: str) -> bool:
    """Tell whether this is a key ring that the service can use."""
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError:
        return False
    return _is_ring(document)


def _absent(bank: MemoryBank, observed: Observed, new_ring: Callable[[], str]) -> RingDecision:
    claim = observed.children.get(names.volume_claim(bank))
    if claim is not None:
        ours = ownership(bank, claim) is Ownership.OURS
        return RingDecision(awaited=True, problem=_lost(bank) if ours else None)
    if bank.spec.paused:
        return RingDecision(awaited=True)
    secret = names.key_ring(bank).name
    note = Note(
        Reason.KEY_RING_GENERATED,
        f"A key ring was generated in Secret {secret}. Without it nobody can read the bank, its "
        "backups included: keep a copy elsewhere.",
    )
    return RingDecision(awaited=True, step=Create(build_key_ring(bank, new_ring())), note=note)


def _lost(bank: MemoryBank) -> Problem:
    secret, claim = names.key_ring(bank).name, names.volume_claim(bank).name
    return Problem(
        Reason.KEY_RING_LOST,
        f"spec.encryption: Secret {secret} with the key ring does not exist, and "
        f"PersistentVolumeClaim {claim} may hold memories that only this ring opens, so no other "
        f"one is generated: put the Secret back from a copy, with the label "
        f"{LABEL_BANK}={bank.name} and the ring as entry {RING_ENTRY} (a pod that still runs has "
        "it, see the runbook), or delete the bank and this claim with what is on it",
        terminal=True,
    )


def _damaged(bank: MemoryBank) -> Problem:
    return Problem(
        Reason.KEY_RING_DAMAGED,
        f"spec.encryption: the entry {RING_ENTRY} of Secret {names.key_ring(bank).name} is missing "
        'or is not {"active": id, "keys": {id: 32 bytes in base64}} with the active key among the '
        "keys and none twice. It is not replaced, since another ring opens nothing: put it back "
        "from a copy (a pod that still runs may have it, see the runbook)",
        terminal=True,
    )


def _is_ring(document: Any) -> bool:
    if not isinstance(document, dict) or set(document) != {"active", "keys"}:
        return False
    keys = document["keys"]
    if not isinstance(keys, dict) or str(document["active"]) not in {str(each) for each in keys}:
        return False
    values = {_decoded(each) for each in keys.values()}
    return (
        len(values) == len(keys)
        and all(_KEY_ID.fullmatch(str(name)) for name in keys)
        and all(len(value) == KEY_BYTES for value in values)
    )


def _decoded(value: object) -> bytes:
    try:
        return base64.b64decode(str(value).encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return b""
