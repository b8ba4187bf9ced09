"""The routes that common deployment guides call, under the names that those have for them.

Each is another way to what /v1 has, for scripts that are there already.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response, StreamingResponse
from prometheus_client import CONTENT_TYPE_LATEST

from memorybank.domain.keys import Scope
from memorybank.http.caller import Caller
from memorybank.http.errors import HttpProblem
from memorybank.http.routes_forgetting import stats_view
from memorybank.http.routes_transfer import EXPORTED, Export
from memorybank.schemas.guides import (
    EverythingQuery,
    ForgettingCurveRun,
    MemoryStats,
    MetricsQuery,
    SchedulerJob,
    SchedulerStatus,
    TenantMetrics,
)
from memorybank.schemas.transfer import ExportQuery
from memorybank.services.consolidation import Consolidation
from memorybank.services.exporting import ExportService
from memorybank.services.forgetting import Forgetting

Exposition = Callable[[], Awaitable[bytes]]


class GuideRoutes:
    """Parse, call the service, show."""

    def __init__(
        self,
        forgetting: Forgetting,
        consolidation: Consolidation,
        exports: ExportService,
        embedding_model: str,
        *,
        exposition: Exposition | None,
    ) -> None:
        """`exposition` makes Prometheus' text; None where it is on the metrics port alone."""
        self._forgetting = forgetting
        self._consolidation = consolidation
        self._exports = exports
        self._embedding_model = embedding_model
        self._exposition = exposition

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(tags=["guides"])
        add = router.add_api_route
        add("/memory_stats", self.memory_stats, methods=["GET"], summary="What there is")
        add("/scheduler_status", self.scheduler_status, methods=["GET"], summary="What runs when")
        add(
            "/run_forgetting_curve",
            self.run_forgetting_curve,
            methods=["POST"],
            summary="Run the forgetting job now",
        )
        add(
            "/metrics",
            self.metrics,
            methods=["GET"],
            summary="The figures of a tenant, or of the bank",
            response_model=TenantMetrics,
        )
        add(
            "/api/v1/export/all",
            self.export_all,
            methods=["GET"],
            summary="Export everything",
            response_class=StreamingResponse,
            responses=EXPORTED,
        )
        return router

    async def memory_stats(self, caller: Caller) -> MemoryStats:
        """Count the memories of this tenant; `GET /v1/stats` tells more."""
        stats = stats_view(await self._forgetting.stats(caller), self._embedding_model)
        return MemoryStats(
            tenant_id=caller.tenant,
            total_memories=stats.total,
            avg_importance=stats.average_importance,
            oldest_memory=stats.oldest,
            newest_memory=stats.newest,
            embedding_provider=stats.embedding_model,
        )

    async def scheduler_status(self, caller: Caller) -> SchedulerStatus:
        """Show which jobs run when, and how they went the last time; `GET /v1/forgetting` and
        `GET /v1/consolidation/jobs` tell more.
        """
        schedule = await self._forgetting.schedule(caller)
        forgetting = SchedulerJob(
            id="forgetting_curve_job",
            name="Apply Forgetting Curve",
            next_run=schedule.next_run,
            trigger=f"interval[{schedule.policy.interval}]",
            last_run=schedule.last_run,
            last_result=None if schedule.last_run is None else "done",
        )
        cron = self._consolidation.rules.schedule
        jobs = [forgetting] + [
            SchedulerJob(
                id=f"{report.job.value}_job",
                name=report.job.value.replace("_", " ").title(),
                next_run=report.next_run,
                trigger=f"cron[{cron}]",
                last_run=None if report.last is None else report.last.started_at,
                last_result=None if report.last is None else report.last.status.value,
            )
            for report in await self._consolidation.jobs(caller)
        ]
        if all(job.next_run is None for job in jobs):
            return SchedulerStatus(status="stopped", scheduler_state=0, jobs=jobs)
        return SchedulerStatus(status="running", scheduler_state=1, jobs=jobs)

    async def run_forgetting_curve(self, caller: Caller) -> ForgettingCurveRun:
        """Run the forgetting job once on this tenant's memories, as `POST /v1/forgetting/run`."""
        run = (await self._forgetting.run(caller)).run
        return ForgettingCurveRun(
            timestamp=run.started_at,
            archived=run.archived,
            trashed=run.trashed,
            purged=run.purged,
        )

    async def metrics(
        self, caller: Caller, query: Annotated[MetricsQuery, Query()]
    ) -> TenantMetrics | Response:
        """Tell the figures of the tenant, as JSON; those of the bank, in Prometheus' format, are
        on the metrics port.
        """
        caller.require(Scope.READ)
        if query.tenant_id is not None:
            caller.require_tenant(query.tenant_id)
            stats = stats_view(await self._forgetting.stats(caller), self._embedding_model)
            return TenantMetrics(
                tenant_id=caller.tenant, timestamp=datetime.now(UTC), **dict(stats)
            )
        if self._exposition is None:
            raise HttpProblem(
                404,
                "not_found",
                "Prometheus' metrics are on the metrics port alone",
                hint="name the tenant for its figures, as in /metrics?tenant_id="
                f"{caller.tenant}; or set server.metrics_on_port",
            )
        caller.require_bank()
        return Response(await self._exposition(), media_type=CONTENT_TYPE_LATEST)

    async def export_all(
        self, caller: Caller, query: Annotated[EverythingQuery, Query()]
    ) -> StreamingResponse:
        """Write every memory of this tenant as JSON Lines, which `POST /v1/import` takes again."""
        caller.require(Scope.ADMIN)
        if query.tenant_id is not None:
            caller.require_tenant(query.tenant_id)
        return Export.of(
            await self._exports.begin(caller, ExportQuery(events=query.include_events))
        )
