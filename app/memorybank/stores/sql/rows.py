"""Between rows and domain objects: columns, filters, page cursors."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hashlib
import json
import struct
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from memorybank.domain.duplicates import fingerprint
from memorybank.domain.memory import (
    AnyOf,
    Condition,
    DetailBetween,
    LeadsTo,
    Memory,
    MemoryFilter,
    MemoryState,
    MemoryType,
    Origin,
    searchable_text,
)
from memorybank.domain.times import (
    from_microseconds,
    maybe_microseconds,
    maybe_moment,
    to_microseconds,
)
from memorybank.errors import InvalidCursor
from memorybank.ports import Vector
from memorybank.stores.sql.sealing import Seal

Row = Sequence[Any]
Bindings = list[Any]

MEMORY_COLUMNS = (
    "tenant, id, type, project, session, tags, importance, created_at, updated_at, occurred_at,"
    " title, metadata, content, details, state, state_changed_at, state_run, pinned, legal_hold,"
    " valid_from, valid_to, supersedes, superseded_by, origin, trust, revision, accessed_at,"
    " access_count"
)
WRITTEN_COLUMNS = f"{MEMORY_COLUMNS}, fingerprint"
SAID_COLUMNS = (
    "type, project, session, tags, importance, updated_at, occurred_at, title, metadata, content,"
    " details, valid_from, valid_to, supersedes, superseded_by, origin, trust, revision"
)
"""What a revision changes: neither the state nor the use of a memory, which go their own ways."""

dumped = json.JSONEncoder(ensure_ascii=False).encode
"""What json.dumps does, which makes an encoder for each call with an option."""
_EMPTY = frozenset({"[]", "{}"})
# An index is built from every row: a dict is found in a fifth of the time of calling an enum.
_TYPES = {kind.value: kind for kind in MemoryType}
_STATES = {state.value: state for state in MemoryState}
_ORIGINS = {origin.value: origin for origin in Origin}
_CURSOR = struct.Struct(">Q8s")
_A_MOMENT = from_microseconds(0)
"""What stands for the present in the checksum of a cursor."""


def memory_row(memory: Memory, seal: Seal) -> tuple[Any, ...]:
    """Return the values of MEMORY_COLUMNS."""

    def sealed(column: str, value: str) -> str:
        return seal.text(memory.tenant, memory.id, column, value)

    return (
        memory.tenant,
        memory.id,
        memory.type.value,
        memory.project,
        memory.session,
        sealed("tags", dumped(memory.tags)),
        memory.importance,
        to_microseconds(memory.created_at),
        to_microseconds(memory.updated_at),
        maybe_microseconds(memory.occurred_at),
        None if memory.title is None else sealed("title", memory.title),
        sealed("metadata", dumped(memory.metadata)),
        sealed("content", memory.content),
        sealed("details", dumped(memory.details)),
        memory.state.value,
        maybe_microseconds(memory.state_changed_at),
        memory.state_run,
        memory.pinned,
        memory.legal_hold,
        maybe_microseconds(memory.valid_from),
        maybe_microseconds(memory.valid_to),
        memory.supersedes,
        memory.superseded_by,
        memory.origin.value,
        memory.trust,
        memory.revision,
        maybe_microseconds(memory.accessed_at),
        memory.access_count,
    )


def fingerprint_of(memory: Memory, seal: Seal) -> bytes:
    """Return the value of the column `fingerprint`."""
    return seal.fingerprint(memory.tenant, fingerprint(searchable_text(memory)))


def written_row(memory: Memory, seal: Seal) -> tuple[Any, ...]:
    """Return the values of WRITTEN_COLUMNS."""
    return (*memory_row(memory, seal), fingerprint_of(memory, seal))


def said_row(memory: Memory, seal: Seal) -> tuple[Any, ...]:
    """Return the values of SAID_COLUMNS."""
    values = dict(zip(_names(MEMORY_COLUMNS), memory_row(memory, seal), strict=True))
    return tuple(values[name] for name in _names(SAID_COLUMNS))


def memory_from(row: Row, seal: Seal) -> Memory:
    """Return the memory whose MEMORY_COLUMNS the row starts with. Raises StoreUnavailable."""

    def opened(column: str, stored: str) -> str:
        return seal.opened_text(row[0], row[1], column, stored)

    return Memory(
        tenant=row[0],
        id=row[1],
        type=_TYPES[row[2]],
        project=row[3],
        session=row[4],
        tags=tuple(_loaded(opened("tags", row[5])) or ()),
        importance=row[6],
        created_at=from_microseconds(row[7]),
        updated_at=from_microseconds(row[8]),
        occurred_at=maybe_moment(row[9]),
        title=None if row[10] is None else opened("title", row[10]),
        metadata=_loaded(opened("metadata", row[11])) or {},
        content=opened("content", row[12]),
        details=_loaded(opened("details", row[13])) or {},
        state=_STATES[row[14]],
        state_changed_at=maybe_moment(row[15]),
        state_run=row[16],
        pinned=bool(row[17]),
        legal_hold=bool(row[18]),
        valid_from=maybe_moment(row[19]),
        valid_to=maybe_moment(row[20]),
        supersedes=row[21],
        superseded_by=row[22],
        origin=_ORIGINS[row[23]],
        trust=row[24],
        revision=row[25],
        accessed_at=maybe_moment(row[26]),
        access_count=row[27],
    )


def _loaded(text: str) -> Any:
    """Return what JSON says, with None for the empty list and object: most of them are."""
    return None if text in _EMPTY else json.loads(text)


def _names(columns: str) -> list[str]:
    return columns.split(", ")


def placeholders(columns: str) -> str:
    """Return as many placeholders as there are columns."""
    return ", ".join("?" * len(_names(columns)))


def to_blob(vector: Vector, memory: Memory, seal: Seal) -> bytes:
    """Return the vector of a memory as little-endian float32; nothing for one that is PENDING."""
    blob = vector.astype("<f4").tobytes()
    return seal.blob(memory.tenant, memory.id, "vector", blob) if blob else blob


def vector_from(stored: bytes, tenant: str, memory_id: str, seal: Seal) -> Vector:
    """Return the vector that `to_blob` wrote; read-only."""
    blob = seal.opened_blob(tenant, memory_id, "vector", stored)
    return np.frombuffer(blob, dtype="<f4").astype(np.float32, copy=False)


def condition(tenant: str, where: MemoryFilter) -> tuple[str, Bindings]:
    """Return the WHERE clause, and its values, of the tenant's memories that the filter means.

    All but the tags and details, which the databases look into each in their own way.
    """
    clauses = ["tenant = ?"]
    values: Bindings = [tenant]
    for clause, *bound in (*_about_names(where), *_about_times(where)):
        clauses.append(clause)
        values += bound
    return " AND ".join(clauses), values


def _about_names(where: MemoryFilter) -> Iterator[tuple[Any, ...]]:
    """Yield clauses with their values."""
    for column, wanted in (("project", where.project), ("session", where.session)):
        if wanted is not None:
            yield f"{column} = ?", wanted
    if where.pinned is not None:  # in the words of the index of those that are
        yield ("pinned IS TRUE" if where.pinned else "pinned IS FALSE",)
    for column, any_of in (
        ("state", where.states),
        ("type", where.types),
        ("origin", where.origins),
    ):
        if len(any_of) == 1:  # an equation, which an index serves in order
            yield f"{column} = ?", *any_of
        elif any_of:
            yield f"{column} IN ({', '.join('?' * len(any_of))})", *sorted(any_of)
    if where.trust_min > 0:
        yield "trust >= ?", where.trust_min


def _about_times(where: MemoryFilter) -> Iterator[tuple[Any, ...]]:
    """Yield clauses with their values."""
    for operator, bound in ((">", where.created_after), ("<", where.created_before)):
        if bound is not None:
            yield f"created_at {operator} ?", to_microseconds(bound)
    if where.valid_at is not None:
        at = to_microseconds(where.valid_at)
        yield "(valid_from IS NULL OR valid_from <= ?)", at
        yield "(valid_to IS NULL OR valid_to > ?)", at


def encode_cursor(
    tenant: str, where: MemoryFilter, created_seq: int, details: Sequence[Condition]
) -> str:
    """Return the cursor of the page that follows the memory with this `created_seq`."""
    packed = _CURSOR.pack(created_seq, _checksum(tenant, where, created_seq, details))
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def decode_cursor(
    tenant: str, where: MemoryFilter, cursor: str, details: Sequence[Condition]
) -> int:
    """Return the `created_seq` inside; raises InvalidCursor unless made for this very list.

    The checksum catches mangled and mixed-up cursors. It is no secret and need not be one: the
    query names the tenant itself, whatever the cursor says.
    """
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        created_seq, checksum = _CURSOR.unpack(base64.b64decode(padded, b"-_", validate=True))
    except (ValueError, binascii.Error, struct.error):
        created_seq, checksum = 0, b""
    if checksum != _checksum(tenant, where, created_seq, details):
        raise InvalidCursor(
            "the cursor does not belong to this list",
            field="cursor",
            hint="pass next_cursor unchanged, with the same filters, or leave it out to start over",
        )
    return int(created_seq)


def _checksum(
    tenant: str, where: MemoryFilter, created_seq: int, details: Sequence[Condition]
) -> bytes:
    steady = dataclasses.replace(where, valid_at=_A_MOMENT) if where.valid_at_moves else where
    clause, values = condition(tenant, steady)
    told = [_told(each) for each in details]
    about = json.dumps([clause, values, sorted(where.tags_all), told, created_seq], default=str)
    return hashlib.blake2b(about.encode(), digest_size=8).digest()


def _told(condition: Condition) -> list[Any]:
    """Return what of a condition stays the same from page to page."""
    match condition:
        case AnyOf(conditions, negated):
            return [negated, *map(_told, conditions)]
        case DetailBetween(field, moving=True):
            return [field]
        case LeadsTo(link, kind, detail, backward):
            return [link, kind, _told(detail), backward]
        case _:
            return list(dataclasses.astuple(condition))
