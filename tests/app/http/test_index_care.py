"""Checking and rebuilding what is kept in memory, over REST."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import numpy as np

from memorybank.embedders.cache import CachingEmbedder
from memorybank.ports import CacheStatus
from memorybank.search import MemoryIndex
from tests.app.http.test_refusals import problem
from tests.app.http.test_tenants import key_of, make_tenant
from tests.support.service import Service
from tests.support.word_embedder import WordEmbedder

CHECK = "/v1/admin/index/check"
REBUILD = "/v1/admin/index/rebuild"


async def test_a_damaged_index_is_found_and_built_anew(
    bank: Service, admin: httpx.AsyncClient
) -> None:
    await admin.post("/v1/memories", json={"content": "the lighthouse keeper is called Ines"})
    sound = (await admin.post(CHECK)).json()
    assert (sound["ok"], sound["compared"], sound["rebuilt"]) == (True, 1, False)
    index = bank.engine.index
    assert isinstance(index, MemoryIndex)
    index._content.tenants.clear()
    query = {"query": "lighthouse"}
    assert (await admin.post("/v1/search", json=query)).json()["results"] == []
    damaged = (await admin.post(CHECK)).json()
    assert (damaged["ok"], damaged["differing"], damaged["rebuilt"]) == (False, 1, True)
    assert len((await admin.post("/v1/search", json=query)).json()["results"]) == 1
    assert (await admin.post(CHECK)).json()["ok"]
    assert (await admin.post(REBUILD)).json()["memories"] == 1


async def test_only_administrators_of_the_bank_may(bank: Service, admin: httpx.AsyncClient) -> None:
    await make_tenant(admin, "acme")
    for key in (await bank.key("developer"), await key_of(admin, "acme")):
        async with bank.client(key) as client:
            for path in (CHECK, REBUILD):
                problem(await client.post(path), 403, "forbidden")


async def test_the_status_tells_of_store_index_pool_and_cache(
    bank: Service, admin: httpx.AsyncClient
) -> None:
    await admin.post("/v1/memories", json={"content": "the lighthouse keeper is called Ines"})

    async def told() -> dict[str, Any]:
        return dict((await admin.get("/v1/admin/status")).json())

    status = await told()
    async with asyncio.timeout(60):
        while status["pool"]["writes_waiting"]:  # what it counts for itself is written, too
            status = await told()
    assert status["store"]["counts"]["memories"] == 1
    assert status["index"]["lag"] <= 1
    assert status["pool"]["readers"] >= 1
    assert (status["pool"]["readers_busy"], status["pool"]["writes_waiting"]) == (0, 0)
    assert status["cache"] is None  # this service was made without one
    async with bank.client(await bank.key("developer")) as client:
        problem(await client.get("/v1/admin/status"), 403, "forbidden")


async def test_a_cache_counts_what_it_knew() -> None:
    cache = CachingEmbedder(WordEmbedder(), entries=2)
    await cache.embed(["one", "two"])
    await cache.embed(["two", "three"])
    assert cache.status() == CacheStatus(entries=2, capacity=2, hits=1, misses=3)


async def test_a_cache_drops_what_is_damaged_or_everything() -> None:
    cache = CachingEmbedder(WordEmbedder(), entries=9)
    right = await cache.embed(["one", "two", "three"])
    assert cache.check() == 0
    vector, _ = next(iter(cache._vectors.values()))
    vector[:] = 0
    assert cache.check() == 1
    np.testing.assert_array_equal(await cache.embed(["one", "two", "three"]), right)
    assert cache.clear() == 3
    assert cache.clear() == 0
