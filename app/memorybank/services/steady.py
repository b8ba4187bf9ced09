"""The clock that grace periods are counted by: it never runs ahead of real time.

The time of a machine may jump: a wrong battery clock, a wrong time server, a restored snapshot. A
jump ahead must not purge what has been in the trash for an hour. So this clock advances by what the
kernel counts (CLOCK_BOOTTIME), which nobody can set. While the service is not running nothing
counts, so a pause is taken from the machine's time, but at most a week of it. See
docs/adr/0021-grace-is-counted-by-a-clock-of-its-own.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from memorybank.ports import ClockReading

LONGEST_PAUSE = timedelta(days=7)
"""A service that was off for longer forgets later by the rest."""


def now_utc() -> datetime:
    """Return the machine's time."""
    return datetime.now(UTC)


def elapsed() -> timedelta:
    """Return the time since the machine was started, suspensions included, at any offset."""
    return timedelta(microseconds=time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000)


class SteadyClock:
    """Goes on from the last reading that was kept; without one, it starts at the machine's time."""

    def __init__(
        self,
        last: ClockReading | None,
        *,
        wall: Callable[[], datetime] = now_utc,
        elapsed: Callable[[], timedelta] = elapsed,
    ) -> None:
        self._wall = wall
        self._elapsed = elapsed
        self._began = elapsed()
        if last is None:
            self._start = wall()
        else:
            pause = max(wall() - last.wall, timedelta(0))
            self._start = last.steady + min(pause, LONGEST_PAUSE)

    def stamp(self) -> datetime:
        """Return the time to write down for something that happens now."""
        return self._start + (self._elapsed() - self._began)

    def now(self) -> datetime:
        """Return the time to judge by what was written down: not later than any clock says."""
        return min(self.stamp(), self._wall())

    def reading(self, *, job_ran_at: datetime | None) -> ClockReading:
        """Return what to keep, to go on from after a restart."""
        return ClockReading(self._wall(), self.stamp(), job_ran_at)
