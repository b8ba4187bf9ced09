"""Copying a bank as it is at one moment into another database, while it goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

from memorybank.errors import Conflict, MemoryBankError
from memorybank.stores.sql import contents, moves
from memorybank.stores.sql.connection import Connection
from memorybank.stores.sql.contents import ROWS_AT_ONCE, TABLES, Census, Key, Row, Table, Tally
from memorybank.stores.sql.moves import Stage
from memorybank.stores.sql.moving import End, Watcher, checked

Answer = TypeVar("Answer")


class _Write(Protocol):
    """Does something in a transaction: of its own, or in one that others go on with."""

    def __call__(self, work: Callable[[Connection], Answer], /) -> Answer:
        """Return what the work returned."""


@dataclass(frozen=True, slots=True)
class Copied:
    """A copy that holds what the bank held."""

    census: Census
    broken_logs: Sequence[str]
    """Audit logs that were not intact in the bank either."""


def copy(
    source: End,
    target: End,
    watcher: Watcher,
    *,
    seen: Callable[[Connection], None] = lambda _moment: None,
) -> Copied:
    """Copy the bank at one end into the other, which holds nothing, and compare every row. What is
    copied is `seen` first, at the same moment.

    Nobody who writes to the source waits. Raises Conflict when the source is not a whole bank, and
    MemoryBankError.
    """
    with source.moment() as moment:
        _refuse(source, moment)
        seen(moment)
        census = _filled(moment, target, target.write, watcher)
    watcher.step("the copy is checked")
    return Copied(census, checked(target))


def replace(
    source: End, target: End, watcher: Watcher, *, empty: Callable[[Connection], None],
    note: Callable[[Connection], None],
) -> Census:  # fmt: skip
    """Make the bank at one end what the one at the other is, and compare every row: all of it or
    nothing, in one transaction, in which `empty` comes first and removes what is there, and `note`
    last.

    Raises Conflict when the source is not a whole bank, and MemoryBankError.
    """

    def fill(connection: Connection) -> Census:
        empty(connection)
        census = _filled(moment, target, lambda work: work(connection), watcher)
        note(connection)
        return census

    with source.moment() as moment:
        _refuse(source, moment)
        return target.write(fill)


def _filled(moment: Connection, target: End, write: _Write, watcher: Watcher) -> Census:
    """Copy all that a bank holds at a moment into one that holds nothing."""
    census = Census(contents.numbered(moment))
    write(contents.drop_tenants)
    for table in TABLES:
        census.add(table, _copied(table, moment, target, write, watcher))
    write(partial(contents.number, seq=census.seq))
    write(target.number_on)
    return census


def _refuse(source: End, moment: Connection) -> None:
    mark = moves.read(moment)
    if mark is not None and mark.stage is Stage.FILLING:
        raise Conflict(
            f"{source.name} holds but a part of a bank: a move into it has not ended",
            hint="end that move first, by the same command again",
        )
    if mark is not None and mark.stage is Stage.MOVED:
        raise Conflict(
            f"the bank in {source.name} was moved to another database",
            hint="copy it from there",
        )


def _copied(
    table: Table, moment: Connection, target: End, write: _Write, watcher: Watcher
) -> Iterator[Tally]:
    """Copy a table; yield what was found the same at both ends, stretch by stretch."""
    total, done = table.count(moment), 0
    after: Key | None = None
    while True:
        keys = list(table.page(moment, after, None))
        if keys:
            last = keys[-1]
            stretch = after, last
            store = partial(_stored, target, table, table.rows(moment, keys), stretch)
            wanted = table.tally(moment, *stretch)
            if write(store) != wanted:
                raise MemoryBankError(
                    "the copy is not what the bank is",
                    hint="run the same command again; if this stays so, report it",
                )
            yield wanted
            after = last
            done += len(keys)
            watcher.at(table.name, done, max(done, total))
        if len(keys) < ROWS_AT_ONCE:
            return


def _stored(
    target: End, table: Table, new: Sequence[Row], stretch: tuple[Key | None, Key], to: Connection
) -> Tally:
    """Store rows, and read them again."""
    target.insert(to, table, new)
    return table.tally(to, *stretch)
