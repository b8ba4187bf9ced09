"""What a MemoryBankKey's status says, and what of it becomes an event."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from memorybank_operator.api.v1alpha1.conditions import Reason
from memorybank_operator.api.v1alpha1.memorybankkey import MemoryBankKey
from memorybank_operator.errors import InvalidSpec
from memorybank_operator.reconcile.rotation import first_record, rotated_record
from memorybank_operator.reconcile.steps import Problem
from memorybank_operator.resources.key_record import KeyRecord
from memorybank_operator.status.key import invalid_key_status, key_status, notes

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def key(status: dict[str, Any] | None = None, **spec: Any) -> MemoryBankKey:
    metadata = {
        "name": "app", "namespace": "team", "uid": "uid-1", "generation": 1,
        "creationTimestamp": NOW.isoformat(),
    }  # fmt: skip
    body = {"metadata": metadata, "spec": {"bankRef": {"name": "agents"}, **spec}}
    return MemoryBankKey.parse(body | ({"status": status} if status else {}))


def said(
    of: MemoryBankKey,
    record: KeyRecord | None,
    problem: Problem | None = None,
    *,
    key_id: str = "id-1",
    now: datetime = NOW,
) -> dict[str, Any]:
    return key_status(of, problem, record=record, key_id=key_id, ids={}, now=now)


def told(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[str, bool]]:
    return [(note.reason, note.warning) for note in notes(before, after)]


def test_the_status_tells_what_was_and_will_be_rotated() -> None:
    of = key(rotation={"every": "24h", "overlap": "30m", "request": "x"})
    record = rotated_record(of, first_record(of, NOW), digest="d", key_id="id-1", now=NOW + HOUR)
    assert said(of, record)["rotation"] == {
        "last": "2026-01-01T13:00:00Z",
        "next": "2026-01-02T13:00:00Z",
        "request": "x",
        "former": [{"keyId": "id-1", "until": "2026-01-01T13:30:00Z"}],
    }
    assert "rotation" not in said(of, None)


def test_a_status_stays_the_same_while_nothing_happens() -> None:
    of = key(rotation={"every": "24h"})
    record = first_record(of, NOW)
    first = said(of, record)
    again = key(first, rotation={"every": "24h"})
    assert said(again, record, now=NOW + HOUR) == first
    assert told(first, first) == []


def test_a_rotation_is_told_with_the_end_of_the_former_key() -> None:
    of = key()
    record = first_record(of, NOW)
    before = said(of, record)
    rotated = rotated_record(of, record, digest="d", key_id="id-1", now=NOW + HOUR)
    after = said(of, rotated, key_id="id-2")
    (note,) = notes(before, after)
    assert (note.reason, note.warning) == (Reason.KEY_ROTATED, False)
    assert "id-1" in note.message
    assert "2026-01-01T14:00:00Z" in note.message


def test_another_id_of_the_same_key_is_no_rotation() -> None:
    record = first_record(key(), NOW)
    assert told(said(key(), record), said(key(), record, key_id="id-2")) == []


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (Reason.PROGRESSING, []),
        (Reason.BANK_UNAVAILABLE, []),
        (Reason.KEY_REFUSED, [(Reason.KEY_REFUSED, True)]),
        (Reason.BANK_NOT_FOUND, [(Reason.BANK_NOT_FOUND, True)]),
    ],
)
def test_what_passes_by_itself_is_no_event(reason: Reason, expected: list[Any]) -> None:
    record = first_record(key(), NOW)
    broken = said(key(), record, Problem(reason, "a message"))
    working = said(key(), record)
    assert told({}, broken) == expected
    assert told(broken, broken) == []
    assert told(broken, working) == [(Reason.KEY_ACCEPTED, False)]


def conditions(status: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {each["type"]: (each["status"], each["reason"]) for each in status["conditions"]}


def test_the_end_of_a_key_is_said_before_and_after() -> None:
    of = key(expiresAt=(NOW + 10 * HOUR).isoformat())
    record = first_record(of, NOW)
    working = said(of, record, now=NOW + 7 * HOUR)
    assert conditions(working) == {"Ready": ("True", "KeyAccepted")}
    soon = said(of, record, now=NOW + 8 * HOUR)
    assert conditions(soon) == {
        "Ready": ("True", "KeyAccepted"),
        "Expiring": ("True", "KeyExpiresSoon"),
    }
    over = said(of, record, now=NOW + 10 * HOUR)
    assert conditions(over) == {
        "Ready": ("False", "KeyExpired"),
        "Stalled": ("True", "KeyExpired"),
    }
    assert "spec.expiresAt" in over["conditions"][0]["message"]
    assert told(working, soon) == [(Reason.KEY_EXPIRES_SOON, True)]
    assert told(soon, over) == [(Reason.KEY_EXPIRED, True)]


def test_an_expired_key_is_said_to_be_so_though_the_bank_does_not_answer() -> None:
    of = key(expiresAt=NOW.isoformat())
    silent = Problem(Reason.BANK_UNAVAILABLE, "No pod serves")
    assert conditions(said(of, None, silent))["Ready"] == ("False", "KeyExpired")


def test_a_key_that_cannot_be_read_keeps_what_is_said_of_it() -> None:
    record = first_record(key(), NOW)
    before = said(key(), record)
    body = {
        "metadata": {"name": "app", "namespace": "team", "uid": "uid-1", "generation": 2},
        "spec": {"hue": "red"},
        "status": before,
    }
    after = invalid_key_status(body, InvalidSpec("spec.hue", "remove it"), now=NOW)
    assert conditions(after) == {
        "Ready": ("False", "InvalidSpec"),
        "Stalled": ("True", "InvalidSpec"),
    }
    assert after["observedGeneration"] == 2
    assert "spec.hue: remove it" in after["conditions"][0]["message"]
    for kept in ("keyId", "rotation", "secretName"):
        assert after[kept] == before[kept]
    assert told(before, after) == [(Reason.INVALID_SPEC, True)]
