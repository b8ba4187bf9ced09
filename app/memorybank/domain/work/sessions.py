"""A session of work: which states it has, and how it gets from one to another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from memorybank.domain.memory import Memory
from memorybank.errors import Conflict


class SessionStatus(StrEnum):
    """Where a session stands."""

    ACTIVE = "active"
    PAUSED = "paused"
    COMPLETED = "completed"
    ABORTED = "aborted"

    @property
    def is_over(self) -> bool:
        """Whether nothing more happens in it."""
        return self in (SessionStatus.COMPLETED, SessionStatus.ABORTED)


class SessionMove(StrEnum):
    """What is done with a session."""

    PAUSE = "pause"
    RESUME = "resume"
    COMPLETE = "complete"
    ABORT = "abort"


@dataclass(frozen=True, slots=True)
class _Rule:
    done: str
    """What the session is then said to have been."""
    before: frozenset[SessionStatus]
    after: SessionStatus


_UNDER_WAY = frozenset({SessionStatus.ACTIVE, SessionStatus.PAUSED})
_RULES: Mapping[SessionMove, _Rule] = {
    SessionMove.PAUSE: _Rule("paused", frozenset({SessionStatus.ACTIVE}), SessionStatus.PAUSED),
    SessionMove.RESUME: _Rule("resumed", frozenset({SessionStatus.PAUSED}), SessionStatus.ACTIVE),
    SessionMove.COMPLETE: _Rule("completed", _UNDER_WAY, SessionStatus.COMPLETED),
    SessionMove.ABORT: _Rule("aborted", _UNDER_WAY, SessionStatus.ABORTED),
}


def status_of(session: Memory) -> SessionStatus:
    """Return where a session stands; one that says nothing of it is active."""
    return SessionStatus(session.details.get("status", SessionStatus.ACTIVE))


def moved(
    session: Memory, move: SessionMove, *, now: datetime, outcome: str | None = None
) -> dict[str, Any]:
    """Return what changes, nothing where it was done already. Raises Conflict."""
    status, rule = status_of(session), _RULES[move]
    known = session.details.get("outcome")
    if status is rule.after and outcome in (None, known):
        return {}
    if status not in rule.before:
        raise Conflict(
            f"the session is {status}: it cannot be {rule.done}",
            field="id",
            hint="start another session; a rollback undoes a change that was a mistake"
            if status.is_over
            else f"{move} a session that is {' or '.join(sorted(rule.before))}",
        )
    changed = {**session.details, "status": rule.after.value}
    if outcome is not None:
        changed["outcome"] = outcome
    if rule.after.is_over:
        changed["ended_at"] = now
    return {"details": changed}


def require_under_way(session: Memory) -> None:
    """Raises Conflict for a session that is over."""
    status = status_of(session)
    if status.is_over:
        raise Conflict(
            f"the session is {status}: its log is closed",
            field="id",
            hint="start another session",
        )
