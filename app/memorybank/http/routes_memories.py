"""/v1/memories and /v1/search."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from memorybank.http.body import JsonRoute
from memorybank.http.caller import Caller
from memorybank.schemas.memories import (
    ListQuery,
    MemoryList,
    MemoryPatch,
    MemoryView,
    NewMemory,
    SearchRequest,
    SearchResponse,
)
from memorybank.services.memories import MemoryService

Id = Annotated[str, Path(description="The memory's id.")]


class MemoryRoutes:
    """Parse, call the service, show."""

    def __init__(self, service: MemoryService) -> None:
        self._service = service

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(prefix="/v1", route_class=JsonRoute, tags=["memories"])
        add = router.add_api_route
        add("/memories", self.create, methods=["POST"], status_code=201, summary="Remember")
        add("/memories", self.list_page, methods=["GET"], summary="List, newest first")
        add("/memories/{id}", self.get, methods=["GET"], summary="Get")
        add("/memories/{id}", self.update, methods=["PATCH"], summary="Change")
        add("/memories/{id}", self.delete, methods=["DELETE"], status_code=204, summary="Forget")
        add("/search", self.search, methods=["POST"], summary="Find by meaning and by words")
        return router

    async def create(self, caller: Caller, new: NewMemory, response: Response) -> MemoryView:
        """Keep a memory. It is durable and can be found when the answer arrives."""
        memory = await self._service.remember(caller, new)
        response.headers["Location"] = f"/v1/memories/{memory.id}"
        return MemoryView.of(memory)

    async def list_page(self, caller: Caller, query: Annotated[ListQuery, Query()]) -> MemoryList:
        """List memories page by page. Pages neither skip nor repeat what is there all along."""
        page = await self._service.list_page(caller, query)
        return MemoryList(
            memories=[MemoryView.of(memory) for memory in page.memories],
            next_cursor=page.next_cursor,
            total=page.total,
        )

    async def get(self, caller: Caller, id: Id) -> MemoryView:  # noqa: A002  # the API's name
        """Get one memory."""
        return MemoryView.of(await self._service.get(caller, id))

    async def update(
        self,
        caller: Caller,
        id: Id,  # noqa: A002  # the API's name
        patch: MemoryPatch,
    ) -> MemoryView:
        """Change the fields that are sent; null empties one; tags and metadata are replaced."""
        return MemoryView.of(await self._service.update(caller, id, patch))

    async def delete(self, caller: Caller, id: Id) -> None:  # noqa: A002  # the API's name
        """Delete a memory for good."""
        await self._service.forget(caller, id)

    async def search(self, caller: Caller, request: SearchRequest) -> SearchResponse:
        """Find memories that answer a question, by meaning and by words, best first."""
        return SearchResponse.of(await self._service.recall(caller, request))
