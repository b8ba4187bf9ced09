"""AccessStore on a SQL database: who may come in."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from functools import partial

from memorybank.domain.audit import (
    AuditEvent,
    AuditPage,
    AuditRecord,
    Chain,
    EventKind,
    NotedEvent,
)
from memorybank.domain.encryption import EncryptionStatus
from memorybank.domain.keys import ApiKey, ManagedKeys
from memorybank.domain.tenants import DEFAULT_TENANT, Quotas, Tenant, TenantPage, TenantStats
from memorybank.domain.usage import Count, Endpoint
from memorybank.encryption import KeyRing
from memorybank.stores.sql import audit, keys, life, rows, tenants
from memorybank.stores.sql import usage as usage_table
from memorybank.stores.sql.audit import done
from memorybank.stores.sql.connection import EVERYONE, Connection, Dialect, Run, Write
from memorybank.stores.sql.sealing import Seal

_LOG_ATTEMPTS = 10
_LOG_PAUSE_SECONDS = 0.5


class AccessTables:
    """See AccessStore: every write is one transaction, shared with the writes beside it."""

    def __init__(
        self,
        dialect: Dialect,
        seal: Seal,
        *,
        read: Run,
        write: Write,
        empty_log: Callable[[], Awaitable[bool]],
    ) -> None:
        self._dialect = dialect
        self._read = read
        self._write = write
        self._empty_log = empty_log
        self._seal = seal

    async def find_key(self, digest: str) -> ApiKey | None:
        """See AccessStore."""
        return await self._read(EVERYONE, lambda connection: keys.find(connection, digest))

    async def get_key(self, key_id: str) -> ApiKey | None:
        """See AccessStore."""
        return await self._read(EVERYONE, lambda connection: keys.of_id(connection, key_id))

    async def add_key(self, key: ApiKey) -> None:
        """See AccessStore."""

        def write(connection: Connection) -> bool:
            keys.insert(connection, key)
            return True

        await self._write(key.tenant, write, done(_about_key("key.create", key)))

    async def list_keys(self, tenant: str) -> list[ApiKey]:
        """See AccessStore."""
        return await self._read(tenant, lambda connection: keys.of_tenant(connection, tenant))

    async def revoke_key(self, tenant: str, key_id: str, at: datetime) -> bool:
        """See AccessStore. A key that is revoked already keeps its time."""
        event = AuditEvent(EventKind.ADMIN, "key.revoke", tenant, key_id)
        return await self._write(
            tenant, lambda connection: keys.revoke(connection, tenant, key_id, at=at), done(event)
        )

    async def rotate_key(self, successor: ApiKey, *, old_until: datetime) -> bool:
        """See AccessStore."""
        return await self._write(
            successor.tenant,
            lambda connection: keys.rotate(connection, successor, old_until=old_until),
            done(_about_key("key.rotate", successor)),
        )

    async def replace_managed_keys(self, listed: Sequence[ApiKey], at: datetime) -> ManagedKeys:
        """See AccessStore."""

        def events(done: ManagedKeys) -> list[AuditEvent]:
            revoked = (
                AuditEvent(EventKind.ADMIN, "key.revoke", key.tenant, key.id)
                for key in done.revoked
            )
            return [*(_about_key("key.manage", key) for key in done.changed), *revoked]

        return await self._write(
            EVERYONE, lambda connection: keys.replace_managed(connection, listed, at), events
        )

    async def note_use(self, used: Mapping[str, datetime]) -> None:
        """See AccessStore."""
        await self._write(EVERYONE, lambda connection: keys.note_use(connection, used))

    async def replace_bootstrap_key(
        self, key: ApiKey, *, old_until: datetime | None = None
    ) -> bool:
        """See AccessStore."""
        return await self._write(
            EVERYONE,
            lambda connection: keys.replace_bootstrap(connection, key, old_until),
            done(_about_key("key.bootstrap", key)),
        )

    async def find_tenant(self, name: str) -> Tenant | None:
        """See AccessStore."""
        return await self._read(name, lambda connection: tenants.find(connection, name))

    async def add_tenant(self, tenant: Tenant) -> bool:
        """See AccessStore."""
        return await self._write(
            EVERYONE,
            lambda connection: tenants.insert(connection, tenant),
            done(_about_tenant("tenant.create", tenant.name, tenant.quotas)),
        )

    async def list_tenants(self, *, limit: int, cursor: str | None) -> TenantPage:
        """See AccessStore."""
        return await self._read(
            EVERYONE, lambda connection: tenants.page(connection, limit=limit, cursor=cursor)
        )

    async def set_quotas(self, name: str, quotas: Quotas) -> Tenant | None:
        """See AccessStore."""
        return await self._write(
            EVERYONE,
            lambda connection: tenants.set_quotas(connection, name, quotas),
            done(_about_tenant("tenant.limit", name, quotas)),
        )

    async def tenant_stats(self, name: str, *, now: datetime) -> TenantStats:
        """See AccessStore."""
        return await self._read(name, lambda connection: tenants.stats(connection, name, now=now))

    async def begin_deletion(self, name: str) -> bool:
        """See AccessStore."""

        def write(connection: Connection) -> Chain | None:
            begun = tenants.begin_deletion(connection, name)
            return audit.chain_of(connection, name) if begun else None

        def events(chain: Chain | None) -> list[AuditEvent]:
            """Keep the end of the tenant's own log, which goes with the tenant."""
            if chain is None:
                return []
            end: dict[str, str | int] = {"records": chain.seq, "last_hash": chain.hash}
            return [AuditEvent(EventKind.ADMIN, "tenant.delete", DEFAULT_TENANT, name, end)]

        return await self._write(EVERYONE, write, events) is not None

    async def finish_deletions(self) -> None:
        """See AccessStore. A transaction per some hundred memories: other writes slip in."""
        gone = await self._read(EVERYONE, tenants.being_deleted)
        for name in gone:
            erase_some = partial(tenants.erase_some, name=name, dialect=self._dialect)
            while (all_gone := await self._write(name, erase_some)) is False:
                pass
            if all_gone:
                self._seal.forget(name)
        if gone:
            await self._destroy_old_keys()

    async def rewrap_keys(self) -> None:
        """See AccessStore. A transaction per some hundred keys: other writes slip in."""
        wrapped = False
        while await self._write(EVERYONE, self._seal.rewrap):
            wrapped = True
        if wrapped:
            await self._destroy_old_keys()

    async def use_ring(self, ring: KeyRing) -> None:
        """See AccessStore. On the writing thread, where no data key is stored meanwhile."""
        await self._write(EVERYONE, partial(self._seal.renew, ring=ring))

    async def _destroy_old_keys(self) -> None:
        """Leave no data key in the files that is in the tables no more.

        The pages were zeroed (secure_delete), in the log first. While a long reader needs the log,
        this waits for some seconds and then leaves it to the next checkpoint or stop.
        """
        for _ in range(_LOG_ATTEMPTS if self._seal.active else 0):
            if await self._empty_log():
                return
            await asyncio.sleep(_LOG_PAUSE_SECONDS)

    async def encryption(self) -> EncryptionStatus:
        """See AccessStore."""

        def read(connection: Connection) -> EncryptionStatus:
            with connection:
                enabled = connection.execute("SELECT 1 FROM encryption").fetchone() is not None
                by_key: Sequence[rows.Row] = connection.execute(
                    "SELECT key_id, count(*) FROM data_keys GROUP BY key_id ORDER BY key_id"
                ).fetchall()
            return EncryptionStatus(
                enabled, self._seal.active_key, {row[0]: row[1] for row in by_key}
            )

        return await self._read(EVERYONE, read)

    async def audit_page(
        self,
        tenant: str,
        *,
        action: str | None,
        actor: str | None,
        limit: int,
        cursor: str | None,
    ) -> AuditPage:
        """See AccessStore."""
        return await self._read(
            tenant,
            lambda connection: audit.page(
                connection, tenant, action=action, actor=actor, limit=limit, cursor=cursor
            ),
        )

    async def audit_chain(self, tenant: str) -> Chain:
        """See AccessStore."""
        return await self._read(tenant, lambda connection: audit.chain_of(connection, tenant))

    async def audit_records(self, tenant: str, after: int) -> list[AuditRecord]:
        """See AccessStore."""
        return await self._read(
            tenant, lambda connection: audit.following(connection, tenant, after)
        )

    async def prune_audit(self, before: datetime) -> None:
        """See AccessStore. A transaction per two thousand records: other writes slip in."""
        while await self._write(EVERYONE, lambda connection: audit.prune(connection, before)):
            pass

    async def prune_claims(self, before: datetime) -> None:
        """See AccessStore."""
        await self._write(EVERYONE, lambda connection: life.drop_claims(connection, before))

    async def add_activity(
        self, usage: Mapping[Endpoint, Count], events: Sequence[NotedEvent]
    ) -> None:
        """See AccessStore. What is of a tenant that was deleted meanwhile is dropped."""

        def write(connection: Connection) -> None:
            named = {where.tenant for where in usage} | {each.event.tenant for each in events}
            there = {name for name in named if tenants.find(connection, name) is not None}
            counts = {where: count for where, count in usage.items() if where.tenant in there}
            usage_table.add(connection, counts)
            audit.append(connection, (each for each in events if each.event.tenant in there))

        if usage or events:
            await self._write(EVERYONE, write)

    async def usage(self, tenant: str, *, first: str, last: str) -> dict[str, Count]:
        """See AccessStore."""
        return await self._read(
            tenant,
            lambda connection: usage_table.of_tenant(connection, tenant, first=first, last=last),
        )


def _about_key(action: str, key: ApiKey) -> AuditEvent:
    details = {"role": str(key.role)}
    if key.rotated_from is not None:
        details["rotated_from"] = key.rotated_from
    return AuditEvent(EventKind.ADMIN, action, key.tenant, key.id, details)


def _about_tenant(action: str, name: str, quotas: Quotas) -> AuditEvent:
    """Return an event for the bank's own log, with the limits that are set."""
    limits = {field: value for field, value in asdict(quotas).items() if value is not None}
    return AuditEvent(EventKind.ADMIN, action, DEFAULT_TENANT, name, limits)
