"""Which Secret a MemoryBankKey is delivered in, and what has to be written for that. Pure.

The token is created with its Secret, is overwritten while it is whole only by a rotation, and
counts only once it is read back: a crash at any point leaves either no key or the one that counts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from memorybank_operator import constants
from memorybank_operator.api.v1alpha1.conditions import Reason
from memorybank_operator.api.v1alpha1.memorybankkey import MemoryBankKey
from memorybank_operator.reconcile.drift import differences
from memorybank_operator.reconcile.entries import read_entry
from memorybank_operator.reconcile.keys import SYNTAX
from memorybank_operator.reconcile.observed import KubeObject
from memorybank_operator.reconcile.rotation import (
    first_record,
    is_due,
    present_record,
    rotated_record,
)
from memorybank_operator.reconcile.steps import Apply, Create, Problem
from memorybank_operator.resources.binding_secret import build_binding_secret
from memorybank_operator.resources.build import rendered_hash
from memorybank_operator.resources.key_record import KeyRecord, read_record
from memorybank_operator.resources.key_secret import TOKEN


@dataclass(frozen=True, slots=True)
class Delivery:
    """What to do about the Secret, and what it says."""

    token: str | None = None
    """The key that the cluster keeps, if there is one."""
    record: KeyRecord | None = None
    """What belongs to the token; None without one."""
    rotates: bool = False
    """Whether it is time for another key."""
    uid: str = ""
    """Of the Secret that this is about."""
    version: str = ""
    """Its resource version."""
    step: Apply | Create | None = None
    problem: Problem | None = None


def deliver(
    key: MemoryBankKey, secret: KubeObject | None, new_token: Callable[[], str], now: datetime
) -> Delivery:
    """Decide from the Secret of that name as it is. `new_token` is called only when one has to be
    generated because there is none; for a rotation see `rotation`.
    """
    if secret is None:
        body = build_binding_secret(key, new_token(), first_record(key, now))
        return Delivery(step=Create(body))
    problem = _not_ours(key, secret)
    if problem is not None:
        return Delivery(problem=problem)
    uid = secret["metadata"]["uid"]
    stored = read_record(secret)
    token = read_entry(secret, TOKEN)
    if token is None or not SYNTAX.fullmatch(token):
        former = stored.former if stored is not None else ()
        renewed = first_record(key, now).model_copy(update={"former": former})
        record = present_record(key, renewed, now)
        return Delivery(step=Apply(build_binding_secret(key, new_token(), record), uid=uid))
    made = first_record(key, _made_at(secret, now)).model_copy(update={"request": ""})
    record = present_record(key, stored or made, now)
    body = build_binding_secret(key, token, record)
    changed = rendered_hash(secret) != rendered_hash(body)
    drift = differences(body, secret)
    return Delivery(
        token,
        record,
        rotates=is_due(key, record, now),
        uid=uid,
        version=secret["metadata"].get("resourceVersion", ""),
        step=Apply(body, () if changed else drift, uid=uid) if changed or drift else None,
    )


def rotation(
    key: MemoryBankKey, delivery: Delivery, token: str, *, key_id: str, now: datetime
) -> Apply:
    """Return the step by which `token`, which the bank takes already, replaces the delivered one,
    of this id.

    It writes the new key and the record of the former one at once, and only over the Secret that
    the delivery was read from, as it was then.
    """
    if delivery.token is None or delivery.record is None:
        raise ValueError("there is no key to replace")
    record = rotated_record(
        key, delivery.record, digest=digest_of(delivery.token), key_id=key_id, now=now
    )
    body = build_binding_secret(key, token, record)
    metadata: dict[str, Any] = body["metadata"] | {"resourceVersion": delivery.version}
    return Apply(body | {"metadata": metadata}, uid=delivery.uid)


def digest_of(token: str) -> str:
    """Return by what the bank is told a key: its SHA-256, hex."""
    return hashlib.sha256(token.encode()).hexdigest()


def _made_at(secret: KubeObject, now: datetime) -> datetime:
    """Return when a Secret was made, which is as good as when its key was if nothing else tells."""
    made = secret["metadata"].get("creationTimestamp")
    return datetime.fromisoformat(made) if made else now


def _not_ours(key: MemoryBankKey, secret: KubeObject) -> Problem | None:
    metadata = secret["metadata"]
    owners = metadata.get("ownerReferences") or ()
    if any(each["uid"] == key.uid for each in owners):
        leaving = bool(metadata.get("deletionTimestamp"))
    elif any((each["kind"], each["name"]) == (constants.KEY_KIND, key.name) for each in owners):
        leaving = True  # with a former MemoryBankKey of this name
    else:
        labels = metadata.get("labels") or {}
        ours = labels.get(constants.LABEL_COMPONENT) == constants.COMPONENT_KEY
        if ours and not owners and labels.get(constants.LABEL_BANK) == key.spec.bank_ref.name:
            return None  # of a former MemoryBankKey, kept on purpose: its key works again
        return Problem(
            Reason.NAME_CONFLICT,
            f"Secret {key.secret} exists and is not this key's: delete it, or make a MemoryBankKey "
            "with another spec.secretName",
            terminal=True,
        )
    if not leaving:
        return None
    return Problem(
        Reason.WAITING_FOR_DELETION, f"Secret {key.secret} is still being deleted; it is made anew"
    )
