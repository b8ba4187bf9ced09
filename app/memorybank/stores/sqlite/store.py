"""MemoryStore on SQLite: one writing thread, a few reading ones."""

from __future__ import annotations

import asyncio
import json
import queue
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import apsw

from memorybank.domain.audit import AuditEvent, EventKind
from memorybank.domain.duplicates import fingerprint
from memorybank.domain.feed import FeedPage
from memorybank.domain.memory import (
    Link,
    LinkType,
    Memory,
    MemoryChange,
    MemoryFilter,
    MemoryPage,
    MemoryState,
    RevisionPage,
    Touch,
)
from memorybank.encryption import KeyRing
from memorybank.errors import InvalidRequest, StoreUnavailable
from memorybank.lanes import Lanes
from memorybank.ports import Claim, Move, PoolStatus, StoreStats, Vector
from memorybank.stores.sqlite import life, rows
from memorybank.stores.sqlite.access import AccessTables
from memorybank.stores.sqlite.audit import Recorder, done
from memorybank.stores.sqlite.care import CareTables
from memorybank.stores.sqlite.connection import open_reader, open_writer
from memorybank.stores.sqlite.embeddings import WITH_VECTOR, EmbeddingTables, VectorTable, register
from memorybank.stores.sqlite.errors import (
    Damage,
    refused_by_trigger,
    translated,
    translated_at_start,
)
from memorybank.stores.sqlite.feed import read_page
from memorybank.stores.sqlite.forgetting import ForgettingTables
from memorybank.stores.sqlite.lock import DataFolderLock
from memorybank.stores.sqlite.sealing import seal_for, unsealed
from memorybank.stores.sqlite.transfer import TransferTables
from memorybank.stores.sqlite.writer import Writer

Answer = TypeVar("Answer")

_READERS = 3
"""Reads hold no lock against writes and mostly hit the page cache; more threads gain nothing."""

_PLACES = rows.placeholders(rows.WRITTEN_COLUMNS)


class SqliteStore:
    """One SQLite file, exclusively ours.

    Acknowledged writes survive a crash of the process and of the machine. `seq` counts every
    change in commit order. A memory that changed several times appears in the feed once, with its
    newest state; one whose vector came from another embedding model than `model` appears there
    without vector, since vectors of different models must not be compared.
    """

    def __init__(
        self,
        path: Path,
        *,
        model: str,
        audited: Iterable[EventKind] = (),
        ring: KeyRing | None = None,
        checkpoints: bool = True,
    ) -> None:
        self._vectors = VectorTable(model)
        self._lock = DataFolderLock(path)
        try:
            self._seal = seal_for(ring)
            connection = open_writer(path, checkpoints=checkpoints)
            self._attach(connection, path)
            self._readers: queue.SimpleQueue[apsw.Connection] = queue.SimpleQueue()
            for _ in range(_READERS):
                self._readers.put(self._reader(path))
        except BaseException:
            self._lock.release()
            raise
        self._damage = Damage()
        self._writer = Writer(connection, Recorder(audited), self._seal, self._damage)
        self._lanes = Lanes("sqlite-reader", _READERS)
        self._closed = False
        self._access = AccessTables(
            read=self._read,
            write=self._writer.run,
            empty_log=self._writer.empty_log,
            seal=self._seal,
        )
        self._transfer = TransferTables(
            path, self._vectors, self._seal, read=self._read, write=self._writer.run
        )
        self._care = CareTables(path, self._read, self._damage, self._busy)
        self._embeddings = EmbeddingTables(
            self._vectors, self._seal, read=self._read, write=self._writer.run
        )
        self._forgetting = ForgettingTables(read=self._read, write=self._writer.run)

    @property
    def access(self) -> AccessTables:
        """See MemoryStore."""
        return self._access

    @property
    def forgetting(self) -> ForgettingTables:
        """See MemoryStore."""
        return self._forgetting

    @property
    def transfer(self) -> TransferTables:
        """See MemoryStore."""
        return self._transfer

    @property
    def care(self) -> CareTables:
        """See MemoryStore."""
        return self._care

    @property
    def embeddings(self) -> EmbeddingTables:
        """See MemoryStore."""
        return self._embeddings

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        model: str,
        audited: Iterable[EventKind] = (),
        ring: KeyRing | None = None,
        checkpoints: bool = True,
    ) -> SqliteStore:
        """Open or create the database and bring its schema up to date.

        `model` names the embedding space of the vectors to come, `audited` the events that the
        audit log records; with a `ring` the bank is encrypted; without `checkpoints` the
        write-ahead log is left to a replication tool. Raises ConfigurationError when the file
        cannot be used, also because another process uses it or the ring is the wrong one;
        StoreUnavailable when the disk fails.
        """
        return await asyncio.to_thread(
            cls, path, model=model, audited=audited, ring=ring, checkpoints=checkpoints
        )

    async def add(self, memory: Memory, vector: Vector) -> int:
        """See MemoryStore. Raises InvalidRequest when the tenant has this id already."""
        return await self.add_many([(memory, vector)])

    async def add_many(self, items: Sequence[tuple[Memory, Vector]]) -> int:
        """See MemoryStore. Raises InvalidRequest when the tenant has one of the ids already."""
        return await self._writer.run(self._insertion(items), _created(items))

    async def add_claimed(
        self, items: Sequence[tuple[Memory, Vector]], claim: Claim, *, since: datetime
    ) -> int:
        """See LifeStore."""
        insert = self._insertion(items)

        def write(connection: apsw.Connection) -> int:
            life.keep_claim(connection, claim, self._seal, since=since)
            return insert(connection)

        return await self._writer.run(write, _created(items))

    def _insertion(
        self, items: Sequence[tuple[Memory, Vector]]
    ) -> Callable[[apsw.Connection], int]:
        """Prepare here what the writing thread need not do."""
        prepared = [
            (
                rows.written_row(memory, self._seal),
                vector,
                rows.to_blob(vector, memory, self._seal),
            )
            for memory, vector in items
        ]

        def write(connection: apsw.Connection) -> int:
            seq = 0
            for row, vector, blob in prepared:
                seq = life.next_seq(connection)
                try:
                    connection.execute(
                        f"INSERT INTO memories (created_seq, seq, {rows.WRITTEN_COLUMNS})"
                        f" VALUES (?, ?, {_PLACES})",
                        (seq, seq, *row),
                    )
                except apsw.ConstraintError as error:
                    raise refused_by_trigger(error) or InvalidRequest(
                        "a memory with this id exists already",
                        field="id",
                        hint="choose another id",
                    ) from None
                self._vectors.replace(connection, seq, vector, blob)
            return seq

        return write

    async def get(self, tenant: str, memory_id: str) -> Memory | None:
        """See MemoryStore."""
        found = await self.get_many(tenant, [memory_id])
        return found[0] if found else None

    async def replace(self, memory: Memory, vector: Vector | None) -> int | None:
        """See MemoryStore."""
        row = rows.written_row(memory, self._seal)
        blob = None if vector is None else rows.to_blob(vector, memory, self._seal)

        def write(connection: apsw.Connection) -> int | None:
            created_seq = life.created_seq(connection, memory.tenant, memory.id)
            if created_seq is None:
                return None
            seq = life.next_seq(connection)
            connection.execute(
                f"UPDATE memories SET (seq, {rows.WRITTEN_COLUMNS}) = (?, {_PLACES})"
                " WHERE created_seq = ?",
                (seq, *row, created_seq),
            )
            if vector is not None and blob is not None:
                self._vectors.replace(connection, created_seq, vector, blob)
            return seq

        event = _event(EventKind.WRITE, "update", memory)
        return await self._writer.run(write, done(event))

    async def revise(
        self,
        changes: Sequence[tuple[Memory, Vector | None]],
        *,
        by: str,
        action: str,
        added: Sequence[tuple[Memory, Vector]] = (),
    ) -> int | None:
        """See LifeStore."""
        insert = self._insertion(added)

        def write(connection: apsw.Connection) -> int:
            for memory, vector in changes:
                row = life.revise(connection, memory, self._seal, by=by, action=action)
                if row is None:
                    raise _Outdated
                if vector is not None:
                    blob = rows.to_blob(vector, memory, self._seal)
                    self._vectors.replace(connection, row, vector, blob)
            insert(connection)
            return _last_seq(connection)

        def events(answer: int) -> list[AuditEvent]:
            revised = [_event(EventKind.WRITE, action, memory) for memory, _ in changes]
            return [*revised, *_created(added)(answer)]

        try:
            return await self._writer.run(write, events)
        except _Outdated:
            return None

    async def history(
        self, tenant: str, memory_id: str, *, before: int | None, limit: int
    ) -> RevisionPage | None:
        """See LifeStore."""
        return await self._read(
            lambda connection: life.history(
                connection, tenant, memory_id, self._seal, before=before, limit=limit
            )
        )

    async def move(self, tenant: str, moves: Sequence[Move]) -> int | None:
        """See LifeStore."""

        def write(connection: apsw.Connection) -> dict[Move, int]:
            changes = {move: life.move(connection, tenant, move) for move in moves}
            return {move: seq for move, seq in changes.items() if seq is not None}

        def events(moved: dict[Move, int]) -> list[AuditEvent]:
            return [
                AuditEvent(
                    EventKind.DELETE if move.state is MemoryState.TRASH else EventKind.WRITE,
                    "memory.move",
                    tenant,
                    move.memory_id,
                    {"state": move.state.value},
                )
                for move in moved
            ]

        return max((await self._writer.run(write, events)).values(), default=None)

    async def mark(
        self, tenant: str, memory_id: str, *, pinned: bool | None, legal_hold: bool | None
    ) -> int | None:
        """See LifeStore."""
        flags = {"pinned": pinned, "legal_hold": legal_hold}
        details = {name: int(value) for name, value in flags.items() if value is not None}
        return await self._writer.run(
            lambda connection: life.mark(
                connection, tenant, memory_id, pinned=pinned, legal_hold=legal_hold
            ),
            done(AuditEvent(EventKind.WRITE, "memory.mark", tenant, memory_id, details)),
        )

    async def touch(self, touches: Sequence[Touch]) -> None:
        """See LifeStore."""
        await self._writer.run(lambda connection: life.touch(connection, touches))

    async def same_words(self, tenant: str, texts: Sequence[str]) -> list[list[Memory]]:
        """See LifeStore."""
        fingerprints = [self._seal.fingerprint(tenant, fingerprint(text)) for text in texts]
        return await self._read(
            lambda connection: [
                life.same_words(connection, tenant, each, self._seal) for each in fingerprints
            ]
        )

    async def find_claim(self, tenant: str, key_id: str, name: str) -> Claim | None:
        """See LifeStore."""
        return await self._read(
            lambda connection: life.find_claim(connection, tenant, key_id, name, self._seal)
        )

    async def link(self, tenant: str, link: Link) -> bool | None:
        """See LifeStore."""
        details = {"target": link.target, "type": link.type.value}
        return await self._writer.run(
            lambda connection: life.link(connection, tenant, link),
            done(AuditEvent(EventKind.WRITE, "memory.link", tenant, link.source, details)),
        )

    async def unlink(self, tenant: str, source: str, target: str, kind: LinkType | None) -> int:
        """See LifeStore."""
        event = AuditEvent(EventKind.DELETE, "memory.unlink", tenant, source, {"target": target})
        return await self._writer.run(
            lambda connection: life.unlink(connection, tenant, source, target, kind),
            lambda count: [event] if count else [],
        )

    async def links(self, tenant: str, memory_id: str) -> list[Link] | None:
        """See LifeStore."""
        return await self._read(lambda connection: life.links(connection, tenant, memory_id))

    async def delete(self, tenant: str, memory_id: str) -> int | None:
        """See MemoryStore."""

        def write(connection: apsw.Connection) -> int | None:
            created_seq = life.created_seq(connection, tenant, memory_id)
            if created_seq is None:
                return None
            connection.execute(
                "DELETE FROM memories WHERE created_seq = ? AND NOT legal_hold", (created_seq,)
            )
            if not connection.changes():
                return None
            seq = life.next_seq(connection)
            connection.execute("INSERT INTO deletions VALUES (?, ?, ?)", (seq, tenant, memory_id))
            return seq

        event = AuditEvent(EventKind.DELETE, "memory.delete", tenant, memory_id)
        return await self._writer.run(write, done(event))

    async def list_memories(
        self, tenant: str, where: MemoryFilter, *, limit: int, cursor: str | None
    ) -> MemoryPage:
        """See MemoryStore. Pages never skip or repeat a memory, whatever is added meanwhile."""
        before = None if cursor is None else rows.decode_cursor(tenant, where, cursor)
        clause, values = rows.condition(tenant, where, self._seal)

        def read(connection: apsw.Connection) -> MemoryPage:
            page_clause, page_values = clause, values
            if before is not None:
                page_clause, page_values = f"{clause} AND created_seq < ?", [*values, before]
            with connection:  # the page and the total are of the same moment
                total = connection.execute(
                    f"SELECT count(*) FROM memories WHERE {clause}", values
                ).get
                page: Sequence[rows.Row] = connection.execute(
                    f"SELECT {rows.MEMORY_COLUMNS}, created_seq FROM memories WHERE {page_clause}"
                    " ORDER BY created_seq DESC LIMIT ?",
                    [*page_values, limit + 1],
                ).fetchall()
            next_cursor = None
            if len(page) > limit:
                page = page[:limit]
                next_cursor = rows.encode_cursor(tenant, where, page[-1][-1])
            return MemoryPage(
                [rows.memory_from(row, self._seal) for row in page], next_cursor, total
            )

        return await self._read(read)

    async def get_many(self, tenant: str, ids: Sequence[str]) -> list[Memory]:
        """See MemoryStore."""
        wanted = json.dumps(list(ids))

        def read(connection: apsw.Connection) -> list[Memory]:
            # CROSS JOIN keeps the order of the ids as the outer loop, hence the order of the rows.
            found = connection.execute(
                f"SELECT {rows.MEMORY_COLUMNS} FROM"
                " (SELECT key AS place, value AS wanted FROM json_each(?)) CROSS JOIN memories"
                " WHERE tenant = ? AND id = wanted ORDER BY place",
                (wanted, tenant),
            )
            return [rows.memory_from(row, self._seal) for row in found]

        return await self._read(read)

    async def changes(
        self, after: int, *, limit: int, model: str | None = None
    ) -> list[MemoryChange]:
        """See MemoryStore."""
        wanted = model or self._vectors.model

        def read(connection: apsw.Connection) -> list[MemoryChange]:
            with connection:  # both halves are of the same moment
                changed: Sequence[rows.Row] = connection.execute(
                    f"SELECT {rows.MEMORY_COLUMNS}, seq, vector FROM {WITH_VECTOR}"
                    " WHERE seq > ? ORDER BY seq LIMIT ?",
                    (wanted, after, limit),
                ).fetchall()
                deleted: Sequence[rows.Row] = connection.execute(
                    "SELECT seq, tenant, memory_id FROM deletions"
                    " WHERE seq > ? ORDER BY seq LIMIT ?",
                    (after, limit),
                ).fetchall()
            feed = [self._change(row) for row in changed]
            feed += [MemoryChange(seq, tenant, gone, None, None) for seq, tenant, gone in deleted]
            return sorted(feed, key=lambda change: change.seq)[:limit]

        return await self._read(read)

    async def feed(self, after: int, *, limit: int, model: str | None = None) -> FeedPage:
        """See MemoryStore."""
        wanted = model or self._vectors.model
        return await self._read(
            lambda connection: read_page(
                connection, after, limit=limit, model=wanted, seal=self._seal
            )
        )

    async def stats(self) -> StoreStats:
        """See MemoryStore."""

        def read(connection: apsw.Connection) -> StoreStats:
            memories, changed, deleted = connection.execute(
                "SELECT (SELECT count(*) FROM memories), (SELECT max(seq) FROM memories),"
                " (SELECT max(seq) FROM deletions)"
            ).get
            return StoreStats(memories, max(changed or 0, deleted or 0))

        return await self._read(read)

    async def check(self) -> None:
        """See MemoryStore. Writes a number that nobody misses, and reads it back."""
        written = await self._writer.run(life.next_seq)
        read = await self._read(_last_seq)
        if read < written:
            raise StoreUnavailable("the database does not read back what was written")

    async def close(self) -> None:
        """See MemoryStore. May be called more than once."""
        if self._closed:
            return
        self._closed = True
        await asyncio.to_thread(self._release)

    def _release(self) -> None:
        self._lanes.close()
        for _ in range(_READERS):
            self._readers.get().close()
        self._writer.close()
        self._lock.release()

    def _attach(self, connection: apsw.Connection, path: Path) -> None:
        try:
            with translated_at_start(path):
                if self._seal.active:
                    connection.pragma("secure_delete", True)  # destroyed keys leave no trace
                self._seal.attach(connection, path)
                register(connection, self._vectors.model)
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
        return PoolStatus(_READERS, _READERS - self._readers.qsize(), self._writer.waiting)

    async def _read(self, read: Callable[[apsw.Connection], Answer]) -> Answer:
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

    def _change(self, row: rows.Row) -> MemoryChange:
        *_, seq, blob = row
        memory = rows.memory_from(row, self._seal)
        vector = (
            None if blob is None else rows.vector_from(blob, memory.tenant, memory.id, self._seal)
        )
        return MemoryChange(seq, memory.tenant, memory.id, memory, vector)


class _Outdated(Exception):
    """A change of a memory that is gone, or that was changed since it was read."""


def _event(kind: EventKind, action: str, memory: Memory) -> AuditEvent:
    return AuditEvent(kind, f"memory.{action}", memory.tenant, memory.id)


def _created(
    items: Sequence[tuple[Memory, Vector]],
) -> Callable[[object], list[AuditEvent]]:
    """Return what says that memories were made."""
    return lambda _answer: [_event(EventKind.WRITE, "create", memory) for memory, _ in items]


def _last_seq(connection: apsw.Connection) -> int:
    return int(connection.execute("SELECT seq FROM feed").get)
