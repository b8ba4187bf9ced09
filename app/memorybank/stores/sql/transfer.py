"""What exports read and imports write: everything of one moment, and many memories at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any, TypeVar

from memorybank.domain.audit import AuditEvent, EventKind
from memorybank.domain.keys import ApiKey
from memorybank.domain.memory import Link, LinkType, Memory, Revision
from memorybank.domain.tenants import Tenant
from memorybank.domain.times import from_microseconds, to_microseconds
from memorybank.errors import MemoryBankError
from memorybank.ports import Kept, KeptLink, KeptRevision, KeptStep, Put, Snapshot
from memorybank.stores.sql import admission, keys, life, rows, steps, tenants
from memorybank.stores.sql.connection import (
    EVERYONE,
    Connection,
    Dialect,
    Run,
    Whose,
    Write,
    whose,
)
from memorybank.stores.sql.embeddings import WITH_VECTOR, VectorTable
from memorybank.stores.sql.sealing import Seal

Answer = TypeVar("Answer")

_PLACES = rows.placeholders(rows.WRITTEN_COLUMNS)
_ALL = "tenant IN (SELECT name FROM tenants WHERE state = 'active')"
_ONE = "tenant || '' = ?"
"""No index serves what is no column: that keeps the order of creation as the way through the table,
one pass over which gives all pages, where what an index finds would be sorted anew for each."""


Moment = Callable[[Whose], AbstractContextManager[Connection]]
"""Gives a connection of its own that sees one moment only; entered and left in any thread."""


class TransferTables:
    """See TransferStore. A snapshot has a connection of its own; writes share the one writer."""

    def __init__(
        self,
        dialect: Dialect,
        vectors: VectorTable,
        seal: Seal,
        *,
        read: Run,
        write: Write,
        moment: Moment,
    ) -> None:
        self._dialect = dialect
        self._moment = moment
        self._seal = seal
        self._vectors = vectors
        self._read = read
        self._write = write

    @asynccontextmanager
    async def snapshot(self, tenant: str | None) -> AsyncIterator[Snapshot]:
        """See TransferStore."""
        held = self._moment(EVERYONE if tenant is None else tenant)
        connection = await asyncio.to_thread(held.__enter__)
        try:
            yield SqlSnapshot(
                connection, tenant, self._seal, self._vectors.model, self._dialect.translated
            )
        finally:
            await asyncio.to_thread(held.__exit__, None, None, None)

    async def find_many(self, names: Sequence[tuple[str, str]]) -> list[Memory]:
        """See TransferStore."""
        wanted = self._dialect.bound_pairs(names)

        def read(connection: Connection) -> list[Memory]:
            # CROSS JOIN: SQLite must look each name up, not go through the table.
            found = connection.execute(
                f"SELECT {rows.MEMORY_COLUMNS} FROM {self._dialect.paired} CROSS JOIN memories"
                " WHERE tenant = whose AND id = wanted",
                wanted,
            )
            return [rows.memory_from(row, self._seal) for row in found]

        return await self._read(whose(name for name, _ in names), read)

    async def put_many(
        self, items: Sequence[Kept], *, replace: bool
    ) -> tuple[int, list[Put | MemoryBankError]]:
        """See TransferStore."""
        prepared = [
            (each, rows.written_row(each.memory, self._seal), _blob(each, self._seal))
            for each in items
        ]

        def write(connection: Connection) -> tuple[int, list[Put | MemoryBankError]]:
            outcomes: list[Put | MemoryBankError] = []
            seq = int(connection.execute("SELECT seq FROM feed").get)
            for item, row, blob in prepared:
                try:
                    outcome = self._put(connection, item, row, blob, seq + 1, replace=replace)
                    outcomes.append(outcome)
                    seq += outcome is not Put.KEPT
                except MemoryBankError as refusal:
                    outcomes.append(refusal)
            connection.execute("UPDATE feed SET seq = ?", (seq,))
            return seq, outcomes

        def events(answer: tuple[int, list[Put | MemoryBankError]]) -> list[AuditEvent]:
            """Tell how many memories came to each tenant: ids are in the memories themselves."""
            counts: Counter[str] = Counter()
            for item, outcome in zip(items, answer[1], strict=True):
                if outcome in (Put.ADDED, Put.REPLACED):
                    counts[item.memory.tenant] += 1
            return [
                AuditEvent(EventKind.WRITE, "memory.import", tenant, None, {"memories": count})
                for tenant, count in counts.items()
            ]

        return await self._write(whose(each.memory.tenant for each in items), write, events)

    async def put_revisions(self, items: Sequence[KeptRevision]) -> list[bool | None]:
        """See TransferStore."""
        return await self._write(
            whose(each.revision.memory.tenant for each in items),
            lambda connection: [
                _put_revision(connection, each.revision, self._seal) for each in items
            ],
        )

    async def put_links(self, items: Sequence[KeptLink]) -> list[bool | None]:
        """See TransferStore."""
        return await self._write(
            whose(each.tenant for each in items),
            lambda connection: [life.link(connection, each.tenant, each.link) for each in items],
        )

    async def put_steps(self, items: Sequence[KeptStep]) -> list[bool | None]:
        """See TransferStore."""

        def write(connection: Connection) -> list[bool | None]:
            outcomes = [steps.put_step(connection, each, self._seal) for each in items]
            grown = {
                (each.tenant, each.episode): None
                for each, outcome in zip(items, outcomes, strict=True)
                if outcome
            }
            for tenant, episode in grown:
                life.renumbered(connection, tenant, episode)
            return outcomes

        return await self._write(whose(each.tenant for each in items), write)

    def _put(
        self,
        connection: Connection,
        item: Kept,
        row: tuple[Any, ...],
        blob: bytes | None,
        seq: int,
        *,
        replace: bool,
    ) -> Put:
        memory, vector = item.memory, item.vector
        there = connection.execute(
            "SELECT created_seq FROM memories WHERE tenant = ? AND id = ?",
            (memory.tenant, memory.id),
        ).get
        if there is not None and not replace:
            return Put.KEPT
        if there is None:
            admission.insert(connection, self._dialect, seq, row)
        else:
            connection.execute(
                f"UPDATE memories SET (seq, {rows.WRITTEN_COLUMNS}) = (?, {_PLACES})"
                " WHERE created_seq = ?",
                (seq, *row, there),
            )
        if there is not None and vector is not None and blob is not None:
            self._vectors.replace(connection, there, vector, blob)
        elif vector is not None and blob is not None:
            self._vectors.add(connection, seq, vector, blob)
        return Put.ADDED if there is None else Put.REPLACED


class SqlSnapshot:
    """One reading transaction, which sees the database as it was when it began."""

    def __init__(
        self,
        connection: Connection,
        tenant: str | None,
        seal: Seal,
        model: str,
        translated: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._model = model
        self._connection = connection
        self._tenant = tenant
        self._seal = seal
        self._translated = translated

    async def tenants(self) -> list[Tenant]:
        """See Snapshot."""

        def read(connection: Connection) -> list[Tenant]:
            if self._tenant is None:
                return tenants.every(connection)
            one = tenants.find(connection, self._tenant)
            return [] if one is None else [one]

        return await self._read(read)

    async def keys(self, tenant: str) -> list[ApiKey]:
        """See Snapshot."""
        return await self._read(lambda connection: keys.of_tenant(connection, tenant))

    async def memories(self, *, after: int, limit: int) -> list[Kept]:
        """See Snapshot."""
        clause, values = self._condition(_ONE)

        def read(connection: Connection) -> list[Kept]:
            found = connection.execute(
                f"SELECT {rows.MEMORY_COLUMNS}, memories.created_seq, vector FROM {WITH_VECTOR}"
                f" WHERE memories.created_seq > ? AND {clause}"
                " ORDER BY memories.created_seq LIMIT ?",
                (self._model, after, *values, limit),
            )
            return [_kept(row, self._seal, self._model) for row in found]

        return await self._read(read)

    async def revisions(self, *, after: tuple[int, int], limit: int) -> list[KeptRevision]:
        """See Snapshot."""
        clause, values = self._condition("tenant = ?")

        def read(connection: Connection) -> list[KeptRevision]:
            found = connection.execute(
                f"SELECT {rows.MEMORY_COLUMNS}, replaced_at, replaced_by, action, created_seq,"
                " revision FROM revisions"
                f" WHERE (created_seq, revision) > (?, ?) AND {clause}"
                " ORDER BY created_seq, revision LIMIT ?",
                (*after, *values, limit),
            )
            return [_revision(row, self._seal) for row in found]

        return await self._read(read)

    async def links(self, *, after: tuple[int, int, str], limit: int) -> list[KeptLink]:
        """See Snapshot."""
        clause, values = self._condition("tenant = ?")
        clause = clause.replace("tenant", "one.tenant", 1)

        def read(connection: Connection) -> list[KeptLink]:
            found = connection.execute(
                "SELECT one.tenant, one.id, other.id, links.type, links.created_at, source, target"
                " FROM links CROSS JOIN memories AS one CROSS JOIN memories AS other"
                " WHERE one.created_seq = source AND other.created_seq = target"
                f" AND (source, target, links.type) > (?, ?, ?) AND {clause}"
                " ORDER BY source, target, links.type LIMIT ?",
                (*after, *values, limit),
            )
            return [_link(row) for row in found]

        return await self._read(read)

    async def steps(self, *, after: tuple[int, int], limit: int) -> list[KeptStep]:
        """See Snapshot."""
        clause, values = self._condition("tenant = ?")
        clause = clause.replace("tenant", "steps.tenant", 1)

        def read(connection: Connection) -> list[KeptStep]:
            found = connection.execute(
                "SELECT steps.tenant, id, number, at, said, steps.created_seq"
                " FROM steps CROSS JOIN memories"
                " WHERE memories.created_seq = steps.created_seq"
                f" AND (steps.created_seq, number) > (?, ?) AND {clause}"
                " ORDER BY steps.created_seq, number LIMIT ?",
                (*after, *values, limit),
            )
            return [steps.kept_step(row, self._seal) for row in found]

        return await self._read(read)

    def _condition(self, of_one: str) -> tuple[str, Sequence[str]]:
        return (_ALL, ()) if self._tenant is None else (of_one, (self._tenant,))

    async def _read(self, read: Callable[[Connection], Answer]) -> Answer:
        def run() -> Answer:
            with self._translated():
                return read(self._connection)

        return await asyncio.to_thread(run)


def _kept(row: rows.Row, seal: Seal, model: str) -> Kept:
    *_, position, blob = row
    memory = rows.memory_from(row, seal)
    vector = None if blob is None else rows.vector_from(blob, memory.tenant, memory.id, seal)
    return Kept(memory, vector, model=model, position=position)


def _revision(row: rows.Row, seal: Seal) -> KeptRevision:
    *_, at, by, action, source, number = row
    revision = Revision(rows.memory_from(row, seal), from_microseconds(at), by, action)
    return KeptRevision(revision, (source, number))


def _link(row: rows.Row) -> KeptLink:
    tenant, one, other, kind, at, source, target = row
    link = Link(one, other, LinkType(kind), from_microseconds(at))
    return KeptLink(tenant, link, (source, target, kind))


def _put_revision(connection: Connection, revision: Revision, seal: Seal) -> bool | None:
    memory = revision.memory
    newest = connection.execute(
        "SELECT created_seq, revision FROM memories WHERE tenant = ? AND id = ?",
        (memory.tenant, memory.id),
    ).fetchone()
    if newest is None or newest[1] <= memory.revision:
        return None
    connection.execute(
        "INSERT INTO revisions"
        f" (created_seq, replaced_at, replaced_by, action, {rows.MEMORY_COLUMNS})"
        f" VALUES (?, ?, ?, ?, {rows.placeholders(rows.MEMORY_COLUMNS)}) ON CONFLICT DO NOTHING",
        (
            newest[0],
            to_microseconds(revision.replaced_at),
            revision.replaced_by,
            revision.action,
            *rows.memory_row(memory, seal),
        ),
    )
    return bool(connection.changes())


def _blob(item: Kept, seal: Seal) -> bytes | None:
    return None if item.vector is None else rows.to_blob(item.vector, item.memory, seal)
