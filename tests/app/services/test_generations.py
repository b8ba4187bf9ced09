"""Going over to another embedding model while the old one serves, and back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from typing_extensions import override

from memorybank.domain.memory import MemoryFilter
from memorybank.embedders.switched import AbsentEmbedder
from memorybank.errors import Conflict, EmbedderUnavailable, Forbidden, OutdatedVector
from memorybank.ports import GenerationState, Vector
from memorybank.schemas.memories import MemoryPatch, NewMemory
from memorybank.schemas.search import SearchRequest
from memorybank.server.engine import Engine
from memorybank.services.memories import MemoryService
from memorybank.settings import Settings
from memorybank.spaces import of_space
from tests.app.services.test_embedding import BANK, OWNER, all_embedded, until, worker
from tests.support.service import open_engine
from tests.support.word_embedder import WordEmbedder

OLD, NEW = "words-64", "halves-32"


class Halves(WordEmbedder):
    """Another space, of fewer dimensions; may stop after so many texts, until it is let go on."""

    model = NEW
    dimensions = 32

    def __init__(self, texts: int = 1_000_000) -> None:
        self.left = texts
        self.stopped = asyncio.Event()
        self.released = asyncio.Event()

    @override
    async def embed(self, texts: Sequence[str]) -> Vector:
        if self.left <= 0:
            self.stopped.set()
            await self.released.wait()
        self.left -= len(texts)
        vectors = (await super().embed(texts))[:, :32]
        halved: Vector = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return halved


async def fill(folder: Path, count: int = 150) -> list[str]:
    """Make a bank of the old space."""
    async with open_engine(Settings(data=folder), WordEmbedder()) as engine:
        service = MemoryService(engine.store, engine.embedder, engine.index, seq=0)
        return [
            (await service.remember(OWNER, NewMemory(content=f"text {number} of many"))).id
            for number in range(count)
        ]


async def by_meaning(service: MemoryService, text: str) -> str:
    """Return the nearest memory; fails when the search could not use the meaning."""
    request = SearchRequest.model_validate({"query": text, "mode": "vector", "limit": 1})
    found = await service.finding.search(OWNER, request)
    assert found.degraded is None
    return found.memories[0][0].id


async def states(engine: Engine) -> dict[str, str]:
    return {each.model: each.state.value for each in await engine.store.embeddings.generations()}


async def test_the_old_model_serves_until_all_have_a_vector_of_the_new_one(tmp_path: Path) -> None:
    kept = await fill(tmp_path)
    new = Halves(texts=70)
    async with (
        open_engine(Settings(data=tmp_path), new, WordEmbedder()) as engine,
        worker(engine) as (work, service),
    ):
        await new.stopped.wait()
        assert await states(engine) == {OLD: "active", NEW: "building"}
        status = await work.status(BANK)
        assert (status.model, status.pending) == (OLD, 0)
        assert 0 < status.generations[1].vectors < 150
        assert await by_meaning(service, "text 77 of many") == kept[77]
        late = await service.remember(OWNER, NewMemory(content="stored in between"))
        assert await by_meaning(service, "stored in between") == late.id
        await service.update(OWNER, kept[3], MemoryPatch(content="something else by now"))
        new.left = 1_000_000
        new.released.set()
        await until(work, lambda status: status.model == NEW and not status.pending)
        assert await states(engine) == {OLD: "kept", NEW: "active"}
        assert engine.embedder.dimensions == 32
        for wanted, text in (
            (kept[77], "text 77 of many"),
            (late.id, "stored in between"),
            (kept[3], "something else by now"),
        ):
            assert await by_meaning(service, text) == wanted
        assert (await engine.index.check()).differing == 0


async def test_searches_use_the_meaning_before_during_and_after_the_switch(tmp_path: Path) -> None:
    kept = await fill(tmp_path)
    async with (
        open_engine(Settings(data=tmp_path), Halves(), WordEmbedder()) as engine,
        worker(engine) as (work, service),
    ):
        models = set()
        while not (NEW in models and engine.embedder.model == NEW):
            models.add(engine.embedder.model)
            assert await by_meaning(service, "text 5 of many") == kept[5]
        assert models == {OLD, NEW}
        await all_embedded(work)


async def test_a_crash_half_way_costs_no_more_than_a_page(tmp_path: Path) -> None:
    kept = await fill(tmp_path)
    new = Halves(texts=140)
    async with (
        open_engine(Settings(data=tmp_path), new, WordEmbedder()) as engine,
        worker(engine) as (_, _),
    ):
        await new.stopped.wait()  # and cancelled there
    rest = Halves()
    async with open_engine(Settings(data=tmp_path), rest, WordEmbedder()) as engine:
        before = (await engine.store.embeddings.generations())[1].vectors
        assert before >= 128
        async with worker(engine) as (work, service):
            await until(work, lambda status: status.model == NEW)
            assert 1_000_000 - rest.left == 150 - before
            assert await by_meaning(service, "text 149 of many") == kept[149]


async def test_a_rollback_is_at_once_and_lasts_until_it_is_resumed(tmp_path: Path) -> None:
    kept = await fill(tmp_path)
    async with (
        open_engine(Settings(data=tmp_path), Halves(), WordEmbedder()) as engine,
        worker(engine) as (work, service),
    ):
        with pytest.raises(Conflict, match="no other embedding model"):
            await work.roll_back(BANK)
        await until(work, lambda status: status.model == NEW)
        since = await service.remember(OWNER, NewMemory(content="stored after the switch"))
        back = await work.roll_back(BANK)
        assert back.model == OLD
        assert await by_meaning(service, "text 9 of many") == kept[9]
        await all_embedded(work)
        assert await by_meaning(service, "stored after the switch") == since.id
        with pytest.raises(Forbidden):
            await work.roll_back(OWNER)
    async with (
        open_engine(Settings(data=tmp_path), Halves(), WordEmbedder()) as engine,
        worker(engine) as (work, service),
    ):
        await all_embedded(work)
        assert await states(engine) == {OLD: "active", NEW: "refused"}
        assert (await work.resume(BANK)).generations[1].state is not GenerationState.REFUSED
        await until(work, lambda status: status.model == NEW and not status.pending)
        with pytest.raises(Conflict, match="nobody went back"):
            await work.resume(BANK)
        assert (await work.discard(BANK)).vectors == 151
        assert await states(engine) == {NEW: "active"}
        with pytest.raises(Conflict, match="discarded"):
            await work.roll_back(BANK)
        assert await by_meaning(service, "text 9 of many") == kept[9]


async def test_without_the_old_model_searches_go_by_words_until_the_new_one_has_all(
    tmp_path: Path,
) -> None:
    await fill(tmp_path)
    new = Halves(texts=10)
    gone = AbsentEmbedder(OLD, 64, "the old model is gone")
    async with (
        open_engine(Settings(data=tmp_path), new, gone) as engine,
        worker(engine) as (work, service),
    ):
        await new.stopped.wait()
        with pytest.raises(EmbedderUnavailable):
            await engine.embedder.embed(["text"])
        request = SearchRequest.model_validate({"query": "text 42"})
        found = await service.finding.search(OWNER, request)
        assert found.degraded == "the old model is gone"
        assert found.memories[0][0].content == "text 42 of many"
        await service.remember(OWNER, NewMemory(content="nobody can embed this yet"))
        new.left = 1_000_000
        new.released.set()
        await until(work, lambda status: status.model == NEW and not status.pending)
        assert (await service.finding.search(OWNER, request)).degraded is None


async def test_a_vector_of_the_space_before_is_neither_compared_nor_mixed_in(
    tmp_path: Path,
) -> None:
    await fill(tmp_path, 3)
    old = WordEmbedder()
    async with open_engine(Settings(data=tmp_path), Halves(), old) as engine:
        async with worker(engine) as (work, _):
            await until(work, lambda status: status.model == NEW)
        [late] = of_space(await old.embed(["late"]), OLD)
        with pytest.raises(OutdatedVector):
            await engine.index.search("acme", "x", vector=late, where=MemoryFilter(), limit=1)
        [memory] = (
            await engine.store.list_memories("acme", MemoryFilter(), limit=1, cursor=None)
        ).memories
        await engine.store.replace(memory, late)
        assert (await engine.store.embeddings.progress()).embedded == 2
        assert (await engine.store.embeddings.progress(model=OLD)).embedded == 3
