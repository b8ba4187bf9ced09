"""How cycles are told: by the ids and the names of the memories along them."""

from __future__ import annotations

from collections.abc import Sequence

from memorybank.domain.edges import Cycle
from memorybank.domain.memory import Memory, MemoryState
from memorybank.errors import Conflict
from memorybank.ports import MemoryStore

_MOST_TOLD = 20
"""Memories of a path that an error names; of a longer one, those at its ends."""
_LONGEST_NAME = 60
"""Characters."""


def name_of(memory: Memory) -> str:
    """Return what a memory is called by where there is room for a line: its title, or its start."""
    name = " ".join((memory.title or memory.content).split())
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"


def told(memory: Memory) -> str:
    """Return how an error names a memory."""
    return f"{memory.id} ({name_of(memory)})"


async def told_path(store: MemoryStore, tenant: str, path: Sequence[str]) -> str:
    """Return a path as an error tells it; memories in the trash by their ids alone."""
    left_out = len(path) - _MOST_TOLD
    half = _MOST_TOLD // 2
    shown = [*path] if left_out <= 0 else [*path[:half], *path[-half:]]
    there = {
        memory.id: told(memory)
        for memory in await store.get_many(tenant, list(dict.fromkeys(shown)))
        if memory.state is not MemoryState.TRASH
    }
    names = [there.get(each, f"{each} (in the trash)") for each in shown]
    if left_out > 0:
        names.insert(half, f"… {left_out} more …")
    return " -> ".join(names)


class CycleRefused(Conflict):
    """An edge would close a cycle."""


async def closes_cycle(store: MemoryStore, tenant: str, cycle: Cycle) -> CycleRefused:
    """Return the error about an edge that would close a cycle."""
    return CycleRefused(
        f"the edge would close a cycle: {await told_path(store, tenant, cycle.path)}",
        field="target",
        hint="leave it out, or remove one of the edges along the path first",
    )


async def holds_cycle(store: MemoryStore, tenant: str, cycle: Cycle) -> Conflict:
    """Return the error about an order that is none."""
    return Conflict(
        f"there is no order: {await told_path(store, tenant, cycle.path)} is a cycle",
        field="root",
        hint="remove one of the edges along the path",
    )
