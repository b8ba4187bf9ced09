"""/v1/patterns, heuristics and recommend: what episodes teach."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from memorybank.http.body import JsonRoute
from memorybank.http.caller import Caller
from memorybank.http.routes_memories import Id
from memorybank.schemas.life import ChangedView
from memorybank.schemas.memories import MemoryList, MemoryView
from memorybank.schemas.work.learning import (
    Advice,
    HeuristicQuery,
    HeuristicsLearned,
    NewFeedback,
    PatternList,
    PatternQuery,
    PatternView,
    SimilarView,
    Task,
)
from memorybank.services.work.advising import Advised, Advising, Shown

PatternId = Annotated[str, Path(description="The pattern's id.")]


class LearningRoutes:
    """Parse, call the service, show."""

    def __init__(self, advising: Advising) -> None:
        self._advising = advising

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(prefix="/v1", route_class=JsonRoute)
        add = router.add_api_route
        add(
            "/patterns", self.patterns, methods=["GET"], tags=["patterns"],
            summary="List patterns, the best first", name="list",
        )  # fmt: skip
        add(
            "/patterns/{id}", self.pattern, methods=["GET"], tags=["patterns"],
            summary="Get a pattern, and why", name="get",
        )  # fmt: skip
        add(
            "/heuristics", self.heuristics, methods=["GET"], tags=["heuristics"],
            summary="List, newest first", name="list_page",
        )  # fmt: skip
        add(
            "/heuristics/learn", self.learn, methods=["POST"], tags=["heuristics"],
            summary="Write down what is proven",
        )  # fmt: skip
        add(
            "/recommend", self.recommend, methods=["POST"], tags=["search"],
            summary="Say what experience has for a task",
        )  # fmt: skip
        add(
            "/episodes/{id}/feedback", self.feedback, methods=["POST"], tags=["episodes"],
            summary="Say what advice was good for",
        )  # fmt: skip
        return router

    async def patterns(
        self, caller: Caller, query: Annotated[PatternQuery, Query()]
    ) -> PatternList:
        """List what episodes have in common, by how sure it is that it matters."""
        found, episodes = await self._advising.patterns(caller, query)
        return PatternList(patterns=_views(found), episodes=episodes)

    async def pattern(self, caller: Caller, id: PatternId) -> PatternView:  # noqa: A002  # the API's name
        """Get a pattern, with the episodes that speak for it and against it."""
        return _view(await self._advising.pattern(caller, id))

    async def heuristics(
        self, caller: Caller, query: Annotated[HeuristicQuery, Query()]
    ) -> MemoryList:
        """List heuristics: what is written down of proven patterns, and what people wrote."""
        return MemoryList.of(await self._advising.heuristics.list_page(caller, query))

    async def learn(self, caller: Caller) -> HeuristicsLearned:
        """Write proven patterns down as heuristics; what is not proven any more is archived."""
        done = await self._advising.write_down(caller)
        return HeuristicsLearned(added=done.added, changed=done.changed, archived=done.archived)

    async def recommend(self, caller: Caller, task: Task) -> Advice:
        """Say what experience has for a task: similar episodes, sequences, cures, choices."""
        return advice(await self._advising.recommend(caller, task))

    async def feedback(
        self,
        caller: Caller,
        id: Id,  # noqa: A002  # the API's name
        new: NewFeedback,
    ) -> ChangedView:
        """Say what a recommended pattern was good for in an episode; it counts in the ranking."""
        return ChangedView.changed(*await self._advising.feedback(caller, id, new))


def advice(found: Advised) -> Advice:
    """Show advice."""
    return Advice(
        similar=[
            SimilarView(
                episode=MemoryView.of(each.episode),
                score=each.score,
                tools=[step.tool for step in each.steps],
            )
            for each in found.similar
        ],
        sequences=_views(found.sequences),
        cures=_views(found.cures),
        choices=_views(found.choices),
        heuristics=[MemoryView.of(each) for each in found.heuristics],
        playbook=found.playbook,
    )


def _views(found: list[Shown]) -> list[PatternView]:
    return [_view(each) for each in found]


def _view(found: Shown) -> PatternView:
    return PatternView.of(found.judged, found.why)
