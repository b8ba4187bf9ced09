"""Moving a bank from one database to another while it is served (ADR 92).

The target is made what the source is, again and again: each pass goes through all tables of the
source as they are at one moment, changes what differs in the target, and reads and compares what it
has not found the same before, or what changed since (ADR 98). What a run knows is not needed by the
next one: whoever is killed goes on by beginning anew. When a pass has found little, the gate is
closed: the source takes no writes, and a last pass is made. Then the source is marked as moved, and
after that the target as whole. Neither is served between the two.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

from memorybank.domain.audit import broken
from memorybank.domain.ids import new_id
from memorybank.errors import Conflict, MemoryBankError
from memorybank.stores.sql import contents, moves
from memorybank.stores.sql.audit import every_chain
from memorybank.stores.sql.connection import Connection
from memorybank.stores.sql.contents import (
    ROWS_AT_ONCE,
    TABLES,
    TENANTS,
    Census,
    Key,
    Row,
    Table,
    Tally,
    digest,
)
from memorybank.stores.sql.moves import GATE_SECONDS, Mark, Stage

Answer = TypeVar("Answer")

_LITTLE = 2_000
"""Rows that a pass changes at most before the gate is closed: a second's worth."""
_MOST_PASSES = 10
"""Of a bank that changes faster than it is copied, the rest waits for the gate."""
_MOST_GATES = 3


class End(Protocol):
    """A database that a bank leaves or comes to."""

    name: str
    """For people; tells no secret."""
    now: str
    """See Dialect."""

    def moment(self) -> AbstractContextManager[Connection]:
        """Return a connection that sees one moment, however long that takes."""

    def write(self, work: Callable[[Connection], Answer]) -> Answer:
        """Return what the work returned, once it is durable; from any thread."""

    def insert(self, connection: Connection, table: Table, rows: Sequence[Row]) -> None:
        """Store rows, within a write."""

    def number_on(self, connection: Connection) -> None:
        """Let what this database numbers itself go on behind what came, within a write."""

    def problems(self) -> list[str]:
        """Return what is wrong with the database."""


class Watcher(Protocol):
    """Who is told how far a move is."""

    def step(self, said: str) -> None:
        """Hear what was done, or begins."""

    def at(self, table: str, done: int, total: int) -> None:
        """Hear how many rows of a table were looked at."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A move that has come to its end."""

    move: str
    census: Census | None
    """What was moved; None when that was done before this."""
    broken_logs: Sequence[str] = ()
    """Audit logs that were not intact at the source either."""
    passes: int = 0
    gated_seconds: float = 0.0
    """For how long the source took no writes."""


class _GateOpened(Exception):
    """The source took writes, since this did not keep it from them in time."""


_Stretch = tuple[Key | None, Key | None]
"""The rows of a table behind a key and up to another."""


@dataclass(frozen=True, slots=True)
class _Compared:
    """A stretch that was the same at both ends."""

    told: str
    """Digest of what tells of a change of its rows."""
    tally: Tally


class Mover:
    """Brings the bank at one end to the other."""

    def __init__(self, source: End, target: End, watcher: Watcher) -> None:
        self._source = source
        self._target = target
        self._watcher = watcher
        self._run = new_id()
        """Writes of another run, one that was frozen say, must find nothing."""
        self._compared: dict[Table, dict[_Stretch, _Compared]] = {}
        """What both ends were found to be, in order."""
        self._seq = 0

    def run(self) -> Outcome:
        """Go on with the move, or begin it, until its end.

        Raises Conflict when the ends do not belong together, MemoryBankError.
        """
        mark = self._agree()
        outcome = Outcome(mark.move, None)
        if mark.stage is Stage.COPYING:
            outcome = self._leave(mark.move, *self._follow())
        if mark.stage is not Stage.WHOLE:
            self._arrive()
        return outcome

    def _agree(self) -> Mark:
        """Return which move this is, and how far it is at the source; WHOLE when it is over."""
        with self._source.moment() as connection:
            here = moves.read(connection)
            encrypted = contents.is_encrypted(connection)
            self._schema = contents.schema(connection)
        with self._target.moment() as connection:
            there = moves.read(connection)
            empty = contents.is_empty(connection)
        self._refuse(here, there, empty=empty, encrypted=encrypted)
        begun = here if there is not None else None
        if begun is not None and begun.stage is Stage.MOVED:
            if there is not None and there.stage is Stage.WHOLE:
                return Mark(begun.move, Stage.WHOLE)
            mark = begun
        else:
            mark = Mark(new_id() if begun is None else begun.move, Stage.COPYING)
            # The source first: a target that no source knows of would be refused.
            self._source.write(partial(moves.note, mark=mark, run=self._run))
        self._target.write(partial(self._claim, mark=Mark(mark.move, Stage.FILLING)))
        return mark

    def _refuse(
        self, here: Mark | None, there: Mark | None, *, empty: bool, encrypted: bool
    ) -> None:
        if encrypted:
            raise Conflict(
                f"the bank in {self._source.name} is encrypted, and a bank on PostgreSQL cannot be:"
                " nothing was moved",
                hint="to have its contents there in clear, pipe an export of it into the other"
                " bank: docs/service/moving.md, An encrypted bank",
            )
        if here is not None and here.stage is Stage.FILLING:
            raise Conflict(
                f"{self._source.name} holds but a part of a bank: a move into it has not ended",
                hint="end that move first, by the same command again",
            )
        if here is not None and there is not None and here.move == there.move:
            begun = here.stage in (Stage.COPYING, Stage.GATED) and there.stage is Stage.FILLING
            if begun or here.stage is Stage.MOVED:
                return
        if there is not None and there.stage is Stage.FILLING:
            raise Conflict(
                f"{self._target.name} holds a part of another bank, of a move that has not ended",
                hint="end that move, or name an empty target",
            )
        if there is not None or not empty:
            raise Conflict(
                f"{self._target.name} holds a bank already",
                hint="name an empty database by --url-file, or an empty folder by --data;"
                " what is there is not touched",
            )
        if here is not None and here.stage is Stage.MOVED:
            raise Conflict(
                f"the bank in {self._source.name} was moved already, to another target than"
                f" {self._target.name}",
                hint="name that one, or move the bank on from there",
            )

    def _claim(self, connection: Connection, mark: Mark) -> None:
        """Take the target, unless somebody came first since it was looked at."""
        there = moves.read(connection)
        if there != mark and (there is not None or not contents.is_empty(connection)):
            raise Conflict(
                f"{self._target.name} was taken by another move or a service just now",
                hint="name an empty target",
            )
        moves.note(connection, mark, self._run)

    def _fill(self, work: Callable[[Connection], Answer]) -> Answer:
        """Write to the target, as long as no other run does."""

        def fill(connection: Connection) -> Answer:
            moves.require_run(connection, self._run)
            return work(connection)

        return self._target.write(fill)

    def _follow(self) -> tuple[int, list[str]]:
        """Copy until there is little left; return in how many passes, and which audit logs are
        broken.
        """
        passes = self._until_little(0)
        self._watcher.step("the target is checked")
        logs = checked(self._target)
        return self._until_little(passes), logs

    def _until_little(self, passes: int) -> int:
        """Copy until there is little left; return the number of the last pass."""
        for number in range(passes + 1, passes + _MOST_PASSES + 1):
            changed = self._pass()
            self._watcher.step(f"pass {number}: {changed:,} rows were copied, while writes go on")
            if changed <= _LITTLE:
                break
        return number

    def _leave(self, move: str, passes: int, broken_logs: list[str]) -> Outcome:
        """Copy and compare the rest while nothing is written, and mark the source as moved."""
        for _ in range(_MOST_GATES):
            began = time.monotonic()
            with suppress(_GateOpened), self._closed():
                self._watcher.step("the source takes no writes now")
                self._pass()
                if not self._source.write(self._left):
                    raise _GateOpened
                gated = time.monotonic() - began
                return Outcome(move, self._census(), broken_logs, passes + 1, gated)
            self._watcher.step("the source took writes meanwhile: once more")
        raise Conflict(
            "the source could not be kept from writes for as long as it takes to compare",
            hint="run the same command again, on a machine that has more time",
        )

    def _left(self, connection: Connection) -> bool:
        """Mark the source as moved; False when it has taken writes."""
        if contents.schema(connection) != self._schema:
            raise Conflict(
                f"{self._source.name} was brought to another schema meanwhile",
                hint="run the same command of the version that serves the bank, into an empty"
                " target",
            )
        return moves.advance(connection, self._run, Stage.GATED, Stage.MOVED)

    def _arrive(self) -> None:
        """Mark the target as whole."""

        def arrive(connection: Connection) -> None:
            self._target.number_on(connection)
            moves.advance(connection, self._run, Stage.FILLING, Stage.WHOLE)

        self._fill(arrive)

    @contextmanager
    def _closed(self) -> Iterator[None]:
        """Keep the gate closed for the block, and open it when that fails."""
        now = self._source.now
        self._source.write(partial(moves.close, run=self._run, now=now))
        over = threading.Event()
        keep = partial(moves.keep_closed, run=self._run, now=now)
        keeper = threading.Thread(target=self._keep, args=(keep, over), daemon=True)
        keeper.start()
        try:
            yield
        except BaseException:
            over.set()
            keeper.join()
            with suppress(MemoryBankError):  # then it opens by itself
                self._source.write(
                    partial(moves.advance, run=self._run, before=Stage.GATED, after=Stage.COPYING)
                )
            raise
        finally:
            over.set()
            keeper.join()

    def _keep(self, keep: Callable[[Connection], None], over: threading.Event) -> None:
        while not over.wait(GATE_SECONDS / 6):
            with suppress(MemoryBankError):  # then the gate opens, which is noticed at the end
                self._source.write(keep)

    def _pass(self) -> int:
        """Make the target what the source is at one moment; return how many rows that took.

        Raises MemoryBankError when the target does not become the same.
        """
        with self._source.moment() as source:
            self._fill(contents.drop_tenants)
            changed = {table: self._copied(table, source) for table in TABLES}
            self._seq = contents.numbered(source)
        self._fill(partial(contents.number, seq=self._seq))
        return sum(changed.values()) - changed[TENANTS]

    def _copied(self, table: Table, source: Connection) -> int:
        """Make a table what it is at the source; return how many rows that took.

        What tells of a change is read of every row, at both ends. All columns are, unless this run
        found the stretch the same before and nothing tells of a change since.
        """
        known, found = self._compared.get(table, {}), dict[_Stretch, _Compared]()
        total = 0 if known else table.count(source)
        changed = done = 0
        after: Key | None = None
        bounds = [last for _, last in known if last is not None]
        while True:
            # Stretches are those of before, so that they can be known again.
            bound = bounds[0] if bounds else None
            theirs = table.page(source, after, bound)
            last = next(reversed(theirs)) if len(theirs) == ROWS_AT_ONCE else bound
            if bounds and last == bound:
                del bounds[0]
            here = self._fill(partial(self._match, table, source, (after, last), theirs))
            kept, told = known.get((after, last)), digest(theirs)
            if here or kept is None or kept.told != told:
                kept = _Compared(told, self._same(table, source, (after, last)))
            found[after, last] = kept
            changed += here
            done += len(theirs)
            self._watcher.at(table.name, done, max(done, total))
            if last is None:
                self._compared[table] = found
                return changed
            after = last

    def _same(self, table: Table, source: Connection, stretch: _Stretch) -> Tally:
        """Read all of a stretch at both ends, and mend it if need be; return what is there.

        Raises MemoryBankError when they are not the same.
        """
        wanted = table.tally(source, *stretch)
        if self._tallied(table, stretch) == wanted:
            return wanted
        theirs = table.between(source, *stretch, whole=True)
        self._fill(partial(self._match, table, source, stretch, theirs, whole=True))
        if self._tallied(table, stretch) == wanted:
            return wanted
        raise MemoryBankError(
            "the copy is not what the bank is; the bank goes on where it is",
            hint="run the same command again; if this stays so, report it",
        )

    def _tallied(self, table: Table, stretch: _Stretch) -> Tally:
        after, last = stretch
        return self._fill(partial(table.tally, after=after, last=last))

    def _match(
        self,
        table: Table,
        source: Connection,
        stretch: _Stretch,
        theirs: dict[Key, Row],
        target: Connection,
        *,
        whole: bool = False,
    ) -> int:
        """Make a stretch of a table what it is at the source; return how many rows that took."""
        ours = table.between(target, *stretch, whole=whole)
        lacking = [key for key, told in theirs.items() if ours.get(key) != told]
        stale = [key for key, told in ours.items() if theirs.get(key) != told]
        table.drop(target, stale)
        if lacking:
            self._target.insert(target, table, table.rows(source, lacking))
        return len({*lacking, *stale})

    def _census(self) -> Census:
        """Return what both ends hold."""
        found = Census(self._seq)
        for table, stretches in self._compared.items():
            found.add(table, (each.tally for each in stretches.values()))
        return found


def checked(target: End) -> list[str]:
    """Return which audit logs are broken at the target, as at the source.

    Raises MemoryBankError when the target is damaged.
    """
    if problems := target.problems():
        raise MemoryBankError(
            f"the copy is damaged: {problems[0]}; the bank goes on where it is",
            hint="check the source, with `memorybank check`, and the target's disk",
        )
    with target.moment() as connection:
        logs = [(chain.tenant, broken(chain, kept)) for chain, kept in every_chain(connection)]
    return [f"{tenant}: {said}" for tenant, said in logs if said is not None]
