"""Tenants: make, list, limit, look at, delete."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from memorybank.auth.authenticator import Authenticator
from memorybank.auth.principal import Principal
from memorybank.domain.keys import Scope
from memorybank.domain.tenants import DEFAULT_TENANT, Quotas, Tenant, TenantPage, TenantStats
from memorybank.errors import Conflict, NotFound
from memorybank.ports import AccessStore, SearchIndex
from memorybank.schemas.tenants import NewTenant, TenantListQuery, TenantPatch
from memorybank.services.memories import now_utc


class TenantService:
    """What administrators can do with tenants.

    Those of the bank, with an admin key of the default tenant, make, change and delete them. Those
    of a tenant see their own.
    """

    def __init__(
        self,
        store: AccessStore,
        index: SearchIndex,
        authenticator: Authenticator,
        *,
        clock: Callable[[], datetime] = now_utc,
    ) -> None:
        self._store = store
        self._index = index
        self._authenticator = authenticator
        self._clock = clock

    async def create(self, caller: Principal, new: NewTenant) -> Tenant:
        """Make a tenant; raises Conflict when there is one of that name."""
        caller.require_bank()
        tenant = Tenant(new.name, self._clock(), new.quotas())
        if not await self._store.add_tenant(tenant):
            raise Conflict(
                "there is a tenant of this name already", field="name", hint="choose another name"
            )
        return tenant

    async def list_page(self, caller: Principal, query: TenantListQuery) -> TenantPage:
        """Return one page of the tenants that the caller administers. Raises InvalidCursor."""
        caller.require(Scope.ADMIN)
        if caller.administers_bank:
            return await self._store.list_tenants(limit=query.limit, cursor=query.cursor)
        return TenantPage([await self._find(caller.tenant)], None, 1)

    async def get(self, caller: Principal, name: str) -> Tenant:
        """Return a tenant; raises NotFound."""
        return await self._find(caller.administered(name))

    async def stats(self, caller: Principal, name: str) -> TenantStats:
        """Count what a tenant holds; raises NotFound."""
        tenant = await self._find(caller.administered(name))
        return await self._store.tenant_stats(tenant.name, now=self._clock())

    async def change(self, caller: Principal, name: str, patch: TenantPatch) -> Tenant:
        """Change quotas; raises NotFound. They hold from the next request on."""
        caller.require_bank()
        quotas = patch.applied_to((await self._find(name)).quotas)
        return await self._set_quotas(name, quotas)

    async def delete(self, caller: Principal, name: str, *, with_data: bool) -> None:
        """Delete a tenant; its keys are void at once, and when this returns its data is gone.

        Raises NotFound, and Conflict for the default tenant and, unless told to delete the data
        with it, for one that still holds memories or valid keys. A crash halfway leaves a tenant
        that lets nobody in; the next start erases the rest.
        """
        caller.require_bank()
        tenant = await self._find(name)
        if name == DEFAULT_TENANT:
            raise Conflict("the bank's own tenant stays", field="name", hint="delete its memories")
        if not with_data:
            await self._refuse_unless_empty(tenant)
        try:
            await self._store.begin_deletion(name)
        finally:  # also when cancelled: it may have begun
            self._authenticator.forget_all()
        await self._store.finish_deletions()
        await self._index.catch_up()

    async def _set_quotas(self, name: str, quotas: Quotas) -> Tenant:
        try:
            changed = await self._store.set_quotas(name, quotas)
        finally:
            self._authenticator.forget_all()
        if changed is None:
            raise _unknown()
        return changed

    async def _refuse_unless_empty(self, tenant: Tenant) -> None:
        stats = await self._store.tenant_stats(tenant.name, now=self._clock())
        if stats.memories or stats.keys:
            raise Conflict(
                f"the tenant holds {stats.memories} memories and {stats.keys} valid keys",
                field="name",
                hint="delete all of it with ?with_data=true, or delete and revoke them first",
            )

    async def _find(self, name: str) -> Tenant:
        tenant = await self._store.find_tenant(name)
        if tenant is None:
            raise _unknown()
        return tenant


async def administered_tenant(store: AccessStore, caller: Principal, named: str | None) -> str:
    """Return the tenant that a request to read is about: the caller's own unless it names another.

    Raises Forbidden as `Principal.administered` does, and NotFound when there is none of that name:
    nothing found must not look like nothing there.
    """
    tenant = caller.administered(named)
    if named is not None and await store.find_tenant(named) is None:
        raise _unknown("tenant")
    return tenant


def _unknown(field: str = "name") -> NotFound:
    return NotFound("there is no tenant of this name", field=field, hint="list the tenants")
