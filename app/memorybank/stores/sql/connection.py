"""What the statements need of a connection to a database, whichever it is.

SQLite's own connection is one (apsw.Connection); stores/postgres has another. Statements are
written in what both databases understand, with `?` for each value. What they do not have in common
is in a Dialect.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Protocol, TypeVar

from memorybank.domain.audit import AuditEvent

Answer = TypeVar("Answer")

Whose = str
"""A tenant whose rows a transaction is about, or EVERYONE or NOBODY, which no tenant is named.

Statements name the tenant themselves. This is the second wall, which a database may have: it holds
where a statement forgets to (ADR 86).
"""
EVERYONE: Final = "*"
"""All tenants: for what serves the bank as a whole, or has yet to find out who is calling."""
NOBODY: Final = ""
"""No tenant: for what concerns none."""


class Cursor(Protocol):
    """The rows that a statement returns."""

    def fetchone(self) -> Any:
        """Return the next row, None after the last."""

    def fetchall(self) -> list[Any]:
        """Return the rows that are left."""

    def close(self, force: bool = ..., /) -> None:
        """Pass over the rows that are left."""

    @property
    def get(self) -> Any:
        """The only value of the only row; the row when it has several; None without a row."""

    def __iter__(self) -> Iterator[Any]: ...

    def __next__(self) -> Any: ...


class Connection(Protocol):
    """A connection, within a transaction when it writes."""

    def execute(self, statement: str, values: Sequence[Any] = ..., /) -> Cursor:
        """Run a statement."""

    def executemany(self, statement: str, values: Iterable[Sequence[Any]], /) -> Cursor:
        """Run a statement for each of several rows of values."""

    def changes(self) -> int:
        """Return how many rows the last statement inserted, updated or deleted."""

    def __enter__(self) -> Any:
        """Let everything until the end of the block be of one moment."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> bool | None: ...


class Write(Protocol):
    """Writes, in the one thread that does, and records what was done in the same transaction."""

    def __call__(
        self,
        whose: Whose,
        work: Callable[[Connection], Answer],
        events: Callable[[Answer], Iterable[AuditEvent]] | None = None,
        /,
    ) -> Awaitable[Answer]:
        """Return what the work returned, once it is durable."""


class Run(Protocol):
    """Runs statements on a connection, in the thread of that connection."""

    def __call__(self, whose: Whose, work: Callable[[Connection], Answer], /) -> Awaitable[Answer]:
        """Return what the work returned."""


def whose(tenants: Iterable[str]) -> Whose:
    """Return whose the rows of these tenants are."""
    named = set(tenants)
    return named.pop() if len(named) == 1 else EVERYONE if named else NOBODY


@dataclass(frozen=True, slots=True)
class Dialect:
    """What the databases say each in their own way."""

    listed: str
    """A table of the strings of one bound list, in its order: columns `place` and `wanted`."""
    paired: str
    """A table of pairs of strings: columns `whose` and `wanted`."""
    bound_list: Callable[[Sequence[str]], Any]
    """What is bound for a list of strings."""
    bound_pairs: Callable[[Sequence[tuple[str, str]]], tuple[Any, ...]]
    """What is bound for the rows of `paired`."""
    now: str
    """Microseconds since 1970, by the clock of the database, while a statement runs."""
    tables_of_tenants: str
    """A statement that names every table with a column `tenant`."""
    refused: tuple[type[Exception], ...]
    """What the database raises when a trigger keeps a row out; it may also just leave it out."""
    translated: Callable[[], AbstractContextManager[None]]
    """Within it, what the database raises becomes StoreUnavailable."""
