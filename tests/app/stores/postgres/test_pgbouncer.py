"""A store behind a PgBouncer in transaction mode, beyond what every store promises.

Each transaction may be on another of the server's connections, with what others left there.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator

import psycopg
import pytest

from memorybank.domain.memory import MemoryFilter
from memorybank.errors import ConfigurationError
from memorybank.stores.postgres import PostgresStore
from memorybank.stores.sql.connection import Connection
from tests.app.stores.postgres.writing import Writers, some
from tests.support import pgbouncer, postgres
from tests.support.memory_samples import a_memory, a_vector

pytestmark = pytest.mark.slow

TENANTS = [f"tenant-{number}" for number in range(5)]


@pytest.fixture
async def database() -> AsyncIterator[str]:
    name = f"pooled-{uuid.uuid4().hex[:12]}"
    postgres.migrated(name)
    yield name
    postgres.server().drop(name)


async def opened(url: str, *, readers: int = 4) -> PostgresStore:
    return await PostgresStore.open(postgres.reached(url), model="model-1", readers=readers)


async def test_who_shares_connections_with_others_sees_rows_of_the_own_tenant(
    database: str,
) -> None:
    url = pgbouncer.bouncer().url(database)
    stores = [await opened(url) for _ in range(3)]
    for tenant in TENANTS:
        await stores[0].add(a_memory(tenant, tenant=tenant), a_vector())

    def every_tenant(connection: Connection) -> list[str]:
        found = connection.execute("SELECT tenant FROM memories").fetchall()
        return [tenant for (tenant,) in found]

    async def ask(store: PostgresStore, tenant: str) -> None:
        for _ in range(10):
            assert await store._read(tenant, every_tenant) == [tenant]
            assert await store._write(tenant, every_tenant) == [tenant]

    await asyncio.gather(*(ask(store, tenant) for store in stores for tenant in TENANTS))
    # They did share.
    opened_by_us = [(await store.care.status()).connections for store in stores]
    assert sum(opened_by_us) > pgbouncer.POOL
    assert backends(database) <= pgbouncer.POOL
    for store in stores:
        await store.close()


async def test_an_export_sees_one_moment_while_others_use_the_connections(database: str) -> None:
    store = await opened(pgbouncer.bouncer().url(database))
    first = a_memory("first")
    await store.add(first, a_vector())
    async with store.transfer.snapshot("acme") as snapshot:
        for _ in range(5):
            await store.add(a_memory("later"), a_vector())
        found = await snapshot.memories(after=0, limit=10)
        assert [each.memory for each in found] == [first]
    page = await store.list_memories("acme", MemoryFilter(), limit=10, cursor=None)
    assert page.total == 6
    await store.close()


async def test_stores_that_start_together_migrate_an_old_database_once() -> None:
    name = f"pooled-{uuid.uuid4().hex[:12]}"
    postgres.server().database(name)
    url = pgbouncer.bouncer().url(name)
    stores = await asyncio.gather(*(opened(url) for _ in range(6)))
    assert (await stores[0].care.integrity()).problems == []
    for store in stores:
        await store.close()
    postgres.server().drop(name)


async def test_no_acknowledged_write_is_lost_when_pgbouncer_or_the_server_goes_and_comes() -> None:
    server = postgres.own_server()
    pooler = pgbouncer.start(server)
    server.database("bank")
    store = await opened(pooler.url("bank"))
    writers = Writers(store)

    async def refused() -> None:
        [error] = await some(writers.failed, 1)
        assert "cannot be reached" in error.message or "starting or stopping" in error.message

    ids = await some(writers.acknowledged, 20)
    await asyncio.to_thread(pgbouncer.stop, pooler)
    await refused()
    pooler = await asyncio.to_thread(pgbouncer.start, server)
    ids += await some(writers.acknowledged, writers.acknowledged.qsize() + 20)
    while not writers.failed.empty():
        writers.failed.get_nowait()
    await asyncio.to_thread(postgres.kill, server)
    await refused()
    server = await asyncio.to_thread(postgres.start, server.folder, initialised=True)
    ids += await some(writers.acknowledged, writers.acknowledged.qsize() + 20)
    await writers.stop()
    found = {memory.id for memory in await store.get_many("acme", ids)}
    assert found == set(ids)
    await store.close()
    await asyncio.to_thread(pgbouncer.stop, pooler)
    postgres.remove(server)


def backends(database: str) -> int:
    """Return how many connections the server has for a database."""
    folder = str(postgres.server().folder)
    with psycopg.connect(host=folder, user="postgres", dbname="postgres") as opened:
        row = opened.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = %s", (database,)
        ).fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        (f":{postgres.PASSWORD}@", ":hunter2@", "user or password"),
        (f"//{postgres.OWNER}:", "//nobody:", "user or password"),
        ("/bank?", "/nowhere?", "no database of this name"),
    ],
)
async def test_what_pgbouncer_refuses_is_told_as_if_the_server_had(
    right: str, wrong: str, told: str
) -> None:
    url = pgbouncer.bouncer().url("bank")
    assert right in url
    with pytest.raises(ConfigurationError, match=told) as caught:
        await opened(url.replace(right, wrong))
    assert "hunter2" not in f"{caught.value.message} {caught.value.hint}"
