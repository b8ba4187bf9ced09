"""What every index promises: it follows its store, and finds what is meant."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from memorybank.domain.memory import Memory, MemoryFilter, MemoryState
from memorybank.errors import StoreUnavailable
from memorybank.ports import PENDING, Vector
from memorybank.search import MemoryIndex
from memorybank.search import index as index_module
from memorybank.search import tenant as tenant_module
from memorybank.stores.postgres import PostgresIndex, PostgresStore
from memorybank.stores.postgres.searching import tables
from memorybank.stores.sqlite import SqliteStore
from tests.support import postgres
from tests.support.memory_model import builtin_embedder
from tests.support.memory_questions import questions
from tests.support.memory_samples import a_memory, a_vector, later

ALL = MemoryFilter()


Store = SqliteStore | PostgresStore
Index = MemoryIndex | PostgresIndex
Opener = Callable[[str], Awaitable[Store]]


def database_of(folder: Path) -> str:
    return hashlib.sha256(str(folder).encode()).hexdigest()[:16]


@pytest.fixture(params=["in memory", pytest.param("inside PostgreSQL", marks=pytest.mark.slow)])
async def opener(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Opener]:
    """Opens the same store again and again, for vectors of a model."""
    if request.param == "in memory":
        yield lambda model: SqliteStore.open(tmp_path / "memory_bank.db", model=model)
        return
    name = database_of(tmp_path)
    server = postgres.reached(postgres.searchable(name))
    yield lambda model: PostgresStore.open(server, model=model)
    postgres.server().drop(name)


@pytest.fixture
async def store(opener: Opener) -> AsyncIterator[Store]:
    store = await opener("m")
    yield store
    await store.close()


@pytest.fixture
async def opened(opener: Opener) -> AsyncIterator[Callable[..., Awaitable[Index]]]:
    """Opens indexes, which are closed after the test."""
    async with AsyncExitStack() as stack:

        async def open_index(store: Store, *, model: str = "m", dimensions: int = 4) -> Index:
            index: Index
            if isinstance(store, SqliteStore):
                index = MemoryIndex(store, dimensions=dimensions)
            else:
                index = await store.search_inside(model=model, dimensions=dimensions)
            stack.push_async_callback(index.close)
            return index

        yield open_index


@pytest.fixture
async def index(store: Store, opened: Callable[..., Awaitable[Index]]) -> Index:
    return await opened(store)


async def found(
    index: Index, tenant: str, query: str, vector: Vector | None = None, limit: int = 100
) -> list[str]:
    hits = await index.search(tenant, query, vector=vector, where=ALL, limit=limit)
    return [hit.memory_id for hit in hits]


async def test_a_write_is_found_once_caught_up_with(store: Store, index: Index) -> None:
    assert await found(index, "acme", "apple") == []
    memory = a_memory("an apple")
    await index.catch_up(await store.add(memory, a_vector()))
    assert await found(index, "acme", "apple") == [memory.id]
    await index.catch_up(await store.replace(replace(memory, content="a pear"), None))
    assert await found(index, "acme", "apple") == []
    assert await found(index, "acme", "pear") == [memory.id]
    await index.catch_up(await store.delete("acme", memory.id))
    assert await found(index, "acme", "pear", a_vector()) == []


async def test_the_index_says_how_far_it_has_read(store: Store, index: Index) -> None:
    assert index.seq == 0
    seq = await store.add(a_memory(), a_vector())
    assert index.seq < seq
    await index.catch_up()
    assert index.seq == seq == (await store.stats()).seq


async def test_a_new_index_is_rebuilt_from_the_store(
    store: Store, opened: Callable[..., Awaitable[Index]]
) -> None:
    memories = [a_memory(f"note {number}") for number in range(1_200)]
    await asyncio.gather(*(store.add(memory, a_vector()) for memory in memories))
    await store.delete("acme", memories[0].id)
    index = await opened(store)
    await index.catch_up()
    assert set(await found(index, "acme", "note", limit=2_000)) == {m.id for m in memories[1:]}


@pytest.mark.parametrize(
    ("content", "query"),
    [
        ("東京の地下鉄は朝とても混んでいます。", "地下鉄"),
        ("我们把数据库迁移到了新的服务器。", "数据库"),
        ("회의는 매주 화요일에 열립니다.", "화요일"),
        ("ประชุมทีมทุกวันจันทร์ตอนเช้า", "วันจันทร์"),
        ("Die Straßenbahn fährt nachts nicht.", "STRASSENBAHN"),
        ("Встреча перенесена на четверг.", "четверг"),
        ("बैठक शुक्रवार को होगी", "शुक्रवार"),
    ],
)
async def test_words_of_many_scripts_find_their_memory_before_others(
    store: Store, index: Index, content: str, query: str
) -> None:
    others = ("北京在下雨。", "昨日は雨でした。", "비가 옵니다.", "ฝนตก", "Es regnet.", "Дождь.")
    await store.add_many([(a_memory(other), a_vector()) for other in others])
    wanted = a_memory(content)
    await index.catch_up(await store.add(wanted, a_vector()))
    assert (await found(index, "acme", query))[0] == wanted.id


WORDS = ("apple", "apples", "pear", "Straße", "東京", "x" * 70, "snake_case", "Élan")


async def store_and_change(store: Store, followed: Index) -> None:
    """Make, change, throw away, delete and make anew memories of three tenants, all of a kind."""
    dice = random.Random(7)  # noqa: S311  # no secret
    known: list[Memory] = []
    for number in range(160):
        memory = a_memory(
            " ".join(dice.choices(WORDS, k=dice.randint(1, 9))),
            tenant=dice.choice(["acme", "beta", "gamma"]),
            title=dice.choice([None, "Apple pie"]),
            tags=tuple(dice.sample(["red", "big fish", "é"], dice.randint(0, 2))),
            metadata=dice.choice([{}, {"ticket": 7}, {"ticket": number, "long": "y" * 300}]),
            details=dice.choice([{}, {"steps": ["peel the plum"]}]),
            session=dice.choice([None, "s", "t"]),
            project=dice.choice([None, "site"]),
            created_at=later(dice.randint(0, 9)),
            valid_to=dice.choice([None, later(3)]),
            importance=dice.choice([0.25, 0.5, 1.0]),
        )
        vector = dice.choice([PENDING, a_vector(*(dice.uniform(-1, 1) for _ in range(4)))])
        what = dice.choice(["add", "add", "add", "change", "throw away", "delete", "again"])
        some = dice.choice(known) if known else memory
        if what == "add" or not known:
            known.append(memory)
            await store.add(memory, vector)
        elif what == "change":
            await store.replace(replace(memory, id=some.id, tenant=some.tenant), vector)
        elif what == "throw away":
            await store.replace(replace(some, state=MemoryState.TRASH), None)
        else:
            await store.delete(some.tenant, some.id)
            if what == "again":
                await store.add(replace(memory, id=some.id, tenant=some.tenant), vector)
        await followed.catch_up()


@pytest.mark.parametrize(
    ("page", "portion", "many"), [(7, 3, 1), (1_000, 20, 4), (1_000, 1_000, 1), (1_000, 1_000, 999)]
)
async def test_an_index_built_at_once_answers_as_one_that_followed_every_change(
    store: Store,
    index: Index,
    monkeypatch: pytest.MonkeyPatch,
    opened: Callable[..., Awaitable[Index]],
    page: int,
    portion: int,
    many: int,
) -> None:
    await store_and_change(store, index)
    for module in (index_module, tables):
        monkeypatch.setattr(module, "_PAGE", page)
    monkeypatch.setattr(index_module, "_PORTION", portion)
    monkeypatch.setattr(tenant_module, "_MANY", many)
    everything = MemoryFilter(states=frozenset())

    async def scores(one: Index, tenant: str, query: str, vector: Vector | None) -> object:
        hits = await one.search(tenant, query, vector=vector, where=everything, limit=200)
        return {hit.memory_id: hit.score for hit in hits}

    asked = [
        (tenant, query, vector)
        for query in (*WORDS, "plum", "big", "apple pear")
        for vector in (None, a_vector(1, -1))
        for tenant in ("acme", "beta", "gamma")
    ]
    before = [await scores(index, *each) for each in asked]
    counted = [await index.facets(tenant, everything) for tenant in ("acme", "beta", "gamma")]
    fresh = await opened(store)
    await fresh.rebuild()
    for each in (index, fresh):
        check = await each.check()
        assert check.differing == 0
        assert check.compared > 30
    for question, expected in zip(asked, before, strict=True):
        assert await scores(fresh, *question) == pytest.approx(expected, abs=1e-5)
    for tenant, facets in zip(("acme", "beta", "gamma"), counted, strict=True):
        assert await fresh.facets(tenant, everything) == facets


async def test_no_search_ever_sees_another_tenant(store: Store, index: Index) -> None:
    mine, theirs = a_memory("secret plan"), a_memory("secret plan", tenant="beta")
    await store.add(mine, a_vector())
    await store.add(theirs, a_vector())
    await store.add(replace(theirs, id=mine.id), a_vector())
    await index.catch_up()
    assert await found(index, "acme", "secret plan", a_vector()) == [mine.id]
    await store.delete("beta", mine.id)
    await index.catch_up()
    assert await found(index, "acme", "secret plan", a_vector()) == [mine.id]
    assert await found(index, "beta", "secret plan", a_vector()) == [theirs.id]
    assert await found(index, "nobody", "secret plan", a_vector()) == []


async def test_writers_and_searchers_at_once_always_find_what_was_caught_up(
    store: Store, index: Index
) -> None:
    async def write_and_find(number: int) -> None:
        memory = a_memory(f"word{number}")
        await index.catch_up(await store.add(memory, a_vector()))
        assert await found(index, "acme", f"word{number}") == [memory.id]

    await asyncio.gather(*(write_and_find(number) for number in range(100)))


async def test_a_cancelled_catch_up_is_taken_up_by_the_next(store: Store, index: Index) -> None:
    memories = [a_memory(f"note {number}") for number in range(600)]
    await asyncio.gather(*(store.add(memory, a_vector()) for memory in memories))
    for turns in range(12):
        task = asyncio.create_task(index.catch_up())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await index.catch_up()
    assert len(await found(index, "acme", "note", limit=1_000)) == 600


async def test_pages_that_are_read_ahead_are_of_one_history(
    store: Store, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("memorybank.search.index._PAGE", 20)
    memories = [a_memory(f"note {number}") for number in range(300)]
    await asyncio.gather(*(store.add(memory, a_vector()) for memory in memories))

    async def change() -> None:
        for memory in memories[::3]:
            await store.delete("acme", memory.id)
        for memory in memories[1::3]:
            await store.replace(replace(memory, content="a pear"), a_vector())

    await asyncio.gather(index.catch_up(), change())
    await index.catch_up()
    assert len(await found(index, "acme", "pear", limit=1_000)) == 100
    check = await index.check()
    assert (check.compared, check.differing) == (200, 0)


async def test_vectors_of_an_earlier_model_leave_the_words_searchable(
    opener: Opener, opened: Callable[..., Awaitable[Index]]
) -> None:
    memory = a_memory("an apple")
    before = await opener("small")
    await before.add(memory, a_vector(dimensions=3))
    await before.close()
    store = await opener("large")
    index = await opened(store, model="large")
    await index.catch_up()
    assert await found(index, "acme", "apple", a_vector()) == [memory.id]
    await store.close()


async def test_an_unreadable_store_shows_as_such(
    store: Store, index: Index, tmp_path: Path
) -> None:
    await store.add(a_memory(), a_vector())
    await store.close()
    if isinstance(store, PostgresStore):  # whose index has a connection of its own
        postgres.server().drop(database_of(tmp_path))
    with pytest.raises(StoreUnavailable):
        await index.catch_up()


async def test_questions_in_other_words_find_their_memories(
    store: Store, opened: Callable[..., Awaitable[Index]]
) -> None:
    embedder = builtin_embedder()
    index = await opened(store, dimensions=embedder.dimensions)
    asked = {}
    for content, question in questions():
        memory = a_memory(content)
        await store.add(memory, (await embedder.embed([content]))[0])
        asked[memory.id] = question
    await index.catch_up()
    ranks = []
    for memory_id, question in asked.items():
        vector = (await embedder.embed([question]))[0]
        ranks.append((await found(index, "acme", question, vector)).index(memory_id))
    first = sum(rank == 0 for rank in ranks) / len(ranks)
    among_three = sum(rank < 3 for rank in ranks) / len(ranks)
    assert first >= 0.75, f"{first:.2f} of the questions found their memory first"
    assert among_three >= 0.85, f"{among_three:.2f} found it among the first three"
