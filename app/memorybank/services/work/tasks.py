"""Tasks: what they depend on, their parts, and what they tell taken together.

A dependency is an edge of the type depends_on between two tasks; see services/edges. A part names
the whole in `details.parent`. Who completes a task, adds a part to it or opens one of its parts
again waits for the others of these within this process: two processes on one database may each do
one of them in the same moment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Any

from typing_extensions import override

from memorybank.auth.principal import Principal
from memorybank.domain.edges import Direction
from memorybank.domain.gate import Finding
from memorybank.domain.keys import Scope
from memorybank.domain.memory import (
    Condition,
    HasDetail,
    Link,
    LinkType,
    Memory,
    MemoryFilter,
    MemoryState,
    MemoryType,
)
from memorybank.domain.work.task_reports import (
    EfficiencyReport,
    TaskStatistics,
    efficiency,
    statistics,
)
from memorybank.domain.work.tasks import (
    OPEN,
    WAITING,
    TaskMove,
    moved,
    moves,
    require_none,
    status_of,
)
from memorybank.errors import Conflict, InvalidRequest
from memorybank.schemas.work.tasks import EfficiencyQuery, NewTask, ReportQuery
from memorybank.schemas.work.things import NewThing
from memorybank.services.adding import Stored
from memorybank.services.cycles import told
from memorybank.services.memories import MemoryService, now_utc
from memorybank.services.work.things import Things

_TOLD = 5
"""Tasks that a refusal names."""
_PAGE = 500
_THERE = frozenset({MemoryState.LIVE, MemoryState.ARCHIVED})
_OPEN = HasDetail("status", tuple(status.value for status in OPEN), or_absent=True)


class Tasks(Things):
    """The tasks of a tenant."""

    def __init__(self, memories: MemoryService, *, clock: Callable[[], datetime] = now_utc) -> None:
        super().__init__(memories, MemoryType.TASK, clock=clock)

    @override
    async def add(self, caller: Principal, new: NewThing, *, once: str | None = None) -> Stored:
        """Keep a task. Raises NotFound for what it names, Conflict for a parent that is over.

        The task is durable before the edges to what it depends on are. A crash in between leaves it
        without some of them; the same request again under its Idempotency-Key adds these.
        """
        caller.require(Scope.WRITE)
        assert isinstance(new, NewTask)  # noqa: S101  # no other is offered for tasks
        for needed in new.depends_on:
            self._task(await self._memories.life.present(caller, needed), "depends_on")
        async with self._family(caller, new.parent):
            if new.parent is not None:
                parent = self._task(await self._memories.life.present(caller, new.parent), "parent")
                answered = once is not None and await self._memories.adding.is_answered(
                    caller, once
                )
                if status_of(parent).is_over and not answered:
                    raise _parent_is_over(parent, "parent")
            stored = await self._memories.adding.add(caller, new.memory(), once=once)
        if not stored.replayed:
            self._memories.counted("task", "added")
        for needed in new.depends_on:
            await self.depend(caller, stored.memory.id, needed)
        return stored

    async def move(
        self,
        caller: Principal,
        task_id: str,
        move: TaskMove,
        *,
        reason: str | None = None,
        outcome: str | None = None,
        force: bool = False,
    ) -> tuple[Memory, tuple[Finding, ...]]:
        """Start, block, unblock, complete, cancel or reopen a task; the same again changes nothing.

        Raises NotFound, and Conflict where it cannot be done from where the task stands, or where
        tasks stand in the way, which are named; `force` passes over these.
        """
        parent = (await self._present(caller, task_id)).details.get("parent")
        async with self._family(caller, task_id, parent):
            task = await self._present(caller, task_id)
            is_moved = moves(task, move)
            if is_moved and not force:
                await self._require_free(caller, task, move)

            def decide(task: Memory) -> Mapping[str, Any]:
                return moved(task, move, now=self._clock(), reason=reason, outcome=outcome)

            changed = await self._change(caller, task_id, decide, move.value)
        if is_moved:
            self._memories.counted("task", move.value)
        return changed

    async def depend(self, caller: Principal, task_id: str, on: str) -> tuple[Link, bool]:
        """Let a task depend on another; return the edge, and whether it is new.

        Raises NotFound, and Conflict, which tells the path, where it would close a cycle.
        """
        self._task(await self._memories.life.present(caller, task_id), "id")
        self._task(await self._memories.life.present(caller, on), "on")
        return await self._memories.edges.add(caller, task_id, on, LinkType.DEPENDS_ON)

    async def depend_no_more(self, caller: Principal, task_id: str, on: str) -> None:
        """Let a task no longer depend on another. Raises NotFound."""
        await self._memories.edges.remove(caller, task_id, on, LinkType.DEPENDS_ON)

    async def dependencies(
        self, caller: Principal, task_id: str
    ) -> tuple[list[Memory], list[Memory]]:
        """Return the tasks that a task depends on, and those that depend on it. Raises NotFound."""
        await self.get(caller, task_id)
        return (
            await self._across(caller.tenant, task_id, Direction.OUT),
            await self._across(caller.tenant, task_id, Direction.IN),
        )

    async def statistics(self, caller: Principal, query: ReportQuery) -> TaskStatistics:
        """Count tasks by where they stand."""
        caller.require(Scope.READ)
        tasks = await self._every(caller, *query.wanted())
        return statistics(tasks, now=self._clock())

    async def efficiency(self, caller: Principal, query: EfficiencyQuery) -> EfficiencyReport:
        """Report how the work on tasks went."""
        caller.require(Scope.READ)
        until = self._clock()
        tasks = await self._every(caller, *query.wanted())
        return efficiency(tasks, since=until - timedelta(days=query.days), until=until)

    def _family(self, caller: Principal, *tasks: str | None) -> AbstractAsyncContextManager[None]:
        """Keep others from what rules about parts and wholes look at; taken before other locks."""
        names = [("parts", caller.tenant, task) for task in tasks if task is not None]
        return self._memories.ledger.alone_with(names)

    def _task(self, memory: Memory, field: str) -> Memory:
        if memory.type is not MemoryType.TASK:
            raise InvalidRequest(
                f"the memory {memory.id} is no task but a {memory.type}",
                field=field,
                hint="name a task; other things are joined by /v1/edges",
            )
        return memory

    async def _require_free(self, caller: Principal, task: Memory, move: TaskMove) -> None:
        """Raise Conflict where tasks that are open stand in the way of a move."""
        if move in WAITING:
            needed = await self._across(caller.tenant, task.id, Direction.OUT)
            waits_for = [each for each in needed if not status_of(each).is_over]
            require_none(
                [told(each) for each in waits_for[:_TOLD]],
                len(waits_for),
                what="of those that it depends on are",
                done="started" if move is TaskMove.START else "completed",
                hint="do these first, or send force: true",
            )
        if move in (TaskMove.COMPLETE, TaskMove.CANCEL):
            where = MemoryFilter(types=frozenset({MemoryType.TASK}), states=_THERE)
            parts = await self._memories.newest(
                caller.tenant, where, limit=_TOLD, details=(HasDetail("parent", (task.id,)), _OPEN)
            )
            require_none(
                [told(each) for each in parts.memories],
                parts.total,
                what="of its parts are",
                done="completed" if move is TaskMove.COMPLETE else "cancelled",
                hint="end these first, or send force: true",
            )
        parent = task.details.get("parent")
        if move is TaskMove.REOPEN and parent is not None:
            wholes = await self._there(caller.tenant, [parent])
            if any(status_of(whole).is_over for whole in wholes):
                raise _parent_is_over(wholes[0], "id")

    async def _present(self, caller: Principal, task_id: str) -> Memory:
        """Return a task that is to be moved. Raises NotFound."""
        return self._of_this_kind(await self._memories.life.present(caller, task_id))

    async def _across(self, tenant: str, task_id: str, direction: Direction) -> list[Memory]:
        """Return the tasks at the other ends of the edges of what depends on what."""
        edges = self._memories.edges
        opposite = Direction.IN if direction is Direction.OUT else Direction.OUT
        links = [
            *await edges.around(tenant, task_id, types=(LinkType.DEPENDS_ON,), direction=direction),
            *await edges.around(tenant, task_id, types=(LinkType.BLOCKS,), direction=opposite),
        ]
        others = [each.target if each.source == task_id else each.source for each in links]
        return await self._there(tenant, list(dict.fromkeys(others)))

    async def _there(self, tenant: str, ids: Sequence[str]) -> list[Memory]:
        """Return those of the ids that are tasks and not in the trash."""
        found = await self._memories.many(tenant, ids)
        return [each for each in found if each.type is MemoryType.TASK]

    async def _every(
        self, caller: Principal, where: MemoryFilter, details: Sequence[Condition]
    ) -> list[Memory]:
        """Return all tasks that are meant, read page by page: others get their turn in between."""
        tasks: list[Memory] = []
        cursor = None
        with self._memories.timed("task_report"):
            while True:
                page = await self._memories.page(
                    caller, where, limit=_PAGE, cursor=cursor, details=details
                )
                tasks += page.memories
                cursor = page.next_cursor
                if cursor is None:
                    return tasks


def _parent_is_over(parent: Memory, field: str) -> Conflict:
    return Conflict(
        f"the task that it is a part of is {status_of(parent)}: {told(parent)}",
        field=field,
        hint="reopen that one first",
    )
