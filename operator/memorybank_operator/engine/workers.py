"""What works a keyed queue off: tasks, bounded in number, each piece of work bounded in time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from memorybank_operator.engine.queue import KeyedQueue, Priority

KeyT = TypeVar("KeyT", bound=Hashable)

WORK_SECONDS = 120.0
"""Longer than the timeouts of all requests of one reconcile together, unless one hangs."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one piece of work."""

    again_after: float | None = None
    """Seconds after which to look again though nothing changed; None for never."""
    failed: bool = False
    """Try again after a backoff."""
    at_least: float = 0.0
    """Seconds that the backoff takes at the least."""


class Workers(Generic[KeyT]):
    """Some workers and the queue they share. `work` must not raise for anything it expects."""

    def __init__(
        self,
        queue: KeyedQueue[KeyT],
        work: Callable[[KeyT], Awaitable[Outcome]],
        *,
        count: int,
        name: str,
    ) -> None:
        self.queue = queue
        self._work = work
        self._count = count
        self._name = name
        self._wake = asyncio.Event()
        self._stopping = False
        self._dispatcher: asyncio.Task[None] | None = None
        self._running: set[asyncio.Task[None]] = set()

    def add(self, key: KeyT, priority: Priority, *, delay: float = 0.0) -> None:
        """Ask for a key to be worked on after a delay in seconds."""
        self.queue.add(key, priority, delay=delay)
        self._wake.set()

    def start(self) -> None:
        """Begin to work."""
        self.queue.begin()
        self._dispatcher = asyncio.create_task(self._dispatch(), name=self._name)

    async def stop(self, grace: float) -> bool:
        """Take no new work, let what runs finish; return whether it did within `grace` seconds."""
        self._stopping = True
        self._wake.set()
        if self._dispatcher is None:
            return True
        await self._dispatcher
        if not self._running:
            return True
        _, running = await asyncio.wait(self._running, timeout=grace)
        for task in running:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*running)
        return not running

    async def _dispatch(self) -> None:
        """Hand each key that is due to a task of its own while there are fewer than allowed.

        One task waits for the next key. Were there as many as may work, each would wake whenever
        one of them has finished, which cost more than the work where thousands of banks are well.
        """
        while not self._stopping:
            self._wake.clear()
            if len(self._running) >= self._count:
                await self._wake.wait()
            elif (key := self.queue.take()) is not None:
                task = asyncio.create_task(self._handle(key), name=f"{self._name} {key}")
                self._running.add(task)
                task.add_done_callback(self._ended)
            else:
                await self._idle()

    async def _idle(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.queue.next_due()):
                await self._wake.wait()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        # There is room for another, and the key itself may wait again, sooner than any other.
        self._wake.set()

    async def _handle(self, key: KeyT) -> None:
        try:
            async with asyncio.timeout(WORK_SECONDS):
                outcome = await self._work(key)
        except TimeoutError:
            logger.error("gave up on %s after %g s", key, WORK_SECONDS)
            outcome = Outcome(failed=True)
        except Exception:
            logger.exception("unexpected error at %s, which is a bug of this operator", key)
            outcome = Outcome(failed=True)
        if outcome.failed:
            self.queue.failed(key, at_least=outcome.at_least)
        else:
            self.queue.done(key, again_after=outcome.again_after)
