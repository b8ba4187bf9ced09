"""When something is due, by what is known to be done."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank_operator.api.cron import check_schedule, last_due, next_due
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.reconcile.schedule import (
    due,
    is_stale,
    moment_of,
    points_schedule,
    stamped,
    verification_schedule,
)
from tests.operator.world import BACKED_UP, bank

NIGHTLY = "30 2 * * *"
DAY = timedelta(days=1)
MADE = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
FIRST, LAST = (datetime(year, 1, 1, tzinfo=UTC).replace(tzinfo=None) for year in (2026, 2030))
moments = st.datetimes(FIRST, LAST, timezones=st.just(UTC))


def made(**backup: Any) -> MemoryBank:
    spec = {"backup": BACKED_UP["backup"] | backup}
    return bank(spec, creationTimestamp=MADE.isoformat())


def at(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 1, day, hour, minute, tzinfo=UTC)


def test_nothing_is_due_before_there_was_the_bank() -> None:
    assert due(made(), NIGHTLY, None, at(1, 23)) is None
    assert due(made(), NIGHTLY, None, at(2, 2, 30)) == at(2, 2, 30)


def test_what_was_missed_is_made_up_for_once() -> None:
    assert due(made(), NIGHTLY, at(2, 2, 30), at(9, 12)) == at(9, 2, 30)
    assert due(made(), NIGHTLY, at(9, 2, 30), at(9, 12)) is None


@given(moments)
def test_a_moment_is_the_last_until_the_next_one(now: datetime) -> None:
    last, following = last_due(NIGHTLY, now), next_due(NIGHTLY, now)
    assert last <= now < following
    assert last_due(NIGHTLY, last) == last
    assert following - last == DAY


def test_each_bank_has_a_minute_of_its_own() -> None:
    found = {verification_schedule(bank(BACKED_UP, uid=f"uid-{number}")) for number in range(100)}
    assert len(found) > 90
    for schedule in filter(None, found):
        check_schedule(schedule)
    assert verification_schedule(made()) == verification_schedule(made())


def test_a_bank_has_the_schedules_that_its_spec_says() -> None:
    assert verification_schedule(made(verify={"enabled": False})) is None
    assert verification_schedule(made(verify={"schedule": NIGHTLY})) == NIGHTLY
    assert verification_schedule(bank()) is None
    assert points_schedule(made()) is None
    assert points_schedule(made(points={"schedule": NIGHTLY})) == NIGHTLY
    assert points_schedule(bank()) is None


def test_what_was_verified_is_stale_after_two_periods() -> None:
    assert not is_stale(NIGHTLY, at(2, 2, 31), at(4, 2, 31))
    assert is_stale(NIGHTLY, at(2, 2, 31), at(4, 2, 32))


def test_a_name_tells_the_moment() -> None:
    name = stamped("agents", at(2, 2, 30))
    assert name == "agents-202601020230"
    assert moment_of("agents", name) == at(2, 2, 30)
    for other in ("agents", "agents-", "other-202601020230", "agents-202613020230", "agents-x"):
        assert moment_of("agents", other) is None


@pytest.mark.parametrize(
    "text", ["0 0 30 2 *", "5-1 * * * *", "*/0 * * * *", "* * * *", "@daily", "0 25 * * *", ""]
)
def test_what_never_comes_is_refused_with_the_cure(text: str) -> None:
    with pytest.raises(ValueError, match="write the five fields of cron"):
        check_schedule(text)
