"""Forgetting as arithmetic: nothing compounds, nothing protected goes, the forecast comes true."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from memorybank.domain.forgetting import (
    Policy,
    Step,
    Vitals,
    after,
    due,
    foreseen,
    steps,
    strength,
    weak_from,
)
from memorybank.domain.memory import MemoryState, MemoryType
from tests.support.memory_samples import NOON

DAY = timedelta(days=1)
DAYS = st.floats(0, 2_000).map(lambda days: timedelta(days=days))
MOMENTS = DAYS.map(lambda age: NOON - age)
POLICIES = st.builds(
    Policy,
    interval=st.sampled_from([timedelta(hours=1), DAY, 7 * DAY]),
    threshold=st.floats(0.001, 0.199),
    grace=st.floats(1, 100).map(lambda days: timedelta(days=days)),
    half_life_days=st.dictionaries(st.sampled_from(MemoryType), st.floats(0.1, 36_500)),
)


@st.composite
def lives(draw: st.DrawFn, protected: bool | None = None) -> Vitals:
    """Any memory that there may be."""
    state = draw(st.sampled_from(MemoryState))
    return Vitals(
        memory_id=draw(st.uuids().map(str)),
        type=draw(st.sampled_from(MemoryType)),
        importance=draw(st.floats(0, 1)),
        pinned=draw(st.booleans()) if protected is None else protected,
        legal_hold=draw(st.booleans()) if protected is None else False,
        access_count=draw(st.integers(0, 10_000)),
        updated_at=draw(MOMENTS),
        accessed_at=draw(st.none() | MOMENTS),
        state=state,
        state_changed_at=None if state is MemoryState.LIVE else draw(MOMENTS),
        state_run=draw(st.sampled_from([None, "earlier"])),
    )


def ran(memories: list[Vitals], policy: Policy, at: timedelta) -> list[Vitals]:
    """What is left after a run so long after noon."""
    taken = {vitals.memory_id: step for vitals, step in steps(memories, policy, NOON + at)}
    left = (
        after(vitals, taken[vitals.memory_id], at=NOON + at, run="run")
        if vitals.memory_id in taken
        else vitals
        for vitals in memories
    )
    return [vitals for vitals in left if vitals is not None]


@given(lives(), POLICIES, DAYS, DAYS)
def test_strength_only_falls_and_stays_within_bounds(
    vitals: Vitals, policy: Policy, early: timedelta, later: timedelta
) -> None:
    before = strength(vitals, policy, NOON + early)
    assert 0 <= strength(vitals, policy, NOON + early + later) <= before <= 1


@given(lives(protected=False), POLICIES)
def test_a_memory_is_weak_from_the_moment_that_is_foretold(vitals: Vitals, policy: Policy) -> None:
    moment = weak_from(vitals, policy)
    if moment is None:
        return
    little = timedelta(days=policy.half_life(vitals.type) / 1_000)
    assert strength(vitals, policy, moment - little) >= policy.threshold
    assert strength(vitals, policy, moment + little) <= policy.threshold


@given(lives(protected=False), POLICIES, DAYS)
def test_use_and_importance_only_make_a_memory_last_longer(
    vitals: Vitals, policy: Policy, age: timedelta
) -> None:
    now = NOON + age
    more_used = replace(vitals, access_count=vitals.access_count + 1)
    more_important = replace(vitals, importance=min(1.0, vitals.importance + 0.1))
    just_used = replace(vitals, accessed_at=NOON)
    for better in (more_used, more_important, just_used):
        assert strength(better, policy, now) >= strength(vitals, policy, now)


@given(st.lists(lives(), max_size=20), POLICIES, DAYS)
def test_a_thousand_runs_at_one_moment_do_what_one_does(
    memories: list[Vitals], policy: Policy, at: timedelta
) -> None:
    once = ran(memories, policy, at)
    often = once
    for _ in range(999):
        if not steps(often, policy, NOON + at):  # then a further run changes nothing, ever
            break
        often = ran(often, policy, at)
    assert often == once


@given(st.lists(lives(), max_size=10), POLICIES, st.integers(2, 30))
def test_runs_do_not_add_up(memories: list[Vitals], policy: Policy, runs: int) -> None:
    """Whatever was run before, what is archived at a moment is what is weak then."""
    often = memories
    for number in range(runs):
        often = ran(often, policy, number * policy.interval)
    last = NOON + (runs - 1) * policy.interval
    left = {vitals.memory_id: vitals for vitals in often}
    for vitals in memories:
        if vitals.state is MemoryState.LIVE:
            weak = weak_from(vitals, policy)
            is_live = vitals.memory_id in left and left[vitals.memory_id].state is MemoryState.LIVE
            assert is_live == (weak is None or weak > last)


@given(lives(protected=True), POLICIES, st.booleans())
def test_what_is_protected_takes_no_step_ever(vitals: Vitals, policy: Policy, held: bool) -> None:
    protected = replace(vitals, pinned=not held, legal_hold=held)
    assert due(protected, policy) is None
    assert strength(protected, policy, NOON + 10_000 * DAY) == 1


@given(lives(protected=False), POLICIES)
def test_what_somebody_archived_stays_archived(vitals: Vitals, policy: Policy) -> None:
    by_hand = replace(vitals, state=MemoryState.ARCHIVED, state_changed_at=NOON, state_run=None)
    assert due(by_hand, policy) is None


@given(lives(protected=False), POLICIES)
def test_the_trash_is_kept_for_the_whole_grace_period(vitals: Vitals, policy: Policy) -> None:
    trashed = replace(vitals, state=MemoryState.TRASH, state_changed_at=NOON)
    assert due(trashed, policy) == (Step.PURGE, NOON + policy.grace)


@given(
    st.lists(lives(), max_size=8),
    POLICIES,
    st.lists(st.integers(0, 60), min_size=1, max_size=4, unique=True).map(sorted),
    st.integers(0, 100),
)
def test_what_is_foreseen_is_what_then_happens(
    memories: list[Vitals], policy: Policy, days: list[int], first_hours: int
) -> None:
    first = timedelta(hours=first_hours)
    horizons = [NOON + day * DAY for day in days]
    forecast = {
        vitals.memory_id: foreseen(vitals, policy, first_run=NOON + first, horizons=horizons)
        for vitals in memories
    }
    left, run = memories, first
    for place, day in enumerate(days):
        while run <= day * DAY:
            left = ran(left, policy, run)
            run += policy.interval
        states = {vitals.memory_id: vitals.state for vitals in left}
        for memory_id, foretold in forecast.items():
            assert foretold[place] == states.get(memory_id)


@given(lives(protected=False), POLICIES)
def test_what_an_import_dates_at_the_end_of_time_stops_no_run(
    vitals: Vitals, policy: Policy
) -> None:
    last = datetime.max.replace(tzinfo=UTC)
    for odd in (
        replace(vitals, updated_at=last, accessed_at=last),
        replace(vitals, state_changed_at=last),
    ):
        assert steps([odd], policy, NOON) in ([], [(odd, Step.ARCHIVE)])
        coming = due(odd, policy)
        assert coming is None or coming[1] > NOON or odd.state is MemoryState.LIVE
