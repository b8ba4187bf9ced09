"""Copying a bank as it is at one moment into an empty database, while it goes on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from memorybank.errors import Conflict, MemoryBankError
from memorybank.stores.sql import contents, moves
from memorybank.stores.sql.connection import Connection
from memorybank.stores.sql.contents import ROWS_AT_ONCE, TABLES, Census, Key, Row, Table, Tally
from memorybank.stores.sql.moves import Stage
from memorybank.stores.sql.moving import End, Watcher, checked


@dataclass(frozen=True, slots=True)
class Copied:
    """A copy that holds what the bank held."""

    census: Census
    broken_logs: Sequence[str]
    """Audit logs that were not intact in the bank either."""


def copy(source: End, target: End, watcher: Watcher) -> Copied:
    """Copy the bank at one end into the other, which holds nothing, and compare every row.

    Nobody who writes to the source waits. Raises Conflict when the source is not a whole bank, and
    MemoryBankError.
    """
    with source.moment() as moment:
        _refuse(source, moment)
        census = Census(contents.numbered(moment))
        target.write(contents.drop_tenants)
        for table in TABLES:
            census.add(table, _copied(table, moment, target, watcher))
    target.write(partial(contents.number, seq=census.seq))
    target.write(target.number_on)
    watcher.step("the copy is checked")
    return Copied(census, checked(target))


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


def _copied(table: Table, moment: Connection, target: End, watcher: Watcher) -> Iterator[Tally]:
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
            if target.write(store) != wanted:
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
