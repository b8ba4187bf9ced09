"""/v1/sessions: work from its start to its outcome, and the log of it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from memorybank.domain.work.sessions import SessionMove
from memorybank.http.caller import Caller
from memorybank.http.routes_memories import Id, Once, shown_as_stored
from memorybank.http.routes_work import ThingRoutes
from memorybank.schemas.life import ChangedView, StoredView
from memorybank.schemas.memories import MemoryList
from memorybank.schemas.work.sessions import (
    LogQuery,
    NewEntry,
    NewSession,
    SessionCompletion,
    SessionEnd,
    SessionQuery,
)
from memorybank.services.work.sessions import Sessions


class SessionRoutes(ThingRoutes):
    """Parse, call the service, show."""

    kind = "sessions"

    def __init__(self, sessions: Sessions) -> None:
        super().__init__(sessions)
        self._sessions = sessions

    def router(self) -> APIRouter:
        """Return the routes."""
        router = self.routed(self.start, self.list_page, summary="Start a session")
        add = router.add_api_route
        add("/{id}/pause", self.pause, methods=["POST"], summary="Pause")
        add("/{id}/resume", self.resume, methods=["POST"], summary="Resume")
        add("/{id}/complete", self.complete, methods=["POST"], summary="Complete")
        add("/{id}/abort", self.abort, methods=["POST"], summary="Abort")
        add("/{id}/log", self.log, methods=["POST"], status_code=201, summary="Log")
        add("/{id}/log", self.entries, methods=["GET"], summary="Show the log, newest first")
        return router

    async def start(
        self, caller: Caller, new: NewSession, response: Response, once: Once = None
    ) -> StoredView:
        """Start a session of work: it is active, and others name it by its id."""
        return shown_as_stored(await self._things.add(caller, new, once=once), response)

    async def list_page(
        self, caller: Caller, query: Annotated[SessionQuery, Query()]
    ) -> MemoryList:
        """List sessions."""
        return MemoryList.of(await self._things.list_page(caller, query))

    async def pause(self, caller: Caller, id: Id) -> ChangedView:  # noqa: A002  # the API's name
        """Pause an active session. It can still be logged to."""
        return await self._moved(caller, id, SessionMove.PAUSE)

    async def resume(self, caller: Caller, id: Id) -> ChangedView:  # noqa: A002  # the API's name
        """Go on with a paused session."""
        return await self._moved(caller, id, SessionMove.RESUME)

    async def complete(
        self,
        caller: Caller,
        id: Id,  # noqa: A002  # the API's name
        end: SessionCompletion,
    ) -> ChangedView:
        """End a session with what came of it; its log is closed."""
        return await self._moved(caller, id, SessionMove.COMPLETE, end.outcome)

    async def abort(
        self,
        caller: Caller,
        id: Id,  # noqa: A002  # the API's name
        end: SessionEnd | None = None,
    ) -> ChangedView:
        """End a session that comes to nothing; its log is closed."""
        outcome = None if end is None else end.outcome
        return await self._moved(caller, id, SessionMove.ABORT, outcome)

    async def log(
        self,
        caller: Caller,
        id: Id,  # noqa: A002  # the API's name
        new: NewEntry,
        response: Response,
        once: Once = None,
    ) -> StoredView:
        """Add to the log of a session that is not over. The same again is another entry."""
        return shown_as_stored(await self._sessions.log(caller, id, new, once=once), response)

    async def entries(
        self,
        caller: Caller,
        id: Id,  # noqa: A002  # the API's name
        query: Annotated[LogQuery, Query()],
    ) -> MemoryList:
        """Show the log page by page."""
        return MemoryList.of(await self._sessions.entries(caller, id, query))

    async def _moved(
        self, caller: Caller, session_id: str, move: SessionMove, outcome: str | None = None
    ) -> ChangedView:
        return ChangedView.changed(
            *await self._sessions.move(caller, session_id, move, outcome=outcome)
        )
