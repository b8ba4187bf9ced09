"""Connections to PostgreSQL, as the statements of stores/sql want them.

Nothing lives in a session outside of a transaction: settings are SET LOCAL, nothing is prepared,
locks end with their transactions. So a PgBouncer in transaction mode may stand in between.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import TracebackType
from typing import Any, LiteralString

import psycopg
from psycopg.abc import RV, PQGen
from psycopg.adapt import Buffer, Loader
from psycopg.pq import Format
from psycopg.types.string import StrDumperUnknown
from typing_extensions import override

_ESCAPE = "\x1a"
"""SUBSTITUTE: what stands in a text for what PostgreSQL cannot keep there."""
_NUL = f"{_ESCAPE}0"
_ITSELF = f"{_ESCAPE}1"

_APPLICATION = "memorybank"
_KEEPALIVE_SECONDS = 30
"""A peer that vanished is noticed within a minute while nobody speaks to it."""
_UNACKNOWLEDGED_MILLISECONDS = 15_000
"""For so long what was sent may be on its way: the kernel would try for a quarter of an hour."""
_GRACE_SECONDS = 5
"""How much later than the server should have ended a statement its word is waited for."""
_LOOK_SECONDS = 0.1


class _TextDumper(StrDumperUnknown):
    """PostgreSQL keeps every character but NUL."""

    @override
    def dump(self, obj: str) -> Buffer | None:
        if "\x00" in obj or _ESCAPE in obj:
            obj = obj.replace(_ESCAPE, _ITSELF).replace("\x00", _NUL)
        return super().dump(obj)


class _TextLoader(Loader):
    @override
    def load(self, data: Buffer) -> str:
        text = str(data, "utf-8")
        if _ESCAPE in text:
            text = text.replace(_NUL, "\x00").replace(_ITSELF, _ESCAPE)
        return text


class _BinaryTextLoader(_TextLoader):
    format = Format.BINARY


class _Attended(psycopg.Connection[tuple[Any, ...]]):
    """Gives up a server that says nothing: one that hangs ends no statement of its own accord, and
    its machine goes on to acknowledge what is sent.
    """

    silence_seconds: float | None = None
    """How long an answer may not come on; None for ever."""

    @override
    def wait(
        self, gen: PQGen[RV], interval: float = _LOOK_SECONDS, timeout: float | None = None
    ) -> RV:
        if self.silence_seconds is not None:
            gen = self._attended(gen, self.silence_seconds)
        return super().wait(gen, interval, timeout)

    def _attended(self, answer: PQGen[RV], seconds: float) -> PQGen[RV]:
        try:
            wanted = next(answer)
            heard = time.monotonic()
            while True:
                ready = yield wanted
                if ready:
                    heard = time.monotonic()
                elif time.monotonic() - heard > seconds:
                    self.close()
                    raise psycopg.errors.QueryCanceled("the server says nothing")
                wanted = answer.send(ready)
        except StopIteration as end:
            value: RV = end.value
            return value


@dataclass(frozen=True, slots=True)
class Server:
    """How a database is reached."""

    url: Callable[[], str]
    """Returns its address with user and password; asked for each connection, as a password may
    change. Raises ConfigurationError."""
    connect_seconds: int = 5
    statement_seconds: int = 30
    """How long a statement may take; of an export's, a hundred times as long."""

    def connect(self, statement_seconds: int | None) -> psycopg.Connection[tuple[Any, ...]]:
        """Open a connection that commits what it is told to, for statements of which the server
        lets none take longer, if there is a limit. Raises psycopg.Error.
        """
        connection = _Attended.connect(
            self.url(),
            autocommit=True,
            prepare_threshold=None,
            connect_timeout=self.connect_seconds,
            application_name=_APPLICATION,
            client_encoding="UTF8",
            keepalives_idle=_KEEPALIVE_SECONDS,
            keepalives_interval=_KEEPALIVE_SECONDS // 3,
            keepalives_count=3,
            tcp_user_timeout=_UNACKNOWLEDGED_MILLISECONDS,
        )
        if statement_seconds is not None:
            connection.silence_seconds = statement_seconds + _GRACE_SECONDS
        connection.adapters.register_dumper(str, _TextDumper)
        connection.adapters.register_loader("text", _TextLoader)
        connection.adapters.register_loader("text", _BinaryTextLoader)
        return connection


class Rows:
    """The rows that a statement returned."""

    __slots__ = ("_cursor",)

    def __init__(self, cursor: psycopg.Cursor[tuple[Any, ...]]) -> None:
        self._cursor = cursor

    def fetchone(self) -> Any:
        """Return the next row, None after the last."""
        return self._cursor.fetchone()

    def fetchall(self) -> list[Any]:
        """Return the rows that are left."""
        return self._cursor.fetchall()

    def close(self, _force: bool = False, /) -> None:
        """Pass over the rows that are left."""
        self._cursor.close()

    @property
    def get(self) -> Any:
        """The only value of the only row; the row when it has several; None without a row."""
        row = self._cursor.fetchone()
        return row[0] if row is not None and len(row) == 1 else row

    def __iter__(self) -> Iterator[Any]:
        return iter(self._cursor)

    def __next__(self) -> Any:
        return next(iter(self._cursor))


class Session:
    """A connection within a transaction; see stores/sql/connection.py."""

    __slots__ = ("_changes", "raw")

    def __init__(self, raw: psycopg.Connection[tuple[Any, ...]]) -> None:
        self.raw = raw
        self._changes = 0

    def execute(self, statement: str, values: Sequence[Any] = (), /) -> Rows:
        """Run a statement."""
        cursor = self.raw.cursor(binary=True)
        cursor.execute(_translated(statement), values or None)
        self._changes = cursor.rowcount
        return Rows(cursor)

    def executemany(self, statement: str, values: Iterable[Sequence[Any]], /) -> Rows:
        """Run a statement for each of several rows of values, all sent at once."""
        cursor = self.raw.cursor(binary=True)
        cursor.executemany(_translated(statement), values)
        self._changes = max(0, cursor.rowcount)
        return Rows(cursor)

    def changes(self) -> int:
        """Return how many rows the last statement inserted, updated or deleted."""
        return self._changes

    def __enter__(self) -> Session:
        """Everything is of one moment anyway: a reading transaction sees but one."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        return None


@lru_cache(maxsize=512)
def _translated(statement: str) -> LiteralString:
    """Return a statement with placeholders as the driver wants them; ours hold neither in text."""
    return statement.replace("?", "%s")
