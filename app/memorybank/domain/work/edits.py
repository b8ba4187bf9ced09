"""A proposal to change a memory: which states it has, and what becomes of it. Pure.

A proposal says what is not so, or not yet. So it holds at no time that anybody asks for, by which
searches pass over it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from memorybank.domain.memory import Memory
from memorybank.errors import Conflict

NEVER = (datetime(1, 1, 1, tzinfo=UTC), datetime(1, 1, 1, tzinfo=UTC) + timedelta(microseconds=1))
"""From when on a proposal holds, and until when."""


class EditStatus(StrEnum):
    """What has become of a proposal."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    ROLLED_BACK = "rolled_back"


def status_of(edit: Memory) -> EditStatus:
    """Return where a proposal stands; one that says nothing of it is still to be decided."""
    return EditStatus(edit.details.get("status", EditStatus.PENDING))


def decided(
    edit: Memory, status: EditStatus, *, by: str, now: datetime, comment: str | None, **more: Any
) -> dict[str, Any]:
    """Return what changes of a proposal when it is approved, rejected or rolled back.

    Nothing where that was done already. Raises Conflict where it cannot be done any more.
    """
    stands = status_of(edit)
    if stands is status:
        return {}
    needed = EditStatus.APPROVED if status is EditStatus.ROLLED_BACK else EditStatus.PENDING
    if stands is not needed:
        raise Conflict(
            f"the proposal is {stands}: only one that is {needed} can be {status}".replace(
                "_", " "
            ),
            field="id",
            hint="propose the change again"
            if needed is EditStatus.PENDING
            else "only what was approved has changed anything",
        )
    details = {**edit.details, "status": status.value, "decided_by": by, "decided_at": now, **more}
    if comment is not None:
        details["comment"] = comment
    return {"details": details}


def require_revision(memory: Memory, revision: int, *, hint: str) -> None:
    """Raises Conflict for a memory that has been changed since a revision, which it names."""
    if memory.revision != revision:
        raise Conflict(
            f"the memory {memory.id} is at revision {memory.revision}, and not at {revision} any"
            " more",
            field="id",
            hint=hint,
        )
