"""Hand-offs: what one who worked leaves to the next, and the thread of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from memorybank.auth.principal import Principal
from memorybank.domain.memory import Memory, MemoryType
from memorybank.errors import NotFound
from memorybank.schemas.work.handoffs import HandoffThread, LastQuery, ThreadEntry, ThreadQuery
from memorybank.services.memories import MemoryService, now_utc
from memorybank.services.work.things import Things


class Handoffs(Things):
    """The hand-offs of a tenant."""

    def __init__(self, memories: MemoryService, *, clock: Callable[[], datetime] = now_utc) -> None:
        super().__init__(memories, MemoryType.HANDOFF, clock=clock)

    async def last(self, caller: Principal, query: LastQuery) -> Memory:
        """Return the newest one; raises NotFound."""
        where, details = query.wanted()
        page = await self._memories.page(caller, where, limit=1, details=details)
        if not page.memories:
            raise NotFound(
                "nothing was handed off here yet",
                hint="ask for fewer of project, session and with_whom, or give a hand-off",
            )
        return page.memories[0]

    async def thread(self, caller: Principal, query: ThreadQuery) -> HandoffThread:
        """Return the newest hand-offs in their order, with what came of the sessions they ended."""
        where, details = query.wanted()
        page = await self._memories.page(caller, where, limit=query.limit, details=details)
        named = {each.session for each in page.memories if each.session is not None}
        found = await self._memories.many(caller.tenant, sorted(named))
        sessions = {each.id: each for each in found if each.type is MemoryType.SESSION}
        entries = [
            ThreadEntry.of(each, sessions.get(each.session or ""))
            for each in reversed(page.memories)
        ]
        return HandoffThread(entries=entries, total=page.total)
