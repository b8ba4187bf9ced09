"""When keys are replaced and refused, by a clock that the tests set."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank_operator.api.duration import parse_duration
from memorybank_operator.api.v1alpha1.memorybankkey import MemoryBankKey
from memorybank_operator.reconcile.rotation import (
    MAX_FORMER,
    announced_at,
    first_record,
    is_due,
    next_moment,
    next_rotation,
    present_record,
    rotated_record,
)
from memorybank_operator.resources.key_record import KeyRecord

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
DIGEST = "d" * 64


def key(created: datetime = NOW, **spec: Any) -> MemoryBankKey:
    metadata = {
        "name": "app", "namespace": "team", "uid": "uid-1", "generation": 1,
        "creationTimestamp": created.isoformat(),
    }  # fmt: skip
    return MemoryBankKey.parse(
        {"metadata": metadata, "spec": {"bankRef": {"name": "agents"}, **spec}}
    )


def rotated(of: MemoryBankKey, record: KeyRecord, now: datetime, digest: str = DIGEST) -> KeyRecord:
    return rotated_record(of, record, digest=digest, key_id="id-1", now=now)


def test_without_a_schedule_and_a_request_a_key_stays() -> None:
    record = first_record(key(), NOW)
    assert next_rotation(key(), record) is None
    assert not is_due(key(), record, NOW + 100_000 * HOUR)
    assert next_moment(key(), record, NOW) is None


def test_a_key_is_replaced_when_it_is_as_old_as_the_schedule_says() -> None:
    daily = key(rotation={"every": "24h"})
    record = first_record(daily, NOW)
    due = NOW + 24 * HOUR
    assert next_rotation(daily, record) == next_moment(daily, record, NOW) == due
    assert not is_due(daily, record, due - timedelta(seconds=1))
    assert is_due(daily, record, due)
    late = due + 5 * HOUR  # nobody looked in time
    after = rotated(daily, record, late)
    assert not is_due(daily, after, late)
    assert next_rotation(daily, after) == late + 24 * HOUR


def test_a_new_request_replaces_the_key_once() -> None:
    asking = key(rotation={"request": "leaked"})
    record = first_record(key(), NOW)
    assert is_due(asking, record, NOW)
    after = rotated(asking, record, NOW)
    assert not is_due(asking, after, NOW)
    assert not is_due(key(), after, NOW), "a request that is taken back is none"
    assert is_due(key(rotation={"request": "again"}), after, NOW)


def test_a_key_that_is_made_by_a_spec_with_a_request_answers_it() -> None:
    asking = key(rotation={"request": "first"})
    assert not is_due(asking, first_record(asking, NOW), NOW)


def test_the_former_key_is_valid_for_the_overlap_and_then_forgotten() -> None:
    of = key(rotation={"overlap": "30m"})
    record = rotated(of, first_record(of, NOW), NOW)
    (former,) = record.former
    assert (former.digest, former.key_id) == (DIGEST, "id-1")
    assert former.until == next_moment(of, record, NOW) == NOW + HOUR / 2
    assert present_record(of, record, former.until - timedelta(seconds=1)).former == (former,)
    assert present_record(of, record, former.until).former == ()


def test_another_overlap_holds_for_the_keys_that_are_still_valid() -> None:
    record = rotated(key(), first_record(key(), NOW), NOW)
    longer = present_record(key(rotation={"overlap": "3h"}), record, NOW)
    assert longer.former[0].until == NOW + 3 * HOUR
    assert present_record(key(rotation={"overlap": "0s"}), record, NOW).former == ()


def test_without_overlap_the_former_key_is_refused_at_once() -> None:
    of = key(rotation={"overlap": "0s"})
    assert rotated(of, first_record(of, NOW), NOW).former == ()


def test_no_former_key_outlives_the_end_of_the_spec() -> None:
    ending = key(expiresAt=(NOW + HOUR / 2).isoformat())
    record = rotated(ending, first_record(ending, NOW), NOW)
    assert record.former[0].until == NOW + HOUR / 2


def test_an_expired_key_is_not_replaced() -> None:
    expired = key(expiresAt=NOW.isoformat(), rotation={"every": "1h", "request": "now"})
    record = first_record(key(), NOW - 2 * HOUR)
    assert not is_due(expired, record, NOW)
    assert next_rotation(expired, record.model_copy(update={"issued_at": NOW})) is None


def test_many_rotations_within_the_overlap_end_the_oldest_keys() -> None:
    of = key()
    record = first_record(of, NOW)
    for number in range(MAX_FORMER + 3):
        record = rotated(of, record, NOW, digest=str(number))
    assert [each.digest for each in record.former] == [str(n) for n in range(3, MAX_FORMER + 3)]


@pytest.mark.parametrize(
    ("life", "ahead"), [(timedelta(days=365), timedelta(days=7)), (10 * HOUR, 2 * HOUR)]
)
def test_the_end_of_a_key_is_announced(life: timedelta, ahead: timedelta) -> None:
    ending = key(expiresAt=(NOW + life).isoformat())
    assert announced_at(ending) == NOW + life - ahead
    assert announced_at(key()) is None


@given(
    every=st.integers(2, 10_000), overlap=st.integers(0, 10_000), looks=st.lists(st.integers(1, 9))
)
def test_a_schedule_leaves_at_most_one_former_key_and_never_stops(
    every: int, overlap: int, looks: list[int]
) -> None:
    of = key(rotation={"every": f"{every}m", "overlap": f"{min(overlap, every - 1)}m"})
    record, now = first_record(of, NOW), NOW
    for look in looks:
        now += timedelta(minutes=every * look / 3)
        record = present_record(of, record, now)
        if is_due(of, record, now):
            record = rotated(of, record, now)
        assert len(record.former) <= 1
        due = next_rotation(of, record)
        assert due is not None
        assert due > now
        moment = next_moment(of, record, now)
        assert moment is not None
        assert now < moment <= due


@pytest.mark.parametrize(("text", "seconds"), [("0s", 0), ("90s", 90), ("5m", 300), ("2h", 7200)])
def test_a_span_of_time_is_a_number_and_a_unit(text: str, seconds: int) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "1", "h", "1d", "-1h", "01h", "1h30m", "1.5h", "9999999h"])
def test_anything_else_is_refused_with_the_cure(text: str) -> None:
    with pytest.raises(ValueError, match="write a number and s, m or h"):
        parse_duration(text)
