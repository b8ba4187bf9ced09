"""Which Secret a MemoryBankKey is delivered in, and what has to be written for that. Pure.

The token is created with its Secret and never overwritten while it is whole, and counts only once
it is read back: a crash at any point leaves either no key or the one that counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from memorybank_operator import constants
from memorybank_operator.api.v1alpha1.conditions import Reason
from memorybank_operator.api.v1alpha1.memorybankkey import MemoryBankKey
from memorybank_operator.constants import ANNOTATION_RENDERED_HASH
from memorybank_operator.reconcile.drift import differences
from memorybank_operator.reconcile.keys import SYNTAX, read_token
from memorybank_operator.reconcile.observed import KubeObject
from memorybank_operator.reconcile.steps import Apply, Create, Problem
from memorybank_operator.resources.binding_secret import build_binding_secret
from memorybank_operator.resources.key_secret import TOKEN


@dataclass(frozen=True, slots=True)
class Delivery:
    """What to do about the Secret."""

    token: str | None = None
    """The key that the cluster keeps, if there is one."""
    step: Apply | Create | None = None
    problem: Problem | None = None


def deliver(
    key: MemoryBankKey, secret: KubeObject | None, new_token: Callable[[], str]
) -> Delivery:
    """Decide from the Secret of that name as it is. `new_token` is called only when one has to be
    generated.
    """
    if secret is None:
        return Delivery(step=Create(build_binding_secret(key, new_token())))
    problem = _not_ours(key, secret)
    if problem is not None:
        return Delivery(problem=problem)
    token = read_token(secret, TOKEN)
    if token is None or not SYNTAX.fullmatch(token):
        return Delivery(step=Apply(build_binding_secret(key, new_token())))
    body = build_binding_secret(key, token)
    changed = _hash(secret) != _hash(body)
    drift = differences(body, secret)
    return Delivery(token, Apply(body, () if changed else drift) if changed or drift else None)


def _not_ours(key: MemoryBankKey, secret: KubeObject) -> Problem | None:
    metadata = secret["metadata"]
    owners = metadata.get("ownerReferences") or ()
    if any(each["uid"] == key.metadata.uid for each in owners):
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


def _hash(body: KubeObject) -> str | None:
    found: str | None = (body["metadata"].get("annotations") or {}).get(ANNOTATION_RENDERED_HASH)
    return found
