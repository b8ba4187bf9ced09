"""Notes, decisions, capsules and events as they are sent and asked for."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field
from typing_extensions import override

from memorybank.domain.memory import Condition, HasDetail, MemoryFilter, MemoryType
from memorybank.schemas.details import Names
from memorybank.schemas.fields import Detail, DetailList, Metadata, Moment, Name, Title
from memorybank.schemas.work.things import NewWritten, WrittenQuery


class NewNote(NewWritten):
    """Something worth knowing later."""

    type = MemoryType.NOTE


class NoteQuery(WrittenQuery):
    """Which notes to list."""


class NewDecision(NewWritten):
    """What was decided, and why."""

    type = MemoryType.DECISION

    rationale: Detail | None = Field(None, description="Why.")
    options: DetailList | None = Field(None, description="What was weighed.")
    constraints: DetailList | None = Field(None, description="What had to be kept to.")
    consequences: DetailList | None = Field(None, description="What follows from it.")
    outcome: Detail | None = Field(None, description="What came of it, once that is known.")


class DecisionQuery(WrittenQuery):
    """Which decisions to list."""


class NewCapsule(NewWritten):
    """What somebody is to be told, until it no longer holds."""

    type = MemoryType.CAPSULE

    audience: Names | None = Field(
        None, description="Whom it is for, by names that you agree upon; for all, if left out."
    )
    subject: Title | None = Field(None, description="What it is about.")
    expires_at: Moment | None = Field(None, description="From then on it is told to nobody.")

    @override
    def said(self) -> dict[str, Any]:
        """See NewThing: what has expired is what no longer holds."""
        sent = super().said()
        return sent | {"valid_to": sent.pop("expires_at", None)}


class CapsuleQuery(WrittenQuery):
    """Which capsules to list: those that have not expired."""

    audience: Name | None = Field(
        None, description="Only those for this name, or for all; else whomever they are for."
    )
    include_expired: Annotated[bool, Field(strict=False)] = Field(
        False, description="Also those that have expired."
    )

    @override
    def wanted(self, now: datetime) -> tuple[MemoryFilter, tuple[Condition, ...]]:
        """Return what the list holds at that moment."""
        where = self.where()
        if not self.include_expired:
            where = replace(where, valid_at=now, valid_at_moves=True)
        if self.audience is None:
            return where, ()
        return where, (HasDetail("audience", (self.audience,), or_absent=True),)


class NewEvent(NewWritten):
    """Something that happened."""

    type = MemoryType.EVENT
    deduplicate = False  # it happened again

    kind: Name | None = Field(None, description="What kind of thing, such as deploy or test_run.")
    payload: Metadata | None = Field(None, description="What belongs to it, as JSON; searched.")


class EventQuery(WrittenQuery):
    """Which events to list."""

    kind: Name | None = Field(None, description="Only of this kind.")

    @override
    def wanted(self, _now: datetime) -> tuple[MemoryFilter, tuple[Condition, ...]]:
        """Return what the list holds."""
        return self.where(), () if self.kind is None else (HasDetail("kind", (self.kind,)),)
