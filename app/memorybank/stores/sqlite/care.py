"""Looking after the database file: checks, copies, versions, sizes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import apsw

from memorybank.errors import ConfigurationError, StoreUnavailable
from memorybank.ports import Disk, PoolStatus, StoreCheck, StoreStatus
from memorybank.stores.sqlite import former
from memorybank.stores.sqlite.connection import migrations, open_reader, open_writer
from memorybank.stores.sqlite.errors import Damage, translated, translated_at_start
from memorybank.stores.sqlite.former import WayBack
from memorybank.stores.sqlite.lock import DataFolderLock

Answer = TypeVar("Answer")

_MOST_PROBLEMS = 100
_COUNTED = ("memories", "keys", "tenants")
"""Tables that are counted by an index; to count the vectors is to read them all."""
_PAGES_AT_ONCE = 1_000
_DISK_SECONDS = 1.0
"""Longer than any disk takes to tell its size; one on a network may never answer."""


class Run(Protocol):
    """Runs statements on a reading connection, in a thread of its own."""

    def __call__(self, work: Callable[[apsw.Connection], Answer], /) -> Awaitable[Answer]:
        """Return what the work returned."""


@dataclass(frozen=True, slots=True)
class CareTables:
    """See StoreCare."""

    path: Path
    read: Run
    damage: Damage
    pool: Callable[[], PoolStatus]
    former: WayBack

    @property
    def schema_version(self) -> int:
        """See StoreCare."""
        return migrations()[-1].version

    @property
    def way_back(self) -> int | None:
        """See StoreCare."""
        return self.former.schema

    @property
    def damaged(self) -> bool:
        """See StoreCare."""
        return self.damage.found

    async def integrity(self) -> StoreCheck:
        """See StoreCare. Takes about a second per gigabyte; writes go on."""
        found = await self.read(check)
        self.damage.found = self.damage.found or bool(found.problems)
        return found

    async def status(self) -> StoreStatus:
        """See StoreCare."""
        return await self.read(lambda connection: status(connection, self.path))

    async def disk(self) -> Disk | None:
        """See StoreCare."""
        try:
            async with asyncio.timeout(_DISK_SECONDS):
                return await asyncio.to_thread(disk_of, self.path.parent)
        except (TimeoutError, OSError):
            return None


def check(connection: apsw.Connection) -> StoreCheck:
    """Read every page and index, and what refers to what."""
    problems: list[str] = []
    counts: dict[str, int] = {}
    try:
        with connection:  # all of the same moment
            found = connection.execute(f"PRAGMA integrity_check({_MOST_PROBLEMS})").fetchall()
            problems += [str(text) for (text,) in found if text != "ok"]
            strays = connection.execute("PRAGMA foreign_key_check").fetchall()
            problems += [f"a row of {table} refers to nothing" for table, *_ in strays]
            counts = _counts(connection, *_COUNTED, "vectors")
    except apsw.CorruptError as error:  # so much that it cannot even be looked for
        problems.append(str(error))
    return StoreCheck(problems[:_MOST_PROBLEMS], counts)


def status(connection: apsw.Connection, path: Path) -> StoreStatus:
    """Return version, counts and sizes."""
    with connection:
        version = connection.execute("SELECT max(version) FROM schema_migrations").get
        counts = _counts(connection, *_COUNTED)
        free = connection.pragma("freelist_count") * connection.pragma("page_size")
    return StoreStatus(
        engine=f"sqlite {apsw.sqlite_lib_version()}",
        schema_version=int(version),
        counts=counts,
        database_bytes=_size(path),
        log_bytes=_size(path.with_name(f"{path.name}-wal")),
        reusable_bytes=int(free),
        disk=disk_of(path.parent),
        connections=len(apsw.connections()),
    )


def disk_of(folder: Path) -> Disk:
    """Ask the file system that a folder is on. Raises OSError."""
    found = os.statvfs(folder)
    used = found.f_blocks - found.f_bfree
    return Disk(
        total_bytes=(used + found.f_bavail) * found.f_frsize,
        free_bytes=found.f_bavail * found.f_frsize,
    )


def copy_database(
    source: Path, target: Path, *, progress: Callable[[int, int], None] = lambda _done, _all: None
) -> int:
    """Copy the database as of one moment into a new file, check the copy, return its pages.

    Works beside a process that serves it: the copy sees nothing that is written meanwhile. The
    file appears when it is whole. Raises ConfigurationError when the target is there, cannot be
    written or turns out damaged.
    """
    with appearing(target) as beside:
        reader = open_reader(source)
        try:
            pages = copied(reader, beside, progress)
        finally:
            reader.close()
        _prove(beside)
    return pages


@contextmanager
def appearing(target: Path) -> Iterator[Path]:
    """Return where a database is made that gets its name when the block ends, as a whole and on
    disk. Raises ConfigurationError when there is one of the name, or it cannot be written.
    """
    if target.exists():
        raise ConfigurationError(
            f"the file {target} is there already", hint="name another file, or move that one away"
        )
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        yield beside
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        beside.replace(target)
    finally:
        for suffix in ("", "-wal", "-shm"):
            beside.with_name(beside.name + suffix).unlink(missing_ok=True)


def schema_versions(path: Path) -> tuple[int, int]:
    """Return the schema of the file, 0 for none, and the newest that this version knows."""
    newest = migrations()[-1].version
    reader = open_reader(path)
    try:
        with translated_at_start(path):
            if not reader.table_exists("main", "schema_migrations"):
                return 0, newest
            found = reader.execute("SELECT max(version) FROM schema_migrations").get
            return int(found or 0), newest
    finally:
        reader.close()


def go_back(path: Path) -> None:
    """Put the database back to what it was before a newer version migrated it, where that was kept
    and nobody has written since; else it stays as it is. Nobody replicates it meanwhile.

    Raises ConfigurationError, also while a process holds it, and StoreUnavailable.
    """
    if not former.is_kept(path):
        return
    lock = DataFolderLock(path)
    try:
        former.end_way_back(path)
        found, known = schema_versions(path)
        former.go_back(path, found=found, known=known)
    except OSError as error:
        raise StoreUnavailable(
            f"the database could not be put back to what it was: {error.strerror}",
            hint="look for disk errors in the system's log; the next start goes on",
        ) from None
    finally:
        lock.release()


def fold_log(path: Path) -> bool:
    """Move all of the write-ahead log into a database that nobody uses; return whether that was
    possible: it is not where the file is damaged.
    """
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            busy, _, _ = next(connection.execute("PRAGMA wal_checkpoint(TRUNCATE)"))
            return not busy
        finally:
            connection.close()
    except apsw.Error:
        return False


def migrate_database(path: Path) -> None:
    """Bring the schema up to date. Raises ConfigurationError, also while a process holds it."""
    lock = DataFolderLock(path)
    try:
        open_writer(path).close()
    finally:
        lock.release()


def copied(reader: apsw.Connection, file: Path, progress: Callable[[int, int], None]) -> int:
    """Copy a database as of one moment into a file; return its pages."""
    with translated_at_start(file):
        copy = apsw.Connection(str(file))
        try:
            # The transaction holds on to one moment; without it, each foreign write would start
            # the copy over.
            reader.execute("BEGIN")
            reader.execute("SELECT 1 FROM sqlite_schema").fetchall()
            with copy.backup("main", reader, "main") as backup:
                while not backup.done:
                    backup.step(_PAGES_AT_ONCE)
                    progress(backup.page_count - backup.remaining, backup.page_count)
                pages = int(backup.page_count)
            copy.pragma("journal_mode", "delete")  # one file, not three
            return pages
        finally:
            copy.close()


def _prove(file: Path) -> None:
    with translated_at_start(file):
        copy = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            problems = check(copy).problems
        finally:
            copy.close()
    if problems:
        raise StoreUnavailable(
            f"the copy is damaged: {problems[0]}",
            hint="check the database with `memorybank check`, and the disk",
        )


def _counts(connection: apsw.Connection, *tables: str) -> dict[str, int]:
    with translated():
        return {
            table: int(connection.execute(f"SELECT count(*) FROM {table}").get) for table in tables
        }


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
