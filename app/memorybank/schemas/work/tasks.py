"""Tasks as they are sent and asked for, and reports on them."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field
from typing_extensions import override

from memorybank.domain.memory import (
    AnyOf,
    Condition,
    DetailBetween,
    HasDetail,
    LeadsTo,
    LinkType,
    Memory,
    MemoryFilter,
    MemoryState,
    MemoryType,
)
from memorybank.domain.work.task_reports import EfficiencyReport, TaskStatistics
from memorybank.domain.work.tasks import OPEN, TaskStatus, status_of
from memorybank.schemas.details import PriorityName, TaskStatusName
from memorybank.schemas.fields import (
    MAX_ITEMS,
    Content,
    Detail,
    MemoryId,
    Moment,
    Name,
    Request,
    Response,
    Title,
)
from memorybank.schemas.work.things import NewThing, WrittenQuery

_OPEN = HasDetail("status", tuple(status.value for status in OPEN), or_absent=True)
_THERE = frozenset({MemoryState.LIVE, MemoryState.ARCHIVED})
_BLOCKED = (
    HasDetail("status", (TaskStatus.BLOCKED.value,)),
    LeadsTo(LinkType.DEPENDS_ON, MemoryType.TASK, _OPEN),
    LeadsTo(LinkType.BLOCKS, MemoryType.TASK, _OPEN, backward=True),
)


class NewTask(NewThing):
    """Something to do."""

    type = MemoryType.TASK
    deduplicate = False  # of the same words, it is another one nevertheless

    title: Title = Field(description="What is to be done, in a line.")
    description: Content | None = Field(None, description="What is to be done, at length.")
    project: Name | None = Field(None, description="The project it belongs to.")
    session: Name | None = Field(None, description="The session of work it comes from, by its id.")
    priority: PriorityName | None = None
    assignee: Name | None = Field(None, description="Who does it, by a name that you agree upon.")
    due_at: Moment | None = Field(None, description="When it should be done. RFC 3339.")
    parent: MemoryId | None = Field(None, description="Id of the task that it is a part of.")
    depends_on: Annotated[list[MemoryId], Field(max_length=MAX_ITEMS)] = Field(
        [], description="Ids of tasks that must be done before."
    )

    @override
    def said(self) -> dict[str, Any]:
        """See NewThing."""
        sent = super().said()
        description = sent.pop("description", None)
        sent.pop("depends_on", None)
        return sent | {"content": description or self.title, "status": TaskStatus.TODO}


class Force(Request):
    """Whether to do it all the same."""

    force: bool = Field(False, description="True does it whatever is still open.")


class TaskBlocking(Request):
    """Why a task cannot go on."""

    reason: Detail | None = Field(None, description="What it waits for.")


class TaskEnd(Request):
    """What came of a task."""

    outcome: Detail | None = Field(None, description="What came of it.")


class TaskCompletion(TaskEnd, Force):
    """What came of a task, and whether to complete it whatever is still open."""


class NewDependency(Request):
    """What a task depends on."""

    on: MemoryId = Field(description="Id of the task that must be done before.")


class TaskQuery(WrittenQuery):
    """Which tasks to list."""

    status: Annotated[list[TaskStatusName], Field(max_length=len(TaskStatus))] = Field(
        [], description="Only those that stand there; may be repeated, then any of them."
    )
    open: Annotated[bool, Field(strict=False)] | None = Field(
        None, description="Only those that are not over, or only those that are."
    )
    priority: PriorityName | None = Field(None, description="Only of this priority.")
    assignee: Name | None = Field(None, description="Only of this assignee.")
    parent: MemoryId | None = Field(None, description="Only the parts of this task, by its id.")
    due_after: Moment | None = Field(None, description="Only those due later than this.")
    due_before: Moment | None = Field(None, description="Only those due earlier than this.")
    overdue: Annotated[bool, Field(strict=False)] | None = Field(
        None, description="Only open ones that should be done by now, or only all others."
    )
    blocked: Annotated[bool, Field(strict=False)] | None = Field(
        None,
        description="Only those that are blocked or depend on a task that is open, or only all"
        " others.",
    )

    @override
    def wanted(self, now: datetime) -> tuple[MemoryFilter, tuple[Condition, ...]]:
        """Return what the list holds at that moment."""
        return self.where(), tuple(self._conditions(now))

    def _conditions(self, now: datetime) -> list[Condition]:
        conditions: list[Condition] = []
        if self.status:
            stands = tuple(status.value for status in self.status)
            conditions.append(HasDetail("status", stands, or_absent=TaskStatus.TODO in self.status))
        if self.open is not None:
            conditions.append(_OPEN if self.open else AnyOf((_OPEN,), negated=True))
        for name, value in (
            ("priority", self.priority),
            ("assignee", self.assignee),
            ("parent", self.parent),
        ):
            if value is not None:
                conditions.append(HasDetail(name, (str(value),)))
        if self.due_after is not None or self.due_before is not None:
            conditions.append(DetailBetween("due_at", self.due_after, self.due_before))
        if self.overdue is not None:
            late = DetailBetween("due_at", before=now, moving=True)
            if self.overdue:
                conditions += [_OPEN, late]
            else:
                conditions.append(AnyOf((AnyOf((_OPEN,), negated=True), AnyOf((late,), True))))
        if self.blocked is not None:
            conditions.append(AnyOf(_BLOCKED, negated=not self.blocked))
        return conditions


class ReportQuery(Request):
    """Which tasks to report on."""

    project: Name | None = Field(None, description="Only of this project.")
    assignee: Name | None = Field(None, description="Only of this assignee.")

    def wanted(self) -> tuple[MemoryFilter, tuple[Condition, ...]]:
        """Return what is reported on."""
        where = MemoryFilter(
            project=self.project, types=frozenset({MemoryType.TASK}), states=_THERE
        )
        named = () if self.assignee is None else (HasDetail("assignee", (self.assignee,)),)
        return where, named


class EfficiencyQuery(ReportQuery):
    """Which tasks to report on, and over which stretch of time."""

    days: Annotated[int, Field(ge=1, le=3_650, strict=False)] = Field(
        28, description="Of those that ended within so many days."
    )


class TaskRef(Response):
    """A task, named."""

    id: str
    title: str | None
    status: TaskStatus

    @classmethod
    def of(cls, task: Memory) -> TaskRef:
        """Name a task."""
        return cls(id=task.id, title=task.title, status=status_of(task))


class DependencyList(Response):
    """What a task depends on, and what depends on it; without what is in the trash."""

    depends_on: list[TaskRef]
    needed_by: list[TaskRef]


class StatisticsView(Response):
    """How tasks stand, archived ones included."""

    total: int
    by_status: dict[str, int]
    by_priority: dict[str, int] = Field(description="Of open ones.")
    by_assignee: dict[str, int] = Field(description="Of open ones; `(none)` has no assignee.")
    overdue: int = Field(description="Open ones whose due date has passed.")
    without_due_date: int = Field(description="Of open ones.")
    overdue_ids: list[str] = Field(description="The 20 longest overdue.")

    @classmethod
    def of(cls, counted: TaskStatistics) -> StatisticsView:
        """Show statistics."""
        return cls(**asdict(counted))


class EfficiencyView(Response):
    """How the work on tasks went that ended in a stretch of time. Null where there were none."""

    done: int
    cancelled: int
    lead_p50: float | None = Field(description="Seconds from creation to completion, of done ones.")
    lead_p95: float | None
    work_p50: float | None = Field(description="Seconds from the last start to completion.")
    work_p95: float | None
    per_week: float = Field(description="Done ones by weeks.")
    on_time: float | None = Field(description="Share of those with a due date done by then.")
    blocked_seconds: int = Field(description="How long done ones were blocked, in all.")
    blocked_share: float | None = Field(description="Of the time from creation to completion.")


class EfficiencyReportView(Response):
    """How the work on tasks went, in all and by project and assignee."""

    since: datetime
    until: datetime
    overall: EfficiencyView
    by_project: dict[str, EfficiencyView]
    by_assignee: dict[str, EfficiencyView]
    untimed: int = Field(description="Ones that are over without an end: they are not counted.")

    @classmethod
    def of(cls, report: EfficiencyReport) -> EfficiencyReportView:
        """Show a report."""
        return cls.model_validate(asdict(report))
