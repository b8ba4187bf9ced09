"""How fast a bank on PostgreSQL is, and what its walls cost.

    python -m benchmarks.postgres [--memories 100000] [--adds 3000]

The server is one of its own, on a socket, with its durability as delivered. The bank is filled with
random vectors, since embedding a hundred thousand texts would take a quarter of an hour and change
nothing. What the walls between tenants cost (ADR 86) is the difference to the same database without
them, measured in turns.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from statistics import median

import numpy as np
import psycopg

from benchmarks.engine import DIMENSIONS, MEMORY_WORDS, TENANT, Texts, a_memory
from memorybank.model import MODEL_NAME
from memorybank.ports import Kept, Vector
from memorybank.stores.postgres import PostgresStore
from tests.support import postgres

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
_WALLS = "SELECT relname FROM pg_class WHERE relrowsecurity ORDER BY relname"


def vectors(number: int, *, seed: int) -> Sequence[Vector]:
    """Return random unit vectors."""
    drawn = np.random.default_rng(seed).normal(size=(number, DIMENSIONS)).astype(np.float32)
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    return list(drawn)


async def fill(store: PostgresStore, *, memories: int) -> None:
    """Import so many memories."""
    texts = Texts()
    for first in range(0, memories, _IMPORTED_AT_ONCE):
        some = vectors(_IMPORTED_AT_ONCE, seed=first)
        kept = [
            Kept(a_memory(texts.piece(MEMORY_WORDS), first + number), vector)
            for number, vector in enumerate(some)
        ]
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
        (a_memory(texts.piece(MEMORY_WORDS), place), vector)
        for place, vector in enumerate(vectors(number, seed=seed))
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


async def benchmark(url: str, *, memories: int, adds: int) -> None:
    """Fill a bank, then measure."""
    store = await PostgresStore.open(postgres.reached(url), model=MODEL_NAME)
    began = time.perf_counter()
    await fill(store, memories=memories)
    print(f"{memories} memories of the tenant {TENANT} in {time.perf_counter() - began:.1f} s")
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute("ANALYZE")
    await cost_of_walls(store, url, adds=adds)
    await store.close()


def main() -> None:
    """Run against a server of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--memories", type=int, default=100_000)
    parser.add_argument("--adds", type=int, default=3_000)
    options = parser.parse_args()
    server = postgres.own_server(**_OPTIONS)
    try:
        url = server.database("bench")
        asyncio.run(benchmark(url, memories=options.memories, adds=options.adds))
    finally:
        postgres.remove(server)


if __name__ == "__main__":
    main()
