"""Chroma keeps vectors and compares them, as VectorServer promises."""

from __future__ import annotations

from collections.abc import AsyncIterator

import numpy as np
import pytest

from memorybank.errors import VectorsUnavailable
from memorybank.ports import Vector
from memorybank.vectors import ChromaServer
from tests.support.chroma_server import Chroma
from tests.support.embedding_server import embedding_server


def vectors(count: int, dimensions: int = 24) -> Vector:
    table = np.random.default_rng(3).standard_normal((count, dimensions))
    return np.asarray(table / np.linalg.norm(table, axis=1, keepdims=True), dtype=np.float32)


@pytest.fixture
async def server(shared_chroma: Chroma) -> AsyncIterator[ChromaServer]:
    server = ChromaServer(shared_chroma.url, timeout_seconds=60)
    for name in await server.collections(""):
        await server.drop(name)
    yield server
    await server.close()


async def test_the_nearest_come_with_their_products_whatever_the_length_of_the_vector(
    server: ChromaServer,
) -> None:
    table = vectors(2_500)
    collection = (await server.make("bank.a.t")).id
    await server.put(collection, [f"m{at}" for at in range(2_500)], list(table))
    assert await server.count(collection) == 2_500
    query = 0.7 * table[17] - 0.2 * table[18]
    found = await server.nearest(collection, query, count=5, among=None)
    assert next(iter(found)) == "m17"
    assert len(found) == 5
    for name, product in found.items():
        assert product == pytest.approx(float(table[int(name[1:])] @ query), abs=1e-5)


async def test_of_the_named_ones_all_are_compared_however_far_they_are(
    server: ChromaServer,
) -> None:
    table = vectors(3_000)
    collection = (await server.make("bank.a.t")).id
    await server.put(collection, [f"m{at}" for at in range(3_000)], list(table))
    far = np.argsort(table @ table[0])[:300]
    found = await server.nearest(
        collection, table[0], count=300, among=[f"m{at}" for at in far] + ["unknown"]
    )
    assert set(found) == {f"m{at}" for at in far}


async def test_vectors_are_replaced_removed_and_read_back(server: ChromaServer) -> None:
    one, two, three = vectors(3)
    collection = (await server.make("bank.a.t")).id
    await server.put(collection, ["x", "y"], [one, two])
    await server.put(collection, ["y"], [three])
    assert await server.ids(collection) == {"x", "y"}
    got = await server.get(collection, "y")
    assert got is not None
    assert np.allclose(got, three, atol=1e-6)
    await server.remove(collection, ["y", "never there"])
    assert await server.get(collection, "y") is None
    assert await server.ids(collection) == {"x"}
    assert await server.nearest(collection, one, count=10, among=None) == {
        "x": pytest.approx(1, abs=1e-5)
    }


async def test_collections_are_made_once_listed_by_prefix_and_keep_a_position(
    server: ChromaServer,
) -> None:
    made = await server.make("bank.a.t")
    assert (await server.make("bank.a.t")).id == made.id
    await server.make("bankrupt.a.t")
    await server.note(made.id, 123_456_789_012)
    listed = await server.collections("bank.")
    assert listed.keys() == {"bank.a.t"}
    assert listed["bank.a.t"].position == 123_456_789_012
    await server.drop("bank.a.t")
    await server.drop("bank.a.t")
    assert await server.collections("bank.") == {}
    with pytest.raises(VectorsUnavailable, match="lost a collection"):
        await server.count(made.id)


async def test_many_ids_and_collections_are_all_listed(
    server: ChromaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("memorybank.vectors.chroma._IDS", 7)
    monkeypatch.setattr("memorybank.vectors.chroma._PAGE", 3)
    for number in range(7):
        await server.make(f"bank.a.t{number}")
    assert len(await server.collections("bank.")) == 7
    collection = (await server.make("bank.a.t0")).id
    names = [f"m{at}" for at in range(21)]
    await server.put(collection, names, list(vectors(21)))
    assert await server.ids(collection) == set(names)


async def test_a_server_that_is_gone_or_something_else_is_told_as_what_it_is() -> None:
    with embedding_server() as other:
        client = ChromaServer(other.url, timeout_seconds=60)
        with pytest.raises(VectorsUnavailable, match=r"URL is wrong|not Chroma|answered"):
            await client.collections("bank.")
        other.stop()
        with pytest.raises(VectorsUnavailable, match="cannot be reached"):
            await client.collections("bank.")
        await client.close()
