"""Counting which memories are found and read, without a write per search."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from datetime import datetime

from memorybank.domain.memory import Touch
from memorybank.errors import StoreUnavailable
from memorybank.ports import MemoryStore

_logger = logging.getLogger(__name__)

_EVERY_SECONDS = 5.0
_MOST_WAITING = 10_000
"""Memories whose use waits to be written; the use of others is not counted until they are."""


class Touches:
    """Gathers uses in memory and writes them every few seconds, all in one transaction.

    A crash loses those of the last seconds: they only tell how often something was of use.
    """

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._waiting: dict[tuple[str, str], Touch] = {}

    def note(self, tenant: str, memory_ids: Iterable[str], at: datetime) -> None:
        """Count one use of each of the memories."""
        for memory_id in memory_ids:
            key = (tenant, memory_id)
            known = self._waiting.get(key)
            if known is None and len(self._waiting) >= _MOST_WAITING:
                continue
            times = 1 if known is None else known.times + 1
            self._waiting[key] = Touch(tenant, memory_id, times, at)

    async def flush(self) -> None:
        """Write what waits; raises StoreUnavailable, and then it waits on."""
        waiting, self._waiting = self._waiting, {}
        if not waiting:
            return
        try:
            await self._store.touch(list(waiting.values()))
        except BaseException:
            for touch in waiting.values():
                newer = self._waiting.get((touch.tenant, touch.memory_id), touch)
                times = touch.times + (newer.times if newer is not touch else 0)
                self._waiting[touch.tenant, touch.memory_id] = Touch(
                    touch.tenant, touch.memory_id, times, newer.at
                )
            raise

    async def run(self) -> None:
        """Write every few seconds until cancelled, and once more then."""
        try:
            while True:
                await asyncio.sleep(_EVERY_SECONDS)
                await self._flush_if_possible()
        finally:
            await self._flush_if_possible()

    async def _flush_if_possible(self) -> None:
        try:
            await self.flush()
        except StoreUnavailable as error:
            _logger.warning("the use of memories could not be counted: %s", error.message)
