"""Remember, recall, list, get, update, forget."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from weakref import WeakValueDictionary

from memorybank.auth.principal import Principal
from memorybank.domain.ids import new_id
from memorybank.domain.keys import Scope
from memorybank.domain.memory import Memory, MemoryPage
from memorybank.errors import InvalidRequest, NotFound
from memorybank.ports import Embedder, MemoryStore, SearchIndex, Vector
from memorybank.schemas.memories import ListQuery, MemoryPatch, NewMemory, SearchRequest
from memorybank.services.timing import Timed, untimed


def now_utc() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


class MemoryService:
    """Everything a caller can do with memories.

    A recall sees every change that was acknowledged before it began, and everything that was in
    the store when the service started.
    """

    def __init__(
        self,
        store: MemoryStore,
        embedder: Embedder,
        index: SearchIndex,
        *,
        seq: int,
        clock: Callable[[], datetime] = now_utc,
        timed: Timed = untimed,
    ) -> None:
        """`seq` is that of the newest change in the store."""
        self._store = store
        self._embedder = embedder
        self._index = index
        self._acknowledged = seq
        self._clock = clock
        self._timed = timed
        self._editing: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    async def remember(self, caller: Principal, new: NewMemory) -> Memory:
        """Store a memory; it is durable and can be found when this returns."""
        caller.require(Scope.WRITE)
        now = self._clock()
        memory = Memory(
            id=new_id(),
            tenant=caller.tenant,
            content=new.content,
            created_at=now,
            updated_at=now,
            title=new.title,
            type=new.type,
            project=new.project,
            session=new.session,
            tags=tuple(new.tags),
            metadata=new.metadata,
            importance=new.importance,
            occurred_at=new.occurred_at,
        )
        vector = await self._embed(embedded_text(memory))
        with self._timed("store_add"):
            seq = await self._store.add(memory, vector)
        self._acknowledge(seq)
        return memory

    async def recall(self, caller: Principal, request: SearchRequest) -> list[tuple[Memory, float]]:
        """Return memories that answer the query, with their scores, best first."""
        caller.require(Scope.READ)
        vector = await self._embed(request.query)
        with self._timed("index_catch_up"):
            await self._index.catch_up(self._acknowledged)
        with self._timed("index_search"):
            hits = await self._index.search(
                caller.tenant,
                request.query,
                vector=vector,
                where=request.where(),
                limit=request.limit,
            )
        scores = dict(hits)
        with self._timed("store_get"):
            memories = await self._store.get_many(caller.tenant, list(scores))
        return [(memory, scores[memory.id]) for memory in memories]

    async def list_page(self, caller: Principal, query: ListQuery) -> MemoryPage:
        """Return one page, newest first. Raises InvalidCursor."""
        caller.require(Scope.READ)
        with self._timed("store_list"):
            return await self._store.list_memories(
                caller.tenant, query.where(), limit=query.limit, cursor=query.cursor
            )

    async def get(self, caller: Principal, memory_id: str) -> Memory:
        """Return a memory; raises NotFound."""
        caller.require(Scope.READ)
        with self._timed("store_get"):
            memory = await self._store.get(caller.tenant, memory_id)
        if memory is None:
            raise _unknown()
        return memory

    async def update(self, caller: Principal, memory_id: str, patch: MemoryPatch) -> Memory:
        """Change a memory; raises NotFound. Two updates of one memory never undo each other."""
        caller.require(Scope.WRITE)
        changes = patch.changes()
        if not changes:
            raise InvalidRequest("there is nothing to change", hint="send at least one field")
        async with self._lock(caller.tenant, memory_id):
            old = await self._store.get(caller.tenant, memory_id)
            if old is None:
                raise _unknown()
            new = replace(old, **changes, updated_at=max(self._clock(), old.updated_at))
            text = embedded_text(new)
            vector = await self._embed(text) if text != embedded_text(old) else None
            with self._timed("store_replace"):
                seq = await self._store.replace(new, vector)
        if seq is None:  # deleted in between
            raise _unknown()
        self._acknowledge(seq)
        return new

    async def forget(self, caller: Principal, memory_id: str) -> None:
        """Delete a memory for good; raises NotFound."""
        caller.require(Scope.DELETE)
        with self._timed("store_delete"):
            seq = await self._store.delete(caller.tenant, memory_id)
        if seq is None:
            raise _unknown()
        self._acknowledge(seq)

    async def _embed(self, text: str) -> Vector:
        with self._timed("embed"):
            vectors = await self._embedder.embed([text])
        vector: Vector = vectors[0]
        return vector

    def _acknowledge(self, seq: int) -> None:
        self._acknowledged = max(self._acknowledged, seq)

    def _lock(self, tenant: str, memory_id: str) -> asyncio.Lock:
        """Return the lock of this memory; it lives as long as somebody holds or awaits it."""
        return self._editing.setdefault((tenant, memory_id), asyncio.Lock())


def embedded_text(memory: Memory) -> str:
    """Return what of a memory is embedded."""
    return memory.content if memory.title is None else f"{memory.title}\n\n{memory.content}"


def _unknown() -> NotFound:
    return NotFound("there is no memory with this id", field="id", hint="list or search for it")
