"""Bringing pages into a database file that is read meanwhile: all of them, or none.

SQLite has no way to write pages of a database. So they are written here as SQLite itself does in
its rollback mode: what the pages were is in a journal beside the file first, which SQLite puts back
when it finds it, whoever was killed when; and the locks that it asks for are taken.
https://www.sqlite.org/fileformat2.html#the_rollback_journal, https://www.sqlite.org/lockingv3.html
"""

from __future__ import annotations

import fcntl
import os
import secrets
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import apsw

from memorybank.durable import sync
from memorybank.errors import StoreUnavailable
from memorybank.stores.sqlite.connection import BUSY_MS
from memorybank.stores.sqlite.errors import translated

JOURNAL = "-journal"
_NEW = ".new"
_MAGIC = bytes.fromhex("d9d505f920a163d7")
_HEAD = struct.Struct(">8sIIIII")
_NUMBER = struct.Struct(">I")
_SECTOR = 512
_CHECKED = 200
"""Every so many bytes of a page one counts for the checksum of its record, from the end on."""
_LOCKS = 0x40000000
_LOCK_BYTES = 512
"""Those of a file that SQLite locks, whatever is there: PENDING, RESERVED, and what readers share.
The page that they are on holds nothing.
"""
_LOCK = struct.Struct("hhqqi4x")
_VERSIONS = slice(18, 20)
_CHANGE_COUNTER = slice(24, 28)
_VERSION_VALID_FOR = slice(92, 96)
_ROLLBACK_MODE = b"\x01\x01"


def settle(file: Path) -> None:
    """Let a restored database be read without a write-ahead log, before anybody reads it."""
    with file.open("r+b") as database:
        database.seek(_VERSIONS.start)
        database.write(_ROLLBACK_MODE)
        os.fsync(database.fileno())


def recover(file: Path) -> None:
    """Undo what was not written to its end. Raises StoreUnavailable."""
    with translated():
        connection = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            connection.set_busy_timeout(BUSY_MS)
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
        finally:
            connection.close()


def forget(file: Path) -> None:
    """Remove what is left beside a file that is to be replaced: it is not the new one's."""
    for name in (JOURNAL, JOURNAL + _NEW):
        file.with_name(file.name + name).unlink(missing_ok=True)


def put(file: Path, pages: Mapping[int, bytes], *, count: int, page_bytes: int) -> None:
    """Replace pages, by their numbers, and leave so many of them; nobody in this process reads.

    Raises StoreUnavailable, with nothing changed, when another process reads or the disk fails.
    """
    if file.with_name(file.name + JOURNAL).exists():
        recover(file)
    try:
        with file.open("r+b") as database, _locked(database):
            _put(file, database, pages, count=count, page_bytes=page_bytes)
    except OSError as error:
        with suppress(StoreUnavailable):
            recover(file)
        raise StoreUnavailable(
            f"the copy of the bank cannot be written: {error.strerror}",
            hint="free some space or enlarge the volume",
        ) from None


def _put(
    file: Path, database: BinaryIO, pages: Mapping[int, bytes], *, count: int, page_bytes: int
) -> None:
    before = os.fstat(database.fileno()).st_size // page_bytes
    first = _first_page(pages.get(1) or _page(database, 1, page_bytes), database)
    new = {**pages, 1: first}
    kept = {*(number for number in new if number <= before), *range(count + 1, before + 1)}
    kept.discard(_LOCKS // page_bytes + 1)
    journal = file.with_name(file.name + JOURNAL)
    _write_journal(
        journal,
        ((each, _page(database, each, page_bytes)) for each in sorted(kept)),
        before,
        page_bytes,
    )
    for number in sorted(new):
        if number <= count:
            database.seek((number - 1) * page_bytes)
            database.write(new[number])
    database.truncate(count * page_bytes)
    database.flush()
    os.fsync(database.fileno())
    journal.unlink()  # from here on it is written
    sync(file.parent)


def _first_page(page: bytes, database: BinaryIO) -> bytes:
    """Return the first page as one that nobody has read yet: who has others drops them then."""
    database.seek(_CHANGE_COUNTER.start)
    (counter,) = _NUMBER.unpack(database.read(_NUMBER.size))
    changed = bytearray(page)
    changed[_VERSIONS] = _ROLLBACK_MODE
    following = _NUMBER.pack((counter + 1) & 0xFFFFFFFF)
    changed[_CHANGE_COUNTER] = changed[_VERSION_VALID_FOR] = following
    return bytes(changed)


def _write_journal(
    journal: Path, pages: Iterator[tuple[int, bytes]], before: int, page_bytes: int
) -> None:
    """Write what the pages are; it gets its name when it is whole and on the disk."""
    nonce = secrets.randbits(32)
    new = journal.with_name(journal.name + _NEW)
    count = 0
    with new.open("wb") as file:
        file.write(bytes(_SECTOR))
        for number, page in pages:
            file.write(_NUMBER.pack(number))
            file.write(page)
            file.write(_NUMBER.pack(_checksum(page, nonce)))
            count += 1
        file.seek(0)
        file.write(_HEAD.pack(_MAGIC, count, nonce, before, _SECTOR, page_bytes))
        file.flush()
        os.fsync(file.fileno())
    new.rename(journal)
    sync(journal.parent)


def _checksum(page: bytes, nonce: int) -> int:
    return (nonce + sum(page[len(page) - _CHECKED : 0 : -_CHECKED])) & 0xFFFFFFFF


def _page(database: BinaryIO, number: int, page_bytes: int) -> bytes:
    database.seek((number - 1) * page_bytes)
    return database.read(page_bytes)


@contextmanager
def _locked(database: BinaryIO) -> Iterator[None]:
    """Keep readers of other processes out; raises BlockingIOError while there are some.

    The lock is that of this open file: a lock of the process would not keep out its own readers,
    and would drop theirs when the file is closed.
    """
    request = _LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, _LOCKS, _LOCK_BYTES, 0)
    fcntl.fcntl(database.fileno(), fcntl.F_OFD_SETLK, request)
    yield  # it ends with the file
