"""Steps of episodes on their way into the store: many share one write."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from memorybank import trail
from memorybank.domain.work.episodes import Step, StepBatching
from memorybank.errors import MemoryBankError, StoreUnavailable
from memorybank.ports import NewSteps, StepStore
from memorybank.services.timing import Timed, untimed

_logger = logging.getLogger(__name__)
_UNWRITTEN = "steps of episodes could not be written, and wait on: %s"

MOST_WAITING = 10_000
"""Steps of a tenant that wait at most while they cannot be written; more are refused."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    actor: trail.Actor | None
    new: NewSteps


class StepQueue:
    """Writes steps in batches: when enough wait, after a while, when an episode ends or is read,
    before an export, and when the service stops.

    A crash loses what waits, which is what callers were told is queued, and nothing else. Without
    `waits` nothing ever waits.
    """

    def __init__(
        self,
        store: StepStore,
        *,
        waits: bool = True,
        batching: StepBatching | None = None,
        timed: Timed = untimed,
    ) -> None:
        self.store = store
        self._waits = waits
        self._batching = batching or StepBatching()
        self._timed = timed
        self._waiting: dict[str, list[_Waiting]] = {}
        self._numbers: dict[tuple[str, str], int] = {}
        """How many steps an episode has with those that wait, of episodes that have any."""
        self._turns: dict[str, asyncio.Lock] = {}

    def known(self, tenant: str, episode: str) -> int | None:
        """Return how many steps an episode has, if any wait; None otherwise."""
        return self._numbers.get((tenant, episode))

    @property
    def waiting(self) -> int:
        """Steps that wait to be written."""
        return sum(map(self._count, self._waiting))

    async def add(
        self, tenant: str, episode: str, steps: Sequence[Step], *, last: int, wait: bool
    ) -> list[int] | None:
        """Take steps of an episode that has `last` of them; return their numbers when they are
        durable, None when they wait.

        Who waits, and who gives numbers, is told when it is done. Where a batch is full and cannot
        be written, these wait with the others. Raises Conflict, and StoreUnavailable when they were
        not taken: who waits, or too many wait already.
        """
        if wait or not self._waits or any(step.number for step in steps):
            await self.flush(tenant)
            with self._timed("episode_steps"):
                [numbers] = await self.store.add_steps(tenant, [NewSteps(episode, steps)])
            return numbers
        if self._count(tenant) + len(steps) > MOST_WAITING:
            await self.flush(tenant)
        waiting = self._waiting.setdefault(tenant, [])
        waiting.append(_Waiting(trail.actor.get(), NewSteps(episode, steps)))
        self._numbers[tenant, episode] = last + len(steps)
        if self._count(tenant) < self._batching.steps:
            return None
        try:
            await self.flush(tenant)
        except StoreUnavailable as error:
            _logger.warning(_UNWRITTEN, error.message)
            return None
        return list(range(last + 1, last + len(steps) + 1))

    def _count(self, tenant: str) -> int:
        return sum(len(each.new.steps) for each in self._waiting.get(tenant, ()))

    async def flush(self, tenant: str) -> None:
        """Write what waits of a tenant, what is being written included.

        Raises StoreUnavailable, and then it waits on.
        """
        turn = self._turns.get(tenant)
        if tenant not in self._waiting and (turn is None or not turn.locked()):
            return
        async with self._turns.setdefault(tenant, asyncio.Lock()):
            # What comes while this is written waits for the next time.
            waiting = self._waiting.pop(tenant, [])
            done = 0
            try:
                for actor, several in itertools.groupby(waiting, key=lambda each: each.actor):
                    batch = [each.new for each in several]
                    with self._timed("episode_steps"), _acting(actor):
                        await self.store.add_steps(tenant, batch)
                    done += len(batch)
            except BaseException:
                self._waiting[tenant] = [*waiting[done:], *self._waiting.get(tenant, [])]
                raise
            finally:
                still = {each.new.episode for each in self._waiting.get(tenant, [])}
                for name in {each.new.episode for each in waiting} - still:
                    self._numbers.pop((tenant, name), None)

    async def run(self) -> None:
        """Write after each while until cancelled, and once more then."""
        try:
            while True:
                await asyncio.sleep(self._batching.seconds)
                await self.flush_all()
        finally:
            await self.flush_all()

    async def flush_all(self) -> None:
        """Write what waits of all tenants; what cannot be written is told and waits on."""
        for tenant in list(self._waiting):
            try:
                await self.flush(tenant)
            except MemoryBankError as error:
                _logger.warning(_UNWRITTEN, error.message)
        for tenant in [name for name, turn in self._turns.items() if not turn.locked()]:
            if tenant not in self._waiting:
                del self._turns[tenant]


@contextmanager
def _acting(actor: trail.Actor | None) -> Iterator[None]:
    """Let what is written count as done by whoever sent it."""
    token = trail.actor.set(actor)
    try:
        yield
    finally:
        trail.actor.reset(token)
