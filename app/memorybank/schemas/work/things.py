"""A thing of work as it is sent, and a list of them as it is asked for: what all kinds share."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any, ClassVar

from pydantic import Field
from typing_extensions import override

from memorybank.domain.memory import Condition, MemoryFilter, MemoryType
from memorybank.schemas.details import DETAILS
from memorybank.schemas.fields import (
    Content,
    Importance,
    Metadata,
    Moment,
    Name,
    OriginName,
    Request,
    Tags,
    Title,
)
from memorybank.schemas.memories import NewMemory, PageQuery


class NewThing(Request):
    """What any thing of work may say of itself.

    A kind adds the fields of its details, under their own names, and says how a memory becomes of
    it; see `memory`.
    """

    type: ClassVar[MemoryType]
    deduplicate: ClassVar[bool] = True
    """False where the same words twice are two things."""

    tags: Tags = Field([], description="Labels to filter by; repeated ones count once.")
    metadata: Metadata = Field({}, description="Anything else, as JSON; kept, not searched.")
    importance: Importance = Field(0.5, description="0 is trivial, 1 is vital.")
    pinned: bool = Field(False, description="Never forgotten by itself.")
    origin: OriginName | None = Field(
        None, description="Where it comes from, if that deserves less trust than you do."
    )

    def said(self) -> dict[str, Any]:
        """Return what was sent, by the names that a memory has for it.

        What was not sent is not in it, so that the same request is the same memory.
        """
        return {name: getattr(self, name) for name in self.model_fields_set}

    def memory(self, **more: Any) -> NewMemory:
        """Return the memory that is to be kept, with these fields as well."""
        given = self.said() | more
        known = DETAILS[self.type].model_fields
        details = {name: value for name, value in given.items() if name in known}
        rest = {name: value for name, value in given.items() if name not in known}
        return NewMemory(type=self.type, details=details, deduplicate=self.deduplicate, **rest)


class NewWritten(NewThing):
    """A thing that says something in words."""

    content: Content = Field(description="In plain words, to be understood on its own.")
    title: Title | None = Field(None, description="A headline; it counts for finding, too.")
    project: Name | None = Field(None, description="The project it belongs to.")
    session: Name | None = Field(None, description="The session of work it comes from, by its id.")
    occurred_at: Moment | None = Field(
        None, description="When it happened, if not when it is stored. RFC 3339 with offset."
    )


class ThingQuery(PageQuery):
    """Which page of the things of one kind to list."""

    def wanted(self, _now: datetime) -> tuple[MemoryFilter, tuple[Condition, ...]]:
        """Return what the list holds at that moment."""
        return self.where(), ()


class WrittenQuery(ThingQuery):
    """Which page of what was written down to list."""

    session: Name | None = Field(None, description="Only of this session of work, by its id.")

    @override
    def where(self) -> MemoryFilter:
        """Return the filters."""
        return replace(super().where(), session=self.session)
