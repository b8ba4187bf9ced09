"""Find memories: by meaning and words, by likeness, by counting, by what was typed so far."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from memorybank.auth.principal import Principal
from memorybank.domain.context import Bundle, pack
from memorybank.domain.keys import Scope
from memorybank.domain.memory import Memory, MemoryFilter, MemoryState, searchable_text
from memorybank.domain.search import Facets, Hit, Refinement, Suggestion
from memorybank.errors import EmbedderUnavailable, OutdatedVector
from memorybank.ports import Embedder, MemoryStore, SearchIndex, Vector
from memorybank.schemas.search import (
    ContextRequest,
    FacetsRequest,
    Mode,
    SearchRequest,
    SimilarQuery,
    SuggestionsRequest,
)
from memorybank.services.adding import CANARY_PROJECT
from memorybank.services.echoes import Echoes
from memorybank.services.ledger import Ledger
from memorybank.services.life import unknown
from memorybank.services.timing import Timed
from memorybank.services.touches import Touches
from memorybank.services.waiting import embed_in_time

_PACKED = 50
"""Memories that a bundle is chosen from."""
_PROBES = 1
"""What a deployment's own probe stores is there for a moment, and shown to nobody who does not name
its project: so many memories are looked for besides. There is one probe at a time.
"""


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found, best first."""

    memories: list[tuple[Memory, Hit]]
    degraded: str | None = None
    """Why the meaning of the query could not be used, or only roughly; None when it was, or was not
    asked for."""


class Finding:
    """Reads only. Every answer sees every change that was acknowledged before it was asked for."""

    def __init__(
        self,
        store: MemoryStore,
        embedder: Embedder,
        index: SearchIndex,
        ledger: Ledger,
        touches: Touches,
        echoes: Echoes,
        *,
        clock: Callable[[], datetime],
        timed: Timed,
    ) -> None:
        self._store = store
        self._embedder = embedder
        self._index = index
        self._ledger = ledger
        self._touches = touches
        self._echoes = echoes
        self._clock = clock
        self._timed = timed

    async def search(self, caller: Principal, request: SearchRequest) -> Found:
        """Return memories that answer the query, best first.

        Without a time of their own, queries ask for what holds now. When the query cannot be
        embedded, its words alone decide, and the answer says so.
        """
        caller.require(Scope.READ)
        try:
            return await self._search(caller, request)
        except OutdatedVector:  # the embedding model was switched meanwhile
            return await self._search(caller, request)

    async def _search(self, caller: Principal, request: SearchRequest) -> Found:
        vector, degraded = None, None
        if request.mode is not Mode.LEXICAL:
            try:
                vector = await self._embed(request.query)
            except EmbedderUnavailable as error:
                degraded = error.message
        refine = replace(request.refinement(), words=vector is None or request.mode.uses_words)
        found = await self._find(
            caller, request.query, vector, request.where(), refine, limit=request.limit
        )
        if vector is not None:
            degraded = self._index.problem
        self._echoes.served(caller, (memory for memory, _ in found), self._clock())
        asyncio.get_running_loop().call_soon(self._echoes.settle)  # behind the answer
        return Found(found, degraded)

    async def similar(self, caller: Principal, memory_id: str, query: SimilarQuery) -> Found:
        """Return the memories most like this one; raises NotFound."""
        caller.require(Scope.READ)
        memory = await self._store.get(caller.tenant, memory_id)
        if memory is None or memory.state is MemoryState.TRASH:
            raise unknown()
        await self._caught_up()
        vector = await self._index.vector(caller.tenant, memory_id)
        where = MemoryFilter(project=memory.project if query.same_project else None)
        found = await self._find(
            caller, searchable_text(memory), vector, where,
            Refinement(words=vector is None), limit=query.limit + 1,
        )  # fmt: skip
        others = [each for each in found if each[0].id != memory_id][: query.limit]
        return Found(
            others, self._index.problem if vector is not None else "this memory is not embedded yet"
        )

    async def context(self, caller: Principal, request: ContextRequest) -> tuple[Bundle, Found]:
        """Return the best memories for a query as text of at most so many tokens."""
        found = await self.search(caller, request.search(limit=_PACKED))
        return pack([memory for memory, _ in found.memories], request.max_tokens), found

    async def facets(self, caller: Principal, request: FacetsRequest) -> Facets:
        """Count the memories that the filters mean."""
        caller.require(Scope.READ)
        await self._caught_up()
        return await self._index.facets(
            caller.tenant, self._now_if_never(request.where()), request.refinement()
        )

    async def suggest(self, caller: Principal, request: SuggestionsRequest) -> list[Suggestion]:
        """Return ways to go on with what was typed."""
        caller.require(Scope.READ)
        await self._caught_up()
        where = self._now_if_never(MemoryFilter(project=request.project))
        return await self._index.suggest(
            caller.tenant, request.query, where=where, limit=request.limit
        )

    async def _find(
        self,
        caller: Principal,
        query: str,
        vector: Vector | None,
        where: MemoryFilter,
        refine: Refinement,
        *,
        limit: int,
    ) -> list[tuple[Memory, Hit]]:
        await self._caught_up()
        with self._timed("index_search"):
            hits = await self._index.search(
                caller.tenant,
                query,
                vector=vector,
                where=self._now_if_never(where),
                limit=limit + _PROBES,
                refine=refine,
            )
        found = await self._fetched(caller.tenant, hits)
        if where.project != CANARY_PROJECT:
            found = [each for each in found if each[0].project != CANARY_PROJECT]
        shown = found[:limit]
        self._touches.note(caller.tenant, [memory.id for memory, _ in shown], self._clock())
        return shown

    async def _fetched(self, tenant: str, hits: Sequence[Hit]) -> list[tuple[Memory, Hit]]:
        by_id = {hit.memory_id: hit for hit in hits}
        with self._timed("store_get"):
            memories = await self._store.get_many(tenant, list(by_id))
        # The trash is not in the index, but one may have got there since the search.
        return [
            (memory, by_id[memory.id])
            for memory in memories
            if memory.state is not MemoryState.TRASH
        ]

    async def _caught_up(self) -> None:
        with self._timed("index_catch_up"):
            await self._index.catch_up(self._ledger.acknowledged)

    def _now_if_never(self, where: MemoryFilter) -> MemoryFilter:
        return where if where.valid_at else replace(where, valid_at=self._clock())

    async def _embed(self, text: str) -> Vector:
        with self._timed("embed"):
            vectors = await embed_in_time(self._embedder, [text])
        vector: Vector = vectors[0]
        return vector
