"""Which one of the processes that share a store does the work that is to be done once.

It holds a lease, a row of the store that it renews. One that ends gives it back, and another goes
on at once; one that dies or is cut off is followed when the lease has run out. Nothing depends on a
connection, so it does not matter what stands between the process and the database.

A process that was frozen believes no longer than its lease that it leads: it counts from before it
asked, by a clock that nobody can set. What it had begun it may end, of which every step looks again
at what it changes (see ForgettingStore.take, EmbeddingStore.embedded, AccessStore.prune_audit).
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from contextlib import suppress

from memorybank.domain.ids import new_id
from memorybank.errors import MemoryBankError
from memorybank.ports import SharedStore

LEASE_SECONDS = 15
_LOOK_SECONDS = 3.0
"""Between two looks at the lease, whether to renew it or to see that it has run out. With the
lease, the time without a leader after a sudden death is at most 18 s."""

_logger = logging.getLogger(__name__)


class Deposed(Exception):
    """Another process may lead by now."""


class Leadership:
    """Whether this process leads; the only one of its store always does."""

    def __init__(
        self,
        store: SharedStore | None = None,
        *,
        lease_seconds: int = LEASE_SECONDS,
        look_seconds: float = _LOOK_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._lease_seconds = lease_seconds
        self._look_seconds = look_seconds
        self._clock = clock
        self._holder = new_id()
        self._until = math.inf if store is None else -math.inf
        self._led = store is None
        self._gained = asyncio.Event()

    @property
    def leads(self) -> bool:
        """Whether no other process can be leading now."""
        return self._clock() < self._until

    def require(self) -> None:
        """Raise Deposed unless this process leads."""
        if not self.leads:
            raise Deposed

    async def gained(self) -> None:
        """Return when this process leads."""
        while not self.leads:
            self._gained.clear()
            await self._gained.wait()

    async def run(self) -> None:
        """Take the lease whenever it is free and keep it, until cancelled: then give it back."""
        if self._store is None:
            return
        try:
            while True:
                await self._look(self._store)
                await asyncio.sleep(self._look_seconds)
        finally:
            if self.leads:
                self._until = -math.inf
                with suppress(MemoryBankError):  # then it runs out
                    await self._store.resign(self._holder)

    async def _look(self, store: SharedStore) -> None:
        began = self._clock()
        try:
            leads = await store.lead(self._holder, seconds=self._lease_seconds)
        except MemoryBankError:  # the lease runs out meanwhile, if it is ours
            leads = False
        else:
            self._until = began + self._lease_seconds if leads else -math.inf
        if leads:
            self._gained.set()
        if self.leads != self._led:
            self._led = self.leads
            _logger.info("does the background work" if leads else "leaves the background work")
