"""The statements about API keys. Those that write expect a transaction around them."""

from __future__ import annotations

from datetime import datetime

import apsw

from memorybank.domain.keys import ApiKey
from memorybank.stores.sqlite import rows


def find(connection: apsw.Connection, digest: str) -> ApiKey | None:
    """Return the key of this digest, revoked or not."""
    row = connection.execute(
        f"SELECT {rows.KEY_COLUMNS} FROM keys WHERE digest = ?", (digest,)
    ).fetchone()
    return None if row is None else rows.key_from(row)


def of_tenant(connection: apsw.Connection, tenant: str) -> list[ApiKey]:
    """Return all keys of the tenant, oldest first."""
    found = connection.execute(
        f"SELECT {rows.KEY_COLUMNS} FROM keys WHERE tenant = ? ORDER BY added", (tenant,)
    )
    return [rows.key_from(row) for row in found]


def insert(connection: apsw.Connection, key: ApiKey) -> None:
    """Store a key."""
    connection.execute(
        f"INSERT INTO keys ({rows.KEY_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows.key_row(key)
    )


def revoke(connection: apsw.Connection, tenant: str, key_id: str, *, at: datetime) -> bool:
    """Mark the key as revoked, unless it is already; False when the tenant has no such key."""
    connection.execute(
        "UPDATE keys SET revoked_at = coalesce(revoked_at, ?) WHERE tenant = ? AND id = ?",
        (rows.to_microseconds(at), tenant, key_id),
    )
    return connection.changes() == 1


def replace_bootstrap(connection: apsw.Connection, key: ApiKey) -> bool:
    """Make this the only valid bootstrap key; False when it already was.

    The others are revoked, as of the new key's creation. A record of the same digest, say of an
    earlier bootstrap key that comes back, makes way.
    """
    current = find(connection, key.digest)
    if current is not None and current.bootstrap and current.revoked_at is None:
        return False
    connection.execute(
        "UPDATE keys SET revoked_at = ? WHERE bootstrap AND revoked_at IS NULL",
        (rows.to_microseconds(key.created_at),),
    )
    connection.execute("DELETE FROM keys WHERE digest = ?", (key.digest,))
    insert(connection, key)
    return True
