"""A bank whose vectors are in Chroma: the same answers, and no worse for it when Chroma is lost."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from memorybank.domain.memory import MemoryFilter
from memorybank.domain.search import Refinement
from memorybank.errors import ConfigurationError
from memorybank.ports import PENDING, Vector
from memorybank.search import MemoryIndex, ServedIndex
from memorybank.stores.sqlite import SqliteStore
from memorybank.stores.sqlite.care import copy_database
from memorybank.stores.sqlite.lineage import begin_lineage
from memorybank.vectors import ChromaServer
from tests.app.vectors.conftest import until
from tests.support.chroma_server import Chroma
from tests.support.memory_samples import a_memory
from tests.support.service import Service, service
from tests.support.word_embedder import WordEmbedder

ALL = MemoryFilter()
SPACE = ("m", 64)
WORDS = ("apple", "pear", "plum", "quince", "cherry", "fig", "grape", "lemon", "melon", "olive")

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("_looks_often")]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(tmp_path / "memory_bank.db", model="m")
    yield store
    await store.close()


@asynccontextmanager
async def served(
    store: SqliteStore, chroma: Chroma, prefix: str, *, space: tuple[str, int] = SPACE
) -> AsyncIterator[ServedIndex]:
    server = ChromaServer(chroma.url, timeout_seconds=60)
    index = ServedIndex(
        store, server, prefix=prefix, space=space, but=("_hidden",), lineage=store.lineage
    )
    index.start()
    try:
        yield index
    finally:
        await index.close()


async def followed(index: ServedIndex, store: SqliteStore) -> None:
    """Return when the server has all that the store has."""
    newest = (await store.stats()).seq

    async def is_so() -> bool:
        status = index.vectors()
        return status is not None and status.problem is None and status.position >= newest

    await until(is_so)


def some_texts(count: int) -> list[str]:
    dice = np.random.default_rng(11)
    return [" ".join(dice.choice(WORDS, size=int(dice.integers(3, 9)))) for _ in range(count)]


async def stored(store: SqliteStore, texts: Sequence[str], **fields: Any) -> list[str]:
    vectors = await WordEmbedder().embed(texts)
    memories = [
        a_memory(text, project=f"p{at % 7}", session=f"s{at % 90}", **fields)
        for at, text in enumerate(texts)
    ]
    await store.add_many(list(zip(memories, vectors, strict=True)))
    return [memory.id for memory in memories]


async def query(text: str) -> Vector:
    vector: Vector = (await WordEmbedder().embed([text]))[0]
    return vector


async def test_what_is_found_is_what_the_embedded_index_finds(
    store: SqliteStore, shared_chroma: Chroma
) -> None:
    await stored(store, some_texts(4_000))
    embedded = MemoryIndex(store, dimensions=64)
    await embedded.catch_up()
    filters = [ALL, MemoryFilter(project="p3"), MemoryFilter(session="s5", project="p5")]
    texts = ["apple pear", "a melon and an olive", "quince quince fig"]
    async with served(store, shared_chroma, "same") as index:
        await followed(index, store)
        for text, where, words in itertools.product(texts, filters, [True, False]):
            vector, refine = await query(text), Refinement(words=words)
            hits = [
                await each.search("acme", text, vector=vector, where=where, limit=10, refine=refine)
                for each in (embedded, index)
            ]
            scores, others = ([hit.score for hit in each] for each in hits)
            # The few are all told by the server, with their neighbours; elsewhere 64 signs guess.
            unsure = 0.05 if where.session is None else 1e-5
            assert others == pytest.approx(scores, abs=unsure), (text, where, words)
    await embedded.close()


async def test_a_memory_is_found_and_gone_at_once_and_the_server_follows(
    store: SqliteStore, shared_chroma: Chroma
) -> None:
    async with served(store, shared_chroma, "follows") as index:
        memory = a_memory("apple")
        vector = await query("apple")
        await index.catch_up(await store.add(memory, vector))
        hits = await index.search("acme", "apple", vector=vector, where=ALL, limit=5)
        assert [hit.memory_id for hit in hits] == [memory.id]
        await followed(index, store)
        got = await index.vector("acme", memory.id)
        assert got is not None
        assert np.allclose(got, vector, atol=1e-6)
        changed = replace(memory, content="pear")
        await index.catch_up(await store.replace(changed, await query("pear")))
        await followed(index, store)
        got = await index.vector("acme", memory.id)
        assert got is not None
        assert np.allclose(got, await query("pear"), atol=1e-6)
        await index.catch_up(await store.replace(changed, PENDING))
        await followed(index, store)
        assert await index.vector("acme", memory.id) is None
        assert (await index.check()).differing == 0
        await index.catch_up(await store.delete("acme", memory.id))
        assert await index.search("acme", "pear", vector=vector, where=ALL, limit=5) == []

        async def is_dropped() -> bool:
            return sum(name.startswith("follows.") for name in shared_chroma.names()) == 1

        await until(is_dropped)  # what is left keeps the position


async def test_tenants_have_collections_of_their_own_that_do_not_tell_their_names(
    store: SqliteStore, shared_chroma: Chroma
) -> None:
    await stored(store, ["apple"])
    await stored(store, ["apple"], tenant="beta")
    await stored(store, ["apple"], tenant="_hidden")
    async with served(store, shared_chroma, "tenants") as index:
        await followed(index, store)
        names = [name for name in shared_chroma.names() if name.startswith("tenants.")]
        assert len(names) == 3
        assert not any("acme" in name or "beta" in name for name in names)
        hits = await index.search("beta", "", vector=await query("apple"), where=ALL, limit=5)
        assert len(hits) == 1


async def test_a_new_start_goes_on_where_the_last_one_was(
    store: SqliteStore, shared_chroma: Chroma
) -> None:
    first = await stored(store, some_texts(300))
    async with served(store, shared_chroma, "again") as index:
        await followed(index, store)
    before = {each["name"]: each["id"] for each in shared_chroma.collections()}
    await stored(store, some_texts(20))
    await store.delete("acme", first[0])
    async with served(store, shared_chroma, "again") as index:
        await followed(index, store)
        assert (await index.check()).differing == 0
    after = {each["name"]: each["id"] for each in shared_chroma.collections()}
    assert before == after


async def test_what_was_emptied_by_hand_is_noticed_and_filled_again(
    store: SqliteStore, shared_chroma: Chroma
) -> None:
    await stored(store, some_texts(300))
    async with served(store, shared_chroma, "robbed") as index:
        await followed(index, store)
        server = ChromaServer(shared_chroma.url, timeout_seconds=60)
        there = await server.collections("robbed.")
        for each in there.values():
            ids = await server.ids(each.id)
            await server.remove(each.id, sorted(ids)[:200])

        async def is_back() -> bool:
            counts = [await server.count(each.id) for each in there.values()]
            return max(counts) == 300

        await until(is_back)
        await followed(index, store)
        await server.close()


async def test_a_store_put_back_to_an_earlier_state_is_not_answered_from_its_future(
    tmp_path: Path, shared_chroma: Chroma
) -> None:
    async def filled(name: str, count: int) -> SqliteStore:
        store = await SqliteStore.open(tmp_path / name, model="m")
        await stored(store, some_texts(count))
        return store

    later = await filled("later.db", 50)
    async with served(later, shared_chroma, "restored") as index:
        await followed(index, later)
    earlier = await filled("earlier.db", 10)
    async with served(earlier, shared_chroma, "restored") as index:
        await followed(index, earlier)
        assert (await index.check()).differing == 0
    await later.close()
    await earlier.close()


async def test_a_store_that_was_rewound_is_not_taken_for_an_older_one_of_its_line(
    tmp_path: Path, shared_chroma: Chroma
) -> None:
    """The same ids, and more changes than the server has seen: nothing but the line tells."""

    async def vector_of(store: SqliteStore, text: str, index: ServedIndex) -> Vector:
        await followed(index, store)
        [memory] = (await store.list_memories("acme", ALL, limit=1, cursor=None)).memories
        assert memory.content == text
        vector = await index.vector("acme", memory.id)
        assert vector is not None
        return vector

    before = tmp_path / "before.db"
    store = await SqliteStore.open(tmp_path / "bank.db", model="m")
    [memory_id] = await stored(store, ["apple pear"])
    copy_database(tmp_path / "bank.db", before)

    async def revise(store: SqliteStore, text: str) -> None:
        memory = await store.get("acme", memory_id)
        assert memory is not None
        revised = replace(memory, content=text, revision=memory.revision + 1)
        await store.revise([(revised, await query(text))], by="somebody", action="update")

    await revise(store, "quince fig")
    async with served(store, shared_chroma, "rewound") as index:
        await vector_of(store, "quince fig", index)
    await store.close()

    begin_lineage(before)
    rewound = await SqliteStore.open(before, model="m")
    await revise(rewound, "melon olive")  # has the number that the other change had
    async with served(rewound, shared_chroma, "rewound") as index:
        found = await vector_of(rewound, "melon olive", index)
        assert found == pytest.approx(await query("melon olive"), abs=1e-6)
    await rewound.close()


async def test_another_embedding_space_takes_the_place_of_the_former_one(
    tmp_path: Path, shared_chroma: Chroma
) -> None:
    store = await SqliteStore.open(tmp_path / "spaces.db", model="m")
    ids = await stored(store, some_texts(30))
    await store.close()
    store = await SqliteStore.open(tmp_path / "spaces.db", model="n")
    store.embeddings.use("m")
    async with served(store, shared_chroma, "spaces") as index:
        await followed(index, store)
        lacking = await store.embeddings.unembedded(0, limit=100, model="n")
        items = [(each, np.eye(8, dtype=np.float32)[at % 8]) for at, each in enumerate(lacking)]
        await store.embeddings.embedded(items, model="n")
        assert await index.rebuild(("n", 8), before=lambda: store.embeddings.activate("n")) == 30
        await followed(index, store)
        vector = await index.vector("acme", ids[0])
        assert vector is not None
        assert vector.tolist() == np.eye(8)[0].tolist()
        assert sum(name.startswith("spaces.") for name in shared_chroma.names()) == 2
    await store.close()


@asynccontextmanager
async def bank(folder: Path, chroma: Chroma) -> AsyncIterator[tuple[Service, httpx.AsyncClient]]:
    settings = {"provider": "chroma", "chroma": {"url": chroma.url, "timeout_seconds": 60}}
    async with (
        service(folder, vector=settings) as running,
        running.client(running.admin_key) as admin,
    ):
        yield running, admin


async def vectors_of(admin: httpx.AsyncClient) -> dict[str, Any]:
    answer = await admin.get("/v1/admin/status")
    assert answer.status_code == 200, answer.text
    status: dict[str, Any] = answer.json()["index"]["vectors"]
    return status


async def found(admin: httpx.AsyncClient, text: str) -> dict[str, Any]:
    answer = await admin.post("/v1/search", json={"query": text})
    assert answer.status_code == 200, answer.text
    said: dict[str, Any] = answer.json()
    return said


async def add(admin: httpx.AsyncClient, text: str) -> None:
    answer = await admin.post("/v1/memories", json={"content": text})
    assert answer.status_code == 201, answer.text


async def test_a_bank_goes_on_without_chroma_and_fills_it_again_when_all_is_lost(
    tmp_path: Path, chroma: Chroma
) -> None:
    async with bank(tmp_path / "bank", chroma) as (running, admin):
        for text in ("The lighthouse is painted red", "The ferry leaves at noon"):
            await add(admin, text)

        async def is_well() -> bool:
            status = await vectors_of(admin)
            return status["problem"] is None and status["lag"] == 0 and status["missing"] == 0

        await until(is_well)
        said = await found(admin, "lighthouse painted")
        assert said["degraded"] is None
        assert said["results"][0]["memory"]["content"] == "The lighthouse is painted red"
        names = chroma.names()
        assert len(names) == 2

        chroma.kill()
        chroma.lose_everything()

        async def is_told() -> bool:
            return (await vectors_of(admin))["problem"] is not None

        await until(is_told)
        said = await found(admin, "lighthouse painted")
        assert "Chroma cannot be reached" in said["degraded"]
        assert said["results"][0]["memory"]["content"] == "The lighthouse is painted red"
        await add(admin, "The harbour master is called Ines")
        said = await found(admin, "harbour master")
        assert said["results"][0]["memory"]["content"] == "The harbour master is called Ines"
        ready = await admin.get("/ready")
        assert ready.status_code == 200
        checks = {each["name"]: each for each in ready.json()["checks"]}
        assert checks["search"]["status"] == "degraded"
        assert "Chroma" in checks["search"]["message"]

        chroma.start()
        await until(is_well)
        assert (await found(admin, "lighthouse painted"))["degraded"] is None
        assert chroma.names() == names
        status = running.engine.index.vectors()
        assert status is not None
        assert (await running.engine.index.check()).differing == 0


async def test_an_encrypted_bank_keeps_its_vectors_to_itself(tmp_path: Path) -> None:
    ring = '{"active": "a", "keys": {"a": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}}'
    with pytest.raises(ConfigurationError, match="in clear") as refused:
        async with service(
            tmp_path,
            vector={"provider": "chroma"},
            encryption={"enabled": True},
            encryption_key_ring=ring,
        ):
            pass
    assert refused.value.field == "vector.provider"
    assert refused.value.hint
