"""What the use cases promise beyond their faces: order, races, and what is embedded when."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from typing_extensions import override

from memorybank.auth.principal import Principal
from memorybank.domain.keys import Scope
from memorybank.domain.memory import MemoryFilter
from memorybank.errors import EmbedderUnavailable, Forbidden, NotFound
from memorybank.ports import Claim, Vector
from memorybank.schemas.memories import MemoryPatch, NewMemory
from memorybank.schemas.search import SearchRequest
from memorybank.server.engine import Engine
from memorybank.services.memories import MemoryService
from memorybank.settings import Settings
from tests.support.memory_samples import NOON
from tests.support.service import open_engine
from tests.support.word_embedder import WordEmbedder

OWNER = Principal("acme", "k", frozenset(Scope))
OTHER = Principal("beta", "k", frozenset(Scope))


class ToldEmbedder(WordEmbedder):
    """Tells what it was asked to embed, and can be held up."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.asked = asyncio.Event()
        self.may_go = asyncio.Event()
        self.may_go.set()

    def hold(self) -> None:
        self.asked.clear()
        self.may_go.clear()

    @override
    async def embed(self, texts: Sequence[str]) -> Vector:
        self.texts += texts
        self.asked.set()
        await self.may_go.wait()
        return await super().embed(texts)


@pytest.fixture
def embedder() -> ToldEmbedder:
    return ToldEmbedder()


@pytest.fixture
async def engine(tmp_path: Path, embedder: ToldEmbedder) -> AsyncIterator[Engine]:
    async with open_engine(Settings(data=tmp_path), embedder) as engine:
        yield engine


@pytest.fixture
def service(engine: Engine) -> MemoryService:
    return MemoryService(engine.store, engine.embedder, engine.index, seq=0)


async def test_the_title_is_embedded_with_the_content(
    service: MemoryService, embedder: ToldEmbedder
) -> None:
    await service.remember(OWNER, NewMemory(content="It is blue", title="Bicycle"))
    assert embedder.texts == ["Bicycle\n\nIt is blue"]


async def test_only_a_changed_text_is_embedded_again(
    service: MemoryService, embedder: ToldEmbedder
) -> None:
    memory = await service.remember(OWNER, NewMemory(content="It is blue", title="Bicycle"))
    embedder.texts.clear()
    await service.update(OWNER, memory.id, MemoryPatch(tags=["x"]))
    await service.update(OWNER, memory.id, MemoryPatch(content="It is blue"))
    assert embedder.texts == []
    await service.update(OWNER, memory.id, MemoryPatch(title=None))
    assert embedder.texts == ["It is blue"]


async def test_two_changes_at_once_both_last(
    service: MemoryService, embedder: ToldEmbedder
) -> None:
    memory = await service.remember(OWNER, NewMemory(content="old", project="old"))
    embedder.hold()  # the first change waits while it holds the old state
    slow = asyncio.create_task(service.update(OWNER, memory.id, MemoryPatch(content="new")))
    await embedder.asked.wait()
    quick = asyncio.create_task(service.update(OWNER, memory.id, MemoryPatch(project="new")))
    await service.get(OWNER, memory.id)  # time enough for the second to go wrong
    embedder.may_go.set()
    await asyncio.gather(slow, quick)
    after = await service.get(OWNER, memory.id)
    assert (after.content, after.project) == ("new", "new")


async def test_a_memory_deleted_while_it_is_changed_stays_deleted(
    service: MemoryService, embedder: ToldEmbedder
) -> None:
    memory = await service.remember(OWNER, NewMemory(content="old"))
    embedder.hold()
    change = asyncio.create_task(service.update(OWNER, memory.id, MemoryPatch(content="new")))
    await embedder.asked.wait()
    await service.forget(OWNER, memory.id)
    embedder.may_go.set()
    with pytest.raises(NotFound):
        await change
    with pytest.raises(NotFound):
        await service.get(OWNER, memory.id)


async def test_a_recall_after_a_restart_sees_what_was_there(
    engine: Engine, service: MemoryService
) -> None:
    memory = await service.remember(OWNER, NewMemory(content="the parcel is in the cellar"))
    stats = await engine.store.stats()
    assert engine.index.seq == 0  # nothing has searched yet, as after a start
    restarted = MemoryService(engine.store, engine.embedder, engine.index, seq=stats.seq)
    ((found, _score),) = await restarted.recall(OWNER, SearchRequest(query="parcel"))
    assert found == memory


async def test_many_at_once_each_find_their_own(service: MemoryService) -> None:
    async def remember_and_recall(number: int) -> None:
        text = f"parcel{number} shelf{number} room{number}"
        memory = await service.remember(OWNER, NewMemory(content=text))
        found = await service.recall(OWNER, SearchRequest(query=text, limit=1))
        assert [hit.id for hit, _score in found] == [memory.id]

    await asyncio.gather(*(remember_and_recall(number) for number in range(50)))


async def test_another_tenant_reaches_nothing(service: MemoryService) -> None:
    memory = await service.remember(OWNER, NewMemory(content="ours"))
    assert await service.recall(OTHER, SearchRequest(query="ours")) == []
    with pytest.raises(NotFound):
        await service.get(OTHER, memory.id)
    with pytest.raises(NotFound):
        await service.update(OTHER, memory.id, MemoryPatch(content="theirs"))
    with pytest.raises(NotFound):
        await service.forget(OTHER, memory.id)
    assert (await service.get(OWNER, memory.id)).content == "ours"


async def test_a_clock_set_back_never_makes_a_change_older_than_the_last(engine: Engine) -> None:
    times = [NOON, NOON - timedelta(hours=1)]
    service = MemoryService(
        engine.store, engine.embedder, engine.index, seq=0, clock=lambda: times.pop(0)
    )
    memory = await service.remember(OWNER, NewMemory(content="x"))
    changed = await service.update(OWNER, memory.id, MemoryPatch(tags=["y"]))
    assert changed.updated_at == memory.updated_at == NOON


async def test_a_memory_is_stored_and_found_by_words_when_the_embedder_fails(
    engine: Engine, service: MemoryService, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_texts: Sequence[str]) -> Vector:
        raise EmbedderUnavailable("no")

    monkeypatch.setattr(engine.embedder, "embed", broken)
    memory = await service.remember(OWNER, NewMemory(content="kept all the same"))
    await engine.index.catch_up()
    hits = await engine.index.search("acme", "kept", vector=None, where=MemoryFilter(), limit=1)
    assert [memory_id for memory_id, *_ in hits] == [memory.id]


async def test_a_request_answered_before_there_was_a_write_gate_is_answered_again(
    engine: Engine,
) -> None:
    service = MemoryService(engine.store, engine.embedder, engine.index, seq=0, clock=lambda: NOON)
    new = NewMemory(content="the parcel is in the cellar")
    memory = await service.remember(OWNER, new)
    request = new.model_dump_json(exclude_unset=True)
    digest = hashlib.sha256(request.encode()).digest()
    answer = json.dumps([{"id": memory.id, "deduplicated": False}])
    claim = Claim(OWNER.tenant, OWNER.key_id, "once", digest, answer, NOON)
    await engine.store.add_claimed([], claim, since=NOON - timedelta(hours=24))
    again = await service.adding.add(OWNER, new, once="once")
    assert (again.memory, again.replayed, again.findings) == (memory, True, ())


async def test_scope_comes_before_everything(
    service: MemoryService, embedder: ToldEmbedder
) -> None:
    nobody = Principal("acme", "k", frozenset())
    for attempt in (
        service.remember(nobody, NewMemory(content="x")),
        service.recall(nobody, SearchRequest(query="x")),
        service.update(nobody, "x", MemoryPatch(content="x")),
        service.forget(nobody, "x"),
        service.get(nobody, "x"),
    ):
        with pytest.raises(Forbidden):
            await attempt
    assert embedder.texts == []
