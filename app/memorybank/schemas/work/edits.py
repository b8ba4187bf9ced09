"""Proposals to change memories, as they are sent and asked for."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field
from typing_extensions import override

from memorybank.domain.memory import Condition, HasDetail, Memory, MemoryFilter, MemoryPage, Origin
from memorybank.domain.work.edits import EditStatus, status_of
from memorybank.schemas.details import EditStatusName
from memorybank.schemas.fields import Detail, MemoryId, OriginName, Request, Response
from memorybank.schemas.life import ChangedView
from memorybank.schemas.memories import MemoryPatch, NewMemory
from memorybank.schemas.work.things import ThingQuery


class NewEdit(Request):
    """A change of a memory that somebody else is to approve."""

    memory: MemoryId = Field(description="Id of the memory to change.")
    patch: MemoryPatch = Field(description="What is to change of it, as PATCH takes it.")
    reason: Detail = Field(description="Why; for who decides.")
    revision: Annotated[int, Field(ge=1, lt=2**62)] | None = Field(
        None, description="The revision that you have seen; refused if it is not the newest."
    )
    origin: OriginName | None = Field(
        None, description="Where it comes from, if that deserves less trust than you do."
    )


class Proposal(NewMemory):
    """The memory that a proposal is kept as: only who proposes makes one."""


class EditDecision(Request):
    """What is said about a proposal."""

    comment: Detail | None = Field(None, description="Why it was decided so.")


class EditQuery(ThingQuery):
    """Which proposals to list."""

    status: EditStatusName | None = Field(None, description="Only those that stand there.")
    memory: MemoryId | None = Field(None, description="Only those about this memory, by its id.")

    @override
    def wanted(self, _now: datetime) -> tuple[MemoryFilter, tuple[Condition, ...]]:
        """Return what the list holds."""
        conditions = []
        if self.status is not None:
            is_first = self.status is EditStatus.PENDING  # as status_of has it
            conditions.append(HasDetail("status", (self.status.value,), or_absent=is_first))
        if self.memory is not None:
            conditions.append(HasDetail("memory", (self.memory,)))
        return self.where(), tuple(conditions)


class EditView(Response):
    """A proposal, and what became of it."""

    id: str
    memory: str | None = Field(description="Id of the memory that it is about.")
    revision: int | None = Field(description="The revision of it that is to change.")
    patch: dict[str, Any] = Field(description="What is to change of it.")
    reason: str
    status: EditStatus
    proposed_by: str | None = Field(description="Id of the key that proposed it.")
    created_at: datetime
    decided_by: str | None = Field(description="Id of the key that decided.")
    decided_at: datetime | None
    comment: str | None
    applied_revision: int | None = Field(description="The revision that the approval made.")
    origin: Origin
    trust: float

    @classmethod
    def of(cls, edit: Memory) -> EditView:
        """Show a proposal."""
        known = {name: edit.details.get(name) for name in cls.model_fields if name in _DETAILS}
        return cls.model_validate(
            known
            | {
                "id": edit.id,
                "patch": edit.details.get("patch", {}),
                "reason": edit.content,
                "status": status_of(edit),
                "created_at": edit.created_at,
                "origin": edit.origin,
                "trust": edit.trust,
            }
        )


_DETAILS = frozenset(
    {
        *("memory", "revision", "proposed_by", "decided_by", "decided_at", "comment"),
        "applied_revision",
    }
)


class EditList(Response):
    """One page of proposals, newest first."""

    edits: list[EditView]
    next_cursor: str | None = Field(description="Pass it as `cursor`; null on the last page.")
    total: int

    @classmethod
    def of(cls, page: MemoryPage) -> EditList:
        """Show a page."""
        edits = [EditView.of(edit) for edit in page.memories]
        return cls(edits=edits, next_cursor=page.next_cursor, total=page.total)


class AppliedView(Response):
    """A proposal that was approved or rolled back, and the memory as it is now."""

    edit: EditView
    memory: ChangedView
