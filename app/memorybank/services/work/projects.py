"""Projects: one of each name."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from typing_extensions import override

from memorybank.auth.principal import Principal
from memorybank.domain.keys import Scope
from memorybank.domain.memory import MemoryFilter, MemoryState, MemoryType
from memorybank.schemas.work.things import NewThing
from memorybank.services.adding import Stored
from memorybank.services.memories import MemoryService, now_utc
from memorybank.services.work.things import Things

_THERE = frozenset({MemoryState.LIVE, MemoryState.ARCHIVED})


class Projects(Things):
    """The projects of a tenant."""

    def __init__(self, memories: MemoryService, *, clock: Callable[[], datetime] = now_utc) -> None:
        super().__init__(memories, MemoryType.PROJECT, clock=clock)

    @override
    async def add(self, caller: Principal, new: NewThing, *, once: str | None = None) -> Stored:
        """Keep a project, or return the one of that name as it is."""
        caller.require(Scope.WRITE)
        memory = new.memory()
        same_name = MemoryFilter(
            project=memory.project, types=frozenset({MemoryType.PROJECT}), states=_THERE
        )
        async with self._memories.ledger.alone_with([("project", caller.tenant, memory.project)]):
            known = await self._memories.first(caller.tenant, same_name)
            if known is not None:
                return Stored(known, deduplicated=True)
            return await self._memories.adding.add(caller, memory, once=once)
