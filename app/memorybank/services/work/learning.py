"""What the episodes of each tenant teach: derived from the store, kept in memory, never behind.

Whatever changes an episode, be it its end, a rollback, a deletion, an import or another process, is
a change of the feed. What is asked for is answered after all changes up to now were taken in, so
nothing that is stored twice can disagree.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from memorybank.domain.learning.experience import Experience
from memorybank.domain.learning.mining import lesson
from memorybank.errors import MemoryBankError
from memorybank.ports import StepsSince, StepStore
from memorybank.services.timing import Timed, untimed

Answer = TypeVar("Answer")
_logger = logging.getLogger(__name__)

_AT_ONCE = 200
"""Episodes that are read in one go: with their steps a megabyte or two."""
_FEW = 5
"""Episodes whose lessons are learned without leaving the event loop: a millisecond or so."""
_OLD_SECONDS = 24 * 3_600.0
"""The feed tells of deletions for some days: what was not asked for in so long is built anew."""
_MOST_TENANTS = 20
"""Tenants whose experience is kept; that of others is built anew when somebody asks."""


@dataclass(slots=True)
class _Known:
    experience: Experience = field(default_factory=Experience)
    seq: int = 0
    at: float = field(default_factory=time.monotonic)
    """When it was brought up to date last."""
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class Learning:
    """The experience of tenants."""

    def __init__(self, store: StepStore, *, timed: Timed = untimed) -> None:
        self._store = store
        self._timed = timed
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()

    async def ask(self, tenant: str, question: Callable[[Experience], Answer]) -> Answer:
        """Return what a tenant's experience says, with everything that is stored by now."""
        known = self._known.setdefault(tenant, _Known())
        self._known.move_to_end(tenant)
        while len(self._known) > _MOST_TENANTS:
            self._known.popitem(last=False)
        async with known.turn:
            await self._catch_up(tenant, known)
            return question(known.experience)

    def soon(self, tenant: str) -> None:
        """Learn what is new without anybody waiting for it."""
        known = self._known.get(tenant)
        if known is not None and known.turn.locked():
            return  # who holds it asks the store again, or the next who asks does
        task = asyncio.get_running_loop().create_task(self._learn(tenant))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Leave what is not learned yet: the next start learns it."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _learn(self, tenant: str) -> None:
        try:
            await self.ask(tenant, len)
        except MemoryBankError as error:
            _logger.warning("episodes could not be learned from: %s", error.message)

    async def _catch_up(self, tenant: str, known: _Known) -> None:
        if time.monotonic() - known.at > _OLD_SECONDS:
            known.experience, known.seq = Experience(), 0
        known.at = time.monotonic()
        while True:
            page = await self._store.since(tenant, known.seq, limit=_AT_ONCE)
            if page.seq < known.seq:  # another database is in the place of the one before
                known.experience, known.seq = Experience(), 0
                continue
            if page.changed or page.gone:
                with self._timed("pattern_extraction"):
                    if len(page.changed) <= _FEW:
                        _take(known.experience, page)
                    else:
                        await asyncio.to_thread(_take, known.experience, page)
            known.seq = page.seq
            if len(page.changed) < _AT_ONCE:
                return


def _take(experience: Experience, page: StepsSince) -> None:
    for gone in page.gone:
        experience.forget(gone)
    for episode, steps in page.changed:
        learned = lesson(episode, steps)
        if learned is None:
            experience.forget(episode.id)
        else:
            experience.learn(learned)
