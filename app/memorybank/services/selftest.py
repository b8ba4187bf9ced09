"""The canary: does for itself what it promises to callers."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial

from memorybank.domain.ids import new_id
from memorybank.domain.memory import Memory, MemoryFilter
from memorybank.errors import (
    EmbedderUnavailable,
    MemoryBankError,
    StoreUnavailable,
    VectorsUnavailable,
)
from memorybank.ports import PENDING, Embedder, MemoryStore, SearchIndex, Vector
from memorybank.schemas.health import Check, Status
from memorybank.services.waiting import embed_in_time

INTERNAL_TENANT = "_selftest"
"""No key is ever made for this tenant, so no caller sees what is in it."""

FACT = "The lighthouse keeper feeds the harbour cats every morning before sunrise."
QUESTION = "When do the cats at the harbour get food?"

_ASKED_ANEW_SECONDS = 15.0
"""How often a text is embedded that no cache knows, at most: where the model is a service, it is
asked, and maybe paid, though nobody else needs it.
"""
_ASKED = {
    "embedder": "the embedding model",
    "store": "the database",
    "search": "the search",
    "delete": "the database or the search",
    "follow": "the bank that is followed",
}
"""Whom each step waits for."""
_EVERYTHING = MemoryFilter()
_logger = logging.getLogger(__name__)


class SelfTest:
    """Embeds, stores, finds and deletes a memory of its own, for at most `timeout` seconds.

    The outcome holds for `keep` seconds, however many ask; only one test runs at a time. What a
    killed test left behind is removed by the next.
    """

    def __init__(
        self,
        store: MemoryStore,
        embedder: Embedder,
        index: SearchIndex,
        *,
        stale: Callable[[], str | None] | None = None,
        keep: float = 5.0,
        timeout: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Where nothing is written, `stale` says why what is read is too old, None when it is not;
        then it embeds, reads and searches.
        """
        self._store = store
        self._embedder = embedder
        self._index = index
        self._stale = stale
        self._keep = keep
        self._timeout = timeout
        self._clock = clock
        self._running = asyncio.Lock()
        self._outcome: list[Check] = []
        self._until = float("-inf")
        self._embedded_until = float("-inf")
        """Until when the embedder need not be asked for a text that no cache knows."""

    async def run(self) -> list[Check]:
        """Return one check per step, in order; the steps after a failed one are skipped."""
        async with self._running:
            if self._clock() >= self._until:
                self._outcome = await self._attempt()
                self._until = self._clock() + self._keep
            return self._outcome

    async def _attempt(self) -> list[Check]:
        asks_anew = self._clock() >= self._embedded_until
        canary = _Canary(
            self._store,
            self._embedder,
            self._index,
            embedding_seconds=self._timeout / 2,
            asks_anew=asks_anew,
        )
        steps: dict[str, Callable[[], Awaitable[None]]] = {
            "embedder": canary.embed,
            "store": canary.store,
            "search": canary.find,
            "delete": canary.delete,
        }
        if self._stale is not None:
            steps = {
                "embedder": canary.embed,
                "store": canary.read,
                "search": canary.look,
                "follow": partial(_require_fresh, self._stale),
            }
        checks: list[Check] = []
        failed = False
        deadline = asyncio.get_running_loop().time() + self._timeout
        for name, step in steps.items():
            if failed:
                checks.append(Check(name=name, status="skipped"))
                continue
            problem = await _problem(step, name, deadline=deadline)
            degraded = problem is not None and canary.degraded
            failed = problem is not None and not degraded
            status: Status = "degraded" if degraded else "failed" if failed else "ok"
            checks.append(Check(name=name, status=status, message=problem))
            canary.degraded = False
        if asks_anew and checks[0].status == "ok":
            self._embedded_until = self._clock() + _ASKED_ANEW_SECONDS
        return checks


class _Canary:
    """The steps of one test."""

    def __init__(
        self,
        store: MemoryStore,
        embedder: Embedder,
        index: SearchIndex,
        *,
        embedding_seconds: float,
        asks_anew: bool,
    ) -> None:
        self._store = store
        self._embedder = embedder
        self._index = index
        self._embedding_seconds = embedding_seconds
        self._asks_anew = asks_anew
        now = datetime.now(UTC)
        self._memory = Memory(
            id=new_id(), tenant=INTERNAL_TENANT, content=FACT, created_at=now, updated_at=now
        )
        self._vectors: list[Vector] = [PENDING, PENDING]
        self.degraded = False
        self._seq: int

    async def embed(self) -> None:
        # The id is in no cache: a service that is gone must not be taken for well.
        texts = [FACT, QUESTION, *([f"{FACT} {self._memory.id}"] if self._asks_anew else [])]
        try:
            seconds = self._embedding_seconds
            self._vectors = list(await embed_in_time(self._embedder, texts, seconds=seconds))
        except EmbedderUnavailable:
            # Memories are still taken and found, by their words.
            self.degraded = True
            raise

    async def store(self) -> None:
        if self._store.care.damaged:  # though it may be far from where this would write
            raise StoreUnavailable("the database is damaged")
        left = await self._store.list_memories(INTERNAL_TENANT, _EVERYTHING, limit=100, cursor=None)
        for memory in left.memories:
            await self._store.delete(INTERNAL_TENANT, memory.id)
        self._seq = await self._store.add(self._memory, self._vectors[0])

    async def find(self) -> None:
        await self._index.catch_up(self._seq)
        if self._memory.id not in await self._search():
            raise MemoryBankError("a memory that was just stored is not found")
        if self._index.problem is not None:
            # Meanings are still compared, roughly.
            self.degraded = True
            raise VectorsUnavailable(self._index.problem)

    async def read(self) -> None:
        if self._store.care.damaged:
            raise StoreUnavailable("the database is damaged")
        await self._store.stats()

    async def look(self) -> None:
        await self._index.catch_up()
        await self._search()

    async def delete(self) -> None:
        seq = await self._store.delete(INTERNAL_TENANT, self._memory.id)
        if seq is None:
            raise MemoryBankError("a memory that was just stored is gone")
        await self._index.catch_up(seq)
        if self._memory.id in await self._search():
            raise MemoryBankError("a memory that was deleted is still found")

    async def _search(self) -> list[str]:
        vector = None if self._vectors[1] is PENDING else self._vectors[1]
        hits = await self._index.search(
            INTERNAL_TENANT, QUESTION, vector=vector, where=_EVERYTHING, limit=5
        )
        return [hit.memory_id for hit in hits]


async def _require_fresh(stale: Callable[[], str | None]) -> None:
    problem = stale()
    if problem is not None:
        raise MemoryBankError(problem)


async def _problem(
    step: Callable[[], Awaitable[None]], name: str, *, deadline: float
) -> str | None:
    """Run one step; return what is wrong, for people."""
    try:
        async with asyncio.timeout_at(deadline):
            await step()
    except TimeoutError:
        return f"{_ASKED[name]} does not answer in time"
    except MemoryBankError as error:
        return error.message
    except Exception:  # a test must report whatever is wrong, not join it
        _logger.exception("the self-test failed at %s", name)
        return "failed unexpectedly; the log says more"
    return None
