"""A PostgreSQL database as either end of a move."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

from memorybank.stores.postgres.care import check
from memorybank.stores.postgres.connection import Server, Session
from memorybank.stores.postgres.errors import translated, translated_at_start
from memorybank.stores.postgres.schema import migrate, require_newest, require_walls
from memorybank.stores.postgres.sessions import Line, moment, once, writing
from memorybank.stores.postgres.store import POSTGRES
from memorybank.stores.sql.connection import EVERYONE, Connection
from memorybank.stores.sql.contents import Row, Table

Answer = TypeVar("Answer")

_NUMBERED = (
    ("generations", "id"),
    ("forgetting_runs", "added"),
    ("consolidation_runs", "added"),
    ("keys", "added"),
)
"""Columns that the database fills where nobody does."""


class PostgresEnd:
    """See sql.moving.End."""

    name = "the PostgreSQL database"
    now = POSTGRES.now

    def __init__(self, server: Server) -> None:
        self._server = server
        self._line = Line(server, writing(server))
        self._turn = threading.Lock()

    def moment(self) -> AbstractContextManager[Session]:
        """See End."""
        return moment(self._server, EVERYONE)

    def write(self, work: Callable[[Connection], Answer]) -> Answer:
        """See End."""
        with self._turn, translated(), self._line.transaction(EVERYONE) as session:
            return work(session)

    def insert(self, connection: Connection, table: Table, new: Sequence[Row]) -> None:
        """See End: a list per column, in one statement, which the driver reads but once and after
        which memories are counted but once. COPY is not for tables with walls.
        """
        lists = ", ".join(f"?::{kind}[]" for kind in self._types(connection, table))
        connection.execute(
            f"INSERT INTO {table.name} ({', '.join(table.columns)}) SELECT * FROM unnest({lists})",
            [list(column) for column in zip(*new, strict=True)],
        )

    def _types(self, connection: Connection, table: Table) -> list[str]:
        found = dict(
            connection.execute(
                "SELECT column_name::text, udt_name::text FROM information_schema.columns"
                " WHERE table_schema = current_schema() AND table_name = ?",
                (table.name,),
            )
        )
        return [found[name] for name in table.columns]

    def number_on(self, connection: Connection) -> None:
        """See End."""
        for table, column in _NUMBERED:
            connection.execute(
                f"SELECT setval(pg_get_serial_sequence('{table}', '{column}'),"
                f" (SELECT coalesce(max({column}), 0) + 1 FROM {table}), false)"
            )

    def problems(self) -> list[str]:
        """See End."""
        with self.moment() as session:
            return check(session).problems

    def close(self) -> None:
        """Let go of the database."""
        self._line.close()


@contextmanager
def source(server: Server) -> Iterator[PostgresEnd]:
    """Open a bank that services may be serving. Raises MemoryBankError."""
    with _opened(server, require_newest) as end:
        yield end


@contextmanager
def target(server: Server) -> Iterator[PostgresEnd]:
    """Open or make a bank that nobody serves meanwhile. Raises MemoryBankError."""
    with _opened(server, migrate) as end:
        yield end


@contextmanager
def _opened(server: Server, prepare: Callable[[Session], None]) -> Iterator[PostgresEnd]:
    def begin(session: Session) -> None:
        prepare(session)
        require_walls(session)

    with translated_at_start():
        once(server, writing(server, lock=False), begin)
    end = PostgresEnd(server)
    try:
        yield end
    finally:
        end.close()
