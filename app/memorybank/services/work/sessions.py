"""Sessions of work and their logs.

An entry of a log is a memory of the type event that names its session. So a search finds it, with
its neighbours, and it is forgotten by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from memorybank.auth.principal import Principal
from memorybank.domain.gate import Finding
from memorybank.domain.memory import Memory, MemoryPage, MemoryType
from memorybank.domain.work.sessions import SessionMove, moved, require_under_way
from memorybank.schemas.work.sessions import LogQuery, NewEntry
from memorybank.services.adding import Stored
from memorybank.services.memories import MemoryService, now_utc
from memorybank.services.work.things import Things


class Sessions(Things):
    """The sessions of a tenant."""

    def __init__(self, memories: MemoryService, *, clock: Callable[[], datetime] = now_utc) -> None:
        super().__init__(memories, MemoryType.SESSION, clock=clock)

    async def move(
        self,
        caller: Principal,
        session_id: str,
        move: SessionMove,
        *,
        outcome: str | None = None,
    ) -> tuple[Memory, tuple[Finding, ...]]:
        """Pause, resume, complete or abort a session; the same again changes nothing.

        Raises NotFound, and Conflict where it cannot be done from where the session stands.
        """

        def decide(session: Memory) -> Mapping[str, Any]:
            return moved(session, move, now=self._clock(), outcome=outcome)

        return await self._change(caller, session_id, decide, move.value)

    async def log(
        self, caller: Principal, session_id: str, new: NewEntry, *, once: str | None = None
    ) -> Stored:
        """Add an entry to the log. Raises NotFound, and Conflict for a session that is over.

        Who ends the session waits for the entry, or the entry is refused.
        """
        async with self._memories.ledger.alone_with([(caller.tenant, session_id)]):
            session = self._of_this_kind(await self._memories.life.present(caller, session_id))
            adding = self._memories.adding
            if once is None or not await adding.is_answered(caller, once):
                require_under_way(session)
            entry = new.memory(session=session.id, project=session.project)
            return await adding.add(caller, entry, once=once)

    async def entries(self, caller: Principal, session_id: str, query: LogQuery) -> MemoryPage:
        """Return one page of the log, newest first. Raises NotFound, InvalidCursor."""
        session = await self.get(caller, session_id)
        where, details = query.wanted(self._clock())
        where = replace(where, session=session.id, types=frozenset({MemoryType.EVENT}))
        return await self._memories.page(
            caller, where, limit=query.limit, cursor=query.cursor, details=details
        )
