"""Remember, recall, list, get, update, forget."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from memorybank.auth.principal import Principal
from memorybank.domain.gate import GatePolicy
from memorybank.domain.keys import Scope
from memorybank.domain.memory import Condition, Link, Memory, MemoryFilter, MemoryPage, MemoryState
from memorybank.ports import Embedder, MemoryStore, SearchIndex
from memorybank.schemas.memories import ListQuery, MemoryPatch, NewMemory
from memorybank.schemas.search import SearchRequest
from memorybank.services.adding import Adding
from memorybank.services.edges import Edges
from memorybank.services.finding import Finding
from memorybank.services.ledger import Ledger
from memorybank.services.life import Life, unknown
from memorybank.services.timing import Counted, Timed, uncounted, untimed
from memorybank.services.touches import Touches


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
        steady: Callable[[], datetime] | None = None,
        timed: Timed = untimed,
        counted: Counted = uncounted,
        deferred: Callable[[], None] = lambda: None,
        gate: GatePolicy | None = None,
    ) -> None:
        """`seq` is that of the newest change in the store; `steady` is the clock of grace periods.

        Without it, they are counted by the clock that everything else goes by. `deferred` is called
        when memories were stored that are to be embedded later, `counted` hears what is done.
        """
        self._store = store
        self._embedder = embedder
        self._index = index
        self._clock = clock
        self.timed = timed
        self.counted = counted
        self.ledger = Ledger(seq)
        self.touches = Touches(store)
        self.adding = Adding(
            store,
            embedder,
            self.ledger,
            clock=clock,
            timed=timed,
            counted=counted,
            deferred=deferred,
            gate=gate,
        )
        self.finding = Finding(
            store,
            embedder,
            index,
            self.ledger,
            self.touches,
            self.adding.echoes,
            clock=clock,
            timed=timed,
        )
        self.life = Life(
            store, self.adding, self.ledger, clock=clock, steady=steady or clock, timed=timed
        )
        self.edges = Edges(store, self.life, clock=clock, timed=timed, counted=counted)

    def use_gate(self, gate: GatePolicy) -> None:
        """Keep out of memories what this policy says, from the next write on."""
        self.adding.gate = gate

    async def remember(self, caller: Principal, new: NewMemory) -> Memory:
        """Store a memory, and return it, or the one that says the same.

        It is durable and can be found when this returns.
        """
        return (await self.adding.add(caller, new)).memory

    async def recall(self, caller: Principal, request: SearchRequest) -> list[tuple[Memory, float]]:
        """Return memories that answer the query, with their scores, best first; see Finding."""
        found = await self.finding.search(caller, request)
        return [(memory, hit.score) for memory, hit in found.memories]

    async def list_page(self, caller: Principal, query: ListQuery) -> MemoryPage:
        """Return one page, newest first. Raises InvalidCursor."""
        return await self.page(caller, query.where(), limit=query.limit, cursor=query.cursor)

    async def page(
        self,
        caller: Principal,
        where: MemoryFilter,
        *,
        limit: int,
        cursor: str | None = None,
        details: Sequence[Condition] = (),
    ) -> MemoryPage:
        """Return one page of the memories that a filter and details mean. Raises InvalidCursor."""
        caller.require(Scope.READ)
        with self.timed("store_list"):
            return await self._store.list_memories(
                caller.tenant, where, limit=limit, cursor=cursor, details=details
            )

    async def first(self, tenant: str, where: MemoryFilter) -> Memory | None:
        """Return the newest memory of a tenant that a filter means."""
        page = await self.newest(tenant, where, limit=1)
        return page.memories[0] if page.memories else None

    async def beginning(
        self,
        caller: Principal,
        where: MemoryFilter,
        *,
        limit: int,
        details: Sequence[Condition] = (),
    ) -> list[Memory]:
        """Return the newest memories that a filter and details mean, and do not count them."""
        caller.require(Scope.READ)
        with self.timed("store_newest"):
            return await self._store.newest(caller.tenant, where, limit=limit, details=details)

    async def contradictions(
        self, caller: Principal, project: str | None, *, limit: int
    ) -> list[Link]:
        """Return the newest edges between live memories that contradict each other."""
        caller.require(Scope.READ)
        with self.timed("store_links"):
            return await self._store.contradictions(caller.tenant, project, limit=limit)

    def served(self, caller: Principal, memories: Sequence[Memory], now: datetime) -> None:
        """Note that a caller was shown these: they are in use, and are not stored as news again."""
        self.touches.note(caller.tenant, [each.id for each in memories], now)
        self.adding.echoes.served(caller, memories, now)
        asyncio.get_running_loop().call_soon(self.adding.echoes.settle)  # behind the answer

    async def newest(
        self, tenant: str, where: MemoryFilter, *, limit: int, details: Sequence[Condition] = ()
    ) -> MemoryPage:
        """Return the newest memories of a tenant that a filter and details mean: for rules."""
        with self.timed("store_list"):
            return await self._store.list_memories(
                tenant, where, limit=limit, cursor=None, details=details
            )

    async def get(
        self, caller: Principal, memory_id: str, *, include_trash: bool = False
    ) -> Memory:
        """Return a memory; raises NotFound."""
        caller.require(Scope.READ)
        with self.timed("store_get"):
            memory = await self._store.get(caller.tenant, memory_id)
        if memory is None or (memory.state is MemoryState.TRASH and not include_trash):
            raise unknown()
        self.touches.note(caller.tenant, [memory_id], self._clock())
        return memory

    async def many(self, tenant: str, ids: Sequence[str]) -> list[Memory]:
        """Return those of a tenant's ids that are not in the trash, in their order: for rules."""
        with self.timed("store_get"):
            found = await self._store.get_many(tenant, ids)
        return [each for each in found if each.state is not MemoryState.TRASH]

    async def update(self, caller: Principal, memory_id: str, patch: MemoryPatch) -> Memory:
        """Change what a memory says, and return it; see Life."""
        memory, _findings = await self.life.update(caller, memory_id, patch)
        return memory

    async def forget(self, caller: Principal, memory_id: str, *, purge: bool = False) -> bool:
        """Move a memory to the trash, or delete it for good; see Life."""
        return await self.life.forget(caller, memory_id, purge=purge)
