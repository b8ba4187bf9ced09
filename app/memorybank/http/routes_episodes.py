"""/v1/episodes: work from its task over its steps to its outcome."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response

from memorybank.http.caller import Caller
from memorybank.http.routes_memories import Id, Once, shown_as_stored
from memorybank.http.routes_work import ThingRoutes
from memorybank.schemas.life import ChangedView, FindingView, StoredView
from memorybank.schemas.memories import MemoryList
from memorybank.schemas.work.episodes import (
    CheckpointView,
    EpisodeCompletion,
    EpisodeEnd,
    EpisodeQuery,
    NewCheckpoint,
    NewEpisode,
    NewStepList,
    PackView,
    ResumedView,
    StepPage,
    StepQuery,
    StepReceipt,
    StepView,
)
from memorybank.services.work.episodes import Episodes

CheckpointId = Annotated[str, Path(description="The checkpoint's id.")]
Wait = Annotated[bool, Query(description="True answers when the steps are durable.")]


_DURABLE: dict[int | str, dict[str, Any]] = {
    201: {"model": StepReceipt, "description": "They are durable."}
}


class EpisodeRoutes(ThingRoutes):
    """Parse, call the service, show."""

    kind = "episodes"

    def __init__(self, episodes: Episodes) -> None:
        super().__init__(episodes)
        self._episodes = episodes

    def router(self) -> APIRouter:
        """Return the routes."""
        router = self.routed(self.create, self.list_page, summary="Begin an episode")
        add = router.add_api_route
        add(
            "/{id}/steps",
            self.add_steps,
            methods=["POST"],
            status_code=202,
            summary="Add steps",
            responses=_DURABLE,
        )
        add("/{id}/steps", self.steps, methods=["GET"], summary="Show the steps")
        add("/{id}/complete", self.complete, methods=["POST"], summary="Complete")
        add("/{id}/abandon", self.abandon, methods=["POST"], summary="Abandon")
        places = "/{id}/checkpoints"
        add(places, self.checkpoint, methods=["POST"], status_code=201, summary="Mark a place")
        add(f"{places}/{{checkpoint}}/pack", self.pack, methods=["GET"], summary="Get the pack")
        add(
            f"{places}/{{checkpoint}}/resume",
            self.resume,
            methods=["POST"],
            status_code=201,
            summary="Go on from a place",
        )
        return router

    async def create(
        self, caller: Caller, new: NewEpisode, response: Response, once: Once = None
    ) -> StoredView:
        """Begin a piece of work: it is open, and takes steps."""
        return shown_as_stored(await self._things.add(caller, new, once=once), response)

    async def list_page(
        self, caller: Caller, query: Annotated[EpisodeQuery, Query()]
    ) -> MemoryList:
        """List episodes."""
        return MemoryList.of(await self._things.list_page(caller, query))

    async def add_steps(
        self,
        caller: Caller,
        id: Id,  # noqa: A002  # the API's name
        new: NewStepList,
        response: Response,
        wait: Wait = False,
    ) -> StepReceipt:
        """Tell what was done. Steps are written in batches: 201 says that these are, 202 that they
        are queued."""
        taken = await self._episodes.add_steps(caller, id, new.steps, wait=wait)
        if taken.numbers is not None:
            response.status_code = 201
        return StepReceipt(
            status="queued" if taken.numbers is None else "persisted",
            accepted=taken.accepted,
            numbers=taken.numbers or [],
            findings=[FindingView.of(each) for each in taken.findings],
        )

    async def steps(
        self,
        caller: Caller,
        id: Id,  # noqa: A002  # the API's name
        query: Annotated[StepQuery, Query()],
    ) -> StepPage:
        """Show the steps in their order, page by page."""
        page = await self._episodes.steps(caller, id, query)
        return StepPage(
            steps=[StepView.of(each) for each in page.steps],
            next_after=page.next_after,
            total=page.total,
        )

    async def complete(
        self,
        caller: Caller,
        id: Id,  # noqa: A002  # the API's name
        end: EpisodeCompletion,
    ) -> ChangedView:
        """End an episode with what came of it. All of its steps are durable then."""
        return ChangedView.changed(*await self._episodes.complete(caller, id, end))

    async def abandon(
        self,
        caller: Caller,
        id: Id,  # noqa: A002  # the API's name
        end: EpisodeEnd | None = None,
    ) -> ChangedView:
        """End an episode that comes to nothing. Nothing is learned from it."""
        return ChangedView.changed(*await self._episodes.abandon(caller, id, end))

    async def checkpoint(
        self,
        caller: Caller,
        id: Id,  # noqa: A002  # the API's name
        new: NewCheckpoint,
    ) -> CheckpointView:
        """Mark a place that somebody can go on from."""
        made = await self._episodes.checkpoint(caller, id, new)
        return CheckpointView(
            id=made.id,
            at_step=made.pack.steps,
            pack=PackView.of(made.pack),
            handoff=None if made.handoff is None else made.handoff.id,
        )

    async def pack(
        self,
        caller: Caller,
        id: Id,  # noqa: A002  # the API's name
        checkpoint: CheckpointId,
    ) -> PackView:
        """Get what whoever goes on has to know."""
        return PackView.of(await self._episodes.pack(caller, id, checkpoint))

    async def resume(
        self,
        caller: Caller,
        id: Id,  # noqa: A002  # the API's name
        checkpoint: CheckpointId,
        once: Once = None,
    ) -> ResumedView:
        """Begin an episode that goes on from there."""
        stored, pack = await self._episodes.resume(caller, id, checkpoint, once=once)
        return ResumedView.of(stored.memory, pack)
