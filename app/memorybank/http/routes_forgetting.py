"""/v1/forgetting, /v1/trash and /v1/stats."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from memorybank.domain.memory import MemoryState, MemoryType
from memorybank.http.body import JsonRoute
from memorybank.http.caller import Caller
from memorybank.ports import BankStats, ForgettingRun
from memorybank.schemas.forgetting import (
    EmptiedTrash,
    Fate,
    FateView,
    ForecastView,
    Preview,
    PreviewQuery,
    RunList,
    RunReport,
    RunRequest,
    RunsQuery,
    RunView,
    ScheduleView,
    StatsView,
    StepView,
    Undone,
)
from memorybank.services.forgetting import Forecast, Forgetting

Id = Annotated[str, Path(description="The run's id.")]

_FATES: dict[MemoryState | None, Fate] = {
    MemoryState.LIVE: "live",
    MemoryState.ARCHIVED: "archived",
    MemoryState.TRASH: "trash",
    None: "purged",
}


class ForgettingRoutes:
    """Parse, call the service, show."""

    def __init__(self, service: Forgetting, embedding_model: str) -> None:
        self._service = service
        self._embedding_model = embedding_model

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(prefix="/v1", route_class=JsonRoute, tags=["forgetting"])
        add = router.add_api_route
        add("/forgetting", self.schedule, methods=["GET"], summary="How and when")
        add(
            "/forgetting/run", self.run, methods=["POST"], summary="Run now, or see what a run does"
        )
        add("/forgetting/preview", self.preview, methods=["GET"], summary="What will happen")
        add("/forgetting/runs", self.runs, methods=["GET"], summary="List runs, newest first")
        add("/forgetting/runs/{id}/undo", self.undo, methods=["POST"], summary="Undo a run")
        add("/trash", self.empty_trash, methods=["DELETE"], summary="Empty the trash")
        add("/stats", self.stats, methods=["GET"], summary="What there is")
        return router

    async def schedule(self, caller: Caller) -> ScheduleView:
        """Show how memories are forgotten, and when the job runs."""
        schedule = await self._service.schedule(caller)
        policy = schedule.policy
        return ScheduleView(
            enabled=policy.enabled,
            dry_run=policy.dry_run,
            interval_hours=policy.interval.total_seconds() / 3_600,
            threshold=policy.threshold,
            grace_days=policy.grace.total_seconds() / 86_400,
            half_life_days={kind: policy.half_life(kind) for kind in MemoryType},
            last_run=schedule.last_run,
            next_run=schedule.next_run,
            running=schedule.running,
            now=schedule.now,
        )

    async def run(self, caller: Caller, how: RunRequest) -> RunReport:
        """Run the job once on this tenant's memories, whether the schedule is switched on or not.

        Needs the scope memory:admin; a dry run needs memory:read.
        """
        outcome = await self._service.run(caller, dry_run=how.dry_run)
        return RunReport(
            **dict(_run_view(outcome.run)),
            dry_run=outcome.dry_run,
            steps=[StepView(id=memory_id, step=step) for memory_id, step in outcome.taken],
        )

    async def preview(self, caller: Caller, query: Annotated[PreviewQuery, Query()]) -> Preview:
        """Show what the schedule will have done by so many days, if nobody uses the memories."""
        forecasts = await self._service.preview(caller, query.days)
        enabled = (await self._service.schedule(caller)).policy.enabled
        return Preview(enabled=enabled, forecasts=[_forecast_view(each) for each in forecasts])

    async def runs(self, caller: Caller, query: Annotated[RunsQuery, Query()]) -> RunList:
        """List the runs that changed something, newest first; the last 1,000 are kept."""
        runs = await self._service.runs(caller, limit=query.limit)
        return RunList(runs=[_run_view(run) for run in runs])

    async def undo(self, caller: Caller, id: Id) -> Undone:  # noqa: A002  # the API's name
        """Put back what a run archived and moved to the trash, unless it was moved since.

        It counts as used now. What a run purged cannot come back.
        """
        return Undone(restored=await self._service.undo(caller, id))

    async def empty_trash(self, caller: Caller) -> EmptiedTrash:
        """Purge what is in the trash, for good; what is pinned or on legal hold stays."""
        return EmptiedTrash(purged=await self._service.empty_trash(caller))

    async def stats(self, caller: Caller) -> StatsView:
        """Count the memories of this tenant."""
        return stats_view(await self._service.stats(caller), self._embedding_model)


def stats_view(stats: BankStats, embedding_model: str) -> StatsView:
    """Show what a tenant holds."""
    return StatsView(
        total=stats.by_state.get(MemoryState.LIVE, 0),
        by_state={state: stats.by_state.get(state, 0) for state in MemoryState},
        by_type=stats.by_type,
        pinned=stats.pinned,
        average_importance=stats.average_importance,
        oldest=stats.oldest,
        newest=stats.newest,
        embedding_model=embedding_model,
    )


def _run_view(run: ForgettingRun) -> RunView:
    return RunView(
        id=run.id,
        started_at=run.started_at,
        cause=run.cause,
        archived=run.archived,
        trashed=run.trashed,
        purged=run.purged,
        undone_at=run.undone_at,
    )


def _forecast_view(forecast: Forecast) -> ForecastView:
    return ForecastView(
        days=forecast.days,
        at=forecast.at,
        archived=forecast.counts.get(MemoryState.ARCHIVED, 0),
        trash=forecast.counts.get(MemoryState.TRASH, 0),
        purged=forecast.counts.get(None, 0),
        memories=[
            FateView(id=memory_id, state=_FATES[state]) for memory_id, state in forecast.changed
        ],
    )
