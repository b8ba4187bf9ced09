"""Telling an agent that begins anew what it needs to know.

Each layer is one bounded read of the newest memories of a type, whatever the bank holds: nothing is
counted and nothing searched for, unless a subject is named.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from memorybank.auth.principal import Principal
from memorybank.domain.keys import Scope
from memorybank.domain.memory import AnyOf, Condition, HasDetail, Memory, MemoryFilter, MemoryType
from memorybank.domain.wakeup import (
    Entry,
    Layer,
    WakeUpPack,
    conflict_entries,
    decision_entry,
    error_entry,
    handoff_entry,
    heuristic_entry,
    pack_layers,
    session_entry,
    task_entry,
    task_order,
)
from memorybank.domain.work.handoffs import SENSITIVE
from memorybank.schemas.search import ContextRequest
from memorybank.schemas.wakeup import WakeUpRequest
from memorybank.schemas.work.handoffs import NOT_SENSITIVE, LastQuery
from memorybank.services.memories import MemoryService, now_utc

_FEW: Final = 10
"""Of what is told newest first."""
_MANY: Final = 100
"""Of what is told best first: the best of the newest so many."""
_CLOSED: Final = ("done", "cancelled")
_FOUND: Final = 10
"""Memories about the subject."""


@dataclass(frozen=True, slots=True)
class _Asked:
    caller: Principal
    request: WakeUpRequest
    now: datetime

    def where(self, kind: MemoryType | None = None) -> MemoryFilter:
        """Return which memories are meant: those of the project that hold now."""
        types = frozenset() if kind is None else frozenset({kind})
        return MemoryFilter(project=self.request.project, types=types, valid_at=self.now)


class Waking:
    """Reads only."""

    def __init__(self, memories: MemoryService, *, clock: Callable[[], datetime] = now_utc) -> None:
        self._memories = memories
        self._clock = clock
        self._layers: Mapping[Layer, Callable[[_Asked], Awaitable[list[Entry]]]] = {
            Layer.HANDOFF: self._handoff,
            Layer.TASKS: self._tasks,
            Layer.CONFLICTS: self._conflicts,
            Layer.PINNED: self._pinned,
            Layer.DECISIONS: self._decisions,
            Layer.ERRORS: self._errors,
            Layer.HEURISTICS: self._heuristics,
            Layer.SESSION: self._session,
        }

    async def wake_up(
        self, caller: Principal, request: WakeUpRequest
    ) -> tuple[WakeUpPack, str | None]:
        """Return what is to be known, and why its subject could only be searched for by words."""
        caller.require(Scope.READ)
        with self._memories.timed("wake_up"):
            asked = _Asked(caller, request, self._clock())
            wanted = [each for each in request.wanted() if each in self._layers]
            told = await asyncio.gather(*(self._layers[each](asked) for each in wanted))
            layers = list(zip(wanted, told, strict=True))
            degraded = None
            if request.subject is not None and Layer.SUBJECT in request.wanted():
                found, degraded = await self._about(caller, request, request.subject)
                layers.append((Layer.SUBJECT, found))
            pack = pack_layers(layers, request.max_tokens)
        self._used(asked, layers, pack)
        return pack, degraded

    def _used(
        self, asked: _Asked, layers: list[tuple[Layer, list[Entry]]], pack: WakeUpPack
    ) -> None:
        """Count what was told as used, and keep it from coming back as something new."""
        shown = {each.memory_id for layer in pack.layers for each in layer.memories}
        told = {
            entry.memory.id: entry.memory
            for _, entries in layers
            for entry in entries
            if entry.memory.id in shown
        }
        self._memories.served(asked.caller, list(told.values()), asked.now)

    async def _handoff(self, asked: _Asked) -> list[Entry]:
        request = asked.request
        query = LastQuery(
            project=request.project,
            session=request.session,
            with_whom=request.with_whom,
            include_sensitive=request.include_sensitive,
        )
        where, details = query.wanted()
        found = await self._memories.beginning(asked.caller, where, limit=1, details=details)
        return [handoff_entry(each) for each in found]

    async def _tasks(self, asked: _Asked) -> list[Entry]:
        is_open = [AnyOf((HasDetail("status", _CLOSED),), negated=True)]
        found = await self._memories.beginning(
            asked.caller, asked.where(MemoryType.TASK), limit=_MANY, details=is_open
        )
        found.sort(key=task_order(asked.now))
        return [task_entry(each, asked.now) for each in found[: 2 * _FEW]]

    async def _conflicts(self, asked: _Asked) -> list[Entry]:
        links = await self._memories.contradictions(asked.caller, asked.request.project, limit=_FEW)
        ids = list(dict.fromkeys(end for each in links for end in (each.source, each.target)))
        known = {each.id: each for each in await self._memories.many(asked.caller.tenant, ids)}
        entries = []
        for link in links:
            if link.source in known and link.target in known:
                entries += conflict_entries(known[link.source], known[link.target])
        return entries

    async def _pinned(self, asked: _Asked) -> list[Entry]:
        where = replace(asked.where(), pinned=True)
        hidden = _unless_sensitive(asked.request)
        found = await self._memories.beginning(asked.caller, where, limit=_FEW, details=hidden)
        return [Entry(each, each.content) for each in found]

    async def _decisions(self, asked: _Asked) -> list[Entry]:
        found = await self._newest(asked, MemoryType.DECISION)
        return [decision_entry(each) for each in found]

    async def _errors(self, asked: _Asked) -> list[Entry]:
        found = await self._newest(asked, MemoryType.ERROR_SOLUTION)
        return [error_entry(each) for each in found]

    async def _heuristics(self, asked: _Asked) -> list[Entry]:
        found = await self._newest(asked, MemoryType.HEURISTIC, limit=_MANY)
        found.sort(key=lambda each: (-each.details.get("confidence", 0.0), -each.importance))
        return [heuristic_entry(each) for each in found[:_FEW]]

    async def _session(self, asked: _Asked) -> list[Entry]:
        if asked.request.session is not None:
            found = await self._memories.many(asked.caller.tenant, [asked.request.session])
            found = [each for each in found if each.type is MemoryType.SESSION]
        else:
            found = await self._newest(asked, MemoryType.SESSION, limit=1)
        return [session_entry(each) for each in found]

    async def _newest(self, asked: _Asked, kind: MemoryType, *, limit: int = _FEW) -> list[Memory]:
        return await self._memories.beginning(asked.caller, asked.where(kind), limit=limit)

    async def _about(
        self, caller: Principal, request: WakeUpRequest, subject: str
    ) -> tuple[list[Entry], str | None]:
        asked = ContextRequest(query=subject, project=request.project)
        found = await self._memories.finding.search(caller, asked.search(limit=_FOUND))
        hidden = () if request.include_sensitive else SENSITIVE
        told = [
            Entry(memory, memory.content)
            for memory, _ in found.memories
            if memory.details.get("sensitivity") not in hidden
        ]
        return told, found.degraded


def _unless_sensitive(request: WakeUpRequest) -> list[Condition]:
    return [] if request.include_sensitive else [NOT_SENSITIVE]
