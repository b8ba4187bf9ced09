"""When memories are forgotten: pure functions of what a memory is and of a moment.

A memory's strength is

    (.2 + .8 * importance) * 2 ** -(age / (half-life * (1 + .5 * log2(1 + accesses))))

where the age counts from the last time that it was stored, changed, found or read, and the
half-life is that of its type. It is computed whenever it is asked for and never written down, so it
cannot compound: running the job a thousand times at one moment does what running it once does.

A live memory whose strength falls below the threshold is archived; one that the job archived goes
to the trash after the grace period, if it is still weak; what is in the trash is purged after the
grace period. Each run takes a memory one step at most. What is pinned or on legal hold never takes
any, and what somebody archived by hand stays archived.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from memorybank.domain.memory import MemoryState, MemoryType

_LEAST = 0.2
"""Strength of a memory without importance when it is fresh; thresholds are below it."""

_ACCESS_GAIN = 0.5
"""Each doubling of the accesses adds half a half-life: ten uses make a memory last 2.7 times as
long. A logarithm, so that a memory that every search finds does not live for ever."""

HALF_LIFE_DAYS: Mapping[MemoryType, float] = {
    MemoryType.NOTE: 90,
    MemoryType.FACT: 365,
    MemoryType.DECISION: 365,
    MemoryType.PATTERN: 365,
    MemoryType.ERROR_SOLUTION: 180,
    MemoryType.CODE: 180,
    MemoryType.DOCUMENTATION: 180,
    MemoryType.SESSION: 30,
    MemoryType.TASK: 30,
    MemoryType.PREFERENCE: 365,
    MemoryType.PROCEDURE: 365,
    MemoryType.PERSONALITY: 730,
    MemoryType.THREAD: 30,
    MemoryType.EMOTION: 60,
    MemoryType.PROJECT: 730,
    MemoryType.EVENT: 30,
    MemoryType.CAPSULE: 90,
    MemoryType.HANDOFF: 180,
    MemoryType.EPISODE: 180,
    MemoryType.HEURISTIC: 365,
    MemoryType.EDIT: 90,
}
"""What is about a person or was decided once lasts; what tells of a day's work fades. With the
default threshold a memory of middling importance lasts 2.6 half-lives without any use."""


class Step(StrEnum):
    """What the job does to a memory."""

    ARCHIVE = "archive"
    TRASH = "trash"
    PURGE = "purge"


@dataclass(frozen=True, slots=True)
class Policy:
    """How memories are forgotten."""

    enabled: bool = False
    interval: timedelta = timedelta(hours=24)
    threshold: float = 0.1
    grace: timedelta = timedelta(days=30)
    half_life_days: Mapping[MemoryType, float] = field(default_factory=dict)
    """Of types that do not have that of HALF_LIFE_DAYS."""
    dry_run: bool = False
    """Nothing is ever changed: runs only tell what they would do."""

    def half_life(self, kind: MemoryType) -> float:
        """Return the half-life of a type in days."""
        return self.half_life_days.get(kind, HALF_LIFE_DAYS[kind])


@dataclass(frozen=True, slots=True)
class Vitals:
    """What of a memory decides about its forgetting."""

    memory_id: str
    type: MemoryType
    importance: float
    pinned: bool
    legal_hold: bool
    access_count: int
    updated_at: datetime
    accessed_at: datetime | None
    state: MemoryState
    state_changed_at: datetime | None
    state_run: str | None

    @property
    def last_use(self) -> datetime:
        """When it was last stored, changed, found or read."""
        return (
            self.updated_at if self.accessed_at is None else max(self.updated_at, self.accessed_at)
        )


def strength(vitals: Vitals, policy: Policy, now: datetime) -> float:
    """Return the strength, 0 to 1; what is protected has 1."""
    if vitals.pinned or vitals.legal_hold:
        return 1.0
    age = max(now - vitals.last_use, timedelta(0)) / timedelta(days=1)
    return float(_fresh(vitals) * 2 ** -(age / _lasting(vitals, policy)))


def weak_from(vitals: Vitals, policy: Policy) -> datetime | None:
    """Return the moment from which on the strength is below the threshold; None for never."""
    if vitals.pinned or vitals.legal_hold:
        return None
    days = _lasting(vitals, policy) * math.log2(_fresh(vitals) / policy.threshold)
    try:
        return vitals.last_use + timedelta(days=max(days, 0.0))
    except OverflowError:  # beyond the year 9999
        return None


def due(vitals: Vitals, policy: Policy) -> tuple[Step, datetime] | None:
    """Return the next step of a memory that is left alone, and from when on it is taken."""
    weak = weak_from(vitals, policy)
    if weak is None:
        return None
    since = vitals.state_changed_at or vitals.last_use
    # An import may name any moment, also one within the grace of the last there is.
    since = min(since, datetime.max.replace(tzinfo=since.tzinfo) - policy.grace)
    match vitals.state:
        case MemoryState.LIVE:
            return Step.ARCHIVE, weak
        case MemoryState.ARCHIVED if vitals.state_run is not None:
            return Step.TRASH, max(weak, since + policy.grace)
        case MemoryState.TRASH:
            return Step.PURGE, since + policy.grace
        case _:
            return None


def steps(memories: Iterable[Vitals], policy: Policy, now: datetime) -> list[tuple[Vitals, Step]]:
    """Return what a run at this moment does."""
    found: list[tuple[Vitals, Step]] = []
    for vitals in memories:
        coming = due(vitals, policy)
        if coming is not None and coming[1] <= now:
            found.append((vitals, coming[0]))
    return found


def after(vitals: Vitals, step: Step, *, at: datetime, run: str) -> Vitals | None:
    """Return a memory after a step of a run; None when it is gone."""
    if step is Step.PURGE:
        return None
    state = MemoryState.ARCHIVED if step is Step.ARCHIVE else MemoryState.TRASH
    return replace(vitals, state=state, state_changed_at=at, state_run=run)


def foreseen(
    vitals: Vitals, policy: Policy, *, first_run: datetime, horizons: Sequence[datetime]
) -> list[MemoryState | None]:
    """Return the state at each horizon, ascending, if nobody uses the memory; None for purged.

    Runs are at `first_run` and every interval after it; one at a horizon is counted in.
    """
    found: list[MemoryState | None] = []
    now: Vitals | None = vitals
    earliest = first_run
    for horizon in horizons:
        while now is not None:
            coming = due(now, policy)
            if coming is None:
                break
            run = _run_from(max(coming[1], earliest), first_run, policy.interval)
            if run is None or run > horizon:
                break
            now = after(now, coming[0], at=run, run="foreseen")
            earliest = run + policy.interval
        found.append(None if now is None else now.state)
    return found


def _run_from(moment: datetime, first: datetime, interval: timedelta) -> datetime | None:
    """Return the first run that is not before a moment."""
    missed = max(0, -((first - moment) // interval))
    try:
        return first + missed * interval
    except OverflowError:
        return None


def _fresh(vitals: Vitals) -> float:
    return _LEAST + (1 - _LEAST) * vitals.importance


def _lasting(vitals: Vitals, policy: Policy) -> float:
    """Return the half-life in days that use has made of that of the type."""
    return policy.half_life(vitals.type) * (1 + _ACCESS_GAIN * math.log2(1 + vitals.access_count))
