"""When to ask a service that has failed, and when to leave it alone."""

from __future__ import annotations

import random
import time
from collections.abc import Callable


class CircuitBreaker:
    """Closed while the service answers; open after so many failures in a row; then half-open.

    Half-open lets one request through: its success closes the breaker, its failure opens it again
    for twice as long, up to a minute. For one event loop: nothing here waits or locks.
    """

    def __init__(
        self,
        *,
        failures: int,
        seconds: float,
        longest: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open after so many `failures` in a row, for so many `seconds` the first time."""
        self._limit = failures
        self._first = min(seconds, longest)
        self._longest = longest
        self._clock = clock
        self._failures = 0
        self._open_for = 0.0
        self._until = 0.0
        self._trying = False

    def wait(self) -> float:
        """Return 0 when a request may be made now, else after how many seconds to ask again.

        Whoever got a 0 tells `succeeded`, `failed` or `abandoned` afterwards.
        """
        if not self._open_for:
            return 0.0
        left = self._until - self._clock()
        if left > 0 or self._trying:
            return max(left, 0.1)
        self._trying = True
        return 0.0

    def succeeded(self) -> None:
        """The service answered."""
        self._failures, self._open_for, self._trying = 0, 0.0, False

    def failed(self) -> None:
        """The service did not answer."""
        self._failures += 1
        if self._trying or (self._failures >= self._limit and not self._open_for):
            self._open_for = min(self._open_for * 2, self._longest) or self._first
            self._until = self._clock() + self._open_for
        self._trying = False

    def abandoned(self) -> None:
        """The request was cancelled: it says nothing about the service."""
        self._trying = False


def backoff(attempt: int, *, dice: random.Random) -> float:
    """Return the seconds before retry number `attempt` (from 0): up to .2, .4, .8 ... 5, at random.

    Full jitter: clients that failed together do not come back together.
    """
    return dice.uniform(0, min(5.0, 0.2 * 2**attempt))
