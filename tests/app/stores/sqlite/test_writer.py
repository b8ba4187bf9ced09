"""The writing thread alone, on a database of one table."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest

from memorybank.errors import StoreUnavailable
from memorybank.stores.sql.connection import NOBODY
from memorybank.stores.sqlite.writer import Writer


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "numbers.db"


@pytest.fixture
def writer(database: Path) -> Iterator[Writer]:
    connection = apsw.Connection(str(database))
    connection.pragma("journal_mode", "wal")
    connection.execute("CREATE TABLE numbers (number INTEGER PRIMARY KEY)")
    writer = Writer(connection)
    yield writer
    writer.close()


def insert(number: int, *, then: Exception | None = None) -> Callable[[apsw.Connection], int]:
    def write(connection: apsw.Connection) -> int:
        connection.execute("INSERT INTO numbers VALUES (?)", (number,))
        if then is not None:
            raise then
        return number

    return write


def stored(database: Path) -> list[int]:
    connection = apsw.Connection(str(database))
    numbers = [number for (number,) in connection.execute("SELECT number FROM numbers")]
    connection.close()
    return numbers


async def test_an_answer_comes_when_others_can_read_the_write(
    writer: Writer, database: Path
) -> None:
    assert await writer.run(NOBODY, insert(1)) == 1
    assert stored(database) == [1]


async def test_a_write_that_fails_half_way_leaves_nothing_and_its_neighbours_whole(
    writer: Writer, database: Path
) -> None:
    outcomes = await asyncio.gather(
        writer.run(NOBODY, insert(1)),
        writer.run(NOBODY, insert(2, then=ValueError("no"))),
        writer.run(NOBODY, insert(3, then=apsw.ConstraintError("no"))),
        writer.run(NOBODY, insert(4)),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [int, ValueError, StoreUnavailable, int]
    assert stored(database) == [1, 4]


async def test_when_the_transaction_is_lost_every_write_of_the_group_fails(
    writer: Writer, database: Path
) -> None:
    def lose_the_transaction(connection: apsw.Connection) -> None:
        connection.execute("ROLLBACK")  # as SQLite does by itself when the disk is full
        raise apsw.FullError("disk full")

    started = asyncio.Event()
    loop = asyncio.get_running_loop()
    # Keeps the thread busy until the three writes wait, so that they become one group.
    release = asyncio.Event()

    def wait(_: apsw.Connection) -> None:
        loop.call_soon_threadsafe(started.set)
        asyncio.run_coroutine_threadsafe(release.wait(), loop).result(60)

    first = asyncio.create_task(writer.run(NOBODY, wait))
    await started.wait()
    group = [
        asyncio.create_task(writer.run(NOBODY, write))
        for write in (insert(1), lose_the_transaction, insert(2))
    ]
    await asyncio.sleep(0)  # lets every task hand its write over
    release.set()
    await first
    outcomes = await asyncio.gather(*group, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [StoreUnavailable] * 3
    assert stored(database) == []
    await writer.run(NOBODY, insert(5))
    assert stored(database) == [5]
