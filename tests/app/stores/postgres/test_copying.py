"""Copying a bank in PostgreSQL into a file, while it is written to, and bringing it back."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from memorybank.domain.audit import EventKind
from memorybank.errors import ConfigurationError, Conflict, MemoryBankError
from memorybank.settings import DATABASE_NAME
from memorybank.stores.postgres import PostgresStore
from memorybank.stores.postgres import moving as postgres_ends
from memorybank.stores.sql.connection import Connection
from memorybank.stores.sql.contents import Row, Table
from memorybank.stores.sql.copying import Copied, copy
from memorybank.stores.sql.moving import End, Mover
from memorybank.stores.sqlite import SqliteStore
from memorybank.stores.sqlite import moving as sqlite_ends
from tests.support import postgres
from tests.support.full_bank import MODEL, contents, fill_both_spaces
from tests.support.memory_samples import a_memory, a_vector

pytestmark = pytest.mark.slow


class Told:
    """Hears of a copy, and lets something happen at each word."""

    def __init__(self, happens: Callable[[str], None] = lambda _said: None) -> None:
        self._happens = happens

    def step(self, said: str) -> None:
        self._happens(said)

    def at(self, table: str, done: int, total: int) -> None:
        assert done <= total
        self._happens(table)


@pytest.fixture
def new_url() -> Iterator[Callable[[], str]]:
    """Return addresses of databases in which nothing is."""
    made: list[str] = []

    def make() -> str:
        made.append(f"copied-{uuid.uuid4().hex[:12]}")
        return postgres.server().database(made[-1])

    yield make
    for name in made:
        postgres.server().drop(name)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    asyncio.run(fill_both_spaces(tmp_path / "source"))
    return tmp_path / "source" / DATABASE_NAME


@pytest.fixture
def url(source: Path, new_url: Callable[[], str]) -> str:
    """The address of a bank that holds all there can be."""
    url = new_url()
    moved(source, url)
    return url


def moved(file: Path, url: str) -> None:
    with ExitStack() as stack:
        one: End = stack.enter_context(sqlite_ends.source(file))
        other: End = stack.enter_context(postgres_ends.target(postgres.reached(url)))
        Mover(one, other, Told()).run()


def copied(url: str, file: Path, happens: Callable[[str], None] = lambda _said: None) -> Copied:
    with ExitStack() as stack:
        one: End = stack.enter_context(postgres_ends.source(postgres.reached(url)))
        other: End = stack.enter_context(sqlite_ends.new_file(file))
        return copy(one, other, Told(happens))


async def store_at(url: str) -> PostgresStore:
    return await PostgresStore.open(postgres.reached(url), model=MODEL, audited=EventKind)


def test_a_copy_holds_all_of_one_moment_and_nobody_waits_for_it(
    source: Path, url: str, tmp_path: Path, new_url: Callable[[], str]
) -> None:
    before = contents(source)
    written = 0

    def write(_said: str) -> None:
        """Write while the copy is made, from a process that serves the bank."""
        nonlocal written

        async def add() -> None:
            store = await store_at(url)
            async with asyncio.timeout(30):
                await store.add(a_memory(f"later {written}"), a_vector())
            await store.close()

        asyncio.run(add())
        written += 1

    file = tmp_path / "copy.db"
    found = copied(url, file, write)
    assert written > 5
    assert contents(file) == before
    assert [each.name for each in tmp_path.iterdir() if each.name != "source"] == ["copy.db"]
    assert found.broken_logs == []

    # It is a bank, and comes back.
    back = new_url()
    moved(file, back)
    again = copied(back, tmp_path / "again.db")
    assert again.census.digests == found.census.digests
    assert contents(tmp_path / "again.db") == before


async def test_a_copy_is_served(url: str, tmp_path: Path) -> None:
    file = tmp_path / "copy" / DATABASE_NAME
    file.parent.mkdir()
    found = await asyncio.to_thread(copied, url, file)
    store = await SqliteStore.open(file, model=MODEL, audited=EventKind)
    assert await store.add(a_memory(), a_vector()) == found.census.seq + 1
    assert not (await store.care.integrity()).problems
    await store.close()


def test_a_file_that_is_there_is_left_alone(url: str, tmp_path: Path) -> None:
    file = tmp_path / "copy.db"
    file.write_text("somebody's")
    with pytest.raises(ConfigurationError, match="is there already"):
        copied(url, file)
    assert file.read_text() == "somebody's"


def test_no_part_of_a_bank_is_left_behind(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "copy.db"

    def stop(said: str) -> None:
        if said == "revisions":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copied(url, file, stop)

    insert = sqlite_ends.SqliteEnd.insert

    def lossy(
        end: sqlite_ends.SqliteEnd, connection: Connection, table: Table, rows: Sequence[Row]
    ) -> None:
        insert(end, connection, table, rows[1:] if table.name == "links" else rows)

    monkeypatch.setattr(sqlite_ends.SqliteEnd, "insert", lossy)
    with pytest.raises(MemoryBankError, match="the copy is not what the bank is"):
        copied(url, file)
    assert [each.name for each in tmp_path.iterdir()] == ["source"]


def test_what_is_no_bank_any_more_or_not_yet_is_refused(url: str, tmp_path: Path) -> None:
    def mark(state: str) -> None:
        with postgres_ends.source(postgres.reached(url)) as end:
            end.write(lambda connection: connection.execute("UPDATE moves SET state = ?", (state,)))

    for state, words in (("moved", "was moved"), ("filling", "but a part of a bank")):
        mark(state)
        with pytest.raises(Conflict, match=words):
            copied(url, tmp_path / "copy.db")
