"""What can be done with the things of any kind: kept, shown, listed.

Whatever else is done with memories is done with these as memories: search, change, pin, archive,
forget, roll back, export.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from memorybank.auth.principal import Principal
from memorybank.domain.gate import Finding
from memorybank.domain.memory import Memory, MemoryPage, MemoryType
from memorybank.errors import NotFound
from memorybank.schemas.work.things import NewThing, ThingQuery
from memorybank.services.adding import Stored
from memorybank.services.memories import MemoryService, now_utc


class Things:
    """The things of one kind."""

    def __init__(
        self,
        memories: MemoryService,
        kind: MemoryType,
        *,
        clock: Callable[[], datetime] = now_utc,
    ) -> None:
        self._memories = memories
        self._kind = kind
        self._clock = clock

    async def add(self, caller: Principal, new: NewThing, *, once: str | None = None) -> Stored:
        """Keep a thing, or find the one that says the same; `once` is an Idempotency-Key."""
        return await self._memories.adding.add(caller, new.memory(), once=once)

    async def get(self, caller: Principal, thing_id: str) -> Memory:
        """Return a thing; raises NotFound, also for a memory of another kind."""
        return self._of_this_kind(await self._memories.get(caller, thing_id))

    async def list_page(self, caller: Principal, query: ThingQuery) -> MemoryPage:
        """Return one page, newest first. Raises InvalidCursor."""
        where, details = query.wanted(self._clock())
        where = replace(where, types=frozenset({self._kind}))
        return await self._memories.page(
            caller, where, limit=query.limit, cursor=query.cursor, details=details
        )

    async def _change(
        self,
        caller: Principal,
        thing_id: str,
        decide: Callable[[Memory], Mapping[str, Any]],
        action: str,
    ) -> tuple[Memory, tuple[Finding, ...]]:
        """Change a thing by the rules of its kind; see Life.change."""

        def of_this_kind(memory: Memory) -> Mapping[str, Any]:
            return decide(self._of_this_kind(memory))

        return await self._memories.life.change(caller, thing_id, of_this_kind, action)

    def _of_this_kind(self, memory: Memory) -> Memory:
        if memory.type is not self._kind:
            raise NotFound(
                f"the memory of this id is no {self._kind} but a {memory.type}",
                field="id",
                hint="list those that there are",
            )
        return memory
