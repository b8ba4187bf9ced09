"""The tasks that work a keyed queue off: bounded in number, each piece of work bounded in time."""

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
        self._tasks: list[asyncio.Task[None]] = []

    def add(self, key: KeyT, priority: Priority, *, delay: float = 0.0) -> None:
        """Ask for a key to be worked on after a delay in seconds."""
        self.queue.add(key, priority, delay=delay)
        self._wake.set()

    def start(self) -> None:
        """Start the workers."""
        self.queue.begin()
        self._tasks = [
            asyncio.create_task(self._run(), name=f"{self._name}-{number}")
            for number in range(self._count)
        ]

    async def stop(self, grace: float) -> bool:
        """Take no new work, let what runs finish; return whether it did within `grace` seconds."""
        self._stopping = True
        self._wake.set()
        if not self._tasks:
            return True
        _, running = await asyncio.wait(self._tasks, timeout=grace)
        for task in running:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*running)
        return not running

    async def _run(self) -> None:
        while not self._stopping:
            self._wake.clear()
            key = self.queue.take()
            if key is None:
                await self._idle()
            else:
                await self._handle(key)

    async def _idle(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.queue.next_due()):
                await self._wake.wait()

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
        # The key may wait again, sooner than an idle worker expects.
        self._wake.set()
