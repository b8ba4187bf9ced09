"""/v1/consolidation."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from memorybank.http.body import JsonRoute
from memorybank.http.caller import Caller
from memorybank.schemas.consolidation import (
    ConsolidationJobs,
    ConsolidationReport,
    ConsolidationRequest,
    ConsolidationRunList,
    ConsolidationRunsQuery,
    ConsolidationRunView,
    ConsolidationUndone,
)
from memorybank.services.consolidation import Consolidation

Id = Annotated[str, Path(description="The run's id.")]


class ConsolidationRoutes:
    """Parse, call the service, show."""

    def __init__(self, service: Consolidation) -> None:
        self._service = service

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(
            prefix="/v1/consolidation", route_class=JsonRoute, tags=["consolidation"]
        )
        add = router.add_api_route
        add("/jobs", self.jobs, methods=["GET"], summary="Which jobs run when")
        add("/runs", self.run, methods=["POST"], summary="Run jobs now, or see what they would do")
        add("/runs", self.runs, methods=["GET"], summary="List runs, newest first")
        add("/runs/{id}", self.get, methods=["GET"], summary="Show a run")
        add("/runs/{id}/undo", self.undo, methods=["POST"], summary="Undo a run")
        return router

    async def jobs(self, caller: Caller) -> ConsolidationJobs:
        """Show the jobs, when they run next, and how they went the last time."""
        return ConsolidationJobs.of(self._service.rules, await self._service.jobs(caller))

    async def run(self, caller: Caller, how: ConsolidationRequest) -> ConsolidationReport:
        """Run jobs on this tenant's memories, whether the schedule is switched on or not.

        Needs the scope memory:admin; a dry run needs memory:read.
        """
        if not how.dry_run:
            return ConsolidationReport.of(await self._service.run(caller, how.each_once()))
        previews = await self._service.preview(caller, how.each_once())
        folds = [fold for preview in previews for fold in preview.folds]
        return ConsolidationReport.of_dry((preview.run for preview in previews), folds)

    async def runs(
        self, caller: Caller, query: Annotated[ConsolidationRunsQuery, Query()]
    ) -> ConsolidationRunList:
        """List the runs, newest first; the last 1,000 are kept."""
        return ConsolidationRunList.of(
            await self._service.runs(caller, limit=query.limit, job=query.job)
        )

    async def get(
        self,
        caller: Caller,
        id: Id,  # noqa: A002  # the API's name
    ) -> ConsolidationRunView:
        """Show how far a run is, or how it ended."""
        return ConsolidationRunView.of(await self._service.get(caller, id))

    async def undo(
        self,
        caller: Caller,
        id: Id,  # noqa: A002  # the API's name
    ) -> ConsolidationUndone:
        """Put back what a run did, but for what was changed since. It is not done again."""
        undone = await self._service.undo(caller, id)
        return ConsolidationUndone(id=undone.run.id, restored=undone.restored, left=undone.left)
