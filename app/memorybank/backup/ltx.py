"""Reading what Litestream 0.5 replicates: files of pages that transactions changed (LTX).

A header of 100 bytes; then for each page its number, flags and its content as an LZ4 block behind
its size; an index of the pages; and a checksum over all of it, pages as they are when unpacked.
Everything is big-endian. https://github.com/superfly/ltx describes it; read off version 0.5.2.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import UTC, datetime

from memorybank.backup.crc64 import crc64
from memorybank.errors import BackupDamaged

_MAGIC = b"LTX1"
_HEADER = struct.Struct(">4sIIIQQQ")
_HEADER_BYTES = 100
_PAGE = struct.Struct(">IH")
_SIZE = struct.Struct(">I")
_CHECKSUM = struct.Struct(">Q")
_SIZED = 1
"""The only flag of a page that there is: its size is told."""
_FLAG = 1 << 63
"""Set in each checksum, so that none is 0."""
_LEAST_PAGE, _LARGEST_PAGE = 512, 65_536


@dataclass(frozen=True, slots=True)
class Changes:
    """What some transactions in a row made of a database."""

    first: int
    last: int
    """The numbers of the first and of the last transaction."""
    page_bytes: int
    pages_after: int
    """How many pages the database has afterwards."""
    written_at: datetime
    """By the clock of who replicated it."""
    pages: dict[int, bytes]
    """The pages that are different, by their numbers, the first of which is 1."""


def read(content: bytes, name: str) -> Changes:
    """Return what is in a file of this name. Raises BackupDamaged."""
    try:
        return _read(content)
    except (struct.error, ValueError, IndexError) as error:
        raise BackupDamaged(
            f"{name} at the destination of backups cannot be read: {error}",
            hint="put it back from a copy of the destination: docs/service/backup.md,"
            " A damaged backup",
        ) from None


def _read(content: bytes) -> Changes:
    magic, _, page_bytes, pages_after, first, last, milliseconds = _HEADER.unpack_from(content)
    if magic != _MAGIC or not _LEAST_PAGE <= page_bytes <= _LARGEST_PAGE:
        raise ValueError("it is no LTX file")
    pages: dict[int, bytes] = {}
    hashed = [content[:_HEADER_BYTES]]
    at = _HEADER_BYTES
    while True:
        number, flags = _PAGE.unpack_from(content, at)
        if not number:
            break
        if flags != _SIZED or number > pages_after:
            raise ValueError(f"page {number} has the flags {flags}, of {pages_after} pages")
        begin = at + _PAGE.size + _SIZE.size
        (size,) = _SIZE.unpack_from(content, at + _PAGE.size)
        page = unpacked(content[begin : begin + size], page_bytes)
        pages[number] = page
        hashed += [content[at:begin], page]
        at = begin + size
    end = len(content) - _CHECKSUM.size
    hashed.append(content[at:end])
    (checksum,) = _CHECKSUM.unpack_from(content, end)
    if crc64(b"".join(hashed)) | _FLAG != checksum:
        raise ValueError("its checksum is wrong")
    written_at = datetime.fromtimestamp(milliseconds / 1_000, UTC)
    return Changes(first, last, page_bytes, pages_after, written_at, pages)


def unpacked(block: bytes, size: int) -> bytes:
    """Return what an LZ4 block of so many bytes holds. Raises ValueError.

    Pages have few and long runs, so that this takes some 0.1 ms for each.
    """
    made = bytearray()
    at = 0
    while True:
        token = block[at]
        count, at = _length(block, at + 1, token >> 4)
        made += block[at : at + count]
        at += count
        if at >= len(block):
            break
        distance = block[at] | block[at + 1] << 8
        count, at = _length(block, at + 2, token & 15)
        count += 4
        begin = len(made) - distance
        if not distance or begin < 0:
            raise ValueError("a page refers to what is not there")
        if distance >= count:
            made += made[begin : begin + count]
        else:  # what is copied is made meanwhile
            piece = bytes(made[begin:])
            made += (piece * (count // distance + 1))[:count]
        if len(made) > size:
            break
    if len(made) != size:
        raise ValueError(f"a page has {len(made)} bytes in place of {size}")
    return bytes(made)


def _length(block: bytes, at: int, begun: int) -> tuple[int, int]:
    """Return a length, and where what follows it begins."""
    if begun < 15:
        return begun, at
    length = begun
    while True:
        more = block[at]
        at += 1
        length += more
        if more != 255:
            return length, at
