"""Storing a memory that is new, or learning why the tenant cannot have it."""

from __future__ import annotations

from typing import Any

from memorybank.errors import InvalidRequest, MemoryBankError, NotFound, QuotaExceeded
from memorybank.stores.sql import rows
from memorybank.stores.sql.connection import Connection, Dialect

_INSERT = (
    f"INSERT INTO memories (created_seq, seq, {rows.WRITTEN_COLUMNS})"
    f" VALUES (?, ?, {rows.placeholders(rows.WRITTEN_COLUMNS)})"
    " ON CONFLICT (tenant, id) DO NOTHING"
)


def insert(connection: Connection, dialect: Dialect, seq: int, row: tuple[Any, ...]) -> None:
    """Store the values of WRITTEN_COLUMNS as the change `seq`, within a transaction.

    Raises QuotaExceeded, NotFound when the tenant is deleted, InvalidRequest when it has the id;
    nothing was changed then. A trigger of the schema sees to the first two, however a row comes.
    """
    try:
        connection.execute(_INSERT, (seq, seq, *row))
    except dialect.refused:
        raise _refusal(connection, row[0]) from None
    if not connection.changes():
        raise _refusal(connection, row[0])


def _refusal(connection: Connection, tenant: str) -> MemoryBankError:
    found = connection.execute(
        "SELECT state, memories, max_memories FROM tenants WHERE name = ?", (tenant,)
    ).fetchone()
    state, memories, most = found or ("active", 0, None)
    if state != "active":
        return NotFound("the tenant of this key is deleted", hint="use a key of another tenant")
    if most is not None and memories >= most:
        return QuotaExceeded(
            "the tenant holds as many memories as it may",
            hint="purge some: the trash counts, too; or have an administrator of the bank raise"
            " max_memories",
        )
    return InvalidRequest(
        "a memory with this id exists already", field="id", hint="choose another id"
    )
