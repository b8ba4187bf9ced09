"""Sessions of work as they are sent and asked for."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field
from typing_extensions import override

from memorybank.domain.memory import Condition, HasDetail, MemoryFilter, MemoryType
from memorybank.domain.work.sessions import SessionStatus
from memorybank.schemas.details import SessionStatusName
from memorybank.schemas.fields import Content, Detail, Metadata, Moment, Name, Request, Title
from memorybank.schemas.work.things import NewThing, ThingQuery

EntryKind = Literal["info", "milestone", "issue", "solution"]


class NewSession(NewThing):
    """A session of work that begins."""

    type = MemoryType.SESSION
    deduplicate = False  # of the same words, it is another one nevertheless

    title: Title = Field(description="What is to be done, in a line.")
    description: Content | None = Field(None, description="What is to be done, at length.")
    project: Name | None = Field(None, description="The project that it is about.")

    @override
    def said(self) -> dict[str, Any]:
        """See NewThing."""
        sent = super().said()
        description = sent.pop("description", None)
        return sent | {"content": description or self.title, "status": SessionStatus.ACTIVE}


class NewEntry(NewThing):
    """Something that happened in a session."""

    type = MemoryType.EVENT
    deduplicate = False  # it happened again

    content: Content = Field(description="What happened, in plain words.")
    kind: EntryKind = Field("info", description="What kind of entry it is.")
    payload: Metadata | None = Field(None, description="What belongs to it, as JSON; searched.")
    occurred_at: Moment | None = Field(
        None, description="When it happened, if not when it is stored. RFC 3339 with offset."
    )

    @override
    def said(self) -> dict[str, Any]:
        """See NewThing."""
        return super().said() | {"kind": self.kind}


class SessionEnd(Request):
    """How a session ended."""

    outcome: Detail | None = Field(None, description="What came of it.")


class SessionCompletion(SessionEnd):
    """What came of a session."""

    outcome: Detail = Field(description="What came of it.")


class SessionQuery(ThingQuery):
    """Which sessions to list."""

    status: SessionStatusName | None = Field(None, description="Only those that stand there.")

    @override
    def wanted(self, _now: datetime) -> tuple[MemoryFilter, tuple[Condition, ...]]:
        """Return what the list holds."""
        if self.status is None:
            return self.where(), ()
        is_first = self.status is SessionStatus.ACTIVE  # as status_of has it
        return self.where(), (HasDetail("status", (self.status.value,), or_absent=is_first),)


class LogQuery(ThingQuery):
    """Which page of the log of a session to show."""

    kind: EntryKind | None = Field(None, description="Only entries of this kind.")

    @override
    def wanted(self, _now: datetime) -> tuple[MemoryFilter, tuple[Condition, ...]]:
        """Return what the list holds."""
        return self.where(), () if self.kind is None else (HasDetail("kind", (self.kind,)),)
