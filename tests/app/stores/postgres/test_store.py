"""What a store on PostgreSQL promises beyond what every store does."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest

from memorybank.errors import ConfigurationError, StoreUnavailable
from memorybank.stores.postgres import PostgresStore
from memorybank.stores.postgres.connection import Server
from tests.app.stores.postgres.writing import Writers, some
from tests.support import postgres
from tests.support.memory_samples import a_key, a_memory, a_vector, later
from tests.support.server_process import ANSWER_SECONDS


@pytest.fixture
def database() -> Iterator[str]:
    name = f"bank-{uuid.uuid4().hex[:12]}"
    yield postgres.server().database(name)
    postgres.server().drop(name)


def name_of(url: str) -> str:
    return url.split("/")[3].split("?")[0]


async def opened(url: str) -> PostgresStore:
    return await PostgresStore.open(postgres.reached(url), model="model-1")


@pytest.fixture
async def pair(database: str) -> AsyncIterator[tuple[PostgresStore, PostgresStore]]:
    both = await opened(database), await opened(database)
    yield both
    for store in both:
        await store.close()


async def test_a_reader_misses_nothing_of_what_two_processes_write(
    pair: tuple[PostgresStore, PostgresStore],
) -> None:
    written: set[str] = set()
    seen: list[str] = []
    position = 0

    async def write(store: PostgresStore) -> None:
        for _ in range(25):
            memory = a_memory()
            await store.add(memory, a_vector())
            written.add(memory.id)

    writers = [asyncio.create_task(write(store)) for store in pair for _ in range(3)]
    while len(seen) < 150:
        done = all(writer.done() for writer in writers)
        page = await pair[0].changes(position, limit=7)
        seen += [change.memory_id for change in page]
        position = page[-1].seq if page else position
        assert page or not done, "the feed ended before every acknowledged write was in it"
    await asyncio.gather(*writers)
    assert len(seen) == 150
    assert set(seen) == written


async def test_marks_tell_of_what_the_other_process_changed(
    pair: tuple[PostgresStore, PostgresStore],
) -> None:
    one, other = pair
    before = await other.marks()
    await one.add(a_memory(), a_vector())
    after = await other.marks()
    assert (after.seq, after.access) == (before.seq + 1, before.access)
    key = a_key()
    await one.access.add_key(key)
    made = await other.marks()
    assert made.access > after.access
    await one.access.note_use({key.id: later(1)})
    assert (await other.marks()).access == made.access
    await one.access.revoke_key(key.tenant, key.id, later(2))
    assert (await other.marks()).access > made.access


async def test_the_lease_is_of_one_until_it_ends_or_runs_out(
    pair: tuple[PostgresStore, PostgresStore],
) -> None:
    one, other = pair
    asked = await asyncio.gather(
        *(store.lead(f"holder-{number}", seconds=60) for number in range(8) for store in pair)
    )
    assert asked.count(True) == 2  # the same holder, by both stores
    holder = f"holder-{asked.index(True) // 2}"
    assert await other.lead(holder, seconds=60)
    await one.resign("another")
    assert not await other.lead("another", seconds=60)
    await one.resign(holder)
    assert await other.lead("another", seconds=1)
    assert not await one.lead(holder, seconds=60)
    async with asyncio.timeout(60):
        while not await one.lead(holder, seconds=60):  # noqa: ASYNC110  # nothing tells
            await asyncio.sleep(0.05)
    assert not await other.lead("another", seconds=60)


async def test_processes_that_start_together_make_the_schema_once(database: str) -> None:
    stores = await asyncio.gather(*(opened(database) for _ in range(4)))
    assert (await stores[0].care.status()).schema_version == stores[0].care.schema_version
    assert (await stores[0].care.integrity()).problems == []
    for store in stores:
        await store.close()


async def test_a_database_of_another_program_is_refused_untouched(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE TABLE theirs (id integer)")
    with pytest.raises(ConfigurationError, match="another program"):
        await opened(database)
    with psycopg.connect(database) as connection:
        tables = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        ).fetchall()
    assert tables == [("theirs",)]


async def test_a_database_of_a_newer_version_is_refused(database: str) -> None:
    await (await opened(database)).close()
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("INSERT INTO schema_migrations (version, name) VALUES (999, 'later')")
    with pytest.raises(ConfigurationError, match="newer version"):
        await opened(database)


async def test_a_refusal_tells_neither_address_nor_password(database: str) -> None:
    wrong = database.replace(postgres.PASSWORD, "hunter2")
    for url in (wrong, database.replace(name_of(database), "nowhere"), "hunter2:hunter2"):
        with pytest.raises(ConfigurationError) as caught:
            await opened(url)
        assert "hunter2" not in f"{caught.value.message} {caught.value.hint}"
        assert caught.value.__cause__ is None


async def test_connections_that_the_server_cut_are_opened_anew(database: str) -> None:
    store = await opened(database)
    memory = a_memory()
    await store.add(memory, a_vector())
    await asyncio.gather(*(store.get("acme", memory.id) for _ in range(8)))
    postgres.server().cut(name_of(database))
    found = await asyncio.gather(*(store.get("acme", memory.id) for _ in range(8)))
    assert found == [memory] * 8
    await store.add(a_memory(), a_vector())
    await store.close()


async def test_a_changed_password_is_read_with_the_next_connection(
    database: str, tmp_path: Path
) -> None:
    user = f"user-{uuid.uuid4().hex[:12]}"
    server = postgres.server()
    file = tmp_path / "url"
    file.write_text(server.url(name_of(database), user=user, password="first"))
    server.execute(
        psycopg.sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'first' IN ROLE {}").format(
            psycopg.sql.Identifier(user), psycopg.sql.Identifier(postgres.OWNER)
        )
    )
    await (await opened(database)).close()  # the tables are the owner's, and his alone
    store = await PostgresStore.open(postgres.reached(file.read_text), model="model-1")
    await store.add(a_memory(), a_vector())
    server.execute(
        psycopg.sql.SQL("ALTER ROLE {} PASSWORD 'second'").format(psycopg.sql.Identifier(user))
    )
    server.cut(name_of(database))
    with pytest.raises(StoreUnavailable, match="password"):
        await store.check()
    file.write_text(server.url(name_of(database), user=user, password="second"))
    await store.check()
    await store.close()


@pytest.mark.slow
async def test_no_acknowledged_write_is_lost_when_the_server_is_killed_and_started_again() -> None:
    running = postgres.own_server()
    store = await opened(running.database("bank"))
    writers = Writers(store)
    ids = await some(writers.acknowledged, 20)
    await asyncio.to_thread(postgres.kill, running)
    await some(writers.failed, 1)
    running = await asyncio.to_thread(postgres.start, running.folder, initialised=True)
    ids += await some(writers.acknowledged, writers.acknowledged.qsize() + 20)
    await writers.stop()
    found = {memory.id for memory in await store.get_many("acme", ids)}
    assert found == set(ids)
    assert (await store.care.integrity()).problems == []
    await store.close()
    postgres.remove(running)


@pytest.mark.slow
async def test_a_server_that_says_nothing_is_given_up_and_used_again_when_it_speaks() -> None:
    running = postgres.own_server()
    url = running.database("bank")
    store = await PostgresStore.open(Server(lambda: url, statement_seconds=1), model="model-1")
    before, after = a_memory("before", tenant="acme"), a_memory("after", tenant="acme")
    await store.add(before, a_vector())
    assert await store.get_many("acme", [before.id]) == [before]
    with postgres.frozen(running):
        answers = await asyncio.gather(
            store.get_many("acme", [before.id]),
            store.add(a_memory("meanwhile", tenant="acme"), a_vector()),
            return_exceptions=True,
        )
        assert [type(each) for each in answers] == [StoreUnavailable] * 2
    async with asyncio.timeout(ANSWER_SECONDS):
        while True:
            try:
                await store.add(after, a_vector())
                break
            except StoreUnavailable:  # a connection takes longer on a busy machine
                continue
    assert await store.get_many("acme", [before.id, after.id]) == [before, after]
    await store.close()
    postgres.remove(running)
