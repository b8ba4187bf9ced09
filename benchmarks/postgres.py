"""How fast a bank on PostgreSQL is, and what its walls cost.

    python -m benchmarks.postgres [--memories 100000] [--adds 3000] [--samples 300]

The server is one of its own, on a socket, with its durability as delivered. The bank is filled with
random vectors, since embedding a hundred thousand texts would take a quarter of an hour; like those
of texts they lie near to few directions, without which no index finds what is near. What the walls
between tenants cost (ADR 86) is the difference to the same database without them, measured in
turns. Then two services share it through a PgBouncer: one stores memories with a word that no other
has, the other is asked for it until it finds it. Last, all of it is searched inside the database
(ADR 91): how near what is found comes to a comparison with all, with a filter that means one in
fifty and without, and then two services again.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
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
from memorybank.domain.memory import Memory, MemoryFilter
from memorybank.domain.search import Refinement
from memorybank.domain.tenants import DEFAULT_TENANT
from memorybank.model import MODEL_NAME
from memorybank.ports import Kept, Vector
from memorybank.stores.postgres import PostgresStore
from memorybank.stores.sqlite import SqliteStore
from tests.support import pgbouncer, postgres
from tests.support.server_process import Server, serving

OPTIONS = {
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
_DIRECTIONS = np.random.default_rng(0).normal(size=(32, DIMENSIONS))
_NOISE = 0.5
_PROJECTS = 50
_DEPTH = 10
_PROCESSOR_TICKS = os.sysconf("SC_CLK_TCK")
_WALLS = "SELECT relname FROM pg_class WHERE relrowsecurity ORDER BY relname"


def vectors(number: int, *, seed: int) -> Sequence[Vector]:
    """Return random unit vectors."""
    dice = np.random.default_rng(seed)
    drawn = (dice.normal(size=(number, len(_DIRECTIONS))) @ _DIRECTIONS).astype(np.float32)
    drawn += _NOISE * dice.normal(size=drawn.shape).astype(np.float32)
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    return list(drawn)


def a_note(texts: Texts, number: int) -> Memory:
    """Return a memory of the tenant whom the services' own key is of."""
    memory = a_memory(texts.piece(MEMORY_WORDS), number)
    return replace(memory, tenant=DEFAULT_TENANT, project=f"project-{number % _PROJECTS}")


async def fill(store: PostgresStore | SqliteStore, *, memories: int) -> None:
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


async def search_inside(url: str, server: postgres.Server, *, samples: int) -> None:
    """Print how long it takes until the database can be searched, and what is found then."""
    store = await PostgresStore.open(postgres.reached(url), model=MODEL_NAME)
    index = await store.search_inside(model=MODEL_NAME, dimensions=DIMENSIONS)
    began = time.perf_counter()
    await index.catch_up()
    print(f"search inside the database is ready after {time.perf_counter() - began:.1f} s")
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute("VACUUM ANALYZE")
    ids, projects, table = await _everything(store)
    texts = Texts()
    asked = [
        table[place] + 0.02 * vectors(1, seed=place)[0]
        for place in np.random.default_rng(2).integers(len(table), size=samples)
    ]
    for name, where in (
        ("of all", MemoryFilter()),
        ("of one project in fifty", MemoryFilter(project="project-7")),
    ):
        meant = np.asarray([where.project in (None, project) for project in projects])
        took: dict[bool, list[float]] = {True: [], False: []}
        recalls = []
        before = _processor_seconds(server)
        for vector in asked:
            nearest = np.argsort(-np.where(meant, table @ vector, -np.inf))[:_DEPTH]
            for words in (True, False):
                start = time.perf_counter()
                hits = await index.search(
                    DEFAULT_TENANT,
                    texts.piece(QUESTION_WORDS),
                    vector=vector,
                    where=where,
                    limit=_DEPTH,
                    refine=Refinement(words=words),
                )
                took[words].append((time.perf_counter() - start) * 1e3)
            recalls.append(len({ids[at] for at in nearest} & {hit.memory_id for hit in hits}))
        spent = _processor_seconds(server) - before
        print(
            f"{name}: by words and meaning {_spread(took[True])}; by meaning {_spread(took[False])}"
            f"; recall@{_DEPTH} {sum(recalls) / _DEPTH / samples:.3f}; processor time of the server"
            f" for one of each {1e3 * spent / samples:.1f} ms"
        )
    await index.close()
    await store.close()


async def _everything(store: PostgresStore) -> tuple[list[str], list[str | None], Vector]:
    """Return the ids, the projects and the vectors of all memories."""
    ids: list[str] = []
    projects: list[str | None] = []
    found: list[Vector] = []
    position, complete = 0, False
    while not complete:
        page = await store.feed(position, limit=_FEED_PAGE)
        position, complete = page.seq, page.complete
        if page.memories is not None:
            ids += page.memories.ids
            projects += page.memories.projects
            found += [each for each in page.memories.vectors if each is not None]
    return ids, projects, np.stack(found)


def _processor_seconds(server: postgres.Server) -> float:
    """Return how much processor time the server's processes that run have taken."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:13])) if int(fields[1]) == server.process.pid else 0
    return ticks / _PROCESSOR_TICKS


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
        pids = [each.process.pid for each in (one, other)]
        print(f"memory of the services: {', '.join(f'{_resident(pid):.0f} MiB' for pid in pids)}")
        times = await measured(samples, search)
        lags = [await store_and_find() for _ in range(samples)]
    print(f"search, embedding included: {_spread(times)}")
    print(f"stored by one service -> found by the other: {_spread(lags)}")


def _resident(pid: int) -> float:
    """Return the resident memory of a process in MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


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


def share(pooler: pgbouncer.Bouncer, provider: str, key: str | None, *, samples: int) -> str:
    """Measure two services that share the database; return their key."""
    print(f"two services, vector.provider {provider}:")
    reach = {
        "MEMORY_BANK_DATABASE__ENGINE": "postgres",
        "MEMORY_BANK_DATABASE_URL": pooler.url("bench"),
        "MEMORY_BANK_VECTOR__PROVIDER": provider,
    }
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(Path(folder) / "one", key=key, environ=reach) as one,
        serving(Path(folder) / "other", key=one.key, environ=reach) as other,
    ):
        asyncio.run(two_services(one, other, samples=samples))
        return one.key


def main() -> None:
    """Run against a server of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--memories", type=int, default=100_000)
    parser.add_argument("--adds", type=int, default=3_000)
    parser.add_argument("--samples", type=int, default=300)
    options = parser.parse_args()
    server = postgres.own_server(**OPTIONS)
    pooler = pgbouncer.start(server)
    try:
        url = server.database("bench")
        asyncio.run(benchmark(url, memories=options.memories, adds=options.adds))
        key = share(pooler, "embedded", None, samples=options.samples)
        server.execute("CREATE EXTENSION vector", "bench")
        asyncio.run(search_inside(url, server, samples=options.samples))
        share(pooler, "pgvector", key, samples=options.samples)
    finally:
        pgbouncer.stop(pooler)
        postgres.remove(server)


if __name__ == "__main__":
    main()
