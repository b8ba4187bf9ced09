"""A SQLite file as either end of a move."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

import apsw

from memorybank.errors import InvalidRequest
from memorybank.stores.sql import rows
from memorybank.stores.sql.connection import Connection
from memorybank.stores.sql.contents import Row, Table
from memorybank.stores.sqlite.care import appearing, check, schema_versions
from memorybank.stores.sqlite.connection import open_reader, open_writer
from memorybank.stores.sqlite.errors import translated, translated_at_start
from memorybank.stores.sqlite.lock import DataFolderLock, MoveLock
from memorybank.stores.sqlite.store import SQLITE

Answer = TypeVar("Answer")

_BUSY_MS = 60_000
"""How long to wait for a service that writes all the time: it leaves the file after each commit."""


class SqliteEnd:
    """See sql.moving.End."""

    now = SQLITE.now

    def __init__(self, path: Path, writer: apsw.Connection) -> None:
        self.name = f"the file {path}"
        self._path = path
        self._writer = writer
        self._turn = threading.Lock()

    @contextmanager
    def moment(self) -> Iterator[Connection]:
        """See End. While it is held, the write-ahead log grows with every write."""
        with translated(), closing(open_reader(self._path)) as connection:
            connection.execute("BEGIN")
            connection.execute("SELECT seq FROM feed").fetchall()  # the first read fixes the moment
            yield connection

    def write(self, work: Callable[[Connection], Answer]) -> Answer:
        """See End."""
        with self._turn, translated():
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                answer = work(self._writer)
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise
        return answer

    def insert(self, connection: Connection, table: Table, new: Sequence[Row]) -> None:
        """See End."""
        columns = ", ".join(table.columns)
        connection.executemany(
            f"INSERT INTO {table.name} ({columns}) VALUES ({rows.placeholders(columns)})", new
        )

    def number_on(self, connection: Connection) -> None:
        """See End: SQLite counts from the largest number that is there."""

    def problems(self) -> list[str]:
        """See End."""
        with translated(), closing(open_reader(self._path)) as connection:
            return check(connection).problems


@contextmanager
def source(path: Path) -> Iterator[SqliteEnd]:
    """Open a bank that a service may be serving. Raises MemoryBankError."""
    if not path.is_file():
        raise InvalidRequest(
            f"there is no database at {path}", field="data", hint="name the data folder by --data"
        )
    found, newest = schema_versions(path)
    if found != newest:
        raise InvalidRequest(
            f"the database {path} has the schema {found}, this version moves the schema {newest}",
            field="data",
            hint="let a service of this version serve it first, or run `memorybank migrate`",
        )
    lock = MoveLock(path)
    try:
        with translated_at_start(path):
            writer = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
            # The log is its service's, or its replication tool's.
            writer.wal_autocheckpoint(0)
            writer.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            writer.set_busy_timeout(_BUSY_MS)
            writer.pragma("synchronous", "full")
        with closing(writer):
            yield SqliteEnd(path, writer)
    finally:
        lock.release()


@contextmanager
def target(path: Path) -> Iterator[SqliteEnd]:
    """Open or make a bank that nobody serves meanwhile. Raises MemoryBankError."""
    lock = DataFolderLock(path)
    try:
        with closing(open_writer(path)) as writer:
            yield SqliteEnd(path, writer)
    finally:
        lock.release()


@contextmanager
def new_file(path: Path) -> Iterator[SqliteEnd]:
    """Make a bank in a file that appears when the block ends, whole. Raises MemoryBankError."""
    with appearing(path) as beside, closing(open_writer(beside)) as writer:
        yield SqliteEnd(beside, writer)
        with translated():
            writer.pragma("journal_mode", "delete")  # one file, not three
