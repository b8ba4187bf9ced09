"""Tasks without a store: where they can go, and what they tell taken together."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank.domain.memory import Memory, MemoryType
from memorybank.domain.work.task_reports import UNSAID, efficiency, percentile, statistics
from memorybank.domain.work.tasks import TaskMove, TaskStatus, moved, status_of
from memorybank.errors import Conflict
from memorybank.schemas.details import checked_details

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def a_task(created: datetime = NOW, project: str | None = None, **details: Any) -> Memory:
    kept = checked_details(MemoryType.TASK, details)
    return Memory(
        f"{created.timestamp():.0f}", "acme", "x", created, created, type=MemoryType.TASK,
        project=project, details=kept,
    )  # fmt: skip


def after(task: Memory, move: TaskMove, now: datetime, **words: Any) -> Memory:
    changes = moved(task, move, now=now, **words)
    details = changes.get("details", task.details)
    return a_task(task.created_at, **details)


@given(st.lists(st.sampled_from(TaskMove), max_size=12))
def test_whatever_is_done_with_a_task_its_times_tell_how_it_stands(moves: list[TaskMove]) -> None:
    task, now, blocked, blocked_since = a_task(), NOW, 0, ""
    for move in moves:
        now += HOUR
        was = status_of(task)
        try:
            task = after(task, move, now)
        except Conflict:
            assert status_of(task) is was
            continue
        if was is TaskStatus.BLOCKED and status_of(task) is not TaskStatus.BLOCKED:
            since = datetime.fromisoformat(blocked_since)
            blocked += int((now - since).total_seconds())
        blocked_since = task.details.get("blocked_since", "")
        status = status_of(task)
        assert ("ended_at" in task.details) is status.is_over
        assert ("blocked_since" in task.details) is (status is TaskStatus.BLOCKED)
        assert (status is not TaskStatus.IN_PROGRESS) or "started_at" in task.details
        assert task.details.get("blocked_seconds", 0) == blocked
        assert moved(task, move, now=now + HOUR) == {}


def test_a_task_that_is_unblocked_stands_where_it_stood() -> None:
    for moves, status in (([], "todo"), ([TaskMove.START], "in_progress")):
        task = a_task()
        for move in (*moves, TaskMove.BLOCK, TaskMove.UNBLOCK):
            task = after(task, move, NOW)
        assert status_of(task).value == status


def test_details_of_tasks_that_were_stored_before_are_still_valid() -> None:
    for status in ("todo", "in_progress", "done", "blocked"):
        assert status_of(a_task(status=status, priority="urgent")).value == status
    assert status_of(a_task()) is TaskStatus.TODO


def test_statistics_count_what_is_open_and_what_is_late() -> None:
    hour = NOW - HOUR
    told = statistics(
        [
            a_task(status="todo", priority="high", assignee="ann", due_at=hour.isoformat()),
            a_task(hour, status="in_progress", due_at=(hour - HOUR / 7).isoformat()),
            a_task(status="blocked", assignee="ann", due_at=(NOW + HOUR).isoformat()),
            a_task(status="done", assignee="bob", due_at=hour.isoformat()),
            a_task(),
        ],
        now=NOW,
    )
    assert (told.total, told.overdue, told.without_due_date) == (5, 2, 1)
    assert told.by_status == {
        "todo": 2, "in_progress": 1, "blocked": 1, "done": 1, "cancelled": 0
    }  # fmt: skip
    assert told.by_priority == {"low": 0, "medium": 0, "high": 1, "urgent": 0, UNSAID: 3}
    assert told.by_assignee == {"ann": 2, UNSAID: 2}
    assert told.overdue_ids[0] == f"{hour.timestamp():.0f}"


def test_a_report_says_how_the_work_went_that_ended_in_time_and_not() -> None:
    start = NOW - 10 * HOUR

    def done(hours: int, **more: Any) -> Memory:
        ended = start + hours * HOUR
        return a_task(
            start, status="done", started_at=(start + HOUR).isoformat(),
            ended_at=ended.isoformat(), **more,
        )  # fmt: skip

    report = efficiency(
        [
            done(2, project="p", assignee="ann", due_at=NOW.isoformat(), blocked_seconds=1800),
            done(4, project="p", due_at=start.isoformat()),
            done(6),
            a_task(start, status="cancelled", ended_at=NOW.isoformat()),
            a_task(start, status="done"),
            a_task(start, status="done", ended_at=(NOW - timedelta(days=15)).isoformat()),
            a_task(start),
        ],
        since=NOW - timedelta(weeks=2),
        until=NOW,
    )
    overall = report.overall
    assert (overall.done, overall.cancelled, report.untimed) == (3, 1, 1)
    assert (overall.lead_p50, overall.lead_p95) == (4 * 3600, 6 * 3600)
    assert (overall.work_p50, overall.per_week, overall.on_time) == (3 * 3600, 1.5, 0.5)
    assert (overall.blocked_seconds, overall.blocked_share) == (1800, 1800 / (12 * 3600))
    assert list(report.by_project) == ["p", UNSAID]
    assert report.by_project["p"].done == 2
    assert set(report.by_assignee) == {UNSAID, "ann"}


@pytest.mark.parametrize(("percent", "value"), [(50, 2.0), (95, 4.0), (1, 1.0)])
def test_a_percentile_is_a_value_that_occurred(percent: int, value: float) -> None:
    assert percentile([4.0, 1.0, 2.0, 3.0], percent) == value
    assert percentile([], percent) is None
