"""The statements about API keys. Those that write expect a transaction around them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from memorybank.domain.keys import ApiKey, ManagedKeys
from memorybank.domain.times import (
    from_microseconds,
    maybe_microseconds,
    maybe_moment,
    to_microseconds,
)
from memorybank.stores.sql import rows
from memorybank.stores.sql.connection import Connection

_COLUMNS = (
    "id, tenant, name, role, digest, created_at, revoked_at, bootstrap, expires_at, last_used_at,"
    " rotated_from, managed"
)
_PLACES = ", ".join("?" * len(_COLUMNS.split(",")))


def find(connection: Connection, digest: str) -> ApiKey | None:
    """Return the key of this digest, valid or not."""
    row = connection.execute(f"SELECT {_COLUMNS} FROM keys WHERE digest = ?", (digest,)).fetchone()
    return None if row is None else _key(row)


def of_id(connection: Connection, key_id: str) -> ApiKey | None:
    """Return the key of this id, valid or not, whoever's it is."""
    row = connection.execute(f"SELECT {_COLUMNS} FROM keys WHERE id = ?", (key_id,)).fetchone()
    return None if row is None else _key(row)


def of_tenant(connection: Connection, tenant: str) -> list[ApiKey]:
    """Return all keys of the tenant, oldest first."""
    found = connection.execute(
        f"SELECT {_COLUMNS} FROM keys WHERE tenant = ? ORDER BY added", (tenant,)
    )
    return [_key(row) for row in found]


def insert(connection: Connection, key: ApiKey) -> None:
    """Store a key."""
    connection.execute(f"INSERT INTO keys ({_COLUMNS}) VALUES ({_PLACES})", _row(key))


def revoke(connection: Connection, tenant: str, key_id: str, *, at: datetime) -> bool:
    """Mark the key as revoked, unless it is already; False when the tenant has no such key."""
    connection.execute(
        "UPDATE keys SET revoked_at = coalesce(revoked_at, ?) WHERE tenant = ? AND id = ?",
        (to_microseconds(at), tenant, key_id),
    )
    return connection.changes() == 1


def rotate(connection: Connection, successor: ApiKey, *, old_until: datetime) -> bool:
    """Store a key that replaces another, and let that one expire no later than this.

    False, with nothing changed, when the old key is gone or revoked.
    """
    connection.execute(
        "UPDATE keys SET expires_at = CASE WHEN expires_at < ? THEN expires_at ELSE ? END"
        " WHERE id = ? AND tenant = ? AND revoked_at IS NULL",
        (*[to_microseconds(old_until)] * 2, successor.rotated_from, successor.tenant),
    )
    if connection.changes() != 1:
        return False
    insert(connection, successor)
    return True


def note_use(connection: Connection, used: Mapping[str, datetime]) -> None:
    """Note when keys were used last, by id; never moves a time back."""
    connection.executemany(
        "UPDATE keys SET last_used_at = CASE WHEN last_used_at > ? THEN last_used_at ELSE ? END"
        " WHERE id = ?",
        [(*[to_microseconds(at)] * 2, key_id) for key_id, at in used.items()],
    )


def replace_bootstrap(connection: Connection, key: ApiKey, old_until: datetime | None) -> bool:
    """Make this the only valid bootstrap key; False when it already was.

    The others are revoked, as of the new key's creation, or expire by `old_until`. A record of the
    same digest, say of an earlier bootstrap key that comes back, makes way.
    """
    current = find(connection, key.digest)
    if current is not None and current.bootstrap and current.revoked_at is None:
        return False
    if old_until is None:
        connection.execute(
            "UPDATE keys SET revoked_at = ? WHERE bootstrap AND revoked_at IS NULL",
            (to_microseconds(key.created_at),),
        )
    else:
        connection.execute(
            "UPDATE keys SET bootstrap = ?, expires_at = ? WHERE bootstrap AND revoked_at IS NULL",
            (False, to_microseconds(old_until)),
        )
    connection.execute("DELETE FROM keys WHERE digest = ?", (key.digest,))
    insert(connection, key)
    return True


def replace_managed(connection: Connection, listed: Sequence[ApiKey], at: datetime) -> ManagedKeys:
    """Make these the only valid managed keys. A key is known by its digest and keeps its id."""
    found = connection.execute(f"SELECT {_COLUMNS} FROM keys WHERE managed ORDER BY added")
    before = {key.digest: key for key in map(_key, found)}
    kept = [_keep_managed(connection, key, before.get(key.digest)) for key in listed]
    digests = {key.digest for key in listed}
    revoked = [
        key for key in before.values() if key.revoked_at is None and key.digest not in digests
    ]
    for key in revoked:
        revoke(connection, key.tenant, key.id, at=at)
    changed = [key for key in kept if key is not None and before.get(key.digest) != key]
    return ManagedKeys(tuple(kept), tuple(changed), tuple(revoked))


def _keep_managed(connection: Connection, key: ApiKey, known: ApiKey | None) -> ApiKey | None:
    if known is None:
        if find(connection, key.digest) is not None:
            return None
        insert(connection, key)
        return key
    wanted = replace(
        known,
        tenant=key.tenant, name=key.name, role=key.role, expires_at=key.expires_at, revoked_at=None,
    )  # fmt: skip
    if wanted != known:
        connection.execute(
            "UPDATE keys SET tenant = ?, name = ?, role = ?, expires_at = ?, revoked_at = NULL"
            " WHERE id = ?",
            (key.tenant, key.name, str(key.role), maybe_microseconds(key.expires_at), known.id),
        )
    return wanted


def _row(key: ApiKey) -> tuple[Any, ...]:
    return (
        key.id,
        key.tenant,
        key.name,
        str(key.role),
        key.digest,
        to_microseconds(key.created_at),
        maybe_microseconds(key.revoked_at),
        key.bootstrap,
        maybe_microseconds(key.expires_at),
        maybe_microseconds(key.last_used_at),
        key.rotated_from,
        key.managed,
    )


def _key(row: rows.Row) -> ApiKey:
    return ApiKey(
        id=row[0],
        tenant=row[1],
        name=row[2],
        role=row[3],
        digest=row[4],
        created_at=from_microseconds(row[5]),
        revoked_at=maybe_moment(row[6]),
        bootstrap=bool(row[7]),
        expires_at=maybe_moment(row[8]),
        last_used_at=maybe_moment(row[9]),
        rotated_from=row[10],
        managed=bool(row[11]),
    )
