"""MemoryStore on SQLite: one writing thread, a few reading ones."""

from __future__ import annotations

import asyncio
import json
import queue
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import apsw
from typing_extensions import override

from memorybank.domain.audit import EventKind
from memorybank.domain.memory import Condition, HasDetail
from memorybank.encryption import KeyRing
from memorybank.errors import StoreUnavailable
from memorybank.lanes import Lanes
from memorybank.ports import PoolStatus
from memorybank.stores.sql import moves, rows
from memorybank.stores.sql.audit import Recorder
from memorybank.stores.sql.connection import EVERYONE, Connection, Dialect, Whose
from memorybank.stores.sql.embeddings import VectorTable, register
from memorybank.stores.sql.narrowing import Clause, Narrowing, narrowed
from memorybank.stores.sql.sealing import Seal, seal_for, unsealed
from memorybank.stores.sql.store import SqlStore
from memorybank.stores.sqlite import former
from memorybank.stores.sqlite.care import CareTables, go_back
from memorybank.stores.sqlite.connection import open_reader, open_writer
from memorybank.stores.sqlite.errors import Damage, translated, translated_at_start
from memorybank.stores.sqlite.lineage import lineage_of
from memorybank.stores.sqlite.lock import DataFolderLock
from memorybank.stores.sqlite.writer import Replication, Writer

Answer = TypeVar("Answer")

READERS = 3
"""Reads hold no lock against writes and mostly hit the page cache; more threads gain nothing."""

SQLITE = Dialect(
    listed="(SELECT key AS place, value AS wanted FROM json_each(?))",
    paired="(SELECT value ->> 0 AS whose, value ->> 1 AS wanted FROM json_each(?))",
    bound_list=lambda values: json.dumps(list(values)),
    bound_pairs=lambda pairs: (json.dumps(pairs),),
    now="CAST(unixepoch('subsec') * 1000000 AS INTEGER)",
    tables_of_tenants=(
        "SELECT tables.name FROM sqlite_schema AS tables, pragma_table_info(tables.name) AS columns"
        " WHERE tables.type = 'table' AND columns.name = 'tenant' ORDER BY tables.name"
    ),
    refused=(apsw.ConstraintError,),
    translated=translated,
)


class SqliteStore(SqlStore):
    """One SQLite file, exclusively ours.

    Acknowledged writes survive a crash of the process and of the machine.
    """

    def __init__(
        self,
        path: Path,
        *,
        model: str,
        audited: Iterable[EventKind] = (),
        ring: KeyRing | None = None,
        checkpoints: bool = True,
        replication: Replication | None = None,
    ) -> None:
        if checkpoints:  # else who replicates has opened the database already
            go_back(path)
        self._lock = DataFolderLock(path)
        try:
            self._seal = seal_for(ring)
            connection = open_writer(path, checkpoints=checkpoints)
            former.forget(path)
            way_back = former.WayBack(path)
            self._attach(connection, path, model)
            self.lineage = lineage_of(connection)
            """See stores.sqlite.lineage."""
            self._readers: queue.SimpleQueue[apsw.Connection] = queue.SimpleQueue()
            for _ in range(READERS):
                self._readers.put(self._reader(path))
        except BaseException:
            self._lock.release()
            raise
        self._damage = Damage()
        self._writer = Writer(
            connection,
            Recorder(audited),
            self._seal,
            self._damage,
            admit=partial(moves.admit, now=SQLITE.now),
            replication=replication,
            leave=way_back.leave,
            log=None if checkpoints else path.with_name(f"{path.name}-wal"),
        )
        self._lanes = Lanes("sqlite-reader", READERS)
        super().__init__(
            SQLITE,
            VectorTable(model),
            self._seal,
            read=self._run,
            write=self._writer.run,
            moment=partial(_moment, path),
            empty_log=self._writer.empty_log,
        )
        self._care = CareTables(
            path, partial(self._run, EVERYONE), self._damage, self._busy, way_back
        )

    @property
    @override
    def care(self) -> CareTables:
        """See MemoryStore."""
        return self._care

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        model: str,
        audited: Iterable[EventKind] = (),
        ring: KeyRing | None = None,
        checkpoints: bool = True,
        replication: Replication | None = None,
    ) -> SqliteStore:
        """Open or create the database and bring its schema up to date.

        `model` names the embedding space of the vectors to come, `audited` the events that the
        audit log records; with a `ring` the bank is encrypted; without `checkpoints` the
        write-ahead log is left to a replication tool; what somebody writes is acknowledged when the
        `replication` has confirmed it. Raises ConfigurationError when the file
        cannot be used, also because another process uses it or the ring is the wrong one;
        StoreUnavailable when the disk fails.
        """
        return await asyncio.to_thread(
            cls,
            path,
            model=model,
            audited=audited,
            ring=ring,
            checkpoints=checkpoints,
            replication=replication,
        )

    @override
    def _release(self) -> None:
        self._lanes.close()
        for _ in range(READERS):
            self._readers.get().close()
        self._writer.close()
        self._lock.release()

    @override
    def _holding(
        self,
        connection: Connection,
        clause: str,
        values: rows.Bindings,
        tags: Sequence[str],
        details: Sequence[Condition],
    ) -> tuple[str, rows.Bindings]:
        """See SqlStore."""
        return holding(self._seal, clause, values, tags, details)

    def _attach(self, connection: apsw.Connection, path: Path, model: str) -> None:
        try:
            with translated_at_start(path):
                if self._seal.active:
                    connection.pragma("secure_delete", True)  # destroyed keys leave no trace
                moves.require_served(connection, now=SQLITE.now)
                self._seal.attach(connection, str(path))
                register(connection, model)
        except BaseException:
            connection.close()
            raise

    def _reader(self, path: Path) -> apsw.Connection:
        connection = open_reader(path)
        if self._seal.active:
            connection.pragma("temp_store", "memory")  # what is opened never meets a file
            connection.create_scalar_function("unsealed", unsealed(self._seal), 4)
        return connection

    def _busy(self) -> PoolStatus:
        return PoolStatus(READERS, READERS - self._readers.qsize(), self._writer.waiting)

    async def _run(self, _whose: Whose, read: Callable[[apsw.Connection], Answer]) -> Answer:
        if self._closed:
            raise StoreUnavailable("the store is closed")

        def run() -> Answer:
            connection = self._readers.get()
            try:
                with translated(), self._damage.watched():
                    return read(connection)
            finally:
                self._readers.put(connection)

        return await self._lanes.run(run)


def holding(
    seal: Seal,
    clause: str,
    values: rows.Bindings,
    tags: Sequence[str],
    details: Sequence[Condition],
) -> tuple[str, rows.Bindings]:
    """See SqlStore. In an encrypted bank it opens these columns of all that meet the condition."""
    has = f" AND EXISTS (SELECT 1 FROM json_each({_opened(seal, 'tags')}) WHERE value = ?)"
    clause, values = clause + has * len(tags), [*values, *tags]
    return narrowed(_Narrowing(seal), clause, values, details)


class _Narrowing(Narrowing):
    """How SQLite looks into details."""

    def __init__(self, seal: Seal) -> None:
        self._seal = seal

    @override
    def has(self, row: str, wanted: HasDetail) -> Clause:
        """See Narrowing. Of a text there is one row, of a list one for each that it holds."""
        column, path = _opened(self._seal, "details", row), f"$.{wanted.field}"
        any_of = ", ".join("?" * len(wanted.values))
        has = f"EXISTS (SELECT 1 FROM json_each({column}, ?) WHERE value IN ({any_of}))"
        if not wanted.or_absent:
            return has, [path, *wanted.values]
        return f"(json_type({column}, ?) IS NULL OR {has})", [path, path, *wanted.values]

    @override
    def text(self, row: str, field: str) -> Clause:
        """See Narrowing."""
        return f"json_extract({_opened(self._seal, 'details', row)}, ?)", [f"$.{field}"]


def _opened(seal: Seal, column: str, row: str = "memories") -> str:
    name = f"{row}.{column}"
    return f"unsealed({row}.tenant, {row}.id, '{column}', {name})" if seal.active else name


@contextmanager
def _moment(path: Path, _whose: Whose) -> Iterator[apsw.Connection]:
    """Hold on to this moment; while it is held, the write-ahead log grows with every write."""
    connection = open_reader(path)
    try:
        with translated():
            connection.execute("BEGIN")
            connection.execute("SELECT seq FROM feed").fetchall()  # the first read fixes the moment
        yield connection
    finally:
        connection.close()
