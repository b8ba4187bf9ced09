"""Which bank is next: a keyed queue with priorities, backoff and pacing. No I/O, no clock of its
own.

- A key waits at most once. Added again, it takes the more urgent priority and the earlier time.
- One worker at a time works on a key. Added again meanwhile, it waits as soon as that is done.
- The most urgent goes first, but one in a few is who has waited longest: a crowd of new banks does
  not keep those from getting ready that it has made already.
- Failures back off exponentially with jitter, per key; a success forgets them.
- Changes of children are paced per key: whoever fights with us over a field gets one answer a
  second, not a loop.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Generic, TypeVar

KeyT = TypeVar("KeyT", bound=Hashable)

BACKOFF_BASE = 0.5
BACKOFF_MAX = 300.0
PACE_BURST = 30.0
"""Child-driven reconciles of one bank at full speed; a bank's creation takes about 20."""
PACE_PER_SECOND = 1.0


LONGEST_WAITING_EVERY = 4
"""One taken in so many is who has waited longest. A change by a user waits for one other at the
most, a crowd of them takes a third longer, and nothing that is less urgent waits forever.
"""


class Priority(IntEnum):
    """How urgent; the smallest goes first."""

    USER = 0
    """Somebody changed the bank."""
    CHILD = 1
    """Something the bank consists of changed."""
    RESYNC = 2
    """A look without an occasion."""


@dataclass(slots=True)
class _State:
    """What is known of a key that waits or runs."""

    tokens_at: float
    tokens: float = PACE_BURST
    priority: Priority = Priority.RESYNC
    due: float | None = None
    """When it may be worked on; None when it does not wait."""
    not_before: float = 0.0
    """A server asked not to be bothered earlier."""
    ticket: int = 0
    """The newest heap entry; older ones are void."""
    started: float | None = None
    failures: int = 0
    """As far as they lengthen the backoff."""
    retry_at: float = 0.0
    """When the backoff of the last failure is over."""


@dataclass(frozen=True, slots=True)
class Depth:
    """The queue at one moment; times in seconds."""

    waiting: Mapping[Priority, int]
    """Keys whose time has come, by priority."""
    delayed: int
    running: int
    oldest_waiting: float
    """Since the longest waiting key was due."""
    oldest_running: float
    """Since the longest running key was taken."""
    stalled: float
    """With work to do, and nothing finished."""


class KeyedQueue(Generic[KeyT]):
    """A queue of keys. Times are seconds of `clock`, a monotonic one; `jitter` yields 0..1."""

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        backoff_max: float = BACKOFF_MAX,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._clock = clock
        self._backoff_max = backoff_max
        self._jitter = jitter
        self._states: dict[KeyT, _State] = {}
        self._delayed: list[tuple[float, int, KeyT]] = []
        self._ready: dict[Priority, list[tuple[float, int, KeyT]]] = {each: [] for each in Priority}
        self._taken = 0
        self._tickets = 0
        self._last_finished = clock()
        self.retries = 0
        """Failures so far, of all keys."""

    def add(self, key: KeyT, priority: Priority, *, delay: float = 0.0) -> None:
        """Ask for a key to be worked on after a delay in seconds."""
        now = self._clock()
        state = self._states.setdefault(key, _State(tokens_at=now))
        due = now + delay
        if priority is Priority.CHILD:
            due = _paced(state, now, due=due)
        self._wait(key, state, priority, due=due)

    def begin(self) -> None:
        """Work begins: what waited before does not count as stalled."""
        self._last_finished = self._clock()

    def take(self) -> KeyT | None:
        """Take the most urgent key that is due, now and then the one that is due longest; None
        when there is none. It runs from now on.
        """
        self._promote()
        waiting = [each for each in self._ready.values() if self._is_waited_in(each)]
        if not waiting:
            return None
        self._taken += 1
        by_due = self._taken % LONGEST_WAITING_EVERY == 0
        *_, key = heapq.heappop(min(waiting) if by_due else waiting[0])
        state = self._states[key]
        state.started, state.due = self._clock(), None
        return key

    def next_due(self) -> float | None:
        """Return the seconds until a key may be due, 0 for now, None when no key waits."""
        self._promote()
        if any(self._is_waited_in(each) for each in self._ready.values()):
            return 0.0
        return max(0.0, self._delayed[0][0] - self._clock()) if self._delayed else None

    def done(self, key: KeyT, *, again_after: float | None = None) -> None:
        """A running key was worked on with success; look at it again after some seconds, or not."""
        state = self._finish(key)
        state.failures, state.not_before, state.retry_at = 0, 0.0, 0.0
        if again_after is not None:
            self._wait(key, state, Priority.RESYNC, due=self._clock() + again_after)
        elif state.due is None:
            del self._states[key]

    def failed(self, key: KeyT, *, at_least: float = 0.0) -> float:
        """A running key was worked on in vain: it waits for its backoff; return those seconds.

        A change that arrives meanwhile is looked at without that wait, but not before `at_least`
        seconds passed. When that is in vain too, the next wait is no longer than this one: the
        backoff grows with the time that the trouble takes, not with the number of changes.
        """
        state = self._finish(key)
        if self._clock() >= state.retry_at:
            state.failures += 1
        self.retries += 1
        # Equal jitter: never shorter than half, so that a crowd spreads and nobody hammers.
        full = min(self._backoff_max, BACKOFF_BASE * 2.0 ** min(state.failures - 1, 30))
        delay = max(at_least, full * (0.5 + 0.5 * self._jitter()))
        state.retry_at = self._clock() + delay
        state.not_before = self._clock() + at_least
        self._wait(key, state, Priority.CHILD, due=self._clock() + delay)
        return delay

    def depth(self) -> Depth:
        """Count what waits and runs."""
        now = self._clock()
        waiting = dict.fromkeys(Priority, 0)
        delayed = running = 0
        oldest_waiting = oldest_running = 0.0
        for state in self._states.values():
            if state.started is not None:
                running += 1
                oldest_running = max(oldest_running, now - state.started)
            elif state.due is not None and state.due <= now:
                waiting[state.priority] += 1
                oldest_waiting = max(oldest_waiting, now - state.due)
            else:
                delayed += 1
        idle = now - self._last_finished
        stalled = min(idle, max(oldest_waiting, oldest_running))
        return Depth(waiting, delayed, running, oldest_waiting, oldest_running, stalled)

    def _finish(self, key: KeyT) -> _State:
        state = self._states[key]
        state.started = None
        self._last_finished = self._clock()
        if state.due is not None:
            self._enter(key, state)
        return state

    def _wait(self, key: KeyT, state: _State, priority: Priority, *, due: float) -> None:
        if state.due is not None:
            priority, due = min(priority, state.priority), min(due, state.due)
        state.priority, state.due = priority, max(due, state.not_before)
        if state.started is None:
            self._enter(key, state)

    def _enter(self, key: KeyT, state: _State) -> None:
        self._tickets += 1
        state.ticket = self._tickets
        heapq.heappush(self._delayed, (state.due or 0.0, state.ticket, key))

    def _promote(self) -> None:
        now = self._clock()
        while self._delayed and self._delayed[0][0] <= now:
            due, ticket, key = heapq.heappop(self._delayed)
            state = self._states.get(key)
            if state is not None and state.ticket == ticket:
                heapq.heappush(self._ready[state.priority], (due, ticket, key))

    def _is_waited_in(self, heap: list[tuple[float, int, KeyT]]) -> bool:
        """Tell whether the first entry of a heap counts, once those that are void are dropped."""
        while heap:
            _, ticket, key = heap[0]
            state = self._states.get(key)
            if state is not None and state.ticket == ticket:
                return True
            heapq.heappop(heap)
        return False


def _paced(state: _State, now: float, *, due: float) -> float:
    """Return when the key's next token is there, and spend it unless the key is up by then."""
    state.tokens = min(PACE_BURST, state.tokens + (now - state.tokens_at) * PACE_PER_SECOND)
    state.tokens_at = now
    due = max(due, now + (1.0 - state.tokens) / PACE_PER_SECOND)
    if state.due is None or state.due > due:
        state.tokens -= 1.0
    return due
