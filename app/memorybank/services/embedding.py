"""Giving vectors to memories that lack them, in the background.

Memories lack a vector that were stored while the embedder was down, and all of them after the
embedding model was changed. Until they have it they are found by their words.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence

from memorybank.auth.principal import Principal
from memorybank.domain.memory import searchable_text
from memorybank.errors import EmbedderUnavailable, StoreUnavailable, TextRefused
from memorybank.ports import Embedder, MemoryStore, SearchIndex, Unembedded, Vector
from memorybank.schemas.embedding import EmbeddingStatus

_logger = logging.getLogger(__name__)

_PAGE = 64
"""Memories that are read, and written in one transaction, at a time."""

_AT_ONCE = 4
"""Texts per request to the embedder, so that a search waits behind no more than these."""

_PAUSES = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds until the embedder is tried again, one after the other; then always the last."""


class Reembedding:
    """Works through what lacks a vector, and sleeps when nothing does.

    Every page is one transaction and nothing else is kept, so it can be killed at any time and goes
    on where it was. A memory that was changed meanwhile is left for the next round.
    """

    def __init__(
        self,
        store: MemoryStore,
        embedder: Embedder,
        index: SearchIndex,
        *,
        pauses: Sequence[float] = _PAUSES,
    ) -> None:
        self._store = store
        self._embedder = embedder
        self._index = index
        self._pauses = pauses
        self._wanted = asyncio.Event()
        self._wanted.set()  # what an earlier process left behind
        self._problem: str | None = None

    def wake(self) -> None:
        """Something was stored without a vector."""
        self._wanted.set()

    async def status(self, caller: Principal) -> EmbeddingStatus:
        """Return how far it is, over all tenants. Raises Forbidden."""
        caller.require_bank()
        progress = await self._store.embeddings.progress()
        return EmbeddingStatus(
            model=progress.model,
            dimensions=self._embedder.dimensions,
            memories=progress.memories,
            embedded=progress.embedded,
            pending=progress.memories - progress.embedded,
            problem=self._problem,
        )

    async def run(self) -> None:
        """Work until cancelled."""
        failures = 0
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                done = await self._sweep()
            except (EmbedderUnavailable, StoreUnavailable) as error:
                self._problem = error.message
                if not failures:
                    _logger.warning("memories wait for their vectors: %s", error.message)
                await asyncio.sleep(self._pauses[min(failures, len(self._pauses) - 1)])
                failures += 1
                self._wanted.set()
            else:
                failures, self._problem = 0, None
                if done:
                    _logger.info("memories got their vectors", extra={"details": {"count": done}})

    async def _sweep(self) -> int:
        """Go through all memories; return how many got a vector.

        What was changed meanwhile is left to another sweep; what the embedder does not take is
        tried again when there is other work.
        """
        done = after = 0
        while page := await self._store.embeddings.unembedded(after, limit=_PAGE):
            after = page[-1].position
            written = await self._embed(page)
            done += written
        return done

    async def _embed(self, page: Sequence[Unembedded]) -> int:
        items: list[tuple[Unembedded, Vector]] = []
        for start in range(0, len(page), _AT_ONCE):
            part = page[start : start + _AT_ONCE]
            try:
                items += await self._vectors(part)
            except TextRefused:
                for each in part:
                    with contextlib.suppress(TextRefused):
                        items += await self._vectors([each])
        if len(items) < len(page):
            _logger.warning("the embedder does not take %d memories", len(page) - len(items))
        seq, written = await self._store.embeddings.embedded(items)
        if written < len(items):
            self._wanted.set()
        if written:
            await self._index.catch_up(seq)
        return written

    async def _vectors(self, part: Sequence[Unembedded]) -> list[tuple[Unembedded, Vector]]:
        vectors = await self._embedder.embed([searchable_text(item.memory) for item in part])
        return list(zip(part, vectors, strict=True))
