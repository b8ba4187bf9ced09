"""SearchIndex in memory, following the change feed of a store."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from memorybank.domain.memory import MemoryChange, MemoryFilter
from memorybank.domain.search import Facets, Hit, Refinement, Suggestion
from memorybank.ports import MemoryStore, Vector
from memorybank.search.tenant import TenantIndex

Answer = TypeVar("Answer")

_FEED_PAGE = 500
"""Changes read at a time: some 20 ms of work, so that a search can slip in between."""

_NO_REFINEMENT = Refinement()

_log = logging.getLogger(__name__)


class MemoryIndex:
    """Hybrid search over all memories of a store, one index per tenant.

    Starts empty: `catch_up` at start rebuilds everything, `catch_up(seq)` after a write makes that
    write searchable before it is acknowledged. All work is done in one thread, so that the event
    loop stays free and a search never sees half a change.
    """

    def __init__(self, store: MemoryStore, *, dimensions: int) -> None:
        """`dimensions` is the length of the vectors, in the store and in queries."""
        self._store = store
        self._dimensions = dimensions
        self._tenants: dict[str, TenantIndex] = {}
        self._position = 0
        self._following = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="search-index")

    @property
    def seq(self) -> int:
        """See SearchIndex."""
        return self._position

    async def search(
        self,
        tenant: str,
        query: str,
        *,
        vector: Vector | None,
        where: MemoryFilter,
        limit: int,
        refine: Refinement = _NO_REFINEMENT,
    ) -> list[Hit]:
        """See SearchIndex."""

        def run() -> list[Hit]:
            index = self._of(tenant)
            return index.search(query, vector, where=where, limit=limit, refine=refine)

        return await self._in_thread(run)

    async def vector(self, tenant: str, memory_id: str) -> Vector | None:
        """See SearchIndex."""
        return await self._in_thread(lambda: self._of(tenant).vector(memory_id))

    async def facets(
        self, tenant: str, where: MemoryFilter, refine: Refinement = _NO_REFINEMENT
    ) -> Facets:
        """See SearchIndex."""
        return await self._in_thread(lambda: self._of(tenant).facets(where, refine))

    async def suggest(
        self, tenant: str, begun: str, *, where: MemoryFilter, limit: int
    ) -> list[Suggestion]:
        """See SearchIndex."""
        return await self._in_thread(lambda: self._of(tenant).suggest(begun, where, limit))

    async def catch_up(self, seq: int | None = None) -> None:
        """See SearchIndex. Raises StoreUnavailable when the feed cannot be read."""
        if seq is not None and seq <= self._position:
            return
        async with self._following:
            while seq is None or self._position < seq:
                changes = await self._store.changes(self._position, limit=_FEED_PAGE)
                await self._in_thread(partial(self._apply, changes))
                if len(changes) < _FEED_PAGE:
                    return

    async def close(self) -> None:
        """Finish what runs and end the thread."""
        await asyncio.to_thread(self._thread.shutdown)

    def _of(self, tenant: str) -> TenantIndex:
        """Return the tenant's index, an empty one for a tenant without memories."""
        return self._tenants.get(tenant) or TenantIndex(self._dimensions)

    def _apply(self, changes: Sequence[MemoryChange]) -> None:
        for change in changes:
            index = self._tenants.get(change.tenant)
            if change.memory is not None:
                if index is None:
                    index = self._tenants[change.tenant] = TenantIndex(self._dimensions)
                index.put(change.memory, self._fitting(change))
                if not len(index):
                    del self._tenants[change.tenant]
            elif index is not None:
                index.remove(change.memory_id)
                if not len(index):
                    del self._tenants[change.tenant]
            self._position = change.seq

    def _fitting(self, change: MemoryChange) -> Vector | None:
        if change.vector is not None and change.vector.shape != (self._dimensions,):
            _log.warning(
                "memory %s has a vector of shape %s: found by its words only",
                change.memory_id,
                change.vector.shape,
            )
            return None
        return change.vector

    async def _in_thread(self, work: Callable[[], Answer]) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
