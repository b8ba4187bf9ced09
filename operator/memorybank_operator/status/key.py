"""What a MemoryBankKey's status says, and what of it is worth an event. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from memorybank_operator.api.v1alpha1.conditions import ConditionType, Reason
from memorybank_operator.api.v1alpha1.memorybankkey import (
    FormerKeyStatus,
    MemoryBankKey,
    MemoryBankKeyStatus,
    RotationStatus,
)
from memorybank_operator.errors import InvalidSpec
from memorybank_operator.reconcile.observed import KubeObject
from memorybank_operator.reconcile.rotation import announced_at, is_expired, next_rotation
from memorybank_operator.reconcile.steps import Note, Problem
from memorybank_operator.resources.key_record import KeyRecord
from memorybank_operator.status.conditions import condition
from memorybank_operator.status.verdict import Verdict, find

EXPECTED = frozenset({Reason.PROGRESSING, Reason.BANK_UNAVAILABLE, Reason.WAITING_FOR_DELETION})
"""Reasons not to be ready that pass by themselves."""


def key_status(
    key: MemoryBankKey,
    problem: Problem | None,
    *,
    record: KeyRecord | None,
    key_id: str,
    ids: Mapping[str, str],
    now: datetime,
) -> dict[str, Any]:
    """Return the status as JSON: Ready without a problem. Stalled is said for what waiting cannot
    cure.

    `record` is of the key in the Secret, None while there is none; `ids` are those of former keys
    by digest, as far as the bank told them.
    """
    if is_expired(key, now):
        problem = _expired(key)
    if problem is None:
        bank = key.spec.bank_ref.name
        verdicts = {
            ConditionType.READY: Verdict(
                "True", Reason.KEY_ACCEPTED, f"Bank {bank} takes the key in Secret {key.secret}"
            )
        }
    else:
        progress = ConditionType.STALLED if problem.terminal else ConditionType.RECONCILING
        verdicts = {
            ConditionType.READY: Verdict("False", problem.reason, problem.message),
            progress: Verdict("True", problem.reason, problem.message),
        }
    if _is_announced(key, now):
        verdicts[ConditionType.EXPIRING] = _expiring(key)
    conditions = (condition(key, kind, verdict, now) for kind, verdict in verdicts.items())
    status = MemoryBankKeyStatus(
        observed_generation=key.generation,
        conditions=tuple(sorted(conditions, key=lambda each: each.type)),
        secret_name=key.secret if record is not None else "",
        key_id=key_id,
        rotation=None if record is None else _rotation(key, record, ids),
    )
    return status.model_dump(mode="json", exclude_none=True)


def invalid_key_status(body: KubeObject, error: InvalidSpec, *, now: datetime) -> dict[str, Any]:
    """Return the status of a MemoryBankKey that cannot be parsed. Its key stays as it was, and so
    does what the status says of it.
    """
    # The bank's name is not looked at.
    key = MemoryBankKey.model_validate({**body, "spec": {"bankRef": {"name": "unread"}}})
    verdict = Verdict(
        "False", Reason.INVALID_SPEC, f"{error}. Until then the key opens what it did before"
    )
    verdicts = {
        ConditionType.READY: verdict,
        ConditionType.STALLED: verdict._replace(status="True"),
    }
    conditions = (condition(key, kind, each, now) for kind, each in verdicts.items())
    status = key.status.model_copy(
        update={
            "observed_generation": key.generation,
            "conditions": tuple(sorted(conditions, key=lambda each: each.type)),
        }
    )
    return status.model_dump(mode="json", exclude_none=True)


def notes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Note]:
    """Yield what is worth an event when one status follows another."""
    yield from _about_ready(before, after)
    ends = [find(each.get("conditions"), ConditionType.EXPIRING) for each in (before, after)]
    if ends[1] is not None and ends[0] is None:
        yield Note(Reason.KEY_EXPIRES_SOON, ends[1]["message"], warning=True)
    old, new = before.get("keyId"), after.get("keyId")
    if not old or old == new:
        return
    secret = after["secretName"]
    former = {each["keyId"]: each["until"] for each in (after.get("rotation") or {})["former"]}
    if after["rotation"]["last"] == (before.get("rotation") or {}).get("last"):
        return  # the bank was made anew and gave the same key another id
    until = f"is refused from {former[old]} on" if old in former else "is refused"
    yield Note(
        Reason.KEY_ROTATED, f"A new key is in Secret {secret}. The former one ({old}) {until}."
    )


def _about_ready(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Note]:
    was = find(before.get("conditions"), ConditionType.READY) or {}
    now = find(after.get("conditions"), ConditionType.READY) or {}
    same = (was.get("status"), was.get("reason")) == (now["status"], now["reason"])
    if not same and now["reason"] not in EXPECTED:
        yield Note(now["reason"], now["message"], warning=now["status"] != "True")


def _expired(key: MemoryBankKey) -> Problem:
    return Problem(
        Reason.KEY_EXPIRED,
        f"spec.expiresAt: the key ended at {_end(key)}: name a later moment, and it "
        "opens the bank again, or delete the MemoryBankKey",
        terminal=True,
    )


def _end(key: MemoryBankKey) -> str:
    end = key.spec.expires_at
    return "" if end is None else f"{end.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _is_announced(key: MemoryBankKey, now: datetime) -> bool:
    announced = announced_at(key)
    return announced is not None and announced <= now and not is_expired(key, now)


def _expiring(key: MemoryBankKey) -> Verdict:
    return Verdict(
        "True",
        Reason.KEY_EXPIRES_SOON,
        f"spec.expiresAt: the key ends at {_end(key)}: name a later moment, or let its "
        "users have another key",
    )


def _rotation(key: MemoryBankKey, record: KeyRecord, ids: Mapping[str, str]) -> RotationStatus:
    return RotationStatus(
        last=record.issued_at,
        next=next_rotation(key, record),
        request=record.request,
        former=tuple(
            FormerKeyStatus(key_id=ids.get(each.digest) or each.key_id, until=each.until)
            for each in record.former
        ),
    )
