"""How fast a bank on PostgreSQL is, and what its walls cost.

    python -m benchmarks.postgres [--memories 100000] [--adds 3000] [--samples 300]

The server is one of its own, on a socket, with its durability as delivered. The bank is filled with
random vectors, since embedding a hundred thousand texts would take a quarter of an hour and change
nothing. What the walls between tenants cost (ADR 86) is the difference to the same database without
them, measured in turns. Then two services share it through a PgBouncer: one stores memories with a
word that no other has, the other is asked for it until it finds it.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median, quantiles

import httpx
import numpy as np
import psycopg

from benchmarks.engine import (
    DIMENSIONS,
    MEMORY_WORDS,
    QUESTION_WORDS,
    Texts,
    a_memory,
    measured,
)
from memorybank.domain.memory import Memory
from memorybank.domain.tenants import DEFAULT_TENANT
from memorybank.model import MODEL_NAME
from memorybank.ports import Kept, Vector
from memorybank.stores.postgres import PostgresStore
from tests.support import pgbouncer, postgres
from tests.support.server_process import Server, serving

_OPTIONS = {
    "fsync": "on",
    "autovacuum": "on",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
}
_TURNS = 3
_IMPORTED_AT_ONCE = 500
_FEED_PAGE = 2_000
_CALLERS = 64
_WARM_UP = 20
_ASKED_AGAIN_SECONDS = 0.005
_WALLS = "SELECT relname FROM pg_class WHERE relrowsecurity ORDER BY relname"


def vectors(number: int, *, seed: int) -> Sequence[Vector]:
    """Return random unit vectors."""
    drawn = np.random.default_rng(seed).normal(size=(number, DIMENSIONS)).astype(np.float32)
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    return list(drawn)


def a_note(texts: Texts, number: int) -> Memory:
    """Return a memory of the tenant whom the services' own key is of."""
    return replace(a_memory(texts.piece(MEMORY_WORDS), number), tenant=DEFAULT_TENANT)


async def fill(store: PostgresStore, *, memories: int) -> None:
    """Import so many memories."""
    texts = Texts()
    for first in range(0, memories, _IMPORTED_AT_ONCE):
        some = vectors(_IMPORTED_AT_ONCE, seed=first)
        kept = [Kept(a_note(texts, first + number), vector) for number, vector in enumerate(some)]
        await store.transfer.put_many(kept, replace=False)


async def read_feed(store: PostgresStore) -> tuple[float, int]:
    """Read everything as an index that starts does; return the seconds and the memories."""
    began, position, count = time.perf_counter(), 0, 0
    while True:
        page = await store.feed(position, limit=_FEED_PAGE)
        position = page.seq
        count += 0 if page.memories is None else len(page.memories.ids)
        if page.complete:
            return time.perf_counter() - began, count


async def add(store: PostgresStore, number: int, *, seed: int) -> float:
    """Add so many memories, each a write of its own; return how many there were per second."""
    texts = Texts()
    waiting = [
        (a_note(texts, place), vector) for place, vector in enumerate(vectors(number, seed=seed))
    ]

    async def call() -> None:
        while waiting:
            await store.add(*waiting.pop())

    began = time.perf_counter()
    await asyncio.gather(*(call() for _ in range(_CALLERS)))
    return number / (time.perf_counter() - began)


@contextmanager
def without_walls(url: str) -> Iterator[None]:
    """Take the walls down for as long as the block lasts."""
    with psycopg.connect(url, autocommit=True) as owner:
        walled = [name for (name,) in owner.execute(_WALLS).fetchall()]
        for name in walled:
            owner.execute(f"ALTER TABLE {name} DISABLE ROW LEVEL SECURITY")
        yield
        for name in walled:
            owner.execute(f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY")


async def cost_of_walls(store: PostgresStore, url: str, *, adds: int) -> None:
    """Print what reading the feed and adding take with the walls and without them."""
    feeds: dict[str, list[float]] = {"with": [], "without": []}
    rates: dict[str, list[float]] = {"with": [], "without": []}
    count = 0

    async def measure(walls: str, turn: int) -> int:
        seconds, found = await read_feed(store)
        feeds[walls].append(seconds)
        rates[walls].append(await add(store, adds, seed=turn))
        return found

    await read_feed(store)  # what the first one meets is a cold cache
    for turn in range(_TURNS):
        await measure("with", turn)
        with without_walls(url):
            count = await measure("without", _TURNS + turn)
    for walls in ("with", "without"):
        print(
            f"{walls} walls: feed of {count} memories read in {median(feeds[walls]):.2f} s"
            f" ({count / median(feeds[walls]):.0f}/s); {median(rates[walls]):.0f} adds/s from"
            f" {_CALLERS} callers"
        )


async def two_services(one: Server, other: Server, *, samples: int) -> None:
    """Print how long a search takes, and how long what one stored is not found by the other."""
    texts = Texts()
    async with one.async_client() as here, other.async_client() as there:
        await _until_indexed(other)

        async def search() -> None:
            question = {"query": texts.piece(QUESTION_WORDS)}
            (await there.post("/v1/search", json=question)).raise_for_status()

        async def store_and_find() -> float:
            word = f"zebra{time.monotonic_ns()}"
            stored = await here.post("/v1/memories", json={"content": f"The code word is {word}."})
            began = time.perf_counter()
            while True:
                found = await there.post("/v1/search", json={"query": word, "mode": "lexical"})
                ids = [each["memory"]["id"] for each in found.json()["results"]]
                if stored.json()["id"] in ids:
                    return (time.perf_counter() - began) * 1e3
                await asyncio.sleep(_ASKED_AGAIN_SECONDS)

        await measured(_WARM_UP, search)
        times = await measured(samples, search)
        lags = [await store_and_find() for _ in range(samples)]
    print(f"search, embedding included: {_spread(times)}")
    print(f"stored by one service -> found by the other: {_spread(lags)}")


async def _until_indexed(server: Server) -> None:
    async with httpx.AsyncClient(timeout=60) as client:
        while True:
            told = (await client.get(server.metrics_url)).text
            if re.search(r"^memorybank_index_lag_changes 0.0$", told, re.MULTILINE):
                return
            await asyncio.sleep(1)


def _spread(times: Sequence[float]) -> str:
    cuts = quantiles(times, n=100)
    return f"p50 {cuts[49]:.1f} ms, p99 {cuts[98]:.1f} ms, max {max(times):.1f} ms"


async def benchmark(url: str, *, memories: int, adds: int) -> None:
    """Fill a bank, then measure."""
    store = await PostgresStore.open(postgres.reached(url), model=MODEL_NAME)
    began = time.perf_counter()
    await fill(store, memories=memories)
    print(f"{memories} memories imported in {time.perf_counter() - began:.1f} s")
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute("ANALYZE")
    await cost_of_walls(store, url, adds=adds)
    await store.close()


def main() -> None:
    """Run against a server of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--memories", type=int, default=100_000)
    parser.add_argument("--adds", type=int, default=3_000)
    parser.add_argument("--samples", type=int, default=300)
    options = parser.parse_args()
    server = postgres.own_server(**_OPTIONS)
    pooler = pgbouncer.start(server)
    try:
        url = server.database("bench")
        asyncio.run(benchmark(url, memories=options.memories, adds=options.adds))
        reach = {
            "MEMORY_BANK_DATABASE__ENGINE": "postgres",
            "MEMORY_BANK_DATABASE_URL": pooler.url("bench"),
        }
        with (
            tempfile.TemporaryDirectory() as folder,
            serving(Path(folder) / "one", environ=reach) as one,
            serving(Path(folder) / "other", key=one.key, environ=reach) as other,
        ):
            asyncio.run(two_services(one, other, samples=options.samples))
    finally:
        pgbouncer.stop(pooler)
        postgres.remove(server)


if __name__ == "__main__":
    main()
