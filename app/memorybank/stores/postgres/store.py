"""MemoryStore on PostgreSQL: one writing thread, a few reading ones, each with its connection."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TypeVar

from typing_extensions import override

from memorybank.domain.audit import EventKind
from memorybank.domain.memory import Condition
from memorybank.errors import StoreUnavailable
from memorybank.lanes import Lanes
from memorybank.ports import Marks, PoolStatus
from memorybank.stores.postgres.care import CareTables
from memorybank.stores.postgres.connection import Server, Session
from memorybank.stores.postgres.errors import translated, translated_at_start
from memorybank.stores.postgres.filters import holding_details, holding_tags
from memorybank.stores.postgres.schema import migrate, require_walls
from memorybank.stores.postgres.searching import PostgresIndex
from memorybank.stores.postgres.sessions import Line, moment, once, reading, writing
from memorybank.stores.postgres.writer import Writer
from memorybank.stores.sql import moves, rows
from memorybank.stores.sql.audit import Recorder
from memorybank.stores.sql.connection import NOBODY, Connection, Dialect, Whose
from memorybank.stores.sql.embeddings import VectorTable, register
from memorybank.stores.sql.sealing import PLAIN
from memorybank.stores.sql.store import SqlStore

Answer = TypeVar("Answer")

_READERS = 4

_DELETIONS_KEPT = "7 days"
"""How long the feed tells of what is gone: longer than any process lags behind. One that was frozen
for longer holds in its index what the store has no more, which a search then passes over."""

POSTGRES = Dialect(
    listed="unnest(?::text[]) WITH ORDINALITY AS listed (wanted, place)",
    paired="unnest(?::text[], ?::text[]) AS paired (whose, wanted)",
    bound_list=list,
    bound_pairs=lambda pairs: ([one for one, _ in pairs], [other for _, other in pairs]),
    now="(extract(epoch FROM clock_timestamp()) * 1000000)::bigint",
    tables_of_tenants=(
        "SELECT table_name::text FROM information_schema.columns"
        " WHERE table_schema = current_schema() AND column_name = 'tenant' ORDER BY table_name"
    ),
    refused=(),  # a row that is too much is left out
    translated=translated,
)


class PostgresStore(SqlStore):
    """One PostgreSQL database, which several processes may share.

    Acknowledged writes are on the server's disk. Whatever breaks, a connection, the server, its
    password, is tried anew with the next request.
    """

    def __init__(
        self,
        server: Server,
        *,
        model: str,
        audited: Iterable[EventKind] = (),
        readers: int = _READERS,
    ) -> None:
        with translated_at_start():
            once(server, writing(server, lock=False), partial(_prepare, model=model))
        self._server = server
        self._count = readers
        self._readers: queue.SimpleQueue[Line] = queue.SimpleQueue()
        for _ in range(readers):
            self._readers.put(Line(server, reading(server)))
        self._writer = Writer(
            Line(server, writing(server)),
            Recorder(audited),
            admit=partial(moves.admit, now=POSTGRES.now),
        )
        self._lanes = Lanes("postgres-reader", readers)
        self._connected = 0
        super().__init__(
            POSTGRES,
            VectorTable(model),
            PLAIN,
            read=self._run,
            write=self._writer.run,
            moment=partial(moment, server),
            empty_log=_nothing_to_empty,
        )
        self._care = CareTables(self._run, self._busy, self._connections)

    @property
    @override
    def care(self) -> CareTables:
        """See MemoryStore."""
        return self._care

    @classmethod
    async def open(
        cls,
        server: Server,
        *,
        model: str,
        audited: Iterable[EventKind] = (),
        readers: int = _READERS,
    ) -> PostgresStore:
        """Reach the database and bring its schema up to date.

        `model` names the embedding space of the vectors to come, `audited` the events that the
        audit log records, `readers` is how many reads may go on at once. Raises ConfigurationError
        when the database cannot be used, StoreUnavailable when it does not answer.
        """
        return await asyncio.to_thread(cls, server, model=model, audited=audited, readers=readers)

    async def marks(self) -> Marks:
        """See SharedStore."""
        return await self._run(
            NOBODY,
            lambda connection: Marks(*connection.execute("SELECT seq, access FROM feed").get),
        )

    async def lead(self, holder: str, *, seconds: int) -> bool:
        """See SharedStore. A read tells most of those who ask that it is not their turn."""

        def free(connection: Connection) -> bool:
            return not connection.execute(
                "SELECT 1 FROM lease WHERE holder <> ? AND ends_at > clock_timestamp()", (holder,)
            ).fetchone()

        def take(connection: Connection) -> bool:
            connection.execute(
                "INSERT INTO lease (id, holder, ends_at)"
                " VALUES (1, ?, clock_timestamp() + make_interval(secs => ?))"
                " ON CONFLICT (id) DO UPDATE"
                " SET holder = excluded.holder, ends_at = excluded.ends_at"
                " WHERE lease.holder = excluded.holder OR lease.ends_at <= clock_timestamp()",
                (holder, seconds),
            )
            return connection.changes() == 1

        return await self._run(NOBODY, free) and await self._write(NOBODY, take)

    async def resign(self, holder: str) -> None:
        """See SharedStore."""
        await self._write(
            NOBODY,
            lambda connection: connection.execute("DELETE FROM lease WHERE holder = ?", (holder,)),
        )

    async def search_inside(self, *, model: str, dimensions: int) -> PostgresIndex:
        """Return an index that is searched inside the database. Raises ConfigurationError."""
        return await PostgresIndex.open(self._server, self._run, model=model, dimensions=dimensions)

    @override
    def _release(self) -> None:
        self._lanes.close()
        for _ in range(self._count):
            self._readers.get().close()
        self._writer.close()

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
        return holding_details(*holding_tags(clause, values, tags), details)

    def _busy(self) -> PoolStatus:
        return PoolStatus(self._count, self._count - self._readers.qsize(), self._writer.waiting)

    def _connections(self) -> int:
        return self._connected + self._writer.connected

    async def _run(self, whose: Whose, read: Callable[[Connection], Answer]) -> Answer:
        if self._closed:
            raise StoreUnavailable("the store is closed")

        def run() -> Answer:
            line = self._readers.get()
            before = line.open
            try:
                with translated(), line.transaction(whose) as session:
                    return read(session)
            finally:
                self._connected += line.open - before
                self._readers.put(line)

        return await self._lanes.run(run)


def _prepare(session: Session, *, model: str) -> None:
    migrate(session)
    require_walls(session)
    session.execute("SELECT 1 FROM feed FOR UPDATE")
    moves.require_served(session, now=POSTGRES.now)
    PLAIN.attach(session, "in this database")
    register(session, model)
    session.execute(
        f"DELETE FROM deletions WHERE deleted_at < now() - interval '{_DELETIONS_KEPT}'"
    )


async def _nothing_to_empty() -> bool:
    """The server's log is the server's business."""
    return True
