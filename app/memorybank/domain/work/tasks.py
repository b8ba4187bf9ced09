"""A task: which states it has, how it gets from one to another, and what keeps it from there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from memorybank.domain.memory import Memory
from memorybank.domain.times import moment_of
from memorybank.errors import Conflict


class TaskStatus(StrEnum):
    """Where a task stands."""

    TODO = "todo"
    IN_PROGRESS = "in_progress"
    BLOCKED = "blocked"
    DONE = "done"
    CANCELLED = "cancelled"

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to do."""
        return self in (TaskStatus.DONE, TaskStatus.CANCELLED)


OPEN = tuple(status for status in TaskStatus if not status.is_over)


class Priority(StrEnum):
    """How much it matters, the least first."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    URGENT = "urgent"


class TaskMove(StrEnum):
    """What is done with a task."""

    START = "start"
    BLOCK = "block"
    UNBLOCK = "unblock"
    COMPLETE = "complete"
    CANCEL = "cancel"
    REOPEN = "reopen"


@dataclass(frozen=True, slots=True)
class _Rule:
    done: str
    """What the task is then said to have been."""
    before: frozenset[TaskStatus]
    after: frozenset[TaskStatus]
    """Where it then stands: one of these. What stands there already need not move."""


def _rule(done: str, before: Sequence[TaskStatus], *after: TaskStatus) -> _Rule:
    return _Rule(done, frozenset(before), frozenset(after))


_TODO, _DOING, _BLOCKED = OPEN
_RULES: Mapping[TaskMove, _Rule] = {
    TaskMove.START: _rule("started", (_TODO,), _DOING),
    TaskMove.BLOCK: _rule("blocked", (_TODO, _DOING), _BLOCKED),
    TaskMove.UNBLOCK: _rule("unblocked", (_BLOCKED,), _TODO, _DOING),
    TaskMove.COMPLETE: _rule("completed", (_TODO, _DOING), TaskStatus.DONE),
    TaskMove.CANCEL: _rule("cancelled", OPEN, TaskStatus.CANCELLED),
    TaskMove.REOPEN: _rule("reopened", (TaskStatus.DONE, TaskStatus.CANCELLED), _TODO),
}
WAITING = frozenset({TaskMove.START, TaskMove.COMPLETE})
"""Moves that wait for what the task depends on."""


def status_of(task: Memory) -> TaskStatus:
    """Return where a task stands; one that says nothing of it is still to do."""
    return TaskStatus(task.details.get("status", TaskStatus.TODO))


def moves(task: Memory, move: TaskMove) -> bool:
    """Say whether a move changes where a task stands. Raises Conflict where it cannot be made."""
    status, rule = status_of(task), _RULES[move]
    if status in rule.after:
        return False
    if status not in rule.before:
        raise Conflict(
            f"the task is {status}: it cannot be {rule.done}",
            field="id",
            hint=_way_out(status, move),
        )
    return True


def _way_out(status: TaskStatus, move: TaskMove) -> str:
    if status.is_over:
        return "reopen it first"
    if status is _BLOCKED:
        return "unblock it first"
    return f"{move} a task that is {' or '.join(sorted(_RULES[move].before))}"


def moved(
    task: Memory,
    move: TaskMove,
    *,
    now: datetime,
    reason: str | None = None,
    outcome: str | None = None,
) -> dict[str, Any]:
    """Return what changes, nothing where it was done already. Raises Conflict.

    Words that come with a move that was made already take the place of the former ones.
    """
    changed = {**task.details}
    if moves(task, move):
        _leave(changed, now)
        _enter(changed, move, now)
    if reason is not None:
        changed["blocked_reason"] = reason
    if outcome is not None:
        changed["outcome"] = outcome
    return {} if changed == task.details else {"details": changed}


def _leave(details: dict[str, Any], now: datetime) -> None:
    """Count how long it was blocked."""
    details.pop("blocked_reason", None)
    since = moment_of(details.pop("blocked_since", None))
    if since is not None:
        passed = max(0, int((now - since).total_seconds()))
        details["blocked_seconds"] = details.get("blocked_seconds", 0) + passed


def _enter(details: dict[str, Any], move: TaskMove, now: datetime) -> None:
    match move:
        case TaskMove.START:
            status = TaskStatus.IN_PROGRESS
            details["started_at"] = now
        case TaskMove.BLOCK:
            status = TaskStatus.BLOCKED
            details["blocked_since"] = now
        case TaskMove.UNBLOCK:
            status = TaskStatus.IN_PROGRESS if "started_at" in details else TaskStatus.TODO
        case TaskMove.COMPLETE | TaskMove.CANCEL:
            status = TaskStatus.DONE if move is TaskMove.COMPLETE else TaskStatus.CANCELLED
            details["ended_at"] = now
        case TaskMove.REOPEN:
            status = TaskStatus.TODO
            for name in ("started_at", "ended_at", "outcome"):
                details.pop(name, None)
    details["status"] = status.value


def require_none(open_ones: Sequence[str], total: int, *, what: str, done: str, hint: str) -> None:
    """Raises Conflict that names the first of so many tasks that stand in the way of a move."""
    if total:
        more = "" if total <= len(open_ones) else f" and {total - len(open_ones)} more"
        raise Conflict(
            f"the task cannot be {done}: {total} {what} open: {', '.join(open_ones)}{more}",
            field="id",
            hint=hint,
        )
