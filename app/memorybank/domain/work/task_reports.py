"""What tasks tell taken together: how they stand, and how work on them went. Pure.

Everything is computed from what is written down of each task: created_at, and of its details
started_at, ended_at, due_at and blocked_seconds. Percentiles are values that occurred: the p-th of
n values in order is the one at place ceil(p / 100 * n), counted from 1.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from memorybank.domain.memory import Memory
from memorybank.domain.times import moment_of
from memorybank.domain.work.tasks import Priority, TaskStatus, status_of

UNSAID = "(none)"
"""Stands for a priority, an assignee or a project that a task does not name."""
_WEEK = timedelta(weeks=1)


@dataclass(frozen=True, slots=True)
class TaskStatistics:
    """How tasks stand."""

    total: int
    by_status: dict[str, int]
    by_priority: dict[str, int]
    """Of open ones, as are the next two."""
    by_assignee: dict[str, int]
    overdue: int
    without_due_date: int
    overdue_ids: list[str]
    """The longest overdue first, a few."""


_MOST_OVERDUE = 20


def is_overdue(task: Memory, now: datetime) -> bool:
    """Say whether a task should be done and is not."""
    due = moment_of(task.details.get("due_at"))
    return due is not None and due < now and not status_of(task).is_over


def statistics(tasks: Iterable[Memory], *, now: datetime) -> TaskStatistics:
    """Count tasks."""
    by_status = Counter(dict.fromkeys((status.value for status in TaskStatus), 0))
    by_priority: Counter[str] = Counter(dict.fromkeys((each.value for each in Priority), 0))
    by_assignee: Counter[str] = Counter()
    overdue: list[tuple[str, str]] = []
    total = undated = 0
    for task in tasks:
        total += 1
        status = status_of(task)
        by_status[status.value] += 1
        if status.is_over:
            continue
        by_priority[task.details.get("priority", UNSAID)] += 1
        by_assignee[task.details.get("assignee", UNSAID)] += 1
        undated += "due_at" not in task.details
        if is_overdue(task, now):
            overdue.append((task.details["due_at"].rstrip("Z"), task.id))
    return TaskStatistics(
        total=total,
        by_status=dict(by_status),
        by_priority=dict(by_priority),
        by_assignee=dict(by_assignee.most_common()),
        overdue=len(overdue),
        without_due_date=undated,
        overdue_ids=[task_id for _, task_id in sorted(overdue)[:_MOST_OVERDUE]],
    )


@dataclass(frozen=True, slots=True)
class Efficiency:
    """How the work on tasks went that were done in a stretch of time. Seconds; None for no task."""

    done: int
    cancelled: int
    lead_p50: float | None
    """From when a task was stored to its end."""
    lead_p95: float | None
    work_p50: float | None
    """From when it was started to its end, of those that were started."""
    work_p95: float | None
    per_week: float
    """done / weeks of the stretch"""
    on_time: float | None
    """Share of those with a due date that were done by then."""
    blocked_seconds: int
    """In all."""
    blocked_share: float | None
    """blocked seconds / seconds from storing to end, each over all done tasks"""


@dataclass(slots=True)
class _Tally:
    leads: list[float] = field(default_factory=list)
    works: list[float] = field(default_factory=list)
    dated: int = 0
    on_time: int = 0
    blocked: int = 0
    cancelled: int = 0

    def add(self, task: Memory, ended: datetime) -> None:
        """Count a task that ended then."""
        if status_of(task) is TaskStatus.CANCELLED:
            self.cancelled += 1
            return
        self.leads.append(_seconds(task.created_at, ended))
        started = moment_of(task.details.get("started_at"))
        if started is not None:
            self.works.append(_seconds(started, ended))
        due = moment_of(task.details.get("due_at"))
        if due is not None:
            self.dated += 1
            self.on_time += ended <= due
        self.blocked += task.details.get("blocked_seconds", 0)

    def efficiency(self, stretch: timedelta) -> Efficiency:
        """Return what was counted."""
        whole = sum(self.leads)
        return Efficiency(
            done=len(self.leads),
            cancelled=self.cancelled,
            lead_p50=percentile(self.leads, 50),
            lead_p95=percentile(self.leads, 95),
            work_p50=percentile(self.works, 50),
            work_p95=percentile(self.works, 95),
            per_week=len(self.leads) / (stretch / _WEEK),
            on_time=self.on_time / self.dated if self.dated else None,
            blocked_seconds=self.blocked,
            blocked_share=min(1.0, self.blocked / whole) if whole else None,
        )


@dataclass(frozen=True, slots=True)
class EfficiencyReport:
    """How work on tasks went, in all and by project and assignee."""

    since: datetime
    until: datetime
    overall: Efficiency
    by_project: dict[str, Efficiency]
    by_assignee: dict[str, Efficiency]
    untimed: int
    """Tasks that are over and of which nobody knows since when: they are not counted."""


def efficiency(tasks: Iterable[Memory], *, since: datetime, until: datetime) -> EfficiencyReport:
    """Report on the tasks that ended later than `since` and not later than `until`."""
    overall = _Tally()
    by_project: dict[str, _Tally] = {}
    by_assignee: dict[str, _Tally] = {}
    untimed = 0
    for task in tasks:
        if not status_of(task).is_over:
            continue
        ended = moment_of(task.details.get("ended_at"))
        if ended is None:
            untimed += 1
            continue
        if not since < ended <= until:
            continue
        overall.add(task, ended)
        by_project.setdefault(task.project or UNSAID, _Tally()).add(task, ended)
        assignee = task.details.get("assignee", UNSAID)
        by_assignee.setdefault(assignee, _Tally()).add(task, ended)
    stretch = until - since

    def told(tallies: dict[str, _Tally]) -> dict[str, Efficiency]:
        most: Callable[[str], tuple[int, str]] = lambda name: (-len(tallies[name].leads), name)  # noqa: E731
        return {name: tallies[name].efficiency(stretch) for name in sorted(tallies, key=most)}

    return EfficiencyReport(
        since=since,
        until=until,
        overall=overall.efficiency(stretch),
        by_project=told(by_project),
        by_assignee=told(by_assignee),
        untimed=untimed,
    )


def percentile(values: Sequence[float], percent: int) -> float | None:
    """Return the value below or at which so many percent of the values are; None of none."""
    if not values:
        return None
    return sorted(values)[max(1, math.ceil(percent / 100 * len(values))) - 1]


def _seconds(start: datetime, end: datetime) -> float:
    """Return what passed; what was imported may have ended before it was stored."""
    return max(0.0, (end - start).total_seconds())
