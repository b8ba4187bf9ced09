"""The tools of `profile=full` for tasks."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from memorybank.auth.principal import Principal
from memorybank.domain.keys import Scope
from memorybank.domain.work.tasks import TaskMove
from memorybank.mcp.more_tools import WhichMemory
from memorybank.mcp.tools import ToolSpec, Updated
from memorybank.mcp.work_tools import pair, tool, updated
from memorybank.schemas.fields import MemoryId, Request, Response
from memorybank.schemas.memories import MemoryView
from memorybank.schemas.work.tasks import (
    DependencyList,
    EfficiencyQuery,
    EfficiencyReportView,
    Force,
    NewDependency,
    NewTask,
    ReportQuery,
    StatisticsView,
    TaskBlocking,
    TaskCompletion,
    TaskQuery,
    TaskRef,
)
from memorybank.services.work.tasks import Tasks


class ForceArguments(Force):
    """Which task, and whether it is to be moved whatever is open."""

    id: MemoryId


class BlockArguments(TaskBlocking):
    """Which task, and why it cannot go on."""

    id: MemoryId


class EndArguments(TaskCompletion):
    """Which task, and what came of it."""

    id: MemoryId


class DependArguments(NewDependency):
    """Which task depends on which."""

    id: MemoryId
    remove: bool = Field(False, description="True lets it depend on it no longer.")


class Depends(Response):
    """Whether something changed."""

    changed: bool


_ARGUMENTS: dict[TaskMove, type[Request]] = {
    TaskMove.START: ForceArguments,
    TaskMove.BLOCK: BlockArguments,
    TaskMove.UNBLOCK: WhichMemory,
    TaskMove.COMPLETE: EndArguments,
    TaskMove.CANCEL: EndArguments,
    TaskMove.REOPEN: ForceArguments,
}


def _moving(tasks: Tasks, move: TaskMove) -> ToolSpec[Any]:
    async def run(caller: Principal, which: Any) -> Updated:
        words = which.model_dump(exclude={"id"}, exclude_unset=True)
        return updated(*await tasks.move(caller, which.id, move, **words))

    return tool(
        f"task_{move}",
        f"{move.capitalize()} task",
        f"{move.capitalize()} a task; refused, naming what is open, where that stands in the way.",
        _ARGUMENTS[move],
        run,
        Updated,
    )


def task_tools(tasks: Tasks) -> list[ToolSpec[Any]]:
    """Return them, always in the same order."""

    async def get(caller: Principal, which: WhichMemory) -> MemoryView:
        return MemoryView.of(await tasks.get(caller, which.id))

    async def depend(caller: Principal, arguments: DependArguments) -> Depends:
        if arguments.remove:
            await tasks.depend_no_more(caller, arguments.id, arguments.on)
            return Depends(changed=True)
        _, is_new = await tasks.depend(caller, arguments.id, arguments.on)
        return Depends(changed=is_new)

    async def dependencies(caller: Principal, which: WhichMemory) -> DependencyList:
        needed, needing = await tasks.dependencies(caller, which.id)
        return DependencyList(
            depends_on=[TaskRef.of(each) for each in needed],
            needed_by=[TaskRef.of(each) for each in needing],
        )

    async def statistics(caller: Principal, query: ReportQuery) -> StatisticsView:
        return StatisticsView.of(await tasks.statistics(caller, query))

    async def efficiency(caller: Principal, query: EfficiencyQuery) -> EfficiencyReportView:
        return EfficiencyReportView.of(await tasks.efficiency(caller, query))

    return [
        *pair("task", tasks, NewTask, TaskQuery, "Keep something to do."),
        tool(
            "task_get", "Get task", "Get all of a task.", WhichMemory, get, MemoryView, Scope.READ
        ),
        *(_moving(tasks, move) for move in TaskMove),
        tool(
            "task_depend",
            "Let task wait",
            "Let a task wait for another one, or no longer. Cycles are refused, with their path.",
            DependArguments,
            depend,
            Depends,
        ),
        tool(
            "task_dependencies",
            "Task dependencies",
            "Tell what a task waits for, and what waits for it.",
            WhichMemory,
            dependencies,
            DependencyList,
            Scope.READ,
        ),
        tool(
            "task_statistics",
            "Task statistics",
            "Count tasks by status, priority and assignee, and those overdue.",
            ReportQuery,
            statistics,
            StatisticsView,
            Scope.READ,
        ),
        tool(
            "task_efficiency",
            "Task efficiency",
            "Report how long tasks took, how many are done a week, and which share in time.",
            EfficiencyQuery,
            efficiency,
            EfficiencyReportView,
            Scope.READ,
        ),
    ]
