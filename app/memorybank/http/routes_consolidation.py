"""/v1/consolidation."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from memorybank.http.body import JsonRoute
from memorybank.http.caller import Caller
from memorybank.ports import ConsolidationRun
from memorybank.schemas.consolidation import (
    ConsolidationJobs,
    ConsolidationJobView,
    ConsolidationReport,
    ConsolidationRequest,
    ConsolidationRunList,
    ConsolidationRunsQuery,
    ConsolidationRunView,
    ConsolidationUndone,
    FoldView,
)
from memorybank.services.consolidation import MAX_SHOWN, Consolidation

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
        rules = self._service.rules
        return ConsolidationJobs(
            enabled=rules.enabled,
            schedule=rules.schedule,
            jobs=[
                ConsolidationJobView(
                    job=report.job,
                    scheduled=report.scheduled,
                    next_run=report.next_run,
                    last_run=None if report.last is None else run_view(report.last),
                    last_success=None if report.last_done is None else report.last_done.ended_at,
                )
                for report in await self._service.jobs(caller)
            ],
        )

    async def run(self, caller: Caller, how: ConsolidationRequest) -> ConsolidationReport:
        """Run jobs on this tenant's memories, whether the schedule is switched on or not.

        Needs the scope memory:admin; a dry run needs memory:read.
        """
        return await asked(self._service, caller, how)

    async def runs(
        self, caller: Caller, query: Annotated[ConsolidationRunsQuery, Query()]
    ) -> ConsolidationRunList:
        """List the runs, newest first; the last 1,000 are kept."""
        runs = await self._service.runs(caller, limit=query.limit, job=query.job)
        return ConsolidationRunList(runs=[run_view(run) for run in runs])

    async def get(
        self,
        caller: Caller,
        id: Id,  # noqa: A002  # the API's name
    ) -> ConsolidationRunView:
        """Show how far a run is, or how it ended."""
        return run_view(await self._service.get(caller, id))

    async def undo(
        self,
        caller: Caller,
        id: Id,  # noqa: A002  # the API's name
    ) -> ConsolidationUndone:
        """Put back what a run did, but for what was changed since. It is not done again."""
        undone = await self._service.undo(caller, id)
        return ConsolidationUndone(id=undone.run.id, restored=undone.restored, left=undone.left)


async def asked(
    service: Consolidation, caller: Caller, how: ConsolidationRequest
) -> ConsolidationReport:
    """Do what a request asks for."""
    jobs = list(dict.fromkeys(how.jobs))
    if not how.dry_run:
        runs = await service.run(caller, jobs)
        return ConsolidationReport(dry_run=False, runs=[run_view(run) for run in runs], steps=[])
    previews = await service.preview(caller, jobs)
    folds = [fold for preview in previews for fold in preview.folds]
    return ConsolidationReport(
        dry_run=True,
        runs=[run_view(preview.run) for preview in previews],
        steps=[
            FoldView(
                kept=None if fold.kept is None else fold.kept.id,
                archived=[memory.id for memory in fold.archived],
            )
            for fold in folds[:MAX_SHOWN]
        ],
    )


def run_view(run: ConsolidationRun) -> ConsolidationRunView:
    """Show a run."""
    return ConsolidationRunView(
        id=run.id,
        job=run.job,
        status=run.status,
        cause=run.cause,
        started_at=run.started_at,
        ended_at=run.ended_at,
        examined=run.examined,
        kept=run.kept,
        archived=run.archived,
        error=run.error,
        undone_at=run.undone_at,
    )
