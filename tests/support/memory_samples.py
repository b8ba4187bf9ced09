"""Memories, keys and vectors for tests, and the plain meaning of a filter."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from memorybank.domain.ids import new_id
from memorybank.domain.keys import ApiKey, Role
from memorybank.domain.memory import Memory, MemoryFilter
from memorybank.ports import Vector

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def a_memory(content: str = "The build needs Go 1.26", **fields: Any) -> Memory:
    """Return a memory of the tenant `acme`, changed by the fields given."""
    values: dict[str, Any] = {
        "id": new_id(),
        "tenant": "acme",
        "content": content,
        "created_at": NOON,
        "updated_at": NOON,
    }
    return Memory(**(values | fields))


def a_key(name: str = "ci", **fields: Any) -> ApiKey:
    """Return a key of the tenant `acme`, changed by the fields given."""
    values: dict[str, Any] = {
        "id": f"key-{name}",
        "tenant": "acme",
        "name": name,
        "role": Role.DEVELOPER,
        "digest": name.encode().hex().ljust(64, "0"),
        "created_at": NOON,
    }
    return ApiKey(**(values | fields))


def a_vector(*values: float, dimensions: int = 4) -> Vector:
    """Return a unit vector that starts with the values."""
    vector = np.zeros(dimensions, dtype=np.float32)
    vector[: len(values) or 1] = values or 1
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def later(minutes: float) -> datetime:
    """Return a moment this many minutes after noon."""
    return NOON + timedelta(minutes=minutes)


def means(where: MemoryFilter, memory: Memory) -> bool:
    """Say whether a filter means a memory, straight from the filter's definition."""
    return (
        (where.project is None or memory.project == where.project)
        and (where.session is None or memory.session == where.session)
        and (not where.types or memory.type in where.types)
        and where.tags_all <= set(memory.tags)
        and (where.created_after is None or memory.created_at > where.created_after)
        and (where.created_before is None or memory.created_at < where.created_before)
        and (not where.states or memory.state in where.states)
        and (where.pinned is None or memory.pinned == where.pinned)
        and (not where.origins or memory.origin in where.origins)
        and memory.trust >= where.trust_min
        and (where.valid_at is None or holds(memory, where.valid_at))
    )


def holds(memory: Memory, at: datetime) -> bool:
    """Say whether what a memory says holds at a moment."""
    begun = memory.valid_from is None or memory.valid_from <= at
    return begun and (memory.valid_to is None or at < memory.valid_to)
