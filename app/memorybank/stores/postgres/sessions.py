"""Transactions on connections that are opened when they are needed and replaced when they broke."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus

from memorybank.stores.postgres.connection import Server, Session
from memorybank.stores.postgres.errors import translated
from memorybank.stores.sql.connection import EVERYONE, Whose

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Beginning:
    """How transactions begin."""

    statements: str
    statement_seconds: int | None
    """How long the server then lets a statement take; None for ever."""


class Line:
    """One connection, of one thread."""

    def __init__(self, server: Server, beginning: Beginning) -> None:
        self._server = server
        self._begin = f"{beginning.statements}; ".encode()
        self._statement_seconds = beginning.statement_seconds
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None

    @property
    def open(self) -> bool:
        """Whether there is a connection."""
        return self._connection is not None

    def begin(self, whose: Whose) -> Session:
        """Begin a transaction. Raises psycopg.Error when the database cannot be reached.

        A connection that broke while nobody used it is replaced: nothing was begun on it.
        """
        if self._connection is not None:
            try:
                self._connection.execute(self._begin + walled(self._connection, whose))
            except psycopg.OperationalError:
                self.close()
            else:
                return Session(self._connection)
        self._connection = self._server.connect(self._statement_seconds)
        self._connection.execute(self._begin + walled(self._connection, whose))
        return Session(self._connection)

    @contextmanager
    def transaction(self, whose: Whose) -> Iterator[Session]:
        """Commit what is done in the block, or undo it."""
        session = self.begin(whose)
        try:
            yield session
            session.raw.execute("COMMIT")
        except BaseException:
            self.undo()
            raise

    def undo(self) -> None:
        """Undo what was begun, or give up a connection that cannot."""
        connection = self._connection
        if connection is None or connection.info.transaction_status == TransactionStatus.IDLE:
            return
        try:
            connection.execute("ROLLBACK")
        except psycopg.Error:
            self.close()

    def close(self) -> None:
        """Close the connection, if there is one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error):
                connection.close()


def walled(connection: psycopg.Connection[Any], whose: Whose) -> bytes:
    """Return the statement that shows, until the transaction ends, the rows of `whose` alone."""
    return b"SET LOCAL memorybank.tenant = " + sql.Literal(whose).as_bytes(connection)


def limited(
    transaction: str, statement_seconds: int | None, *, idle: bool = True, then: str = ""
) -> Beginning:
    """Return how a transaction begins of which no statement may take longer, nor, unless `idle`
    says that it may, a pause between two of them.
    """
    seconds = statement_seconds or 0
    statements = (
        f"BEGIN {transaction};"
        f" SET LOCAL statement_timeout = '{seconds}s';"
        f" SET LOCAL idle_in_transaction_session_timeout = '{0 if idle else seconds}s'"
    )
    return Beginning(f"{statements}; {then}" if then else statements, statement_seconds)


def reading(server: Server) -> Beginning:
    """Return how a transaction begins that reads, all of one moment."""
    return limited(
        "ISOLATION LEVEL REPEATABLE READ READ ONLY", server.statement_seconds, idle=False
    )


def holding(server: Server) -> Beginning:
    """Return how a transaction begins that holds on to a moment for as long as an export takes."""
    return limited(
        "ISOLATION LEVEL REPEATABLE READ READ ONLY",
        100 * server.statement_seconds,
        then="SELECT seq FROM feed",  # the first statement that reads fixes the moment
    )


@contextmanager
def moment(server: Server, whose: Whose) -> Iterator[Session]:
    """Hold on to a moment, on a connection of its own."""
    line = Line(server, holding(server))
    try:
        with translated(), line.transaction(whose) as session:
            yield session
    finally:
        line.close()


def writing(server: Server, *, lock: bool = True) -> Beginning:
    """Return how a transaction begins that writes: as the only one, until it ends.

    That gives the changes their numbers in the order of their commits (ADR 81). A writer that is
    frozen or cut off meanwhile loses its transaction, so that the others go on.
    """
    durable = (
        "SELECT set_config('synchronous_commit', 'on', true)"
        " WHERE current_setting('synchronous_commit') = 'off'"
    )
    return limited(
        "ISOLATION LEVEL READ COMMITTED",
        server.statement_seconds,
        idle=False,
        then=f"{durable}; SELECT 1 FROM feed FOR UPDATE" if lock else durable,
    )


def once(server: Server, beginning: Beginning, work: Callable[[Session], Answer]) -> Answer:
    """Do something in a transaction on a connection of its own."""
    line = Line(server, beginning)
    try:
        with line.transaction(EVERYONE) as session:
            return work(session)
    finally:
        line.close()
