"""Vectors of memories, by embedding space: which there are, which lack, which are in use.

A memory without a vector of a space is one that has no row of it, because the embedder was down
when it was stored, or because the space is new. Nothing else says so: what is pending is read from
the rows themselves, so it survives a crash and cannot be out of step with them.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from memorybank.domain.times import from_microseconds, maybe_moment
from memorybank.errors import Conflict
from memorybank.ports import EmbeddingProgress, Generation, GenerationState, Unembedded, Vector
from memorybank.spaces import space_of
from memorybank.stores.sql import life, rows
from memorybank.stores.sql.connection import EVERYONE, NOBODY, Connection, Run, Write
from memorybank.stores.sql.sealing import Seal

GENERATION = "(SELECT id FROM generations WHERE model = ?)"
"""In SQL, the id of the space of a name."""

WITH_VECTOR = (
    "memories LEFT JOIN vectors ON vectors.created_seq = memories.created_seq"
    f" AND generation = {GENERATION}"
)
"""In SQL, memories with their vectors of a space."""


class VectorTable:
    """Writes and drops vectors, in the transaction of whoever changes their memories."""

    def __init__(self, model: str) -> None:
        """`model` names the space in use, until it is set to another."""
        self.model = model

    def replace(
        self, connection: Connection, created_seq: int, vector: Vector, blob: bytes
    ) -> None:
        """Give a text its only vector: those of all other spaces are of what it said before."""
        connection.execute("DELETE FROM vectors WHERE created_seq = ?", (created_seq,))
        self.add(connection, created_seq, vector, blob)

    def add(self, connection: Connection, created_seq: int, vector: Vector, blob: bytes) -> None:
        """Give a text that has none its vector.

        `blob` is the vector as it is stored; empty for PENDING.
        """
        if blob:
            self.put(connection, created_seq, space_of(vector) or self.model, blob)

    def put(self, connection: Connection, created_seq: int, model: str, blob: bytes) -> None:
        """Store a vector; one of a space that was dropped meanwhile is dropped as well."""
        connection.execute(
            "INSERT INTO vectors (created_seq, generation, vector)"
            " SELECT ?, id, ? FROM generations WHERE model = ?"
            " ON CONFLICT (created_seq, generation) DO UPDATE SET vector = excluded.vector",
            (created_seq, blob, model),
        )


class EmbeddingTables:
    """See EmbeddingStore."""

    def __init__(self, vectors: VectorTable, seal: Seal, *, read: Run, write: Write) -> None:
        self._vectors = vectors
        self._seal = seal
        self._read = read
        self._write = write

    async def unembedded(
        self, after: int, *, limit: int, model: str | None = None
    ) -> list[Unembedded]:
        """See EmbeddingStore."""
        wanted = model or self._vectors.model

        def read(connection: Connection) -> list[Unembedded]:
            found = connection.execute(
                f"SELECT {rows.MEMORY_COLUMNS}, memories.created_seq, seq FROM {WITH_VECTOR}"
                " WHERE memories.created_seq > ? AND vector IS NULL"
                " ORDER BY memories.created_seq LIMIT ?",
                (wanted, after, limit),
            )
            return [
                Unembedded(position=row[-2], seq=row[-1], memory=rows.memory_from(row, self._seal))
                for row in found
            ]

        return await self._read(EVERYONE, read)

    async def embedded(
        self, items: Sequence[tuple[Unembedded, Vector]], *, model: str | None = None
    ) -> tuple[int, int]:
        """See EmbeddingStore."""
        prepared = [(item, rows.to_blob(vector, item.memory, self._seal)) for item, vector in items]

        def write(connection: Connection) -> tuple[int, int]:
            space = model or self._vectors.model
            newest = count = 0
            for item, blob in prepared:
                if not connection.execute(
                    "SELECT 1 FROM memories WHERE created_seq = ? AND seq = ?",
                    (item.position, item.seq),
                ).fetchone():
                    continue
                count += 1
                self._vectors.put(connection, item.position, space, blob)
                if space == self._vectors.model:
                    newest = life.next_seq(connection)
                    connection.execute(
                        "UPDATE memories SET seq = ? WHERE created_seq = ?",
                        (newest, item.position),
                    )
            return newest, count

        return await self._write(EVERYONE, write)

    async def progress(self, *, model: str | None = None) -> EmbeddingProgress:
        """See EmbeddingStore."""
        wanted = model or self._vectors.model

        def read(connection: Connection) -> EmbeddingProgress:
            memories, embedded = connection.execute(
                "SELECT (SELECT count(*) FROM memories),"
                f" (SELECT count(*) FROM vectors WHERE generation = {GENERATION})",
                (wanted,),
            ).get
            return EmbeddingProgress(wanted, memories=memories, embedded=embedded)

        return await self._read(EVERYONE, read)

    async def known_dimensions(self, *, model: str | None = None) -> int | None:
        """See EmbeddingStore."""
        wanted = model or self._vectors.model

        def read(connection: Connection) -> int | None:
            row = connection.execute(
                f"SELECT length(vector) FROM vectors WHERE generation = {GENERATION} LIMIT 1",
                (wanted,),
            ).fetchone()
            return None if row is None else (int(row[0]) - self._seal.overhead) // 4

        return await self._read(EVERYONE, read)

    async def generations(self) -> list[Generation]:
        """See EmbeddingStore."""

        def read(connection: Connection) -> list[Generation]:
            found: Sequence[rows.Row] = connection.execute(
                "SELECT model, state, embedder, dimensions, created_at, activated_at,"
                " (SELECT count(*) FROM vectors WHERE generation = generations.id)"
                " FROM generations ORDER BY id"
            ).fetchall()
            return [
                Generation(
                    model=model,
                    state=GenerationState(state),
                    embedder=embedder,
                    dimensions=dimensions,
                    created_at=from_microseconds(created),
                    activated_at=maybe_moment(activated),
                    vectors=vectors,
                )
                for model, state, embedder, dimensions, created, activated, vectors in found
            ]

        return await self._read(EVERYONE, read)

    async def describe(self, model: str, *, embedder: str, dimensions: int) -> None:
        """See EmbeddingStore."""
        await self._write(
            NOBODY,
            lambda connection: connection.execute(
                "UPDATE generations SET (embedder, dimensions) = (?, ?) WHERE model = ?",
                (embedder, dimensions, model),
            ),
        )

    def use(self, model: str) -> None:
        """See EmbeddingStore."""
        self._vectors.model = model

    async def activate(self, model: str, *, refuse: bool = False) -> None:
        """See EmbeddingStore."""

        def write(connection: Connection) -> None:
            activate(connection, model, before="refused" if refuse else "kept")
            self._vectors.model = model

        await self._write(NOBODY, write)

    async def resume(self, model: str) -> bool:
        """See EmbeddingStore."""

        def write(connection: Connection) -> bool:
            connection.execute(
                "UPDATE generations SET state = 'building' WHERE model = ? AND state = 'refused'",
                (model,),
            )
            return connection.changes() > 0

        return await self._write(NOBODY, write)

    async def discard(self, *, but: str) -> int:
        """See EmbeddingStore."""

        def write(connection: Connection) -> int:
            clause = "state <> 'active' AND model <> ?"
            connection.execute(
                "DELETE FROM vectors WHERE generation IN"
                f" (SELECT id FROM generations WHERE {clause})",
                (but,),
            )
            count = connection.changes()
            connection.execute(f"DELETE FROM generations WHERE {clause}", (but,))
            return count

        return await self._write(EVERYONE, write)


def register(connection: Connection, model: str) -> None:
    """Make sure that there is a generation of this model, the active one when there is no other.

    An active one without any vector has nothing to serve, so it makes way at once. Of the others
    only this one is filled.
    """
    with connection:
        connection.execute(
            "INSERT INTO generations (model, state, created_at) VALUES (?, 'building', ?)"
            " ON CONFLICT (model) DO NOTHING",
            (model, time.time_ns() // 1_000),
        )
        served = connection.execute(
            "SELECT model FROM generations WHERE state = 'active'"
            " AND EXISTS (SELECT 1 FROM vectors WHERE generation = generations.id)"
        ).fetchone()
        if served is None:
            activate(connection, model, before="kept")
        else:
            connection.execute(
                "UPDATE generations SET state = CASE WHEN model <> ? THEN 'kept'"
                " WHEN state = 'refused' THEN 'refused' ELSE 'building' END WHERE model <> ?",
                (model, served[0]),
            )


def activate(connection: Connection, model: str, *, before: str) -> None:
    """Make a generation the active one; the one before becomes `before`. Raises Conflict."""
    connection.execute("UPDATE generations SET state = ? WHERE state = 'active'", (before,))
    connection.execute(
        "UPDATE generations SET (state, activated_at) = ('active', ?) WHERE model = ?",
        (time.time_ns() // 1_000, model),
    )
    if not connection.changes():
        raise Conflict("these vectors were discarded", hint="change the model in the settings")
