"""MemoryStore on a copy of another bank's database, which is read here and written there."""

from __future__ import annotations

import asyncio
import queue
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import apsw
from typing_extensions import override

from memorybank.domain.audit import NotedEvent
from memorybank.domain.keys import ApiKey
from memorybank.domain.memory import Condition, Touch
from memorybank.domain.usage import Count, Endpoint
from memorybank.encryption import KeyRing
from memorybank.errors import ConfigurationError, ReadOnly, StoreUnavailable
from memorybank.lanes import Lanes
from memorybank.ports import Marks, PoolStatus
from memorybank.stores.sql import rows
from memorybank.stores.sql.access import AccessTables
from memorybank.stores.sql.connection import EVERYONE, NOBODY, Connection, Whose
from memorybank.stores.sql.embeddings import EmbeddingTables, VectorTable
from memorybank.stores.sql.sealing import seal_for, unsealed
from memorybank.stores.sql.store import SqlStore
from memorybank.stores.sqlite import pages
from memorybank.stores.sqlite.care import CareTables, copied
from memorybank.stores.sqlite.connection import DELETIONS_KEPT, migrations, open_reader
from memorybank.stores.sqlite.errors import Damage, translated
from memorybank.stores.sqlite.former import WayBack
from memorybank.stores.sqlite.store import READERS, SQLITE, holding

Answer = TypeVar("Answer")

_PATIENCE_SECONDS = 0.25
"""How long reads wait for changes that wait for longer reads."""


class SqliteFollower(SqlStore):
    """A SQLite file that somebody else keeps the same as the database of another process.

    Reads only: whatever writes raises ReadOnly. What a bank notes about its use is not noted here:
    when keys and memories were used last, how much was asked, and which reads and refusals the
    audit log would tell of.
    """

    def __init__(
        self,
        path: Path,
        *,
        model: str,
        ring: KeyRing | None = None,
        primary_url: str | None = None,
    ) -> None:
        self._path = path
        self._primary_url = primary_url
        self._model = model
        self._applied = 0
        self._files = 0
        self._learned: int | None = None
        self._seq = 0
        self._turns = Turns()
        self._damage = Damage()
        self._seal = seal_for(ring)
        self._readers: queue.SimpleQueue[apsw.Connection] = queue.SimpleQueue()
        try:
            self._open_readers()
        except BaseException:
            self._close_readers()
            raise
        self._lanes = Lanes("sqlite-reader", READERS)
        super().__init__(
            SQLITE,
            VectorTable(model),
            self._seal,
            read=self._run,
            write=self._refuse,
            moment=self._moment,
            empty_log=_no_log,
        )
        self._access = FollowerAccess(
            SQLITE,
            self._seal,
            read=self._run,
            write=self._refuse,
            empty_log=_no_log,
            renew=self._renew,
        )
        self._embeddings = FollowerEmbeddings(
            self._vectors, self._seal, read=self._run, write=self._refuse
        )

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        model: str,
        ring: KeyRing | None = None,
        primary_url: str | None = None,
    ) -> SqliteFollower:
        """Open a copy that is whole; who writes is told of `primary_url`. Raises ConfigurationError
        when it is of another schema, or the ring is the wrong one; StoreUnavailable when the disk
        fails.
        """
        return await asyncio.to_thread(cls, path, model=model, ring=ring, primary_url=primary_url)

    @property
    @override
    def care(self) -> CareTables:
        """See MemoryStore."""
        run = partial(self._run, EVERYONE)
        return CareTables(self._path, run, self._damage, self._busy, WayBack(self._path))

    async def marks(self) -> Marks:
        """See SharedStore. Each change may be one of who may come in."""

        def read(connection: Connection) -> Marks:
            (seq,) = connection.execute("SELECT seq FROM feed").fetchone()
            active = connection.execute(
                "SELECT model FROM generations WHERE state = 'active'"
            ).fetchone()
            return Marks(seq, self._applied, feed=f"{self._files} {active}")

        return await self._run(NOBODY, read)

    async def lead(self, _holder: str, *, seconds: int) -> bool:
        """See SharedStore: the work that is done once is the primary's."""
        return False

    async def resign(self, _holder: str) -> None:
        """See SharedStore."""

    @override
    async def touch(self, touches: Sequence[Touch]) -> None:
        """See LifeStore: not counted here."""

    async def put(self, changed: Mapping[int, bytes], *, count: int, page_bytes: int) -> bool:
        """Bring pages into the copy; False, with nothing changed, while something is read that
        takes long. Raises StoreUnavailable, with nothing changed.
        """
        put = partial(pages.put, self._path, changed, count=count, page_bytes=page_bytes)
        return await asyncio.to_thread(self._between_reads, put)

    async def switch(self, path: Path) -> bool:
        """Read another copy from now on; False while something is read that takes long. Raises
        ConfigurationError and StoreUnavailable, and reads the former one on then.
        """
        return await asyncio.to_thread(self._between_reads, partial(self._reopen, path))

    def _reopen(self, path: Path) -> None:
        former = self._path
        self._close_readers()
        try:
            self._path = path
            self._open_readers()
        except BaseException:
            self._close_readers()
            self._path = former
            self._open_readers()
            raise
        self._files += 1

    def _between_reads(self, change: Callable[[], None]) -> bool:
        with self._turns.changing(_PATIENCE_SECONDS) as free:
            if free:
                change()
                self._applied += 1
            return free

    @override
    def _release(self) -> None:
        self._lanes.close()
        self._close_readers()

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

    def _open_readers(self) -> None:
        for _ in range(READERS):
            connection = open_reader(self._path)
            if self._seal.active:
                connection.pragma("temp_store", "memory")
                connection.create_scalar_function("unsealed", unsealed(self._seal), 4)
            self._readers.put(connection)
        connection = self._readers.get()
        try:
            require_schema(connection)
            self._seal.learn(connection, str(self._path))
        finally:
            self._readers.put(connection)

    def _close_readers(self) -> None:
        while not self._readers.empty():
            self._readers.get().close()

    def _busy(self) -> PoolStatus:
        return PoolStatus(READERS, READERS - self._readers.qsize(), 0)

    async def _renew(self, ring: KeyRing) -> None:
        """Open by this ring from now on; what came with the last change may need it."""
        await self._run(EVERYONE, partial(self._seal.renew, ring=ring), learns=False)

    async def _refuse(
        self,
        _whose: Whose,
        _work: Callable[[Connection], Any],
        _events: Iterable[Any] | Any = None,
    ) -> NoReturn:
        raise ReadOnly(self._primary_url)

    async def _run(
        self,
        _whose: Whose,
        read: Callable[[apsw.Connection], Answer],
        *,
        learns: bool = True,
    ) -> Answer:
        if self._closed:
            raise StoreUnavailable("the store is closed")

        def run() -> Answer:
            with self._turns.reading():
                connection = self._readers.get()
                try:
                    with translated(), self._damage.watched():
                        if learns:
                            self._learn(connection)
                        return read(connection)
                finally:
                    self._readers.put(connection)

        return await self._lanes.run(run)

    def _learn(self, connection: apsw.Connection) -> None:
        """Take note, once after each change, of what came with it. Raises StoreUnavailable."""
        if self._learned == self._applied:
            return
        try:
            require_schema(connection)
            self._seal.learn(connection, str(self._path))
        except ConfigurationError as error:
            raise StoreUnavailable(error.message, hint=error.hint) from None
        seq = int(connection.execute("SELECT seq FROM feed").get)
        if (
            self._learned is not None and seq - self._seq > DELETIONS_KEPT // 2
        ):  # the feed may not tell of each any more
            self._files += 1
        self._learned, self._seq = self._applied, seq

    @contextmanager
    def _moment(self, _whose: Whose) -> Iterator[apsw.Connection]:
        """Give a copy of the copy: to hold on to this one would keep changes out of it."""
        with tempfile.TemporaryDirectory(dir=self._path.parent, prefix=".moment-") as folder:
            file = Path(folder) / self._path.name
            with self._turns.reading():
                reader = open_reader(self._path)
                try:
                    copied(reader, file, _untold)
                finally:
                    reader.close()
            connection = open_reader(file)
            try:
                yield connection
            finally:
                connection.close()


class FollowerAccess(AccessTables):
    """See AccessStore: of the bank that is followed, and a bootstrap key of this process alone."""

    def __init__(
        self, *arguments: Any, renew: Callable[[KeyRing], Awaitable[None]], **named: Any
    ) -> None:
        super().__init__(*arguments, **named)
        self._renew = renew
        self._own: dict[str, ApiKey] = {}

    @override
    async def find_key(self, digest: str) -> ApiKey | None:
        """See AccessStore."""
        return self._own.get(digest) or await super().find_key(digest)

    @override
    async def replace_bootstrap_key(
        self, key: ApiKey, *, old_until: datetime | None = None
    ) -> bool:
        """See AccessStore. It is gone with this process; those in the database are the bank's."""
        before = self._own if old_until is not None and key.digest not in self._own else {}
        self._own = {each: replace(old, expires_at=old_until) for each, old in before.items()}
        self._own[key.digest] = key
        return True

    @override
    async def use_ring(self, ring: KeyRing) -> None:
        """See AccessStore."""
        await self._renew(ring)

    @override
    async def rewrap_keys(self) -> None:
        """See AccessStore: the primary does, and it comes from there."""

    @override
    async def note_use(self, used: Mapping[str, datetime]) -> None:
        """See AccessStore: not noted here."""

    @override
    async def add_activity(
        self, usage: Mapping[Endpoint, Count], events: Sequence[NotedEvent]
    ) -> None:
        """See AccessStore: not noted here."""


class FollowerEmbeddings(EmbeddingTables):
    """See EmbeddingStore."""

    @override
    async def describe(self, model: str, *, embedder: str, dimensions: int) -> None:
        """See EmbeddingStore: how models are reached is what the primary says."""


class Turns:
    """Many read, or one changes what they read."""

    def __init__(self) -> None:
        self._state = threading.Condition()
        self._reading = 0
        self._wanted = False

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Read. Waits while somebody changes something."""
        with self._state:
            while self._wanted:
                self._state.wait()
            self._reading += 1
        try:
            yield
        finally:
            with self._state:
                self._reading -= 1
                self._state.notify_all()

    @contextmanager
    def changing(self, seconds: float) -> Iterator[bool]:
        """Change something, if it is True; not when some read for longer than so many seconds."""
        with self._state:
            self._wanted = True
            free = self._state.wait_for(lambda: not self._reading, seconds)
            self._wanted = free
            self._state.notify_all()
        try:
            yield free
        finally:
            with self._state:
                self._wanted = False
                self._state.notify_all()


def require_schema(connection: apsw.Connection) -> None:
    """Raise ConfigurationError for a database of another schema than this version's."""
    found = int(connection.execute("SELECT max(version) FROM schema_migrations").get or 0)
    known = migrations()[-1].version
    if found != known:
        which = "newer" if found > known else "older"
        raise ConfigurationError(
            f"the bank that is followed is of {which} schema: {found}, this version needs {known}",
            field="follow",
            hint="run the version that the primary runs",
        )


async def _no_log() -> bool:
    return True


def _untold(_done: int, _all: int) -> None:
    return
