"""MemoryStore on a SQL database; the databases themselves are in packages of their own."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

from memorybank.domain.audit import AuditEvent, EventKind
from memorybank.domain.duplicates import fingerprint
from memorybank.domain.feed import FeedPage
from memorybank.domain.memory import (
    Condition,
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
from memorybank.errors import StoreUnavailable
from memorybank.ports import Claim, Move, StoreCare, StoreStats, Vector
from memorybank.stores.sql import admission, life, rows
from memorybank.stores.sql.access import AccessTables
from memorybank.stores.sql.audit import done
from memorybank.stores.sql.connection import (
    EVERYONE,
    NOBODY,
    Connection,
    Dialect,
    Run,
    Whose,
    Write,
    whose,
)
from memorybank.stores.sql.consolidation import ConsolidationTables
from memorybank.stores.sql.edges import EdgeTables, ordered_link
from memorybank.stores.sql.embeddings import WITH_VECTOR, EmbeddingTables, VectorTable
from memorybank.stores.sql.feed import read_page
from memorybank.stores.sql.forgetting import ForgettingTables
from memorybank.stores.sql.sealing import Seal
from memorybank.stores.sql.steps import StepTables
from memorybank.stores.sql.transfer import Moment, TransferTables

_PLACES = rows.placeholders(rows.WRITTEN_COLUMNS)


class SqlStore(ABC):
    """What a store on a SQL database does, whichever it is.

    `seq` counts every change in commit order. A memory that changed several times appears in the
    feed once, with its newest state; one whose vector came from another embedding model than
    `model` appears there without vector, since vectors of different models must not be compared.
    """

    def __init__(
        self,
        dialect: Dialect,
        vectors: VectorTable,
        seal: Seal,
        *,
        read: Run,
        write: Write,
        moment: Moment,
        empty_log: Callable[[], Awaitable[bool]],
    ) -> None:
        """`empty_log` leaves nothing that was overwritten in a log; False when that must wait."""
        self._dialect = dialect
        self._vectors = vectors
        self._seal = seal
        self._read = read
        self._write = write
        self._access = AccessTables(dialect, seal, read=read, write=write, empty_log=empty_log)
        self._transfer = TransferTables(
            dialect, vectors, seal, read=read, write=write, moment=moment
        )
        self._embeddings = EmbeddingTables(vectors, seal, read=read, write=write)
        self._forgetting = ForgettingTables(read=read, write=write)
        self._episodes = StepTables(seal, read=read, write=write)
        self._edges = EdgeTables(dialect, read=read)
        self._consolidation = ConsolidationTables(vectors, seal, read=read, write=write)
        self._closed = False

    @property
    def access(self) -> AccessTables:
        """See MemoryStore."""
        return self._access

    @property
    def forgetting(self) -> ForgettingTables:
        """See MemoryStore."""
        return self._forgetting

    @property
    def episodes(self) -> StepTables:
        """See MemoryStore."""
        return self._episodes

    @property
    def edges(self) -> EdgeTables:
        """See MemoryStore."""
        return self._edges

    @property
    def consolidation(self) -> ConsolidationTables:
        """See MemoryStore."""
        return self._consolidation

    @property
    def transfer(self) -> TransferTables:
        """See MemoryStore."""
        return self._transfer

    @property
    @abstractmethod
    def care(self) -> StoreCare:
        """See MemoryStore."""

    @property
    def embeddings(self) -> EmbeddingTables:
        """See MemoryStore."""
        return self._embeddings

    async def add(self, memory: Memory, vector: Vector) -> int:
        """See MemoryStore. Raises InvalidRequest when the tenant has this id already."""
        return await self.add_many([(memory, vector)])

    async def add_many(self, items: Sequence[tuple[Memory, Vector]]) -> int:
        """See MemoryStore. Raises InvalidRequest when the tenant has one of the ids already."""
        return await self._write(_owner(items), self._insertion(items), _created(items))

    async def add_claimed(
        self, items: Sequence[tuple[Memory, Vector]], claim: Claim, *, since: datetime
    ) -> int:
        """See LifeStore."""
        insert = self._insertion(items)

        def write(connection: Connection) -> int:
            life.keep_claim(connection, claim, self._seal, since=since)
            return insert(connection)

        return await self._write(claim.tenant, write, _created(items))

    def _insertion(self, items: Sequence[tuple[Memory, Vector]]) -> Callable[[Connection], int]:
        """Prepare here what the writing thread need not do."""
        prepared = [
            (
                rows.written_row(memory, self._seal),
                vector,
                rows.to_blob(vector, memory, self._seal),
            )
            for memory, vector in items
        ]

        def write(connection: Connection) -> int:
            seq = 0
            for row, vector, blob in prepared:
                seq = life.next_seq(connection)
                admission.insert(connection, self._dialect, seq, row)
                self._vectors.add(connection, seq, vector, blob)
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

        def write(connection: Connection) -> int | None:
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
        return await self._write(memory.tenant, write, done(event))

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

        def write(connection: Connection) -> int:
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
            return await self._write(_owner([*changes, *added]), write, events)
        except _Outdated:
            return None

    async def history(
        self, tenant: str, memory_id: str, *, before: int | None, limit: int
    ) -> RevisionPage | None:
        """See LifeStore."""
        return await self._read(
            tenant,
            lambda connection: life.history(
                connection, tenant, memory_id, self._seal, before=before, limit=limit
            ),
        )

    async def move(self, tenant: str, moves: Sequence[Move]) -> int | None:
        """See LifeStore."""

        def write(connection: Connection) -> dict[Move, int]:
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

        return max((await self._write(tenant, write, events)).values(), default=None)

    async def mark(
        self, tenant: str, memory_id: str, *, pinned: bool | None, legal_hold: bool | None
    ) -> int | None:
        """See LifeStore."""
        flags = {"pinned": pinned, "legal_hold": legal_hold}
        details = {name: int(value) for name, value in flags.items() if value is not None}
        return await self._write(
            tenant,
            lambda connection: life.mark(
                connection, tenant, memory_id, pinned=pinned, legal_hold=legal_hold
            ),
            done(AuditEvent(EventKind.WRITE, "memory.mark", tenant, memory_id, details)),
        )

    async def touch(self, touches: Sequence[Touch]) -> None:
        """See LifeStore."""
        await self._write(EVERYONE, lambda connection: life.touch(connection, touches))

    async def same_words(self, tenant: str, texts: Sequence[str]) -> list[list[Memory]]:
        """See LifeStore."""
        fingerprints = [self._seal.fingerprint(tenant, fingerprint(text)) for text in texts]
        return await self._read(
            tenant,
            lambda connection: [
                life.same_words(connection, tenant, each, self._seal) for each in fingerprints
            ],
        )

    async def find_claim(self, tenant: str, key_id: str, name: str) -> Claim | None:
        """See LifeStore."""
        return await self._read(
            tenant, lambda connection: life.find_claim(connection, tenant, key_id, name, self._seal)
        )

    async def link(self, tenant: str, link: Link) -> bool | None:
        """See LifeStore."""
        details = {"target": link.target, "type": link.type.value}
        return await self._write(
            tenant,
            lambda connection: ordered_link(connection, tenant, link),
            done(AuditEvent(EventKind.WRITE, "memory.link", tenant, link.source, details)),
        )

    async def unlink(self, tenant: str, source: str, target: str, kind: LinkType | None) -> int:
        """See LifeStore."""
        event = AuditEvent(EventKind.DELETE, "memory.unlink", tenant, source, {"target": target})
        return await self._write(
            tenant,
            lambda connection: life.unlink(connection, tenant, source, target, kind),
            lambda count: [event] if count else [],
        )

    async def contradictions(self, tenant: str, project: str | None, *, limit: int) -> list[Link]:
        """See LifeStore."""
        return await self._read(
            tenant, lambda connection: life.contradictions(connection, tenant, project, limit)
        )

    async def links(self, tenant: str, memory_id: str) -> list[Link] | None:
        """See LifeStore."""
        return await self._read(
            tenant, lambda connection: life.links(connection, tenant, memory_id)
        )

    async def delete(self, tenant: str, memory_id: str) -> int | None:
        """See MemoryStore."""

        def write(connection: Connection) -> int | None:
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
        return await self._write(tenant, write, done(event))

    async def list_memories(
        self,
        tenant: str,
        where: MemoryFilter,
        *,
        limit: int,
        cursor: str | None,
        details: Sequence[Condition] = (),
    ) -> MemoryPage:
        """See MemoryStore. Pages never skip or repeat a memory, whatever is added meanwhile."""
        before = None if cursor is None else rows.decode_cursor(tenant, where, cursor, details)
        condition = rows.condition(tenant, where)
        tags = sorted(where.tags_all)

        def read(connection: Connection) -> MemoryPage:
            with connection:  # the page and the total are of the same moment
                clause, values = condition
                if tags or details:
                    clause, values = self._holding(connection, clause, values, tags, details)
                page_clause, page_values = clause, values
                if before is not None:
                    page_clause, page_values = f"{clause} AND created_seq < ?", [*values, before]
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
                next_cursor = rows.encode_cursor(tenant, where, page[-1][-1], details)
            return MemoryPage(
                [rows.memory_from(row, self._seal) for row in page], next_cursor, total
            )

        return await self._read(tenant, read)

    async def newest(
        self, tenant: str, where: MemoryFilter, *, limit: int, details: Sequence[Condition] = ()
    ) -> list[Memory]:
        """See MemoryStore."""
        condition = rows.condition(tenant, where)
        tags = sorted(where.tags_all)

        def read(connection: Connection) -> list[Memory]:
            clause, values = condition
            if tags or details:
                clause, values = self._holding(connection, clause, values, tags, details)
            found = connection.execute(
                f"SELECT {rows.MEMORY_COLUMNS} FROM memories WHERE {clause}"
                " ORDER BY created_seq DESC LIMIT ?",
                [*values, limit],
            ).fetchall()
            return [rows.memory_from(row, self._seal) for row in found]

        return await self._read(tenant, read)

    async def get_many(self, tenant: str, ids: Sequence[str]) -> list[Memory]:
        """See MemoryStore."""
        wanted = self._dialect.bound_list(ids)

        def read(connection: Connection) -> list[Memory]:
            # CROSS JOIN keeps the order of the ids as the outer loop, hence the order of the rows.
            found = connection.execute(
                f"SELECT {rows.MEMORY_COLUMNS} FROM {self._dialect.listed} CROSS JOIN memories"
                " WHERE tenant = ? AND id = wanted ORDER BY place",
                (wanted, tenant),
            )
            return [rows.memory_from(row, self._seal) for row in found]

        return await self._read(tenant, read)

    async def changes(
        self, after: int, *, limit: int, model: str | None = None
    ) -> list[MemoryChange]:
        """See MemoryStore."""
        wanted = model or self._vectors.model

        def read(connection: Connection) -> list[MemoryChange]:
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

        return await self._read(EVERYONE, read)

    async def feed(self, after: int, *, limit: int, model: str | None = None) -> FeedPage:
        """See MemoryStore."""
        wanted = model or self._vectors.model
        return await self._read(
            EVERYONE,
            lambda connection: read_page(
                connection, after, limit=limit, model=wanted, seal=self._seal
            ),
        )

    async def stats(self) -> StoreStats:
        """See MemoryStore."""

        def read(connection: Connection) -> StoreStats:
            memories, changed, deleted = connection.execute(
                "SELECT (SELECT count(*) FROM memories), (SELECT max(seq) FROM memories),"
                " (SELECT max(seq) FROM deletions)"
            ).get
            return StoreStats(memories, max(changed or 0, deleted or 0))

        return await self._read(EVERYONE, read)

    async def check(self) -> None:
        """See MemoryStore. Writes a number that nobody misses, and reads it back."""
        written = await self._write(NOBODY, life.next_seq)
        read = await self._read(NOBODY, _last_seq)
        if read < written:
            raise StoreUnavailable("the database does not read back what was written")

    async def close(self) -> None:
        """See MemoryStore. May be called more than once."""
        if self._closed:
            return
        self._closed = True
        await asyncio.to_thread(self._release)

    @abstractmethod
    def _release(self) -> None:
        """Do what was accepted, then let go of the database; called once, in a thread."""

    @abstractmethod
    def _holding(
        self,
        connection: Connection,
        clause: str,
        values: rows.Bindings,
        tags: Sequence[str],
        details: Sequence[Condition],
    ) -> tuple[str, rows.Bindings]:
        """Narrow a condition on memories to those with all of the tags and details."""

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


def _owner(items: Sequence[tuple[Memory, Vector | None]]) -> Whose:
    return whose(memory.tenant for memory, _ in items)


def _last_seq(connection: Connection) -> int:
    return int(connection.execute("SELECT seq FROM feed").get)
