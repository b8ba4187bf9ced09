"""Noticing what other processes do to a store that this one shares with them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from memorybank.auth.authenticator import Authenticator
from memorybank.errors import MemoryBankError
from memorybank.ports import SearchIndex, SharedStore

_LOOK_SECONDS = 0.25
"""Between two looks, each a statement that reads one row. A memory that another process stored is
found here after so long and what indexing it takes."""

_logger = logging.getLogger(__name__)


class Following:
    """Makes the index and the keys that are known here what the store says, again and again.

    What this process writes itself needs none of it: that is searchable when it is acknowledged.
    """

    def __init__(
        self,
        store: SharedStore,
        index: SearchIndex,
        authenticator: Authenticator,
        *,
        renew: Callable[[], Awaitable[object]] | None = None,
        look_seconds: float = _LOOK_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`renew` reads everything anew; by default the index does."""
        self._store = store
        self._index = index
        self._authenticator = authenticator
        self._look_seconds = look_seconds
        self._clock = clock
        self._renew = renew or index.rebuild
        self._access: int | None = None
        self._feed: str | None = None
        self._answers = True
        self._all_known_at = clock()

    def behind(self) -> float:
        """Return for how many seconds others may have stored what is not known here."""
        return self._clock() - self._all_known_at

    async def run(self) -> None:
        """Follow until cancelled; while the store does not answer, what is there goes on serving.

        Keys are an exception: those that are known count until the store says otherwise.
        """
        while True:
            try:
                await self.look()
            except MemoryBankError as error:
                if self._answers:
                    _logger.warning("what other processes write is not seen: %s", error.message)
                self._answers = False
            else:
                self._answers = True
            await asyncio.sleep(self._look_seconds)

    async def look(self) -> None:
        """Catch up once. Raises StoreUnavailable."""
        began = self._clock()
        marks = await self._store.marks()
        if marks.access != self._access:
            self._authenticator.forget_all()
            self._access = marks.access
        if self._feed not in (None, marks.feed):
            await self._renew()
        elif marks.seq > self._index.seq:
            await self._index.catch_up()
        self._feed = marks.feed
        self._all_known_at = began
