"""/v1/tasks: what is to be done, what it waits for, and how that went."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from memorybank.domain.work.tasks import TaskMove
from memorybank.http.caller import Caller
from memorybank.http.routes_memories import Id, Once, shown_as_stored
from memorybank.http.routes_work import ThingRoutes
from memorybank.schemas.life import ChangedView, LinkView, StoredView
from memorybank.schemas.memories import MemoryList
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


class TaskRoutes(ThingRoutes):
    """Parse, call the service, show."""

    kind = "tasks"

    def __init__(self, tasks: Tasks) -> None:
        super().__init__(tasks)
        self._tasks = tasks

    def router(self) -> APIRouter:
        """Return the routes."""
        router = self.routed(
            self.create,
            self.list_page,
            summary="Add a task",
            reports={
                "/statistics": (self.statistics, "How tasks stand"),
                "/efficiency": (self.efficiency, "How the work went"),
            },
        )
        add = router.add_api_route
        add("/{id}/start", self.start, methods=["POST"], summary="Start")
        add("/{id}/block", self.block, methods=["POST"], summary="Block")
        add("/{id}/unblock", self.unblock, methods=["POST"], summary="Unblock")
        add("/{id}/complete", self.complete, methods=["POST"], summary="Complete")
        add("/{id}/cancel", self.cancel, methods=["POST"], summary="Cancel")
        add("/{id}/reopen", self.reopen, methods=["POST"], summary="Reopen")
        add("/{id}/dependencies", self.dependencies, methods=["GET"], summary="What it waits for")
        add(
            "/{id}/dependencies",
            self.depend,
            methods=["POST"],
            summary="Let it wait for another",
            responses={201: {"model": LinkView, "description": "It is new."}},
        )
        add(
            "/{id}/dependencies/{on}",
            self.depend_no_more,
            methods=["DELETE"],
            status_code=204,
            summary="Let it no longer wait",
        )
        return router

    async def create(
        self, caller: Caller, new: NewTask, response: Response, once: Once = None
    ) -> StoredView:
        """Keep something to do. It waits for the tasks that it depends on."""
        return shown_as_stored(await self._things.add(caller, new, once=once), response)

    async def list_page(self, caller: Caller, query: Annotated[TaskQuery, Query()]) -> MemoryList:
        """List tasks."""
        return MemoryList.of(await self._things.list_page(caller, query))

    async def statistics(
        self, caller: Caller, query: Annotated[ReportQuery, Query()]
    ) -> StatisticsView:
        """Count tasks by where they stand, and open ones by priority and assignee."""
        return StatisticsView.of(await self._tasks.statistics(caller, query))

    async def efficiency(
        self, caller: Caller, query: Annotated[EfficiencyQuery, Query()]
    ) -> EfficiencyReportView:
        """Report how long tasks took that ended in the last days, and whether they were in time."""
        return EfficiencyReportView.of(await self._tasks.efficiency(caller, query))

    async def start(
        self,
        caller: Caller,
        id: Id,  # noqa: A002  # the API's name
        how: Force | None = None,
    ) -> ChangedView:
        """Begin with a task. Refused while it waits for others, unless it is forced."""
        return await self._moved(caller, id, TaskMove.START, force=bool(how and how.force))

    async def block(
        self,
        caller: Caller,
        id: Id,  # noqa: A002  # the API's name
        why: TaskBlocking | None = None,
    ) -> ChangedView:
        """Say that a task cannot go on. The time until it is unblocked counts as blocked."""
        return await self._moved(caller, id, TaskMove.BLOCK, reason=why.reason if why else None)

    async def unblock(self, caller: Caller, id: Id) -> ChangedView:  # noqa: A002  # the API's name
        """Go on with a blocked task: it stands where it stood before."""
        return await self._moved(caller, id, TaskMove.UNBLOCK)

    async def complete(
        self,
        caller: Caller,
        id: Id,  # noqa: A002  # the API's name
        end: TaskCompletion | None = None,
    ) -> ChangedView:
        """End a task that is done. Refused while parts of it or what it waits for are open."""
        end = end or TaskCompletion()
        return await self._moved(
            caller, id, TaskMove.COMPLETE, outcome=end.outcome, force=end.force
        )

    async def cancel(
        self,
        caller: Caller,
        id: Id,  # noqa: A002  # the API's name
        end: TaskCompletion | None = None,
    ) -> ChangedView:
        """End a task that is not to be done. Refused while parts of it are open."""
        end = end or TaskCompletion()
        return await self._moved(caller, id, TaskMove.CANCEL, outcome=end.outcome, force=end.force)

    async def reopen(
        self,
        caller: Caller,
        id: Id,  # noqa: A002  # the API's name
        how: Force | None = None,
    ) -> ChangedView:
        """Take an end back: the task is to do again."""
        return await self._moved(caller, id, TaskMove.REOPEN, force=bool(how and how.force))

    async def dependencies(self, caller: Caller, id: Id) -> DependencyList:  # noqa: A002  # the API's name
        """Tell what a task waits for, and what waits for it."""
        needed, needing = await self._tasks.dependencies(caller, id)
        return DependencyList(
            depends_on=[TaskRef.of(each) for each in needed],
            needed_by=[TaskRef.of(each) for each in needing],
        )

    async def depend(
        self,
        caller: Caller,
        id: Id,  # noqa: A002  # the API's name
        new: NewDependency,
        response: Response,
    ) -> LinkView:
        """Let a task wait for another. One that would close a cycle is refused, with the path."""
        link, is_new = await self._tasks.depend(caller, id, new.on)
        if is_new:
            response.status_code = 201
        return LinkView.of(link)

    async def depend_no_more(
        self,
        caller: Caller,
        id: Id,  # noqa: A002  # the API's name
        on: Id,
    ) -> None:
        """Let a task no longer wait for another."""
        await self._tasks.depend_no_more(caller, id, on)

    async def _moved(
        self,
        caller: Caller,
        task_id: str,
        move: TaskMove,
        *,
        reason: str | None = None,
        outcome: str | None = None,
        force: bool = False,
    ) -> ChangedView:
        return ChangedView.changed(
            *await self._tasks.move(
                caller, task_id, move, reason=reason, outcome=outcome, force=force
            )
        )
