"""Memories that wait for their vectors, and get them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from typing_extensions import override

from memorybank.auth.principal import Principal
from memorybank.domain.keys import Scope
from memorybank.domain.memory import MemoryFilter
from memorybank.domain.tenants import DEFAULT_TENANT
from memorybank.errors import EmbedderUnavailable, Forbidden
from memorybank.ports import PENDING, EmbeddingProgress, Vector
from memorybank.schemas.embedding import EmbeddingStatus
from memorybank.schemas.memories import MemoryPatch, NewMemory
from memorybank.schemas.search import SearchRequest
from memorybank.server.engine import Engine
from memorybank.services.embedding import Reembedding
from memorybank.services.leadership import Leadership
from memorybank.services.memories import MemoryService
from memorybank.settings import Settings
from tests.support.lease import Lease
from tests.support.memory_samples import a_memory
from tests.support.service import open_engine
from tests.support.word_embedder import WordEmbedder

OWNER = Principal("acme", "k", frozenset(Scope))
BANK = Principal(DEFAULT_TENANT, "k", frozenset(Scope))


class Unsteady(WordEmbedder):
    """An embedder that is up or down."""

    def __init__(self) -> None:
        self.down = False
        self.refused = 0

    @override
    async def embed(self, texts: Sequence[str]) -> Vector:
        await asyncio.sleep(0)
        if self.down:
            self.refused += 1
            raise EmbedderUnavailable("the embedder is down")
        return await super().embed(texts)


class Silent(WordEmbedder):
    """An embedder that may say nothing, for which callers wait a moment."""

    patience = 0.05

    def __init__(self) -> None:
        self.speaks = asyncio.Event()

    @override
    async def embed(self, texts: Sequence[str]) -> Vector:
        await self.speaks.wait()
        return await super().embed(texts)


class OtherSpace(Unsteady):
    """The same directions under another name."""

    model = "words-64-v2"


@asynccontextmanager
async def worker(engine: Engine) -> AsyncIterator[tuple[Reembedding, MemoryService]]:
    work = Reembedding(
        engine.store,
        engine.embedders,
        engine.index,
        leadership=Leadership(),
        pauses=(0.01,),
    )
    service = MemoryService(
        engine.store,
        engine.embedder,
        engine.index,
        seq=(await engine.store.stats()).seq,
        deferred=work.wake,
    )
    task = asyncio.create_task(work.run())
    yield work, service
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def until(work: Reembedding, wanted: Callable[[EmbeddingStatus], bool]) -> EmbeddingStatus:
    async with asyncio.timeout(120):
        while not wanted(status := await work.status(BANK)):  # noqa: ASYNC110  # nothing tells
            await asyncio.sleep(0.01)
    return status


async def all_embedded(work: Reembedding) -> None:
    await until(work, lambda status: not status.pending)


async def nearest(engine: Engine, text: str) -> list[str]:
    """Return ids by meaning: the query's words are in no memory."""
    [vector] = await WordEmbedder().embed([text])
    await engine.index.catch_up()
    hits = await engine.index.search("acme", "zzz", vector=vector, where=MemoryFilter(), limit=1)
    return [memory_id for memory_id, *_ in hits]


async def test_an_embedder_that_fails_during_load_costs_no_memory_and_all_are_embedded_later(
    tmp_path: Path,
) -> None:
    embedder = Unsteady()
    dice = random.Random(3)  # noqa: S311  # no secret
    async with (
        open_engine(Settings(data=tmp_path), embedder) as engine,
        worker(engine) as (
            work,
            service,
        ),
    ):

        async def client(number: int) -> None:
            for turn in range(15):
                if dice.random() < 0.2:
                    embedder.down = not embedder.down
                await service.remember(OWNER, NewMemory(content=f"word{number}x{turn}"))

        await asyncio.gather(*(client(number) for number in range(8)))
        assert embedder.refused
        embedder.down = False
        await all_embedded(work)
        status = await work.status(BANK)
        assert (status.memories, status.embedded, status.pending) == (120, 120, 0)
        for name in ("word0x0", "word7x14", "word3x8"):
            [found] = await nearest(engine, name)
            memory = await engine.store.get("acme", found)
            assert memory is not None
            assert memory.content == name


async def test_callers_wait_a_moment_for_an_embedder_that_says_nothing_and_do_without(
    tmp_path: Path,
) -> None:
    embedder = Silent()
    async with (
        open_engine(Settings(data=tmp_path), embedder) as engine,
        worker(engine) as (work, service),
    ):
        stored = await service.remember(OWNER, NewMemory(content="the spare keys"))
        found = await service.finding.search(OWNER, SearchRequest(query="spare keys"))
        assert [memory.id for memory, _ in found.memories] == [stored.id]
        assert found.degraded == "the embedding service does not answer in time"
        embedder.speaks.set()
        await all_embedded(work)
        assert await nearest(engine, "the spare keys") == [stored.id]


async def test_of_several_processes_the_one_that_leads_embeds_what_any_has_stored(
    tmp_path: Path,
) -> None:
    lease = Lease()
    leadership = lease.process()
    async with open_engine(Settings(data=tmp_path), Unsteady()) as engine:
        work = Reembedding(
            engine.store, engine.embedders, engine.index, leadership=leadership, look_seconds=0.01
        )
        working = [asyncio.create_task(each) for each in (work.run(), work.look())]
        await engine.store.add(a_memory("first"), PENDING)
        work.wake()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await all_embedded(work)
        working.append(asyncio.create_task(leadership.run()))
        await all_embedded(work)
        await engine.store.add(a_memory("second"), PENDING)  # nobody here hears of it
        await all_embedded(work)
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)


async def test_a_memory_that_comes_as_another_one_gets_its_vector_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = [(1, 0), (2, 1), (2, 1)]  # one lacks a vector each time, and not the same one
    async with open_engine(Settings(data=tmp_path), Unsteady()) as engine:
        work = Reembedding(
            engine.store, engine.embedders, engine.index, leadership=Leadership(), look_seconds=0
        )
        looked, woken = asyncio.Event(), list[int]()

        async def progress() -> EmbeddingProgress:
            if len(counts) == 1:
                looked.set()
            memories, embedded = counts.pop(0) if len(counts) > 1 else counts[0]
            return EmbeddingProgress(Unsteady.model, memories, embedded)

        monkeypatch.setattr(engine.store.embeddings, "progress", progress)
        monkeypatch.setattr(work, "wake", lambda: woken.append(len(counts)))
        looking = asyncio.create_task(work.look())
        await looked.wait()
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
    assert woken == [2, 1], "what does not change is no reason to try again"


async def test_what_the_status_counts_as_embedded_is_found_already(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_engine(Settings(data=tmp_path), embedder := Unsteady()) as engine:
        following, stored = engine.index.catch_up, asyncio.Event()

        async def late(seq: int | None = None) -> None:
            """Whoever wrote takes its time to have that searched."""
            if seq is not None and asyncio.current_task() is writer:
                stored.set()
                await asyncio.Event().wait()
            await following(seq)

        monkeypatch.setattr(engine.index, "catch_up", late)
        embedder.down = True
        work = Reembedding(engine.store, engine.embedders, engine.index, leadership=Leadership())
        service = MemoryService(engine.store, engine.embedder, engine.index, seq=0)
        kept = await service.remember(OWNER, NewMemory(content="first words"))
        embedder.down = False
        writer = asyncio.create_task(work.run())
        await stored.wait()
        assert (await work.status(BANK)).pending == 0
        found = await engine.index.search(
            "acme",
            "zzz",
            vector=(await embedder.embed(["first words"]))[0],
            where=MemoryFilter(),
            limit=1,
        )
        assert [memory_id for memory_id, *_ in found] == [kept.id]
        writer.cancel()
        await asyncio.gather(writer, return_exceptions=True)


async def test_while_the_embedder_is_down_the_status_says_what_waits_and_why(
    tmp_path: Path,
) -> None:
    embedder = Unsteady()
    async with (
        open_engine(Settings(data=tmp_path), embedder) as engine,
        worker(engine) as (
            work,
            service,
        ),
    ):
        kept = await service.remember(OWNER, NewMemory(content="first words"))
        embedder.down = True
        await service.update(OWNER, kept.id, MemoryPatch(content="other words"))
        status = await until(work, lambda status: status.problem is not None)
        assert (status.pending, status.problem) == (1, "the embedder is down")
        embedder.down = False
        await all_embedded(work)
        assert await nearest(engine, "other words") == [kept.id]
    with pytest.raises(Forbidden):
        await work.status(OWNER)


async def test_what_a_killed_process_left_pending_is_embedded_by_the_next(tmp_path: Path) -> None:
    embedder = Unsteady()
    embedder.down = True
    async with open_engine(Settings(data=tmp_path), embedder) as engine:
        service = MemoryService(engine.store, engine.embedder, engine.index, seq=0)
        memory = await service.remember(OWNER, NewMemory(content="left behind"))
    async with (
        open_engine(Settings(data=tmp_path), Unsteady()) as engine,
        worker(engine) as (
            work,
            _,
        ),
    ):
        await all_embedded(work)
        assert await nearest(engine, "left behind") == [memory.id]


async def test_after_a_change_of_the_model_every_memory_is_embedded_anew(tmp_path: Path) -> None:
    async with open_engine(Settings(data=tmp_path), Unsteady()) as engine:
        service = MemoryService(engine.store, engine.embedder, engine.index, seq=0)
        kept = [
            await service.remember(OWNER, NewMemory(content=f"text {number} of many"))
            for number in range(150)
        ]
    async with (
        open_engine(Settings(data=tmp_path), OtherSpace()) as engine,
        worker(engine) as (
            work,
            _,
        ),
    ):
        await all_embedded(work)
        status = await work.status(BANK)
        assert (status.model, status.embedded) == ("words-64-v2", 150)
        assert await nearest(engine, "text 77 of many") == [kept[77].id]
