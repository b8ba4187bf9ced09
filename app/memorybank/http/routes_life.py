"""/v1/memories/{id}/...: what becomes of a memory."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from memorybank.errors import InvalidRequest
from memorybank.http.body import JsonRoute
from memorybank.http.caller import Caller
from memorybank.http.routes_memories import Id
from memorybank.schemas.life import (
    ChangedView,
    History,
    HistoryQuery,
    LinkList,
    LinkName,
    LinkView,
    NewLink,
    RevisionView,
    Rollback,
    Supersession,
)
from memorybank.schemas.memories import MemoryView
from memorybank.services.life import Life

_NEW: dict[int | str, dict[str, Any]] = {201: {"model": LinkView, "description": "It is new."}}
_MADE: dict[int | str, dict[str, Any]] = {
    201: {"model": MemoryView, "description": "The memory in its place is new."}
}


class LifeRoutes:
    """Parse, call the service, show."""

    def __init__(self, service: Life) -> None:
        self._service = service

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(prefix="/v1/memories/{id}", route_class=JsonRoute, tags=["life"])
        add = router.add_api_route
        add("/archive", self.archive, methods=["POST"], summary="Archive")
        add("/restore", self.restore, methods=["POST"], summary="Restore from archive or trash")
        add("/pin", self.pin, methods=["POST"], summary="Pin")
        add("/unpin", self.unpin, methods=["POST"], summary="Unpin")
        add("/hold", self.hold, methods=["POST"], summary="Put on legal hold")
        add("/release", self.release, methods=["POST"], summary="Release from legal hold")
        add(
            "/supersede",
            self.supersede,
            methods=["POST"],
            summary="Put another in its place",
            responses=_MADE,
        )
        add("/history", self.history, methods=["GET"], summary="What it said before")
        add("/rollback", self.rollback, methods=["POST"], summary="Back to a revision")
        add("/links", self.links, methods=["GET"], summary="List links")
        add("/links", self.link, methods=["POST"], summary="Link", responses=_NEW)
        add("/links/{target}", self.unlink, methods=["DELETE"], status_code=204, summary="Unlink")
        return router

    async def archive(self, caller: Caller, id: Id) -> MemoryView:  # noqa: A002  # the API's name
        """Keep a memory out of the way: it is found only when archived ones are asked for."""
        return MemoryView.of(await self._service.archive(caller, id))

    async def restore(self, caller: Caller, id: Id) -> MemoryView:  # noqa: A002  # the API's name
        """Make a memory live again."""
        return MemoryView.of(await self._service.restore(caller, id))

    async def pin(self, caller: Caller, id: Id) -> MemoryView:  # noqa: A002  # the API's name
        """Keep a memory from being forgotten by itself."""
        return MemoryView.of(await self._service.pin(caller, id, pinned=True))

    async def unpin(self, caller: Caller, id: Id) -> MemoryView:  # noqa: A002  # the API's name
        """Let a memory be forgotten by itself."""
        return MemoryView.of(await self._service.pin(caller, id, pinned=False))

    async def hold(self, caller: Caller, id: Id) -> MemoryView:  # noqa: A002  # the API's name
        """Keep a memory from being deleted by anybody. Needs the scope memory:admin."""
        return MemoryView.of(await self._service.hold(caller, id, legal_hold=True))

    async def release(self, caller: Caller, id: Id) -> MemoryView:  # noqa: A002  # the API's name
        """Let a memory be deleted again. Needs the scope memory:admin."""
        return MemoryView.of(await self._service.hold(caller, id, legal_hold=False))

    async def supersede(
        self,
        caller: Caller,
        id: Id,  # noqa: A002  # the API's name
        what: Supersession,
        response: Response,
    ) -> ChangedView:
        """Put a new memory, or one that is there, in the place of this one, which ends then."""
        if (what.memory is None) == (what.by is None):
            raise InvalidRequest(
                "one of memory and by is required", field="memory", hint="send one of the two"
            )
        if what.memory is not None:
            successor, findings = await self._service.supersede(caller, id, what.memory)
            response.status_code = 201
        else:
            assert what.by is not None  # noqa: S101  # one of the two is there
            successor, findings = await self._service.supersede_by(caller, id, what.by), ()
        response.headers["Location"] = f"/v1/memories/{successor.id}"
        return ChangedView.changed(successor, findings)

    async def history(
        self,
        caller: Caller,
        id: Id,  # noqa: A002  # the API's name
        query: Annotated[HistoryQuery, Query()],
    ) -> History:
        """Show what a memory said before, newest first."""
        memory, page = await self._service.history(
            caller, id, before=query.before, limit=query.limit
        )
        revisions = [RevisionView.of(revision) for revision in page.revisions]
        more = bool(revisions) and revisions[-1].revision > 1
        return History(
            current=memory.revision,
            revisions=revisions,
            next_before=revisions[-1].revision if more else None,
            total=page.total,
        )

    async def rollback(
        self,
        caller: Caller,
        id: Id,  # noqa: A002  # the API's name
        to: Rollback,
    ) -> MemoryView:
        """Let a memory say again what it said at a revision. This makes a new revision."""
        return MemoryView.of(await self._service.rollback(caller, id, to.revision))

    async def links(self, caller: Caller, id: Id) -> LinkList:  # noqa: A002  # the API's name
        """List all edges from and to a memory, oldest first."""
        links = await self._service.links(caller, id)
        return LinkList(links=[LinkView.of(link) for link in links])

    async def link(
        self,
        caller: Caller,
        id: Id,  # noqa: A002  # the API's name
        new: NewLink,
        response: Response,
    ) -> LinkView:
        """Link a memory to another one. The same link again changes nothing."""
        link, is_new = await self._service.link(caller, id, new.target, new.type)
        if is_new:
            response.status_code = 201
        return LinkView.of(link)

    async def unlink(
        self,
        caller: Caller,
        id: Id,  # noqa: A002  # the API's name
        target: Id,
        type: LinkName | None = None,  # noqa: A002  # the API's name
    ) -> None:
        """Remove the links from a memory to another one, all or those of one type."""
        await self._service.unlink(caller, id, target, type)
