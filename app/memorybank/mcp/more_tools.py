"""The tools of `profile=full`, for agents that tend a bank and not only use it."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import Field

from memorybank.auth.principal import Principal
from memorybank.domain.keys import Scope
from memorybank.domain.memory import MemoryPage
from memorybank.mcp.tools import Found, Recalled, Recollection, ToolSpec
from memorybank.schemas.fields import MAX_CURSOR, MemoryId, Name, Request, Response, Tags, Types
from memorybank.schemas.life import (
    ChangedView,
    HistoryQuery,
    LinkList,
    LinkView,
    NewLink,
    RevisionView,
    Rollback,
)
from memorybank.schemas.memories import ListQuery, MemoryView, NewMemory
from memorybank.schemas.search import FacetsRequest, FacetsResponse, SimilarQuery
from memorybank.services.memories import MemoryService


class WhichMemory(Request):
    """One memory."""

    id: MemoryId


class ListArguments(Request):
    """Which page of which memories to list."""

    limit: Annotated[int, Field(ge=1, le=50)] = 20
    cursor: Annotated[str, Field(max_length=MAX_CURSOR)] | None = Field(
        None, description="next_cursor of the page before."
    )
    project: Name | None = None
    session: Name | None = None
    types: Types = Field([])
    tags: Tags = Field([], description="Only with all of these.")

    def query(self) -> ListQuery:
        """Return the query for it."""
        given = self.model_dump(exclude={"types", "tags"})
        return ListQuery.model_validate(given | {"type": self.types, "tag": self.tags})


class Listed(Response):
    """A page, newest first."""

    memories: list[Found]
    next_cursor: str | None
    total: int

    @classmethod
    def of(cls, page: MemoryPage) -> Self:
        """Show a page."""
        return cls(
            memories=[Found.of(memory) for memory in page.memories],
            next_cursor=page.next_cursor,
            total=page.total,
        )


class SimilarArguments(Request):
    """Which memory, and how many like it."""

    id: MemoryId
    limit: Annotated[int, Field(ge=1, le=50)] = 10
    same_project: bool = False


class Revisions(Response):
    """What a memory said before, newest first."""

    current: int
    revisions: list[RevisionView]
    total: int


class RollbackArguments(Rollback):
    """Which memory, and which of its revisions."""

    id: MemoryId


class SupersedeArguments(Request):
    """Which memory, and what takes its place."""

    id: MemoryId
    memory: NewMemory


class LinkArguments(NewLink):
    """From which memory to which, and how they are related."""

    id: MemoryId


class MoreTools:
    """What the tools do, each a call of the same services as REST."""

    def __init__(self, service: MemoryService) -> None:
        self._service = service

    async def get(self, caller: Principal, which: WhichMemory) -> MemoryView:
        """Return all of one memory."""
        return MemoryView.of(await self._service.get(caller, which.id))

    async def list_page(self, caller: Principal, arguments: ListArguments) -> Listed:
        """Return one page."""
        return Listed.of(await self._service.list_page(caller, arguments.query()))

    async def similar(self, caller: Principal, arguments: SimilarArguments) -> Recalled:
        """Return the memories most like one."""
        query = SimilarQuery(limit=arguments.limit, same_project=arguments.same_project)
        found = await self._service.finding.similar(caller, arguments.id, query)
        return Recalled(
            results=[
                Recollection(memory=Found.of(memory), score=hit.score)
                for memory, hit in found.memories
            ],
            degraded=found.degraded,
        )

    async def facets(self, caller: Principal, request: FacetsRequest) -> FacetsResponse:
        """Count memories."""
        return FacetsResponse.of(await self._service.finding.facets(caller, request))

    async def history(self, caller: Principal, which: WhichMemory) -> Revisions:
        """Return what a memory said before."""
        memory, page = await self._service.life.history(
            caller, which.id, before=None, limit=HistoryQuery().limit
        )
        return Revisions(
            current=memory.revision,
            revisions=[RevisionView.of(revision) for revision in page.revisions],
            total=page.total,
        )

    async def rollback(self, caller: Principal, arguments: RollbackArguments) -> MemoryView:
        """Let a memory say again what it said."""
        life = self._service.life
        return MemoryView.of(await life.rollback(caller, arguments.id, arguments.revision))

    async def supersede(self, caller: Principal, arguments: SupersedeArguments) -> ChangedView:
        """Put a new memory in the place of one."""
        life = self._service.life
        return ChangedView.changed(*await life.supersede(caller, arguments.id, arguments.memory))

    async def archive(self, caller: Principal, which: WhichMemory) -> MemoryView:
        """Keep a memory out of the way."""
        return MemoryView.of(await self._service.life.archive(caller, which.id))

    async def restore(self, caller: Principal, which: WhichMemory) -> MemoryView:
        """Bring a memory back."""
        return MemoryView.of(await self._service.life.restore(caller, which.id))

    async def link(self, caller: Principal, arguments: LinkArguments) -> LinkView:
        """Link a memory to another one."""
        life = self._service.life
        made, _is_new = await life.link(caller, arguments.id, arguments.target, arguments.type)
        return LinkView.of(made)

    async def links(self, caller: Principal, which: WhichMemory) -> LinkList:
        """Return the links from and to a memory."""
        found = await self._service.life.links(caller, which.id)
        return LinkList(links=[LinkView.of(link) for link in found])


def more_tools(service: MemoryService) -> list[ToolSpec[Any]]:
    """Return them, always in the same order."""
    do = MoreTools(service)
    return [
        ToolSpec(
            name="get",
            title="Get",
            description="Get all of one memory, by its id.",
            scope=Scope.READ,
            arguments=WhichMemory,
            result=MemoryView,
            run=do.get,
            read_only=True,
            idempotent=True,
        ),
        ToolSpec(
            name="list",
            title="List",
            description="List memories page by page, newest first.",
            scope=Scope.READ,
            arguments=ListArguments,
            result=Listed,
            run=do.list_page,
            read_only=True,
            idempotent=True,
        ),
        ToolSpec(
            name="similar",
            title="Similar",
            description="Find the memories most like one, by its id.",
            scope=Scope.READ,
            arguments=SimilarArguments,
            result=Recalled,
            run=do.similar,
            read_only=True,
            idempotent=True,
        ),
        ToolSpec(
            name="facets",
            title="Facets",
            description="Count memories by type, tag, project, session, length and month.",
            scope=Scope.READ,
            arguments=FacetsRequest,
            result=FacetsResponse,
            run=do.facets,
            read_only=True,
            idempotent=True,
        ),
        ToolSpec(
            name="history",
            title="History",
            description="Show what a memory said before, its 50 newest revisions.",
            scope=Scope.READ,
            arguments=WhichMemory,
            result=Revisions,
            run=do.history,
            read_only=True,
            idempotent=True,
        ),
        ToolSpec(
            name="rollback",
            title="Roll back",
            description="Let a memory say again what it said at a revision; that makes a new one.",
            scope=Scope.WRITE,
            arguments=RollbackArguments,
            result=MemoryView,
            run=do.rollback,
            idempotent=True,
        ),
        ToolSpec(
            name="supersede",
            title="Supersede",
            description="Put a new memory in the place of one that held until now. The old one "
            "keeps its place in the past.",
            scope=Scope.WRITE,
            arguments=SupersedeArguments,
            result=ChangedView,
            run=do.supersede,
        ),
        ToolSpec(
            name="archive",
            title="Archive",
            description="Keep a memory out of the way: found only when archived ones are asked "
            "for.",
            scope=Scope.WRITE,
            arguments=WhichMemory,
            result=MemoryView,
            run=do.archive,
            idempotent=True,
        ),
        ToolSpec(
            name="restore",
            title="Restore",
            description="Bring a memory back from the archive or the trash.",
            scope=Scope.WRITE,
            arguments=WhichMemory,
            result=MemoryView,
            run=do.restore,
            idempotent=True,
        ),
        ToolSpec(
            name="link",
            title="Link",
            description="Link a memory to another one.",
            scope=Scope.WRITE,
            arguments=LinkArguments,
            result=LinkView,
            run=do.link,
            idempotent=True,
        ),
        ToolSpec(
            name="links",
            title="Links",
            description="List the links from and to a memory.",
            scope=Scope.READ,
            arguments=WhichMemory,
            result=LinkList,
            run=do.links,
            read_only=True,
            idempotent=True,
        ),
    ]
