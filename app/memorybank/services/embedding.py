"""Giving vectors to memories that lack them, in the background, and going over to another model.

Memories lack a vector that were stored while the embedder was down: until they have it they are
found by their words. After a change of the embedding model, all lack one of the new model. The old
one goes on serving until they have it; then the new one takes its place, at once and for all.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence

from memorybank.auth.principal import Principal
from memorybank.domain.memory import searchable_text
from memorybank.errors import Conflict, EmbedderUnavailable, StoreUnavailable, TextRefused
from memorybank.ports import (
    Embedder,
    Embedders,
    EmbeddingProgress,
    GenerationState,
    MemoryStore,
    SearchIndex,
    Unembedded,
    Vector,
)
from memorybank.schemas.embedding import Discarded, EmbeddingStatus, GenerationView
from memorybank.services.leadership import Deposed, Leadership

_logger = logging.getLogger(__name__)

_PAGE = 64
"""Memories that are read, and written in one transaction, at a time."""

_AT_ONCE = 4
"""Texts per request to the embedder, so that a search waits behind no more than these."""

_LOOK_SECONDS = 30.0
"""Between two looks at what other processes stored without a vector."""

_PAUSES = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds until the embedder is tried again, one after the other; then always the last."""


class Reembedding:
    """Works through what lacks a vector, and sleeps when nothing does.

    Every page is one transaction and nothing else is kept, so it can be killed at any time and goes
    on where it was. A memory that was changed meanwhile is left for the next round. Of several
    processes that share a store, the one that leads does it.
    """

    def __init__(
        self,
        store: MemoryStore,
        embedders: Embedders,
        index: SearchIndex,
        *,
        leadership: Leadership,
        pauses: Sequence[float] = _PAUSES,
        look_seconds: float = _LOOK_SECONDS,
    ) -> None:
        self._store = store
        self._embedders = embedders
        self._index = index
        self._leadership = leadership
        self._pauses = pauses
        self._look_seconds = look_seconds
        self._wanted = asyncio.Event()
        self._wanted.set()  # what an earlier process left behind
        self._problem: str | None = None
        self._switching = asyncio.Lock()

    def wake(self) -> None:
        """Something was stored without a vector."""
        self._wanted.set()

    async def status(self, caller: Principal) -> EmbeddingStatus:
        """Return how far it is, over all tenants: what counts as embedded is found by searches.

        Raises Forbidden.
        """
        caller.require_bank()
        current = self._embedders.current
        progress = await self._store.embeddings.progress(model=current.model)
        await self._index.catch_up()  # a vector is stored a moment before searches use it
        return EmbeddingStatus(
            model=progress.model,
            dimensions=current.dimensions,
            memories=progress.memories,
            embedded=progress.embedded,
            pending=progress.memories - progress.embedded,
            problem=self._problem,
            generations=[
                GenerationView.of(each) for each in await self._store.embeddings.generations()
            ],
        )

    async def roll_back(self, caller: Principal) -> EmbeddingStatus:
        """Go back to the model that was in use before, at once; the other one stays out of use.

        Memories that were stored since then are found by their words until they have a vector.
        Raises Forbidden, Conflict when there is no way back or that model cannot be reached.
        """
        caller.require_bank()
        known = await self._store.embeddings.generations()
        before = [each for each in known if each.state is GenerationState.KEPT]
        before = [each for each in before if each.activated_at is not None]
        if not before:
            raise Conflict(
                "no other embedding model was in use before, or its vectors were discarded",
                hint="change the model in the settings",
            )
        generation = max(before, key=lambda each: each.activated_at or each.created_at)
        embedder = await self._embedders.opened(generation)
        # A client that goes away must not stop it half-way.
        await asyncio.shield(asyncio.ensure_future(self._switch(embedder, refuse=True)))
        self.wake()
        return await self.status(caller)

    async def resume(self, caller: Principal) -> EmbeddingStatus:
        """Go over to the model of the settings after all. Raises Forbidden, Conflict."""
        caller.require_bank()
        target = self._embedders.configured.model
        if not await self._store.embeddings.resume(target):
            raise Conflict(
                f"nobody went back from {target}, the model of the settings",
                hint="change the model in the settings",
            )
        self.wake()
        return await self.status(caller)

    async def discard(self, caller: Principal) -> Discarded:
        """Drop the vectors of all models but the one in use and that of the settings.

        There is no way back to them then. Raises Forbidden.
        """
        caller.require_bank()
        target = self._embedders.configured.model
        return Discarded(vectors=await self._store.embeddings.discard(but=target))

    async def run(self) -> None:
        """Work until cancelled."""
        failures = 0
        while True:
            await self._wanted.wait()
            await self._leadership.gained()
            self._wanted.clear()
            try:
                done = await self._sweep()
            except Deposed:
                self._wanted.set()  # for when this process leads again
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

    async def look(self) -> None:
        """Notice, until cancelled, what other processes leave to the one that leads.

        What the embedder does not take stays without a vector: only a change of what there is is a
        reason to try again. How many lack one does not tell: one may come as another one gets its
        vector.
        """
        before: EmbeddingProgress | None = None
        while True:
            await self._leadership.gained()
            with contextlib.suppress(StoreUnavailable):
                progress = await self._store.embeddings.progress()
                if progress.embedded < progress.memories and progress != before:
                    self.wake()
                before = progress
            await asyncio.sleep(self._look_seconds)

    async def _sweep(self) -> int:
        """Go through all memories; return how many got a vector.

        What is stored meanwhile is left to another sweep; what the embedder does not take is
        tried again when there is other work.
        """
        problem: EmbedderUnavailable | None = None
        done = 0
        try:
            done = await self._fill(self._embedders.current)
        except EmbedderUnavailable as error:  # the other model may be there
            problem = error
        if (target := await self._target()) is not None:
            while filled := await self._fill(target):
                done += filled
            self._leadership.require()
            await self._switch(target)
            self._wanted.set()
            return done
        if problem is not None:
            raise problem
        return done

    async def _target(self) -> Embedder | None:
        """Return the embedder to go over to."""
        target = self._embedders.configured
        if target.model == self._embedders.current.model:
            return None
        building = any(
            each.model == target.model and each.state is GenerationState.BUILDING
            for each in await self._store.embeddings.generations()
        )
        return target if building else None

    async def _switch(self, embedder: Embedder, *, refuse: bool = False) -> None:
        """Let another embedder and its vectors serve, all at once."""

        async def commit() -> None:
            await self._store.embeddings.activate(embedder.model, refuse=refuse)
            self._embedders.current.use(embedder)

        async with self._switching:
            await self._index.rebuild((embedder.model, embedder.dimensions), before=commit)
        _logger.info("searches use the embedding model %s", embedder.model)

    async def _fill(self, embedder: Embedder) -> int:
        """Give vectors of one space to all memories that lack one; return to how many."""
        done = after = 0
        model = embedder.model
        while page := await self._store.embeddings.unembedded(after, limit=_PAGE, model=model):
            self._leadership.require()
            after = page[-1].position
            done += await self._embed(page, embedder, model)
        return done

    async def _embed(self, page: Sequence[Unembedded], embedder: Embedder, model: str) -> int:
        items: list[tuple[Unembedded, Vector]] = []
        for start in range(0, len(page), _AT_ONCE):
            part = page[start : start + _AT_ONCE]
            try:
                items += await _vectors(part, embedder)
            except TextRefused:
                for each in part:
                    with contextlib.suppress(TextRefused):
                        items += await _vectors([each], embedder)
        if embedder.model != model:  # somebody went back meanwhile
            self._wanted.set()
            return 0
        if len(items) < len(page):
            _logger.warning("the embedder does not take %d memories", len(page) - len(items))
        seq, written = await self._store.embeddings.embedded(items, model=model)
        if written < len(items):
            self._wanted.set()
        if seq:
            await self._index.catch_up(seq)
        return written


async def _vectors(
    part: Sequence[Unembedded], embedder: Embedder
) -> list[tuple[Unembedded, Vector]]:
    vectors = await embedder.embed([searchable_text(item.memory) for item in part])
    return list(zip(part, vectors, strict=True))
