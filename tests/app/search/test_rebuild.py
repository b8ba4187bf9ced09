"""An index that is compared with its store, and built anew while searches go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from memorybank.domain.feed import MemoryColumns
from memorybank.domain.memory import MemoryFilter, MemoryState
from memorybank.ports import PENDING
from memorybank.search import MemoryIndex
from memorybank.search.postings import Occurrences, Postings
from memorybank.search.tenant import TenantIndex
from memorybank.search.tokens import hash_of
from memorybank.search.vectors import WholeVectors
from memorybank.stores.sqlite import SqliteStore
from tests.support.memory_samples import a_memory, a_vector

ALL = MemoryFilter()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(tmp_path / "memory_bank.db", model="m")
    yield store
    await store.close()


@pytest.fixture
async def index(store: SqliteStore) -> AsyncIterator[MemoryIndex]:
    """Return an index of 600 memories of two tenants, some of them changed, deleted, in trash."""
    memories = [
        a_memory(
            f"note{number}",
            tenant="acme" if number % 3 else "beta",
            tags=(f"t{number % 5}",),
            metadata={"number": number % 7},
            session=f"s{number % 11}" if number % 2 else None,
            title=f"Title {number}" if number % 4 else None,
        )
        for number in range(600)
    ]
    await store.add_many(
        [(m, PENDING if n % 10 == 0 else a_vector(n)) for n, m in enumerate(memories)]
    )
    index = MemoryIndex(store, dimensions=4)
    await index.catch_up()
    for memory in memories[:40]:
        await store.replace(replace(memory, content=f"{memory.content} changed"), a_vector(3))
    for memory in memories[40:60]:
        await store.delete(memory.tenant, memory.id)
    for memory in memories[60:80]:
        await store.replace(replace(memory, state=MemoryState.TRASH), None)
    yield index
    await index.close()


async def found(index: MemoryIndex, query: str) -> list[str]:
    hits = await index.search("acme", query, vector=None, where=ALL, limit=10)
    return [hit.memory_id for hit in hits]


async def test_a_sound_index_agrees_with_its_store(index: MemoryIndex) -> None:
    check = await index.check()
    assert (check.compared, check.differing) == (560, 0)
    assert await index.rebuild() == 560
    assert (await index.check()).differing == 0


def of(index: MemoryIndex, tenant: str = "acme") -> TenantIndex:
    return index._content.tenants[tenant]


def whole(index: MemoryIndex) -> WholeVectors:
    vectors = of(index)._vectors
    assert isinstance(vectors, WholeVectors)
    return vectors


def words_of(postings: Postings, term: str) -> Occurrences:
    """The places and counts of a term within a segment, to be written to."""
    postings._seal()
    segment = next(each for each in postings._segments if term in each.in_order)
    found = segment.holding(hash_of(term))
    assert found is not None
    return found


def lose_words(index: MemoryIndex) -> None:
    words_of(of(index)._words, "note100")[0][0] += 1


def miscount_words(index: MemoryIndex) -> None:
    words_of(of(index)._words, "note100")[1][0] += 1


def lose_a_tag(index: MemoryIndex) -> None:
    words_of(of(index)._tags, "t0")[0][-1] += 1


def flip_a_vector(index: MemoryIndex) -> None:
    whole(index)._rows["vector"][200] *= -1


def flip_a_sign(index: MemoryIndex) -> None:
    whole(index).signs()._bits[0, 200] ^= 1


def another_state(index: MemoryIndex) -> None:
    of(index)._rows["state"][200] ^= 1


def lose_a_memory(index: MemoryIndex) -> None:
    of(index).remove(of(index)._ids[200])


def invent_a_memory(index: MemoryIndex) -> None:
    of(index).put(MemoryColumns.of([(a_memory("never stored"), None)]))


def lose_a_tenant(index: MemoryIndex) -> None:
    del index._content.tenants["beta"]


@pytest.mark.parametrize(
    "damage",
    [
        lose_words,
        miscount_words,
        lose_a_tag,
        flip_a_vector,
        flip_a_sign,
        another_state,
        lose_a_memory,
        invent_a_memory,
        lose_a_tenant,
    ],
)
async def test_damage_of_any_part_is_seen_and_gone_after_a_rebuild(
    index: MemoryIndex, damage: Callable[[MemoryIndex], None]
) -> None:
    await index.catch_up()
    damage(index)
    assert (await index.check()).differing > 0
    await index.rebuild()
    check = await index.check()
    assert (check.compared, check.differing) == (560, 0)


async def test_searches_and_writes_go_on_while_an_index_is_checked_and_rebuilt(
    store: SqliteStore, index: MemoryIndex
) -> None:
    await index.catch_up()
    over = asyncio.Event()
    searches = 0

    async def ask() -> None:
        nonlocal searches
        while not over.is_set():
            assert len(await found(index, "note100")) == 1
            searches += 1

    async def write(number: int) -> None:
        memory = a_memory(f"fresh{number}")
        await index.catch_up(await store.add(memory, a_vector()))
        assert await found(index, f"fresh{number}") == [memory.id]
        await index.catch_up(await store.replace(replace(memory, content=f"late{number}"), None))
        assert await found(index, f"late{number}") == [memory.id]

    async def care() -> None:
        rounds = 0
        while rounds < 5 or searches <= 10:
            assert (await index.check()).differing == 0
            await index.rebuild()
            rounds += 1

    asking = asyncio.create_task(ask())
    async with asyncio.timeout(120):
        await asyncio.gather(care(), *(write(number) for number in range(60)))
    over.set()
    await asking
    check = await index.check()
    assert (check.compared, check.differing) == (620, 0)
