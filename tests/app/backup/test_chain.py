"""Which backup goes on from which, which one is restored and which one may go."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from memorybank.backup.chain import Chain, Epoch, Origin, lineage, next_name

BEGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def epoch(number: int, parent: Epoch | None = None, *, day: float, letter: str = "a") -> Epoch:
    return Epoch(
        name=f"{number:08}-{letter * 8}",
        parent=parent and parent.name,
        origin=Origin.NOTHING if parent is None else Origin.BACKUP,
        began=BEGIN + day * DAY,
        bank="team/agents",
        service_version="0.1.0",
        schema_version=9,
    )


def chain(*written: tuple[Epoch, float | None]) -> Chain:
    """A chain of epochs, each with the day on which it was written to last, if ever."""
    return Chain(
        {each.name: each for each, _ in written},
        {each.name: BEGIN + day * DAY for each, day in written if day is not None},
    )


FIRST = epoch(1, day=0)
SECOND = epoch(2, FIRST, day=10)
THIRD = epoch(3, SECOND, day=20)


def test_the_first_epoch_is_the_first() -> None:
    empty = chain()
    assert empty.newest() is None
    assert empty.holding(BEGIN) is None
    assert next_name(empty.epochs).startswith("00000001-")


def test_the_next_incarnation_goes_on_from_the_last_one_that_replicated() -> None:
    assert chain((FIRST, 10), (SECOND, 20), (THIRD, 21)).newest() == THIRD
    begun = chain((FIRST, 10), (SECOND, 20), (THIRD, None))
    assert begun.newest() == SECOND
    assert next_name(begun.epochs).startswith("00000004-"), "a number is used once"


def test_of_two_that_were_alive_at_once_one_is_gone_on_from() -> None:
    one, other = epoch(2, FIRST, day=10, letter="b"), epoch(2, FIRST, day=11, letter="a")
    forked = chain((FIRST, 10), (one, 15), (other, 12))
    assert forked.newest() == other
    after = epoch(3, other, day=16)
    forked = chain((FIRST, 10), (one, 30), (other, 12), (after, 17))
    assert forked.newest() == after, "whoever still writes elsewhere is not gone on from"
    assert list(lineage(forked.epochs, after)) == [after, other, FIRST]


@pytest.mark.parametrize(
    ("day", "found"),
    [(-1, None), (0, FIRST), (9.9, FIRST), (10, SECOND), (19, SECOND), (99, THIRD)],
)
def test_a_moment_is_looked_for_in_the_epoch_that_was_written_then(
    day: float, found: Epoch | None
) -> None:
    known = chain((FIRST, 10), (SECOND, 20), (THIRD, 21))
    assert known.holding(BEGIN + day * DAY) == found


def test_what_was_never_written_to_holds_no_moment() -> None:
    known = chain((FIRST, 10), (SECOND, None), (THIRD, 21))
    assert known.holding(BEGIN + 15 * DAY) == FIRST


def test_an_epoch_goes_when_nothing_of_the_kept_time_is_in_it() -> None:
    known = chain((FIRST, 10), (SECOND, 20), (THIRD, 21))

    def gone(day: float, keep: float) -> list[Epoch]:
        now = BEGIN + day * DAY
        return list(known.expired(keep=keep * DAY, now=now, own=THIRD.name))

    assert gone(30, 30) == []
    assert gone(35, 30) == [], "the kept time begins with what the first one holds"
    assert gone(41, 30) == [FIRST]
    assert gone(51, 30) == [FIRST, SECOND]
    assert gone(500, 1) == [FIRST, SECOND], "the newest never goes"


def test_an_incarnation_that_never_replicated_goes_like_the_others() -> None:
    known = chain((FIRST, 10), (SECOND, None), (THIRD, 21))
    found = known.expired(keep=DAY, now=BEGIN + 60 * DAY, own=THIRD.name)
    assert found == [FIRST, SECOND]


def test_a_lineage_that_leads_in_circles_ends() -> None:
    one, other = epoch(1, day=0), epoch(2, day=1)
    one = one.model_copy(update={"parent": other.name})
    other = other.model_copy(update={"parent": one.name})
    assert list(lineage({each.name: each for each in (one, other)}, other)) == [other, one]


@pytest.mark.parametrize("name", ["", "1", "00000001-zzzzzzzz", "../../etc", "00000001-aaaaaaaa/"])
def test_no_other_name_is_taken(name: str) -> None:
    with pytest.raises(ValidationError):
        Epoch.model_validate(FIRST.model_dump() | {"name": name})


@given(
    st.lists(st.tuples(st.floats(0, 100), st.none() | st.floats(0, 100)), max_size=12),
    st.floats(0, 60),
    st.floats(0, 200),
)
def test_whatever_expires_every_moment_that_is_kept_stays_recoverable(
    pods: list[tuple[float, float | None]], keep: float, today: float
) -> None:
    known: list[tuple[Epoch, float | None]] = []
    for number, (begun, wrote) in enumerate(sorted(pods, key=lambda each: each[0]), start=1):
        parent = chain(*known).newest()
        last = None if wrote is None else max(begun, wrote)
        known.append((epoch(number, parent, day=begun), last))
    now, before = BEGIN + today * DAY, chain(*known)
    gone = before.expired(keep=keep * DAY, now=now, own="")
    left = chain(*(each for each in known if each[0] not in gone))
    for share in range(11):
        moment = now - keep * DAY * share / 10
        assert left.holding(moment) == before.holding(moment)
    assert left.newest() == before.newest()
