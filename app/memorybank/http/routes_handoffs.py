"""/v1/handoffs: what one who worked leaves to the next."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from memorybank.http.caller import Caller
from memorybank.http.routes_memories import Once, shown_as_stored
from memorybank.http.routes_work import ThingRoutes
from memorybank.schemas.life import StoredView
from memorybank.schemas.memories import MemoryList, MemoryView
from memorybank.schemas.work.handoffs import (
    HandoffQuery,
    HandoffThread,
    LastQuery,
    NewHandoff,
    ThreadQuery,
)
from memorybank.services.work.handoffs import Handoffs


class HandoffRoutes(ThingRoutes):
    """Parse, call the service, show."""

    kind = "handoffs"

    def __init__(self, handoffs: Handoffs) -> None:
        super().__init__(handoffs)
        self._handoffs = handoffs

    def router(self) -> APIRouter:
        """Return the routes."""
        return self.routed(
            self.create,
            self.list_page,
            summary="Hand off",
            reports={
                "/last": (self.last, "Show the last one"),
                "/thread": (self.thread, "Show the thread"),
            },
        )

    async def create(
        self, caller: Caller, new: NewHandoff, response: Response, once: Once = None
    ) -> StoredView:
        """Leave what whoever goes on should know, in `content` or in parts that become it."""
        return shown_as_stored(await self._things.add(caller, new, once=once), response)

    async def list_page(
        self, caller: Caller, query: Annotated[HandoffQuery, Query()]
    ) -> MemoryList:
        """List hand-offs; those of high sensitivity and secret ones where they are asked for."""
        return MemoryList.of(await self._things.list_page(caller, query))

    async def last(self, caller: Caller, query: Annotated[LastQuery, Query()]) -> MemoryView:
        """Show the newest hand-off of a project, a session or a thread; 404 if there is none."""
        return MemoryView.of(await self._handoffs.last(caller, query))

    async def thread(self, caller: Caller, query: Annotated[ThreadQuery, Query()]) -> HandoffThread:
        """Show hand-offs in the order in which they were given, and what came of their sessions."""
        return await self._handoffs.thread(caller, query)
