"""/v1/projects, notes, decisions, capsules and events; for sessions see routes_sessions.

Each answers with memories. What else is done with them is at /v1/memories/{id}.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from memorybank.http.body import JsonRoute
from memorybank.http.caller import Caller
from memorybank.http.routes_memories import Id, Once, shown_as_stored
from memorybank.schemas.life import StoredView
from memorybank.schemas.memories import MemoryList, MemoryView
from memorybank.schemas.work.projects import NewProject, ProjectQuery
from memorybank.schemas.work.written import (
    CapsuleQuery,
    DecisionQuery,
    EventQuery,
    NewCapsule,
    NewDecision,
    NewEvent,
    NewNote,
    NoteQuery,
)
from memorybank.services.work.things import Things
from memorybank.services.work.work import Work

_THERE: dict[int | str, dict[str, Any]] = {
    200: {"model": StoredView, "description": "It is there already."}
}


class ThingRoutes:
    """Parse, call the service, show: what the routes of all kinds share."""

    kind: str
    """In the plural: the path and the tag."""

    def __init__(self, things: Things) -> None:
        self._things = things

    def routed(
        self,
        create: Callable[..., Any],
        list_page: Callable[..., Any],
        *,
        summary: str,
        reports: Mapping[str, tuple[Callable[..., Any], str]] = MappingProxyType({}),
    ) -> APIRouter:
        """Return the routes that every kind has.

        `reports` are GET routes of its own by path, with their summaries: they come before the
        route of an id, which would take their names for one.
        """
        router = APIRouter(prefix=f"/v1/{self.kind}", route_class=JsonRoute, tags=[self.kind])
        add = router.add_api_route
        add("", create, methods=["POST"], status_code=201, summary=summary, responses=_THERE)
        add("", list_page, methods=["GET"], summary="List, newest first")
        for path, (report, told) in reports.items():
            add(path, report, methods=["GET"], summary=told)
        add("/{id}", self.get, methods=["GET"], summary="Get")
        return router

    async def get(self, caller: Caller, id: Id) -> MemoryView:  # noqa: A002  # the API's name
        """Get one. A memory of another type is not found here."""
        return MemoryView.of(await self._things.get(caller, id))


class ProjectRoutes(ThingRoutes):
    """Projects."""

    kind = "projects"

    def router(self) -> APIRouter:
        """Return the routes."""
        return self.routed(self.create, self.list_page, summary="Begin a project")

    async def create(
        self, caller: Caller, new: NewProject, response: Response, once: Once = None
    ) -> StoredView:
        """Make a project known. Where there is one of that name, it is answered, with 200."""
        return shown_as_stored(await self._things.add(caller, new, once=once), response)

    async def list_page(
        self, caller: Caller, query: Annotated[ProjectQuery, Query()]
    ) -> MemoryList:
        """List projects; by `project`, the one of a name."""
        return MemoryList.of(await self._things.list_page(caller, query))


class NoteRoutes(ThingRoutes):
    """Notes."""

    kind = "notes"

    def router(self) -> APIRouter:
        """Return the routes."""
        return self.routed(self.create, self.list_page, summary="Note")

    async def create(
        self, caller: Caller, new: NewNote, response: Response, once: Once = None
    ) -> StoredView:
        """Keep a note. Where one says the same, it is answered, with status 200."""
        return shown_as_stored(await self._things.add(caller, new, once=once), response)

    async def list_page(self, caller: Caller, query: Annotated[NoteQuery, Query()]) -> MemoryList:
        """List notes."""
        return MemoryList.of(await self._things.list_page(caller, query))


class DecisionRoutes(ThingRoutes):
    """Decisions."""

    kind = "decisions"

    def router(self) -> APIRouter:
        """Return the routes."""
        return self.routed(self.create, self.list_page, summary="Record a decision")

    async def create(
        self, caller: Caller, new: NewDecision, response: Response, once: Once = None
    ) -> StoredView:
        """Keep what was decided, and why. Where one says the same, it is answered, with 200."""
        return shown_as_stored(await self._things.add(caller, new, once=once), response)

    async def list_page(
        self, caller: Caller, query: Annotated[DecisionQuery, Query()]
    ) -> MemoryList:
        """List decisions."""
        return MemoryList.of(await self._things.list_page(caller, query))


class CapsuleRoutes(ThingRoutes):
    """Capsules."""

    kind = "capsules"

    def router(self) -> APIRouter:
        """Return the routes."""
        return self.routed(self.create, self.list_page, summary="Leave a capsule")

    async def create(
        self, caller: Caller, new: NewCapsule, response: Response, once: Once = None
    ) -> StoredView:
        """Leave word for an audience until it expires. The audience is no wall within a tenant."""
        return shown_as_stored(await self._things.add(caller, new, once=once), response)

    async def list_page(
        self, caller: Caller, query: Annotated[CapsuleQuery, Query()]
    ) -> MemoryList:
        """List capsules that have not expired."""
        return MemoryList.of(await self._things.list_page(caller, query))


class EventRoutes(ThingRoutes):
    """Events."""

    kind = "events"

    def router(self) -> APIRouter:
        """Return the routes."""
        return self.routed(self.create, self.list_page, summary="Record an event")

    async def create(
        self, caller: Caller, new: NewEvent, response: Response, once: Once = None
    ) -> StoredView:
        """Keep what happened. The same again has happened again."""
        return shown_as_stored(await self._things.add(caller, new, once=once), response)

    async def list_page(self, caller: Caller, query: Annotated[EventQuery, Query()]) -> MemoryList:
        """List events."""
        return MemoryList.of(await self._things.list_page(caller, query))


def work_routers(work: Work) -> list[APIRouter]:
    """Return the routes of all kinds here."""
    return [
        ProjectRoutes(work.projects).router(),
        NoteRoutes(work.notes).router(),
        DecisionRoutes(work.decisions).router(),
        CapsuleRoutes(work.capsules).router(),
        EventRoutes(work.events).router(),
    ]
