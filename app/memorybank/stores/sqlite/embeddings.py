"""Which memories lack a vector of the embedding space in use, and giving it to them.

A memory without one is one whose vector is missing, because the embedder was down when it was
stored, or is of another model, because the model was changed. Nothing else says so: what is pending
is read from the rows themselves, so it survives a crash and cannot be out of step with them.
"""

from __future__ import annotations

from collections.abc import Sequence

import apsw

from memorybank.ports import EmbeddingProgress, Unembedded, Vector
from memorybank.stores.sqlite import life, rows
from memorybank.stores.sqlite.access import Run, Write
from memorybank.stores.sqlite.sealing import Seal


class EmbeddingTables:
    """See EmbeddingStore."""

    def __init__(self, model: str, seal: Seal, *, read: Run, write: Write) -> None:
        self._model = model
        self._seal = seal
        self._read = read
        self._write = write

    async def unembedded(self, after: int, *, limit: int) -> list[Unembedded]:
        """See EmbeddingStore."""

        def read(connection: apsw.Connection) -> list[Unembedded]:
            found = connection.execute(
                f"SELECT {rows.MEMORY_COLUMNS}, created_seq, seq"
                " FROM memories LEFT JOIN vectors USING (created_seq)"
                " WHERE created_seq > ? AND model IS NOT ? ORDER BY created_seq LIMIT ?",
                (after, self._model, limit),
            )
            return [
                Unembedded(position=row[-2], seq=row[-1], memory=rows.memory_from(row, self._seal))
                for row in found
            ]

        return await self._read(read)

    async def embedded(self, items: Sequence[tuple[Unembedded, Vector]]) -> tuple[int, int]:
        """See EmbeddingStore."""
        prepared = [(item, rows.to_blob(vector, item.memory, self._seal)) for item, vector in items]

        def write(connection: apsw.Connection) -> tuple[int, int]:
            newest = count = 0
            for item, blob in prepared:
                seq = life.next_seq(connection)
                connection.execute(
                    "UPDATE memories SET seq = ? WHERE created_seq = ? AND seq = ?",
                    (seq, item.position, item.seq),
                )
                if connection.changes():
                    newest, count = seq, count + 1
                    connection.execute(
                        "INSERT OR REPLACE INTO vectors (created_seq, model, vector)"
                        " VALUES (?, ?, ?)",
                        (item.position, self._model, blob),
                    )
            return newest, count

        return await self._write(write)

    async def progress(self) -> EmbeddingProgress:
        """See EmbeddingStore."""

        def read(connection: apsw.Connection) -> EmbeddingProgress:
            memories, embedded = connection.execute(
                "SELECT (SELECT count(*) FROM memories),"
                " (SELECT count(*) FROM vectors WHERE model = ?)",
                (self._model,),
            ).get
            return EmbeddingProgress(self._model, memories=memories, embedded=embedded)

        return await self._read(read)

    async def known_dimensions(self) -> int | None:
        """See EmbeddingStore."""

        def read(connection: apsw.Connection) -> int | None:
            row = connection.execute(
                "SELECT length(vector) FROM vectors WHERE model = ? LIMIT 1", (self._model,)
            ).fetchone()
            return None if row is None else (int(row[0]) - self._seal.overhead) // 4

        return await self._read(read)
