"""Finding what a consolidation job has to do, in small pieces of work with rests between them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from datetime import datetime

import numpy as np

from memorybank.domain.consolidation.handoffs import Group, compressed, group_of, old_ones, told_at
from memorybank.domain.consolidation.likeness import TYPES, Candidates, merged, repeats
from memorybank.domain.consolidation.rules import (
    MOST_SOURCES,
    Fold,
    Job,
    Rules,
    has_had_its_day,
)
from memorybank.domain.memory import Memory, MemoryState, MemoryType
from memorybank.ports import MemoryStore, SearchIndex
from memorybank.services.adding import CANARY_PROJECT

_READ_AT_ONCE = 50
_ARCHIVED_AT_ONCE = MOST_SOURCES
_SHARE = 0.2
"""Of the time that the work is at it, so that searches hardly ever meet it."""
_LEAST_SECONDS = 0.002


class Pace:
    """Rests in proportion to the work since the last rest."""

    def __init__(self, share: float = _SHARE) -> None:
        self._rest = 1 / share - 1
        self._since = time.perf_counter()

    async def keep(self) -> None:
        """Let others have their turn, if it is time."""
        worked = time.perf_counter() - self._since
        if worked >= _LEAST_SECONDS:
            await asyncio.sleep(worked * self._rest)
            self._since = time.perf_counter()


class Folding:
    """What one job has to do on the memories of one tenant."""

    def __init__(
        self,
        store: MemoryStore,
        index: SearchIndex,
        rules: Rules,
        tenant: str,
        job: Job,
        now: datetime,
        pace: Pace,
    ) -> None:
        self._store = store
        self._index = index
        self._rules = rules
        self._tenant = tenant
        self._job = job
        self._now = now
        self._pace = pace
        self.examined = 0
        """Memories that were read so far."""

    async def folds(self) -> AsyncIterator[Fold]:
        """Yield what is to be done."""
        async for fold in self.steps():
            if fold is not None:
                yield fold

    async def steps(self) -> AsyncIterator[Fold | None]:
        """Yield what is to be done, and None in between, so that the caller hears of it."""
        find = {
            Job.COMPRESS_HANDOFFS: self._handoffs,
            Job.ARCHIVE_DECISIONS: self._decisions,
            Job.MERGE_DUPLICATES: self._duplicates,
        }[self._job]
        async for fold in find():
            yield fold
            await self._pace.keep()

    async def _handoffs(self) -> AsyncIterator[Fold | None]:
        """First find who belongs together, then read them: their texts are long."""
        groups: dict[Group, list[tuple[datetime, str]]] = {}
        async for page in self._scan(frozenset({MemoryType.HANDOFF})):
            for each in page:
                groups.setdefault(group_of(each), []).append((told_at(each), each.id))
            yield None
        for group in groups.values():
            # The newest one is read along: it says which ones are old.
            oldest = sorted(group)[: 2 * MOST_SOURCES]
            newest = max(group)
            ids = [memory_id for _, memory_id in dict.fromkeys([*oldest, newest])]
            handoffs = await self._read(ids)
            found = old_ones(handoffs, self._rules, self._now)
            yield compressed(found) if len(found) > 1 else None

    async def _decisions(self) -> AsyncIterator[Fold | None]:
        waiting: list[Memory] = []
        async for page in self._scan(frozenset({MemoryType.DECISION})):
            waiting += [each for each in page if has_had_its_day(each, self._rules, self._now)]
            while len(waiting) >= _ARCHIVED_AT_ONCE:
                yield Fold(tuple(waiting[:_ARCHIVED_AT_ONCE]))
                del waiting[:_ARCHIVED_AT_ONCE]
            yield None
        if waiting:
            yield Fold(tuple(waiting))

    async def _duplicates(self) -> AsyncIterator[Fold | None]:
        candidates = Candidates(self._rules.words)
        async for page in self._scan(TYPES):
            for each in page:
                candidates.add(each)
                await self._pace.keep()
            yield None
        for cluster in candidates.clusters():
            if cluster is None:
                yield None
                continue
            kept_id, others = cluster
            yield await self._alike(kept_id, others)

    async def _alike(self, kept_id: str, ids: Sequence[str]) -> Fold | None:
        """Look again at memories that may say the same: by all that they hold, then by meaning."""
        memories = {each.id: each for each in await self._read([kept_id, *ids])}
        kept = memories.pop(kept_id, None)
        if kept is None:
            return None
        found: list[Memory] = []
        for each in memories.values():
            if repeats(each, kept, self._rules.words) and await self._near(each, kept):
                candidate = merged(kept, [*found, each])
                if candidate.says is None or _holds_all_tags(candidate):
                    found.append(each)
        return merged(kept, found) if found else None

    async def _near(self, one: Memory, other: Memory) -> bool:
        """Say whether two vectors agree; a memory that waits for its vector is left for later."""
        vectors = [await self._index.vector(self._tenant, each.id) for each in (one, other)]
        first, second = vectors
        if first is None or second is None or first.shape != second.shape:
            return False
        return float(np.dot(first, second)) >= self._rules.similarity

    async def _read(self, ids: Sequence[str]) -> list[Memory]:
        found = await self._store.get_many(self._tenant, ids)
        return [each for each in found if each.state is MemoryState.LIVE]

    async def _scan(self, types: frozenset[MemoryType]) -> AsyncIterator[list[Memory]]:
        after: int | None = 0
        while after is not None:
            page, after = await self._store.consolidation.scan(
                self._tenant, types, after=after, limit=_READ_AT_ONCE
            )
            self.examined += len(page)
            yield [each for each in page if each.project != CANARY_PROJECT]
            await self._pace.keep()


def _holds_all_tags(fold: Fold) -> bool:
    """Say whether no tag would be lost: a memory has room for only so many."""
    if fold.kept is None or fold.says is None:
        return True
    tags = {tag for each in (fold.kept, *fold.archived) for tag in each.tags}
    return tags <= set(fold.says.tags)
