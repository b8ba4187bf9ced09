"""AccessStore on the tables of a SqliteStore: who may come in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Protocol, TypeVar

import apsw

from memorybank.domain.keys import ApiKey
from memorybank.domain.tenants import Quotas, Tenant, TenantPage, TenantStats
from memorybank.stores.sqlite import keys, tenants

Answer = TypeVar("Answer")


class Run(Protocol):
    """Runs statements on a connection, in the thread of that connection."""

    def __call__(self, work: Callable[[apsw.Connection], Answer], /) -> Awaitable[Answer]:
        """Return what the work returned; for a write, once it is durable."""


class AccessTables:
    """See AccessStore: every write is one transaction, shared with the writes beside it."""

    def __init__(self, *, read: Run, write: Run) -> None:
        self._read = read
        self._write = write

    async def find_key(self, digest: str) -> ApiKey | None:
        """See AccessStore."""
        return await self._read(lambda connection: keys.find(connection, digest))

    async def get_key(self, key_id: str) -> ApiKey | None:
        """See AccessStore."""
        return await self._read(lambda connection: keys.of_id(connection, key_id))

    async def add_key(self, key: ApiKey) -> None:
        """See AccessStore."""
        await self._write(lambda connection: keys.insert(connection, key))

    async def list_keys(self, tenant: str) -> list[ApiKey]:
        """See AccessStore."""
        return await self._read(lambda connection: keys.of_tenant(connection, tenant))

    async def revoke_key(self, tenant: str, key_id: str, at: datetime) -> bool:
        """See AccessStore. A key that is revoked already keeps its time."""
        return await self._write(lambda connection: keys.revoke(connection, tenant, key_id, at=at))

    async def rotate_key(self, successor: ApiKey, *, old_until: datetime) -> bool:
        """See AccessStore."""
        return await self._write(
            lambda connection: keys.rotate(connection, successor, old_until=old_until)
        )

    async def note_use(self, used: Mapping[str, datetime]) -> None:
        """See AccessStore."""
        await self._write(lambda connection: keys.note_use(connection, used))

    async def replace_bootstrap_key(self, key: ApiKey) -> bool:
        """See AccessStore."""
        return await self._write(lambda connection: keys.replace_bootstrap(connection, key))

    async def find_tenant(self, name: str) -> Tenant | None:
        """See AccessStore."""
        return await self._read(lambda connection: tenants.find(connection, name))

    async def add_tenant(self, tenant: Tenant) -> bool:
        """See AccessStore."""
        return await self._write(lambda connection: tenants.insert(connection, tenant))

    async def list_tenants(self, *, limit: int, cursor: str | None) -> TenantPage:
        """See AccessStore."""
        return await self._read(
            lambda connection: tenants.page(connection, limit=limit, cursor=cursor)
        )

    async def set_quotas(self, name: str, quotas: Quotas) -> Tenant | None:
        """See AccessStore."""
        return await self._write(lambda connection: tenants.set_quotas(connection, name, quotas))

    async def tenant_stats(self, name: str, *, now: datetime) -> TenantStats:
        """See AccessStore."""
        return await self._read(lambda connection: tenants.stats(connection, name, now=now))

    async def begin_deletion(self, name: str) -> bool:
        """See AccessStore."""
        return await self._write(lambda connection: tenants.begin_deletion(connection, name))

    async def finish_deletions(self) -> None:
        """See AccessStore. A transaction per some hundred memories: other writes slip in."""
        for name in await self._read(tenants.being_deleted):
            erase_some = partial(tenants.erase_some, name=name)
            while not await self._write(erase_some):
                pass
