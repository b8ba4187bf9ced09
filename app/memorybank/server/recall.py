"""Proving that a copy of a bank can be searched: by the service's own search, in this process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from memorybank.auth.principal import Face, Principal
from memorybank.domain.keys import Scope
from memorybank.domain.memory import Memory, MemoryFilter, searchable_text
from memorybank.domain.tenants import DEFAULT_TENANT
from memorybank.ports import MemoryStore
from memorybank.schemas.search import SearchRequest
from memorybank.server.archive import Archive
from memorybank.server.engine import open_engine
from memorybank.server.services import Services
from memorybank.services.finding import Found
from memorybank.settings import DatabaseSettings, Settings, VectorSettings

_TENANTS = 10
_OF_EACH = 3
_WORDS = 1_000
"""Characters of a memory that it is looked for by."""
_FOUND = 50
_PAGE = 200
_INSTANT = timedelta(microseconds=1)
_LIVE = MemoryFilter()


@dataclass(frozen=True, slots=True)
class Recall:
    """How searching went."""

    seconds: float
    """Until the first search answered."""
    asked: int
    """For how many memories."""
    missing: int
    exported: int
    """Memories that an export of it has, if one was asked for."""
    degraded: str | None
    """Why meanings could not be compared."""

    @property
    def problem(self) -> str:
        """Why the copy is no good; empty when it is."""
        if not self.missing:
            return ""
        return f"{self.missing} of {self.asked} memories are not found by their own words"


def recall(settings: Settings, database: Path, archive: Archive | None = None) -> Recall:
    """Search a copy, which is changed by that, for the newest memories of several tenants, and
    write its export. Raises ConfigurationError, StoreUnavailable.
    """
    return asyncio.run(_recall(_alone(settings, database), archive))


def _alone(settings: Settings, database: Path) -> Settings:
    """Return settings of a bank that has nothing but a copy: its index is in this process, and
    nothing that the bank itself uses is touched, such as its vector server.
    """
    return settings.model_copy(
        update={
            "data": database.parent,
            "database": DatabaseSettings(path=database),
            "database_url": None,
            "vector": VectorSettings(),
            "backup": None,
        }
    )


async def _recall(settings: Settings, archive: Archive | None) -> Recall:
    began = time.monotonic()
    async with open_engine(settings) as engine:
        services = await Services.on(engine)
        asked = [each async for each in _newest(engine.store)]
        first = await _search(services, DEFAULT_TENANT, SearchRequest(query="anything"))
        seconds = time.monotonic() - began
        missing = 0
        for memory in asked:
            missing += not await _is_found(services, memory)
        exported = 0 if archive is None or missing else await archive.write(services)
        return Recall(seconds, len(asked), missing, exported, first.degraded)


async def _newest(store: MemoryStore) -> AsyncIterator[Memory]:
    """Yield the newest memories of the first tenants that have any."""
    cursor: str | None = None
    found = 0
    while True:
        page = await store.access.list_tenants(limit=_PAGE, cursor=cursor)
        for tenant in page.tenants:
            if found == _TENANTS:
                return
            if tenant.memories == 0:
                continue
            newest = await store.list_memories(tenant.name, _LIVE, limit=_OF_EACH, cursor=None)
            found += bool(newest.memories)
            for memory in newest.memories:
                yield memory
        cursor = page.next_cursor
        if cursor is None:
            return


async def _is_found(services: Services, memory: Memory) -> bool:
    """Return whether a memory is found as its owner would, or among others that are too much like
    it, where it is the only one that is meant.
    """
    held = memory.valid_from or (memory.valid_to and memory.valid_to - _INSTANT)
    query = searchable_text(memory)[:_WORDS].strip()
    asked = SearchRequest(query=query, limit=_FOUND, as_of=held)
    narrow = asked.model_copy(
        update={
            "created_after": memory.created_at - _INSTANT,
            "created_before": memory.created_at + _INSTANT,
        }
    )
    for each in (asked, narrow):
        found = await _search(services, memory.tenant, each)
        if any(hit.id == memory.id for hit, _ in found.memories):
            return True
    return False


async def _search(services: Services, tenant: str, request: SearchRequest) -> Found:
    caller = Principal(tenant, "verification", frozenset({Scope.READ}), face=Face.INTERNAL)
    return await services.memories.finding.search(caller, request)
