"""The tools of `profile=full` for the jobs that make few memories of many."""

from __future__ import annotations

from typing import Any

from memorybank.auth.principal import Principal
from memorybank.domain.keys import Scope
from memorybank.mcp.tools import ToolSpec
from memorybank.mcp.work_tools import tool
from memorybank.schemas.consolidation import (
    ConsolidationJobs,
    ConsolidationReport,
    ConsolidationRunList,
    ConsolidationRunsQuery,
    ConsolidationRunView,
    ConsolidationUndone,
    WhichJobs,
)
from memorybank.schemas.fields import MemoryId, Request
from memorybank.services.consolidation import Consolidation


class Nothing(Request):
    """No arguments."""


class WhichRun(Request):
    """Which run is meant."""

    id: MemoryId


def consolidation_tools(consolidation: Consolidation) -> list[ToolSpec[Any]]:
    """Return them, always in the same order."""

    async def jobs(caller: Principal, _nothing: Nothing) -> ConsolidationJobs:
        return ConsolidationJobs.of(consolidation.rules, await consolidation.jobs(caller))

    async def preview(caller: Principal, which: WhichJobs) -> ConsolidationReport:
        previews = await consolidation.preview(caller, which.each_once())
        folds = [fold for each in previews for fold in each.folds]
        return ConsolidationReport.of_dry((each.run for each in previews), folds)

    async def run(caller: Principal, which: WhichJobs) -> ConsolidationReport:
        return ConsolidationReport.of(await consolidation.run(caller, which.each_once()))

    async def runs(caller: Principal, query: ConsolidationRunsQuery) -> ConsolidationRunList:
        return ConsolidationRunList.of(
            await consolidation.runs(caller, limit=query.limit, job=query.job)
        )

    async def get(caller: Principal, which: WhichRun) -> ConsolidationRunView:
        return ConsolidationRunView.of(await consolidation.get(caller, which.id))

    async def undo(caller: Principal, which: WhichRun) -> ConsolidationUndone:
        undone = await consolidation.undo(caller, which.id)
        return ConsolidationUndone(id=undone.run.id, restored=undone.restored, left=undone.left)

    return [
        tool(
            "consolidation_jobs",
            "Consolidation jobs",
            "List the jobs that make few memories of many, and how they went the last time.",
            Nothing,
            jobs,
            ConsolidationJobs,
            Scope.READ,
        ),
        tool(
            "consolidation_preview",
            "Preview consolidation",
            "See which memories the jobs would archive. Nothing is changed.",
            WhichJobs,
            preview,
            ConsolidationReport,
            Scope.READ,
        ),
        tool(
            "consolidation_run",
            "Consolidate",
            "Run jobs now, on all memories of this tenant. A run can be undone.",
            WhichJobs,
            run,
            ConsolidationReport,
            Scope.ADMIN,
        ),
        tool(
            "consolidation_list",
            "List runs",
            "List runs of the jobs, newest first.",
            ConsolidationRunsQuery,
            runs,
            ConsolidationRunList,
            Scope.READ,
        ),
        tool(
            "consolidation_get",
            "Get run",
            "See how far a run is, or how it ended.",
            WhichRun,
            get,
            ConsolidationRunView,
            Scope.READ,
        ),
        tool(
            "consolidation_undo",
            "Undo run",
            "Put back what a run did, but for what was changed since.",
            WhichRun,
            undo,
            ConsolidationUndone,
            Scope.ADMIN,
        ),
    ]
