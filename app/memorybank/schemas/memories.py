"""Memories as callers send and get them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import Field
from typing_extensions import override

from memorybank.domain.memory import (
    Memory,
    MemoryFilter,
    MemoryPage,
    MemoryState,
    MemoryType,
    Origin,
)
from memorybank.schemas.fields import (
    MAX_CURSOR,
    MAX_PAGE,
    Content,
    Importance,
    Metadata,
    Moment,
    Name,
    OriginName,
    Request,
    Response,
    State,
    Tags,
    Title,
    Type,
    Types,
)

_LIVE = frozenset({MemoryState.LIVE})
_FINDABLE = frozenset({MemoryState.LIVE, MemoryState.ARCHIVED})


def _without_default(schema: dict[str, Any]) -> None:
    """Drop the default from a schema: an absent field keeps what is stored."""
    schema.pop("default", None)


class NewMemory(Request):
    """A memory to keep."""

    content: Content = Field(description="What to remember, in plain words.")
    title: Title | None = Field(None, description="A headline; it counts for finding, too.")
    type: Type = Field(MemoryType.NOTE, description="What kind of thing it is.")
    project: Name | None = Field(None, description="The project it belongs to.")
    session: Name | None = Field(None, description="The conversation it comes from.")
    tags: Tags = Field([], description="Labels to filter by; repeated ones count once.")
    metadata: Metadata = Field({}, description="Anything else, as JSON; kept, not searched.")
    details: dict[str, Any] = Field(
        {},
        description="Fields of its type, such as rationale, options and outcome of a decision;"
        " for a wrong one you are told the right ones.",
    )
    importance: Importance = Field(0.5, description="0 is trivial, 1 is vital.")
    occurred_at: Moment | None = Field(
        None, description="When it happened, if not when it is stored. RFC 3339 with offset."
    )
    valid_from: Moment | None = Field(None, description="What it says holds from then on.")
    valid_to: Moment | None = Field(None, description="What it says held until then.")
    pinned: bool = Field(False, description="Never forgotten by itself.")
    origin: OriginName | None = Field(
        None,
        description="Where it comes from, if that deserves less trust than you do: tool_external"
        " for a web page.",
    )
    deduplicate: bool = Field(
        True, description="False stores it even where a memory says the same."
    )


class MemoryPatch(Request):
    """Changes to a memory: absent fields stay as they are, null empties a field that may be empty.

    Tags, metadata and details are replaced as a whole.
    """

    content: Content = Field("", json_schema_extra=_without_default)
    title: Title | None = Field(None, json_schema_extra=_without_default)
    type: Type = Field(MemoryType.NOTE, json_schema_extra=_without_default)
    project: Name | None = Field(None, json_schema_extra=_without_default)
    session: Name | None = Field(None, json_schema_extra=_without_default)
    tags: Tags = Field([], json_schema_extra=_without_default)
    metadata: Metadata = Field({}, json_schema_extra=_without_default)
    importance: Importance = Field(0.5, json_schema_extra=_without_default)
    occurred_at: Moment | None = Field(None, json_schema_extra=_without_default)
    details: dict[str, Any] = Field({}, json_schema_extra=_without_default)
    valid_from: Moment | None = Field(None, json_schema_extra=_without_default)
    valid_to: Moment | None = Field(None, json_schema_extra=_without_default)

    def changes(self) -> dict[str, Any]:
        """Return the fields that were sent, as fields of a Memory."""
        sent = {name: getattr(self, name) for name in self.model_fields_set}
        if "tags" in sent:
            sent["tags"] = tuple(sent["tags"])
        return sent


class PageQuery(Request):
    """Which page of a list of memories."""

    # Not strict: a query string has texts only.
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE, strict=False)] = Field(
        50, description="How many memories a page holds at most."
    )
    cursor: Annotated[str, Field(max_length=MAX_CURSOR)] | None = Field(
        None, description="`next_cursor` of the page before; absent for the first page."
    )
    project: Name | None = Field(None, description="Only this project.")
    tag: Tags = Field([], description="Only with this tag; may be repeated, then all of them.")
    state: Annotated[list[State], Field(max_length=len(MemoryState))] = Field(
        [MemoryState.LIVE], description="Only in this state; may be repeated, then any of them."
    )
    created_after: Moment | None = Field(None, description="Only what was stored later than this.")
    created_before: Moment | None = Field(
        None, description="Only what was stored earlier than this."
    )

    def where(self) -> MemoryFilter:
        """Return the filters."""
        return MemoryFilter(
            project=self.project,
            tags_all=frozenset(self.tag),
            states=frozenset(self.state),
            created_after=self.created_after,
            created_before=self.created_before,
        )


class ListQuery(PageQuery):
    """Which page of which memories to list."""

    session: Name | None = Field(None, description="Only this conversation.")
    type: Types = Field([], description="Only this type; may be repeated, then any of them.")
    origin: Annotated[list[OriginName], Field(max_length=len(Origin))] = Field(
        [], description="Only of this origin; may be repeated, then any of them."
    )
    pinned: Annotated[bool, Field(strict=False)] | None = Field(
        None, description="Only those that are pinned, or only those that are not."
    )
    valid_at: Moment | None = Field(None, description="Only what held at this time.")

    @override
    def where(self) -> MemoryFilter:
        """Return the filters."""
        return replace(
            super().where(),
            session=self.session,
            types=frozenset(self.type),
            origins=frozenset(self.origin),
            pinned=self.pinned,
            valid_at=self.valid_at,
        )


class MemoryView(Response):
    """A memory as it is kept."""

    id: str
    content: str
    title: str | None
    type: MemoryType
    project: str | None
    session: str | None
    tags: list[str]
    metadata: dict[str, Any]
    importance: float
    occurred_at: datetime | None
    created_at: datetime
    updated_at: datetime
    details: dict[str, Any] = Field(description="The fields of its type.")
    state: MemoryState
    state_changed_at: datetime | None = Field(description="Null when it was always live.")
    pinned: bool
    legal_hold: bool
    valid_from: datetime | None
    valid_to: datetime | None
    supersedes: str | None = Field(description="Id of the memory whose place it takes.")
    superseded_by: str | None = Field(description="Id of the memory that takes its place.")
    origin: Origin = Field(description="Who it comes from, as the service has seen it.")
    trust: float = Field(description="How far to rely on it, 0 to 1.")
    revision: int = Field(description="Counts its changes; see its history.")
    accessed_at: datetime | None = Field(description="When it was last found or read.")
    access_count: int

    @classmethod
    def of(cls, memory: Memory) -> Self:
        """Show a memory. Its tenant is not shown: the caller's key implies it."""
        return cls.model_validate(memory, from_attributes=True)

    @classmethod
    def fields_of(cls, memory: Memory) -> dict[str, Any]:
        """Return the fields that show a memory: each is named as in the domain."""
        return {name: getattr(memory, name) for name in MemoryView.model_fields}


class MemoryList(Response):
    """One page of memories, newest first."""

    memories: list[MemoryView]
    next_cursor: str | None = Field(description="Pass it as `cursor`; null on the last page.")
    total: int = Field(description="How many memories match in all.")

    @classmethod
    def of(cls, page: MemoryPage) -> Self:
        """Show a page."""
        return cls(
            memories=[MemoryView.of(memory) for memory in page.memories],
            next_cursor=page.next_cursor,
            total=page.total,
        )
