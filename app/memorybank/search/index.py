"""SearchIndex in memory, following the change feed of a store."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial

from memorybank.allocation import give_back
from memorybank.domain.feed import FeedPage, MemoryColumns
from memorybank.domain.memory import MemoryChange, MemoryFilter, MemoryState
from memorybank.domain.search import Facets, Hit, Refinement, Suggestion
from memorybank.errors import OutdatedVector
from memorybank.lanes import Lanes
from memorybank.ports import IndexCheck, MemoryStore, Vector, VectorsStatus
from memorybank.search.tenant import Nearness, TenantIndex
from memorybank.search.vectors import Vectors, WholeVectors
from memorybank.spaces import space_of

Portion = list[tuple[str, MemoryColumns]]
"""Memories of some tenants, each by itself."""

_PAGE = 8_192
"""Memories read at a time. The more, the larger are the pieces of each tenant; they take 3 KB each
until they are indexed."""
_PORTION = 2_048
"""Memories indexed at a time: some 20 ms of work, so that a search can slip in between."""
_LETTERS = 1_000_000
"""Letters of them at most: each takes some 30 bytes while words are looked for."""
_COMPARED = 500
"""Changes compared at a time."""

_NO_REFINEMENT = Refinement()

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Content:
    """All tenants' indexes, and up to which change they were fed."""

    model: str | None
    """Of which embedding space; None for the one that the store has in use."""
    dimensions: int
    tenants: dict[str, TenantIndex] = field(default_factory=dict)
    position: int = 0


class MemoryIndex:
    """Hybrid search over all memories of a store, one index per tenant.

    Starts empty: `catch_up` at start rebuilds everything, `catch_up(seq)` after a write makes that
    write searchable before it is acknowledged. All work is done in one thread, so that the event
    loop stays free and a search never sees half a change.
    """

    def __init__(
        self,
        store: MemoryStore,
        *,
        dimensions: int,
        vectors: Callable[[int], Vectors] = WholeVectors,
    ) -> None:
        """`dimensions` is the length of the vectors, in the store and in queries.

        `vectors` makes what keeps those of a tenant.
        """
        self._kept_by = vectors
        self._store = store
        self._content = _Content(None, dimensions)
        self._following = asyncio.Lock()
        self._rebuilding = asyncio.Lock()
        self._thread = Lanes("search-index", 1)

    @property
    def seq(self) -> int:
        """See SearchIndex."""
        return self._content.position

    @property
    def problem(self) -> str | None:
        """See SearchIndex: there is nobody to wait for."""
        return None

    def vectors(self) -> VectorsStatus | None:
        """See SearchIndex."""
        return None

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
        near = await self._near(tenant, vector, where=where, limit=limit, refine=refine)

        def run() -> list[Hit]:
            index = self._of(tenant, vector)
            return index.search(query, vector, where=where, limit=limit, refine=refine, near=near)

        return await self._thread.run(run)

    async def _near(
        self,
        tenant: str,
        vector: Vector | None,
        *,
        where: MemoryFilter,
        limit: int,
        refine: Refinement,
    ) -> Nearness | None:
        """Return what somebody else knows of the same search: here nobody does."""
        return None

    async def vector(self, tenant: str, memory_id: str) -> Vector | None:
        """See SearchIndex."""
        return await self._thread.run(lambda: self._of(tenant).vector(memory_id))

    async def facets(
        self, tenant: str, where: MemoryFilter, refine: Refinement = _NO_REFINEMENT
    ) -> Facets:
        """See SearchIndex."""
        return await self._thread.run(lambda: self._of(tenant).facets(where, refine))

    async def suggest(
        self, tenant: str, begun: str, *, where: MemoryFilter, limit: int
    ) -> list[Suggestion]:
        """See SearchIndex."""
        return await self._thread.run(lambda: self._of(tenant).suggest(begun, where, limit))

    async def catch_up(self, seq: int | None = None) -> None:
        """See SearchIndex. Raises StoreUnavailable when the feed cannot be read."""
        if seq is not None and seq <= self._content.position:
            return
        async with self._following:
            await self._feed(self._content, seq)

    async def rebuild(
        self,
        space: tuple[str, int] | None = None,
        *,
        before: Callable[[], Awaitable[None]] | None = None,
    ) -> int:
        """See SearchIndex. For the time, memory is needed for both."""
        async with self._rebuilding:
            fresh = _Content(*(space or (self._content.model, self._content.dimensions)))
            await self._feed(fresh)
            async with self._following:  # the old one stands still, so the new one overtakes it
                await self._feed(fresh, self._content.position)
                if before is not None:
                    await before()
                self._content = fresh
            return sum(map(len, fresh.tenants.values()))

    async def check(self) -> IndexCheck:
        """See SearchIndex. Writes wait for a page at a time. Takes about as long as a rebuild."""
        await self.catch_up()
        seen: set[tuple[str, str]] = set()
        walked = differing = 0
        while True:
            async with self._following:  # nothing changes between reading a page and comparing it
                content = self._content
                page = await self._store.changes(walked, limit=_COMPARED, model=content.model)
                page = [change for change in page if change.seq <= content.position]
                if not page:
                    count = await self._thread.run(partial(_live, content))
                    missing, strange = len(seen - count), len(count - seen)
                    return IndexCheck(len(seen), differing + missing + strange)
                walked = page[-1].seq
                differing += await self._thread.run(partial(self._compare, content, page, seen))

    async def close(self) -> None:
        """Finish what runs and end the thread."""
        await asyncio.to_thread(self._thread.close)

    def _of(self, tenant: str, vector: Vector | None = None) -> TenantIndex:
        """Return the tenant's index, an empty one for a tenant without memories.

        Raises OutdatedVector when the vector can not be compared with what is there.
        """
        content = self._content
        space = None if vector is None else space_of(vector)
        if space is not None and content.model not in (None, space):
            raise OutdatedVector("the embedding model was switched", hint="ask again")
        return content.tenants.get(tenant) or TenantIndex(content.dimensions, self._kept_by)

    async def _feed(self, content: _Content, seq: int | None = None) -> None:
        portions = 0
        async with aclosing(self._pages(content, seq)) as pages:
            async for page in pages:
                portions += await self._feed_page(content, page)
        if portions > 1:
            await self._thread.run(partial(_settle, content))

    async def _pages(self, content: _Content, seq: int | None) -> AsyncGenerator[FeedPage]:
        """Yield what changed up to a change at least; the next page is read meanwhile."""

        def read(after: int) -> asyncio.Task[FeedPage]:
            page = self._store.feed(after, limit=_PAGE, model=content.model)
            return asyncio.create_task(page)

        if seq is not None and content.position >= seq:
            return
        reading = read(content.position)
        try:
            while True:
                page = await reading
                last = page.complete or (seq is not None and page.seq >= seq)
                if not last:
                    reading = read(page.seq)
                yield page
                if last:
                    return
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _feed_page(self, content: _Content, page: FeedPage) -> int:
        """Return how many portions it was."""
        portions = await self._thread.run(partial(_begun, content, page))
        for portion in portions:
            await self._thread.run(partial(_add, content, portion, self._kept_by))
        content.position = page.seq
        return len(portions)

    def _compare(
        self, content: _Content, page: Sequence[MemoryChange], seen: set[tuple[str, str]]
    ) -> int:
        """Return how many memories that the index holds are others; add all that are to be found.

        What it does not hold at all is counted at the end.
        """
        differing = 0
        for change in page:
            index = content.tenants.get(change.tenant)
            name = (change.tenant, change.memory_id)
            memory = change.memory
            if memory is None or memory.state is MemoryState.TRASH:
                seen.discard(name)
                continue
            seen.add(name)
            if index is not None and change.memory_id in index:
                differing += not index.agrees(
                    memory, _fitting(content, change.memory_id, change.vector)
                )
        return differing


def _begun(content: _Content, page: FeedPage) -> list[Portion]:
    """Forget what is gone; return the rest in portions."""
    for tenant, memory_id in page.gone:
        index = content.tenants.get(tenant)
        if index is not None:
            index.remove(memory_id)
            if not len(index):
                del content.tenants[tenant]
    portions: list[Portion] = []
    size = _PORTION
    for tenant, memories in () if page.memories is None else page.memories.of_tenants():
        for part in memories.parts(_PORTION, letters=_LETTERS):
            if size >= _PORTION:
                portions.append([])
                size = 0
            portions[-1].append((tenant, part))
            size += len(part.ids)
    return portions


def _add(content: _Content, portion: Portion, vectors: Callable[[int], Vectors]) -> None:
    for tenant, memories in portion:
        index = content.tenants.get(tenant)
        if index is None:
            index = content.tenants[tenant] = TenantIndex(content.dimensions, vectors)
        index.put(
            memories._replace(
                vectors=[
                    _fitting(content, memory_id, vector)
                    for memory_id, vector in zip(memories.ids, memories.vectors, strict=True)
                ]
            )
        )


def _settle(content: _Content) -> None:
    for index in content.tenants.values():
        index.settle()
    give_back()


def _live(content: _Content) -> set[tuple[str, str]]:
    return {(tenant, name) for tenant, index in content.tenants.items() for name in index.ids()}


def _fitting(content: _Content, memory_id: str, vector: Vector | None) -> Vector | None:
    if vector is not None and vector.shape != (content.dimensions,):
        _log.warning(
            "memory %s has a vector of shape %s: found by its words only", memory_id, vector.shape
        )
        return None
    return vector
