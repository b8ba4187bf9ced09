"""Moving a bank from a file into PostgreSQL, and back."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typing_extensions import override

from memorybank.domain.audit import EventKind
from memorybank.errors import ConfigurationError, Conflict, StoreUnavailable
from memorybank.settings import DATABASE_NAME
from memorybank.stores.postgres import PostgresStore
from memorybank.stores.postgres import moving as postgres_ends
from memorybank.stores.sql.contents import LEFT_BEHIND, SEALED, TABLES
from memorybank.stores.sql.moving import End, Mover, Outcome
from memorybank.stores.sqlite import moving as sqlite_ends
from tests.support import pgbouncer, postgres
from tests.support.full_bank import MODEL, contents, fill_both_spaces
from tests.support.memory_samples import a_key, a_memory, a_vector

pytestmark = pytest.mark.slow


class Unheard:
    """Nobody who is told."""

    def step(self, said: str) -> None: ...

    def at(self, table: str, done: int, total: int) -> None: ...


class Interrupted(Unheard):
    """Who ends a move at the first words that begin so."""

    def __init__(self, words: str) -> None:
        self._words = words

    @override
    def step(self, said: str) -> None:
        if said.startswith(self._words):
            raise KeyboardInterrupt


@pytest.fixture
def name() -> Iterator[str]:
    made = f"moved-{uuid.uuid4().hex[:12]}"
    yield made
    postgres.server().drop(made)


@pytest.fixture
def url(name: str) -> str:
    """The address of a database in which nothing is."""
    return postgres.server().database(name)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    asyncio.run(fill_both_spaces(tmp_path / "source"))
    return tmp_path / "source" / DATABASE_NAME


def to_postgres(source: Path, url: str, watcher: Any = None) -> Outcome:
    with ExitStack() as stack:
        one: End = stack.enter_context(sqlite_ends.source(source))
        other: End = stack.enter_context(postgres_ends.target(postgres.reached(url)))
        return Mover(one, other, watcher or Unheard()).run()


def to_sqlite(url: str, target: Path, watcher: Any = None) -> Outcome:
    with ExitStack() as stack:
        one: End = stack.enter_context(postgres_ends.source(postgres.reached(url)))
        other: End = stack.enter_context(sqlite_ends.target(target))
        return Mover(one, other, watcher or Unheard()).run()


async def opened(url: str) -> PostgresStore:
    return await PostgresStore.open(postgres.reached(url), model=MODEL, audited=EventKind)


def test_all_columns_of_a_bank_are_moved(url: str) -> None:
    with postgres_ends.target(postgres.reached(url)), psycopg.connect(url) as connection:
        found: dict[str, set[str]] = {}
        for table, column in connection.execute(
            "SELECT table_name, column_name FROM information_schema.columns"
            " WHERE table_schema = 'public'"
        ):
            found.setdefault(table, set()).add(column)
    assert found.pop("feed") == {"id", "seq", "access"}
    assert set(found) == {table.name for table in TABLES} | LEFT_BEHIND | SEALED
    for table in TABLES:
        assert set(table.columns) == found[table.name], table.name


@pytest.mark.parametrize("pooled", [False, True], ids=["alone", "behind PgBouncer"])
def test_a_bank_that_went_there_and_back_is_the_same(
    source: Path, url: str, name: str, tmp_path: Path, pooled: bool
) -> None:
    way = pgbouncer.bouncer().url(name) if pooled else url
    there = to_postgres(source, way)
    back = to_sqlite(way, tmp_path / "back" / DATABASE_NAME)
    assert contents(tmp_path / "back" / DATABASE_NAME) == contents(source)
    assert there.census is not None
    assert back.census is not None
    assert back.census.digests == there.census.digests


async def test_a_bank_in_postgres_goes_on_numbering(source: Path, url: str) -> None:
    outcome = to_postgres(source, url)
    store = await opened(url)
    assert outcome.census is not None
    assert await store.add(a_memory(), a_vector()) == outcome.census.seq + 1
    before = await store.access.list_keys("acme")
    await store.access.add_key(a_key("new"))
    after = await store.access.list_keys("acme")
    assert [key.id for key in after] == [*(key.id for key in before), "key-new"]
    assert not (await store.care.integrity()).problems
    await store.close()


async def test_a_part_of_a_bank_is_not_served(source: Path, url: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        to_postgres(source, url, Interrupted("pass 1"))
    with pytest.raises(ConfigurationError, match="a move into this database has not ended") as said:
        await opened(url)
    assert "memorybank move" in (said.value.hint or "")
    to_postgres(source, url)
    await (await opened(url)).close()


async def test_no_process_of_a_bank_that_left_takes_a_write(
    source: Path, url: str, tmp_path: Path
) -> None:
    to_postgres(source, url)
    stores = [await opened(url), await opened(url)]
    await asyncio.to_thread(to_sqlite, url, tmp_path / "back" / DATABASE_NAME)
    for store in stores:
        with pytest.raises(StoreUnavailable, match="was moved to another database"):
            await store.add(a_memory(), a_vector())
        with pytest.raises(StoreUnavailable):
            await store.lead("me", seconds=15)
        assert await store.stats()
        await store.close()
    with pytest.raises(ConfigurationError, match="was moved to another database"):
        await opened(url)


async def test_a_gate_on_postgres_opens_when_nobody_keeps_it_closed(
    source: Path, url: str, tmp_path: Path
) -> None:
    to_postgres(source, url)
    store = await opened(url)
    with postgres_ends.source(postgres.reached(url)) as end:
        end.write(
            lambda connection: connection.execute(
                "UPDATE moves SET state = 'gated', gated_until = 9e15"
            )
        )
        with pytest.raises(StoreUnavailable, match="is being moved"):
            await store.add(a_memory(), a_vector())
        with pytest.raises(StoreUnavailable, match="is being moved"):
            await opened(url)
        end.write(lambda connection: connection.execute("UPDATE moves SET gated_until = 1"))
    await (await opened(url)).close()
    await store.add(a_memory(), a_vector())
    await store.close()
    await asyncio.to_thread(to_sqlite, url, tmp_path / "back" / DATABASE_NAME)


async def test_a_database_that_holds_something_is_refused(source: Path, url: str) -> None:
    await (await opened(url)).close()
    with pytest.raises(Conflict, match="the PostgreSQL database holds a bank already") as said:
        to_postgres(source, url)
    assert "--url-file" in (said.value.hint or "")


def test_a_database_of_another_program_is_refused(source: Path, url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE theirs (id int)")
    with pytest.raises(ConfigurationError, match="belongs to another program"):
        to_postgres(source, url)


def test_a_database_without_a_bank_is_no_source(url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="holds no bank"):
        to_sqlite(url, tmp_path / "back" / DATABASE_NAME)
    assert not (tmp_path / "back").exists()
