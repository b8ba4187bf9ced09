"""Which admin key opens the bank.

A generated key is created, never overwritten, and used only once it is read back from the cluster:
a crash at any point leaves either no key or the one that counts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from memorybank_operator.api.v1alpha1.conditions import Reason
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.api.v1alpha1.service import AdminKeyReference
from memorybank_operator.reconcile.entries import read_entry
from memorybank_operator.reconcile.observed import KubeObject, Observed
from memorybank_operator.reconcile.ownership import Ownership, ownership
from memorybank_operator.reconcile.steps import Note, Problem
from memorybank_operator.resources import names
from memorybank_operator.resources.key_secret import TOKEN

SYNTAX = re.compile(r"mb_[A-Za-z0-9_-]{43}")
"""`mb_` and 32 bytes in URL-safe base64 without padding; the memory service defines it."""


@dataclass(frozen=True, slots=True)
class KeyDecision:
    """What is to be done about the admin key."""

    usable: str | None = None
    """The key, if there is one that the cluster keeps."""
    generate: bool = False
    """Whether a new one has to be made, and stored before it is used."""
    note: Note | None = None
    problem: Problem | None = None


def decide_key(bank: MemoryBank, observed: Observed) -> KeyDecision:
    """Choose between the spec's own key, the one in the bank's Secret and a new one."""
    if bank.spec.auth.admin_key_secret_ref is not None:
        return _own_key(bank, bank.spec.auth.admin_key_secret_ref, observed.admin_key_secret)
    secret = observed.children.get(names.key_secret(bank))
    if secret is None:
        lost = bank.status.binding is not None or _has_deployment(bank, observed)
        note = _replaced(bank, "was missing") if lost else None
        return KeyDecision(generate=True, note=note)
    if ownership(bank, secret) is not Ownership.OURS:
        return KeyDecision()  # the plan reports whose it is
    stored = read_entry(secret, TOKEN)
    if stored is None or not SYNTAX.fullmatch(stored):
        return KeyDecision(generate=True, note=_replaced(bank, "was damaged"))
    return KeyDecision(usable=stored)


def _own_key(
    bank: MemoryBank, reference: AdminKeyReference, secret: KubeObject | None
) -> KeyDecision:
    path = "spec.auth.adminKeySecretRef"
    if secret is None:
        return KeyDecision(
            problem=Problem(
                Reason.ADMIN_KEY_SECRET_NOT_FOUND,
                f"{path}.name: Secret {reference.name} does not exist in namespace "
                f"{bank.namespace}: create it, or remove {path} for a generated key",
            )
        )
    token = read_entry(secret, reference.key)
    if token is None:
        return KeyDecision(
            problem=Problem(
                Reason.ADMIN_KEY_SECRET_NOT_FOUND,
                f"{path}.key: Secret {reference.name} has no entry {reference.key}: add it, or "
                "name another entry",
            )
        )
    if not SYNTAX.fullmatch(token):
        return KeyDecision(
            problem=Problem(
                Reason.ADMIN_KEY_INVALID,
                f"{path}: the entry {reference.key} of Secret {reference.name} is no admin key: it "
                "must be `mb_` and 43 characters of URL-safe base64",
            )
        )
    return KeyDecision(usable=token)


def _has_deployment(bank: MemoryBank, observed: Observed) -> bool:
    live = observed.children.get(names.deployment(bank))
    return live is not None and ownership(bank, live) is Ownership.OURS


def _replaced(bank: MemoryBank, what: str) -> Note:
    secret = names.key_secret(bank).name
    return Note(
        Reason.KEY_REPLACED,
        f"The admin key in Secret {secret} {what}, so a new one was generated. The bank takes it "
        "while it runs, and the old key stops working soon after: read the new one from the "
        "Secret.",
        warning=True,
    )
