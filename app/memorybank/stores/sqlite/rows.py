"""Between rows and domain objects: columns, filters, page cursors."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import struct
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from memorybank.domain.memory import Memory, MemoryFilter, MemoryType
from memorybank.errors import InvalidCursor
from memorybank.ports import Vector

Row = Sequence[Any]
Bindings = list[Any]

MEMORY_COLUMNS = (
    "tenant, id, type, project, session, tags, importance, created_at, updated_at, occurred_at,"
    " title, metadata, content"
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_CURSOR = struct.Struct(">Q8s")


def memory_row(memory: Memory) -> tuple[Any, ...]:
    """Return the values of MEMORY_COLUMNS."""
    return (
        memory.tenant,
        memory.id,
        memory.type.value,
        memory.project,
        memory.session,
        json.dumps(memory.tags, ensure_ascii=False),
        memory.importance,
        to_microseconds(memory.created_at),
        to_microseconds(memory.updated_at),
        None if memory.occurred_at is None else to_microseconds(memory.occurred_at),
        memory.title,
        json.dumps(memory.metadata, ensure_ascii=False),
        memory.content,
    )


def memory_from(row: Row) -> Memory:
    """Return the memory whose MEMORY_COLUMNS the row starts with."""
    return Memory(
        tenant=row[0],
        id=row[1],
        type=MemoryType(row[2]),
        project=row[3],
        session=row[4],
        tags=tuple(json.loads(row[5])),
        importance=row[6],
        created_at=from_microseconds(row[7]),
        updated_at=from_microseconds(row[8]),
        occurred_at=None if row[9] is None else from_microseconds(row[9]),
        title=row[10],
        metadata=json.loads(row[11]),
        content=row[12],
    )


def to_microseconds(moment: datetime) -> int:
    """Return an aware time as whole microseconds since 1970, without rounding."""
    return (moment - _EPOCH) // _MICROSECOND


def from_microseconds(number: int) -> datetime:
    """Return the aware UTC time."""
    return _EPOCH + number * _MICROSECOND


def to_blob(vector: Vector) -> bytes:
    """Return the vector as little-endian float32."""
    return vector.astype("<f4").tobytes()


def from_blob(blob: bytes) -> Vector:
    """Return the vector that `to_blob` wrote; read-only."""
    return np.frombuffer(blob, dtype="<f4").astype(np.float32, copy=False)


def condition(tenant: str, where: MemoryFilter) -> tuple[str, Bindings]:
    """Return the WHERE clause, and its values, of the tenant's memories that the filter means."""
    clauses = ["tenant = ?"]
    values: Bindings = [tenant]
    for column, wanted in (("project", where.project), ("session", where.session)):
        if wanted is not None:
            clauses.append(f"{column} = ?")
            values.append(wanted)
    if where.types:
        clauses.append("type IN (SELECT value FROM json_each(?))")
        values.append(json.dumps(sorted(where.types)))
    for tag in sorted(where.tags_all):
        clauses.append("EXISTS (SELECT 1 FROM json_each(memories.tags) WHERE value = ?)")
        values.append(tag)
    for operator, bound in ((">", where.created_after), ("<", where.created_before)):
        if bound is not None:
            clauses.append(f"created_at {operator} ?")
            values.append(to_microseconds(bound))
    return " AND ".join(clauses), values


def encode_cursor(tenant: str, where: MemoryFilter, created_seq: int) -> str:
    """Return the cursor of the page that follows the memory with this `created_seq`."""
    packed = _CURSOR.pack(created_seq, _checksum(tenant, where, created_seq))
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def decode_cursor(tenant: str, where: MemoryFilter, cursor: str) -> int:
    """Return the `created_seq` inside; raises InvalidCursor unless made for this very list.

    The checksum catches mangled and mixed-up cursors. It is no secret and need not be one: the
    query names the tenant itself, whatever the cursor says.
    """
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        created_seq, checksum = _CURSOR.unpack(base64.b64decode(padded, b"-_", validate=True))
    except (ValueError, binascii.Error, struct.error):
        created_seq, checksum = 0, b""
    if checksum != _checksum(tenant, where, created_seq):
        raise InvalidCursor(
            "the cursor does not belong to this list",
            field="cursor",
            hint="pass next_cursor unchanged, with the same filters, or leave it out to start over",
        )
    return int(created_seq)


def _checksum(tenant: str, where: MemoryFilter, created_seq: int) -> bytes:
    clause, values = condition(tenant, where)
    about = json.dumps([clause, values, created_seq])
    return hashlib.blake2b(about.encode(), digest_size=8).digest()
