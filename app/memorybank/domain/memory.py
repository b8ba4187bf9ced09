"""A memory and the shapes the store and the indexes exchange."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

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


@dataclass(frozen=True, slots=True)
class MemoryFilter:
    """Which memories are meant; None and empty mean "any". Fields combine with AND."""

    project: str | None = None
    session: str | None = None
    types: frozenset[MemoryType] = frozenset()
    tags_all: frozenset[str] = frozenset()
    created_after: datetime | None = None
    """Created later than this, not at it."""
    created_before: datetime | None = None
    """Created earlier than this, not at it."""


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
