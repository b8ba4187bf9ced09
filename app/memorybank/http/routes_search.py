"""Finding: /v1/search and what is around it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from memorybank.http.body import JsonRoute
from memorybank.http.caller import Caller
from memorybank.schemas.search import (
    ContextRequest,
    ContextResponse,
    FacetsRequest,
    FacetsResponse,
    SearchRequest,
    SearchResponse,
    SimilarQuery,
    SuggestionsRequest,
    SuggestionsResponse,
)
from memorybank.services.finding import Finding

Id = Annotated[str, Path(description="The memory's id.")]


class SearchRoutes:
    """Parse, call the service, show."""

    def __init__(self, service: Finding) -> None:
        self._service = service

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(prefix="/v1", route_class=JsonRoute, tags=["search"])
        add = router.add_api_route
        add("/search", self.search, methods=["POST"], summary="Find by meaning and by words")
        add("/context", self.context, methods=["POST"], summary="What is known, for a prompt")
        add("/facets", self.facets, methods=["POST"], summary="Count by type, tag, project, ...")
        add("/suggestions", self.suggest, methods=["POST"], summary="Ways to go on typing")
        add("/memories/{id}/similar", self.similar, methods=["GET"], summary="Find others like it")
        return router

    async def search(self, caller: Caller, request: SearchRequest) -> SearchResponse:
        """Return the memories that fit best, best first. Without any match the list is empty."""
        found = await self._service.search(caller, request)
        return SearchResponse.of(found.memories, found.degraded, request)

    async def context(self, caller: Caller, request: ContextRequest) -> ContextResponse:
        """Return the best memories as a text of bounded length, quoted as data."""
        bundle, found = await self._service.context(caller, request)
        return ContextResponse.of(bundle, found.memories, found.degraded)

    async def facets(self, caller: Caller, request: FacetsRequest) -> FacetsResponse:
        """Count the memories that the filters mean."""
        return FacetsResponse.of(await self._service.facets(caller, request))

    async def suggest(self, caller: Caller, request: SuggestionsRequest) -> SuggestionsResponse:
        """Return titles, tags and words of the bank's own that go on with what was typed."""
        return SuggestionsResponse.of(await self._service.suggest(caller, request))

    async def similar(
        self,
        caller: Caller,
        id: Id,  # noqa: A002  # the API's name
        query: Annotated[SimilarQuery, Query()],
    ) -> SearchResponse:
        """Return the memories that are most like this one, itself left out."""
        found = await self._service.similar(caller, id, query)
        return SearchResponse.of(found.memories, found.degraded)
