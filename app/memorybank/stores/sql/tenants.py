"""The statements about tenants. Those that write expect a transaction around them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from datetime import datetime

from memorybank.domain.tenants import Quotas, Tenant, TenantPage, TenantStats
from memorybank.domain.times import from_microseconds, maybe_moment, to_microseconds
from memorybank.errors import Conflict, InvalidCursor
from memorybank.stores.sql import rows
from memorybank.stores.sql.connection import Connection, Dialect

_COLUMNS = "name, created_at, max_memories, requests_per_minute, burst, memories"
_EXCLUDED = ", ".join(f"excluded.{name}" for name in _COLUMNS.split(", "))

_ERASED_AT_ONCE = 500
"""Memories deleted per transaction: some 10 ms, which other writers wait."""


def find(connection: Connection, name: str) -> Tenant | None:
    """Return the tenant, unless it is deleted."""
    row = connection.execute(
        f"SELECT {_COLUMNS} FROM tenants WHERE name = ? AND state = 'active'", (name,)
    ).fetchone()
    return None if row is None else _tenant(row)


def every(connection: Connection) -> list[Tenant]:
    """Return all tenants in the order of their names."""
    found = connection.execute(
        f"SELECT {_COLUMNS} FROM tenants WHERE state = 'active' ORDER BY name"
    )
    return [_tenant(row) for row in found]


def page(connection: Connection, *, limit: int, cursor: str | None) -> TenantPage:
    """Return one page in the order of names. Raises InvalidCursor."""
    after = "" if cursor is None else _decode(cursor)
    with connection:  # the page and the total are of the same moment
        total = connection.execute("SELECT count(*) FROM tenants WHERE state = 'active'").get
        found = connection.execute(
            f"SELECT {_COLUMNS} FROM tenants WHERE state = 'active' AND name > ?"
            " ORDER BY name LIMIT ?",
            (after, limit + 1),
        ).fetchall()
    tenants = [_tenant(row) for row in found[:limit]]
    more = len(found) > limit
    return TenantPage(tenants, _encode(tenants[-1].name) if more else None, total)


def insert(connection: Connection, tenant: Tenant) -> bool:
    """Store a tenant; False when there is one of that name. A deleted one's name is free again.

    Raises Conflict while the one before is still being deleted.
    """
    row = connection.execute("SELECT state FROM tenants WHERE name = ?", (tenant.name,)).fetchone()
    if row is not None and row[0] == "deleting":
        raise Conflict(
            "the tenant of this name is still being deleted", field="name", hint="try again soon"
        )
    if row is not None and row[0] == "active":
        return False
    quotas = tenant.quotas
    connection.execute(
        f"INSERT INTO tenants (state, {_COLUMNS}) VALUES ('active', ?, ?, ?, ?, ?, 0)"
        " ON CONFLICT (name) DO UPDATE SET"
        f" (state, {_COLUMNS}) = (excluded.state, {_EXCLUDED})",
        (
            tenant.name,
            to_microseconds(tenant.created_at),
            quotas.max_memories,
            quotas.requests_per_minute,
            quotas.burst,
        ),
    )
    return True


def set_quotas(connection: Connection, name: str, quotas: Quotas) -> Tenant | None:
    """Replace the quotas; None when there is no such tenant."""
    connection.execute(
        "UPDATE tenants SET max_memories = ?, requests_per_minute = ?, burst = ?"
        " WHERE name = ? AND state = 'active'",
        (quotas.max_memories, quotas.requests_per_minute, quotas.burst, name),
    )
    return find(connection, name)


def stats(connection: Connection, name: str, *, now: datetime) -> TenantStats:
    """Count what the tenant holds, all at one moment."""
    with connection:
        memories, projects, sessions, oldest, newest = connection.execute(
            "SELECT count(*), count(DISTINCT project), count(DISTINCT session),"
            " min(created_at), max(created_at) FROM memories WHERE tenant = ?",
            (name,),
        ).get
        keys = connection.execute(
            "SELECT count(*) FROM keys WHERE tenant = ? AND revoked_at IS NULL"
            " AND (expires_at IS NULL OR expires_at > ?)",
            (name, to_microseconds(now)),
        ).get
        by_type: Sequence[rows.Row] = connection.execute(
            "SELECT type, count(*) FROM memories WHERE tenant = ? GROUP BY type ORDER BY type",
            (name,),
        ).fetchall()
    return TenantStats(
        memories=memories,
        keys=keys,
        projects=projects,
        sessions=sessions,
        oldest=maybe_moment(oldest),
        newest=maybe_moment(newest),
        by_type={row[0]: row[1] for row in by_type},
    )


def begin_deletion(connection: Connection, name: str) -> bool:
    """Close the tenant for good; False when there is none. Its keys are void from now on."""
    connection.execute(
        "UPDATE tenants SET state = 'deleting' WHERE name = ? AND state = 'active'", (name,)
    )
    return connection.changes() == 1


def being_deleted(connection: Connection) -> list[str]:
    """Return the tenants whose deletion has begun and not ended."""
    found = connection.execute("SELECT name FROM tenants WHERE state = 'deleting' ORDER BY name")
    return [name for (name,) in found]


def erase_some(connection: Connection, name: str, dialect: Dialect) -> bool | None:
    """Delete some memories of a tenant that is being deleted; say whether that was all, None when
    it was over already: somebody else finished it, and the tenant may have been made anew.

    The feed tells of each, so that every index follows. With the last memories goes all else that
    names the tenant in a column `tenant`, in whatever table, and the deletion is over.
    """
    if name not in being_deleted(connection):
        return None
    gone = connection.execute(
        "SELECT created_seq, id FROM memories WHERE tenant = ? LIMIT ?", (name, _ERASED_AT_ONCE)
    ).fetchall()
    if gone:
        last = connection.execute("UPDATE feed SET seq = seq + ? RETURNING seq", (len(gone),)).get
        connection.executemany(
            "INSERT INTO deletions (seq, tenant, memory_id) VALUES (?, ?, ?)",
            [(last - place, name, memory_id) for place, (_, memory_id) in enumerate(gone)],
        )
        connection.executemany(
            "DELETE FROM memories WHERE created_seq = ?", [(seq,) for seq, _ in gone]
        )
    if len(gone) == _ERASED_AT_ONCE:
        return False
    for (table,) in connection.execute(dialect.tables_of_tenants).fetchall():
        if table != "deletions":  # the feed's own record of what is gone
            connection.execute(f'DELETE FROM "{table}" WHERE tenant = ?', (name,))
    connection.execute("UPDATE tenants SET state = 'deleted', memories = 0 WHERE name = ?", (name,))
    return True


def _tenant(row: rows.Row) -> Tenant:
    return Tenant(
        name=row[0],
        created_at=from_microseconds(row[1]),
        quotas=Quotas(max_memories=row[2], requests_per_minute=row[3], burst=row[4]),
        memories=row[5],
    )


def _encode(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode().rstrip("=")


def _decode(cursor: str) -> str:
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        return base64.b64decode(padded, b"-_", validate=True).decode()
    except (ValueError, binascii.Error):
        raise InvalidCursor(
            "the cursor does not belong to this list",
            field="cursor",
            hint="pass next_cursor unchanged, or leave it out to start over",
        ) from None
