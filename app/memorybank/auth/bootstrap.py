"""The first key of a bank, which the deployment hands in or the service makes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from memorybank.auth import tokens
from memorybank.domain.ids import new_id
from memorybank.domain.keys import ApiKey, Role
from memorybank.domain.tenants import DEFAULT_TENANT
from memorybank.ports import AccessStore


async def establish_admin_key(
    store: AccessStore, configured: str | None, *, overlap: timedelta = timedelta()
) -> str | None:
    """Make sure that there is one valid bootstrap key; return it if it was made just now.

    A configured key replaces the recorded one, which is revoked in the same transaction, or with an
    `overlap` expires after it; the same key again changes nothing. Without a configured key the
    recorded one stays; where there is none, a key is made. Only the digest is stored, so the caller
    must show a returned key to somebody.
    A crash before that leaves a key that nobody knows: start with a configured one to replace it.
    """
    if configured is None and await _is_recorded(store):
        return None
    token = configured or tokens.generate()
    now = datetime.now(UTC)
    await store.replace_bootstrap_key(
        ApiKey(
            id=new_id(),
            tenant=DEFAULT_TENANT,
            name="bootstrap",
            role=Role.ADMIN,
            digest=tokens.digest(token),
            created_at=now,
            bootstrap=True,
        ),
        old_until=now + overlap if overlap else None,
    )
    return None if configured else token


async def _is_recorded(store: AccessStore) -> bool:
    keys = await store.list_keys(DEFAULT_TENANT)
    return any(key.bootstrap and key.revoked_at is None for key in keys)
