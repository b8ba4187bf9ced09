"""A memory and the shapes the store and the indexes exchange."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:  # the command line needs the words of this module, not the arrays
    import numpy as np
    import numpy.typing as npt


class MemoryType(StrEnum):
    """What kind of thing is remembered."""

    NOTE = "note"
    FACT = "fact"
    DECISION = "decision"
    PATTERN = "pattern"
    ERROR_SOLUTION = "error_solution"
    CODE = "code"
    DOCUMENTATION = "documentation"
    SESSION = "session"
    TASK = "task"
    PREFERENCE = "preference"
    PROCEDURE = "procedure"
    PERSONALITY = "personality"
    THREAD = "thread"
    EMOTION = "emotion"
    PROJECT = "project"
    EVENT = "event"
    CAPSULE = "capsule"
    HANDOFF = "handoff"
    EPISODE = "episode"
    HEURISTIC = "heuristic"
    EDIT = "edit"
    """A change of a memory that somebody proposes; see domain.work.edits."""


class MemoryState(StrEnum):
    """How near a memory is to being gone."""

    LIVE = "live"
    ARCHIVED = "archived"
    """Kept, and found only when asked for."""
    TRASH = "trash"
    """Never found; can be restored until it is purged."""


class Origin(StrEnum):
    """Who a memory comes from, as the service itself has seen it."""

    DIRECT_USER = "direct_user"
    AGENT = "agent"
    TOOL_INTERNAL = "tool_internal"
    IMPORT = "import"
    TOOL_EXTERNAL = "tool_external"

    @property
    def trust(self) -> float:
        """How far to rely on it, 0 to 1: what a person said counts fully, a web page hardly."""
        return _TRUST[self]


_TRUST = {
    Origin.DIRECT_USER: 1.0,
    Origin.AGENT: 0.8,
    Origin.TOOL_INTERNAL: 0.6,
    Origin.IMPORT: 0.5,
    Origin.TOOL_EXTERNAL: 0.2,
}


@dataclass(frozen=True, slots=True)
class Memory:
    """One thing remembered. Times are aware UTC; `id` is a UUIDv7, so ids sort by creation."""

    id: str
    tenant: str
    content: str
    created_at: datetime
    updated_at: datetime
    title: str | None = None
    type: MemoryType = MemoryType.NOTE
    project: str | None = None
    session: str | None = None
    tags: tuple[str, ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)
    importance: float = 0.5
    """0 (trivial) to 1 (vital)."""
    occurred_at: datetime | None = None
    """When it happened, where that differs from when it was stored."""
    details: dict[str, Any] = field(default_factory=dict)
    """The fields of its type: see `memorybank.schemas.details`. Their texts count for finding."""
    state: MemoryState = MemoryState.LIVE
    state_changed_at: datetime | None = None
    """When it got into this state; None for one that was never in another."""
    state_run: str | None = None
    """The forgetting run that put it into this state; None when somebody did."""
    pinned: bool = False
    """Never forgotten by itself."""
    legal_hold: bool = False
    """Never forgotten and never deleted, whoever asks."""
    valid_from: datetime | None = None
    """What it says holds from then on; None for ever since."""
    valid_to: datetime | None = None
    """What it says held until then, not at it; None as long as nobody knows better."""
    supersedes: str | None = None
    """Id of the memory that this one takes the place of."""
    superseded_by: str | None = None
    origin: Origin = Origin.AGENT
    trust: float = Origin.AGENT.trust
    """0 to 1; never higher than what its origin deserves."""
    revision: int = 1
    """Counts the changes that its history keeps."""
    accessed_at: datetime | None = None
    """When it was last found or read; None when never."""
    access_count: int = 0


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)


def searchable_text(memory: Memory) -> str:
    """Return what of a memory stands for its meaning: title, content and the texts of details."""
    return joined_text(memory.title, memory.content, memory.details)


def joined_text(title: str | None, content: str, details: dict[str, Any]) -> str:
    """Return what `searchable_text` returns of a memory with these fields."""
    if title is None and not details:
        return content
    parts = [] if title is None else [title]
    return "\n\n".join([*parts, content, *_texts(details)])


_LIVE = frozenset({MemoryState.LIVE})


@dataclass(frozen=True, slots=True)
class MemoryFilter:
    """Which memories are meant; None and empty mean "any". Fields combine with AND.

    Only live memories are meant, if `states` does not say otherwise.
    """

    project: str | None = None
    session: str | None = None
    types: frozenset[MemoryType] = frozenset()
    tags_all: frozenset[str] = frozenset()
    created_after: datetime | None = None
    """Created later than this, not at it."""
    created_before: datetime | None = None
    """Created earlier than this, not at it."""
    states: frozenset[MemoryState] = _LIVE
    valid_at: datetime | None = None
    """What they say holds, or held, at this moment."""
    valid_at_moves: bool = False
    """Whether that moment is the present, which goes on from page to page of a list."""
    origins: frozenset[Origin] = frozenset()
    trust_min: float = 0.0
    pinned: bool | None = None

    def with_tags(self, tags: frozenset[str]) -> MemoryFilter:
        """Return the same filter for memories with all of these tags."""
        return replace(self, tags_all=tags)


@dataclass(frozen=True, slots=True)
class HasDetail:
    """That a field of the details is one of these texts, or a list that holds one of them.

    For lists of one type of memory. Searches know nothing of it: the texts of details count for
    finding as they are.
    """

    field: str
    values: tuple[str, ...]
    or_absent: bool = False
    """Whether memories without the field are meant as well."""


@dataclass(frozen=True, slots=True)
class DetailBetween:
    """That a field of the details is a time later than `after` and earlier than `before`.

    It is neither of the two itself.
    """

    field: str
    after: datetime | None = None
    before: datetime | None = None
    moving: bool = False
    """Whether the bounds are about the present, which goes on from page to page of a list."""


@dataclass(frozen=True, slots=True)
class DetailAtLeast:
    """That a field of the details, which holds numbers alone, is at least this one."""

    field: str
    least: float


@dataclass(frozen=True, slots=True)
class LeadsTo:
    """That an edge of one type leads to a memory of one type, not in the trash, with a detail."""

    link: LinkType
    type: MemoryType
    detail: HasDetail
    backward: bool = False
    """Whether the edge leads the other way, from that memory."""


@dataclass(frozen=True, slots=True)
class AnyOf:
    """That at least one of these is so, or none of them."""

    conditions: tuple[Condition, ...]
    negated: bool = False


Condition: TypeAlias = HasDetail | DetailBetween | DetailAtLeast | LeadsTo | AnyOf
"""What a list of memories can be narrowed by, beside a filter."""


@dataclass(frozen=True, slots=True)
class MemoryPage:
    """One page of a list."""

    memories: list[Memory]
    next_cursor: str | None
    total: int
    """How many memories match the filter in all, not on this page."""


@dataclass(frozen=True, slots=True)
class MemoryChange:
    """One entry of the store's ordered change feed; no memory means it was deleted."""

    seq: int
    tenant: str
    memory_id: str
    memory: Memory | None
    vector: npt.NDArray[np.float32] | None


@dataclass(frozen=True, slots=True)
class Revision:
    """An earlier state of a memory, and when and by whose key the next one took its place."""

    memory: Memory
    replaced_at: datetime
    replaced_by: str
    """Id of the key; "forgetting" and the like for the service itself."""
    action: str


@dataclass(frozen=True, slots=True)
class RevisionPage:
    """Part of a memory's history, newest first."""

    revisions: list[Revision]
    total: int


class LinkType(StrEnum):
    """How one memory relates to another."""

    RELATED_TO = "related_to"
    REFERENCES = "references"
    DEPENDS_ON = "depends_on"
    PARENT_OF = "parent_of"
    CHILD_OF = "child_of"
    CREATED_BY = "created_by"
    FOLLOWS = "follows"
    BLOCKS = "blocks"
    DUPLICATES = "duplicates"
    CONTRADICTS = "contradicts"
    SUPPORTS = "supports"


@dataclass(frozen=True, slots=True)
class Link:
    """An edge from one memory to another of the same tenant."""

    source: str
    target: str
    type: LinkType
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Touch:
    """That a memory was found or read so many times, last at that moment."""

    tenant: str
    memory_id: str
    times: int
    at: datetime
