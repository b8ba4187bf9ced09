"""/v1/memories and /v1/search."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Path, Query, Response

from memorybank.errors import MemoryBankError
from memorybank.http.body import JsonRoute
from memorybank.http.caller import Caller
from memorybank.schemas.errors import ErrorEnvelope
from memorybank.schemas.fields import MAX_IDEMPOTENCY_KEY
from memorybank.schemas.life import (
    BatchResult,
    BatchResults,
    ChangedView,
    FindingView,
    NewMemories,
    StoredView,
)
from memorybank.schemas.memories import (
    ListQuery,
    MemoryList,
    MemoryPatch,
    MemoryView,
    NewMemory,
)
from memorybank.services.adding import IDEMPOTENCY_FIELD, Stored
from memorybank.services.memories import MemoryService

Id = Annotated[str, Path(description="The memory's id.")]
IncludeTrash = Annotated[bool, Query(description="Also when it is in the trash.")]
Purge = Annotated[bool, Query(description="True deletes it for good.")]
Once = Annotated[
    str | None,
    Header(
        alias=IDEMPOTENCY_FIELD,
        min_length=1,
        max_length=MAX_IDEMPOTENCY_KEY,
        description="A name for this request: when it comes again within 24 hours, it is answered"
        " as before and nothing is stored twice.",
    ),
]

_REPLAYED = "Idempotency-Replayed"


class MemoryRoutes:
    """Parse, call the service, show."""

    def __init__(self, service: MemoryService) -> None:
        self._service = service

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(prefix="/v1", route_class=JsonRoute, tags=["memories"])
        add = router.add_api_route
        add(
            "/memories",
            self.create,
            methods=["POST"],
            status_code=201,
            summary="Remember",
            responses={
                200: {"model": StoredView, "description": "A memory says the same already."}
            },
        )
        add(
            "/memories:batch",
            self.create_batch,
            methods=["POST"],
            summary="Remember many",
        )
        add("/memories", self.list_page, methods=["GET"], summary="List, newest first")
        add("/memories/{id}", self.get, methods=["GET"], summary="Get")
        add("/memories/{id}", self.update, methods=["PATCH"], summary="Change")
        add("/memories/{id}", self.delete, methods=["DELETE"], status_code=204, summary="Forget")
        return router

    async def create(
        self, caller: Caller, new: NewMemory, response: Response, once: Once = None
    ) -> StoredView:
        """Keep a memory. It is durable and can be found when the answer arrives.

        Where a memory of the same project and type holds the same words already, that one is
        answered, with status 200.
        """
        return shown_as_stored(await self._service.adding.add(caller, new, once=once), response)

    async def create_batch(
        self, caller: Caller, new: NewMemories, response: Response, once: Once = None
    ) -> BatchResults:
        """Keep many memories. Those that are refused keep none of the others from being stored."""
        outcomes = await self._service.adding.add_many(caller, new.memories, once=once)
        if any(isinstance(outcome, Stored) and outcome.replayed for outcome in outcomes):
            response.headers[_REPLAYED] = "true"
        return _batch_results(outcomes)

    async def list_page(self, caller: Caller, query: Annotated[ListQuery, Query()]) -> MemoryList:
        """List memories page by page. Pages neither skip nor repeat what is there all along."""
        return MemoryList.of(await self._service.list_page(caller, query))

    async def get(
        self,
        caller: Caller,
        id: Id,  # noqa: A002  # the API's name
        include_trash: IncludeTrash = False,
    ) -> MemoryView:
        """Get one memory."""
        return MemoryView.of(await self._service.get(caller, id, include_trash=include_trash))

    async def update(
        self,
        caller: Caller,
        id: Id,  # noqa: A002  # the API's name
        patch: MemoryPatch,
    ) -> ChangedView:
        """Change the fields that are sent; null empties one; tags and metadata are replaced."""
        return ChangedView.changed(*await self._service.life.update(caller, id, patch))

    async def delete(
        self,
        caller: Caller,
        id: Id,  # noqa: A002  # the API's name
        purge: Purge = False,
    ) -> None:
        """Move a memory to the trash, where nothing finds it and it can be restored, or purge it.

        A purge is for good, also for what is in the trash.
        """
        await self._service.forget(caller, id, purge=purge)


def shown_as_stored(stored: Stored, response: Response) -> StoredView:
    """Answer who stored a memory, or one that was there already."""
    if stored.deduplicated:
        response.status_code = 200
    if stored.replayed:
        response.headers[_REPLAYED] = "true"
    response.headers["Location"] = f"/v1/memories/{stored.memory.id}"
    return StoredView.stored(stored.memory, stored.findings, deduplicated=stored.deduplicated)


def _batch_results(outcomes: list[Stored | MemoryBankError]) -> BatchResults:
    results = [_batch_result(outcome) for outcome in outcomes]
    refused = sum(result.error is not None for result in results)
    deduplicated = sum(result.deduplicated_of is not None for result in results)
    return BatchResults(
        results=results,
        stored=len(results) - refused - deduplicated,
        deduplicated=deduplicated,
        refused=refused,
    )


def _batch_result(outcome: Stored | MemoryBankError) -> BatchResult:
    if isinstance(outcome, MemoryBankError):
        return BatchResult(error=ErrorEnvelope.of(outcome).error)
    memory_id = outcome.memory.id
    return BatchResult(
        id=memory_id,
        deduplicated_of=memory_id if outcome.deduplicated else None,
        findings=[FindingView.of(finding) for finding in outcome.findings],
    )
