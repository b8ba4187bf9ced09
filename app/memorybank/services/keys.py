"""API keys: make, list, rotate, revoke."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from memorybank import trail
from memorybank.auth import tokens
from memorybank.auth.authenticator import Authenticator
from memorybank.auth.principal import Principal
from memorybank.domain.ids import new_id
from memorybank.domain.keys import ApiKey, Roles, Scope
from memorybank.errors import Conflict, InvalidRequest, NotFound
from memorybank.ports import AccessStore
from memorybank.schemas.keys import (
    KeyRotation,
    ManagedKey,
    ManagedKeyProblem,
    ManagedKeyView,
    NewKey,
)
from memorybank.services.memories import now_utc
from memorybank.services.tenants import administered_tenant


class KeyService:
    """What administrators can do with keys: of their tenant, or of any if they run the bank."""

    def __init__(
        self,
        store: AccessStore,
        authenticator: Authenticator,
        *,
        roles: Roles,
        clock: Callable[[], datetime] = now_utc,
    ) -> None:
        self._store = store
        self._authenticator = authenticator
        self._roles = roles
        self._clock = clock

    async def create(self, caller: Principal, new: NewKey) -> tuple[ApiKey, str]:
        """Make a key; return its record and the key itself, which is kept nowhere."""
        tenant = caller.administered(new.tenant)
        now = self._clock()
        if new.role not in self._roles:
            raise InvalidRequest(
                "there is no role of this name",
                field="role",
                hint=f"use one of {', '.join(self._roles.names)}",
            )
        if new.expires_at is not None and new.expires_at <= now:
            raise InvalidRequest(
                "the key would have expired already",
                field="expires_at",
                hint="name a moment in the future",
            )
        if await self._store.find_tenant(tenant) is None:
            raise InvalidRequest(
                "there is no tenant of this name",
                field="tenant",
                hint="make it first: POST /v1/admin/tenants",
            )
        token = tokens.generate()
        key = ApiKey(
            id=new_id(),
            tenant=tenant,
            name=new.name,
            role=new.role,
            digest=tokens.digest(token),
            created_at=now,
            expires_at=new.expires_at,
        )
        await self._store.add_key(key)
        return key, token

    async def manage(self, caller: Principal, listed: Sequence[ManagedKey]) -> list[ManagedKeyView]:
        """Make these the only valid managed keys of the bank; tell what became of each.

        A key of the list that cannot be taken keeps no other from being taken. For administrators
        of the bank. Raises InvalidRequest for a digest that is listed twice.
        """
        caller.require_bank()
        if len({each.digest for each in listed}) < len(listed):
            raise InvalidRequest(
                "a digest is listed twice", field="keys", hint="list each key once"
            )
        now = self._clock()
        problems = [await self._problem(each) for each in listed]
        takeable = [
            ApiKey(
                id=new_id(),
                tenant=each.tenant,
                name=each.name,
                role=each.role,
                digest=each.digest,
                created_at=now,
                expires_at=each.expires_at,
                managed=True,
            )
            for each, problem in zip(listed, problems, strict=True)
            if problem is None
        ]
        try:
            with trail.told_again():  # whoever manages them tells each database
                done = await self._store.replace_managed_keys(takeable, now)
        finally:  # also when cancelled: some may have been revoked
            self._authenticator.forget_all()
        kept = iter(done.keys)
        return [
            _managed(next(kept)) if problem is None else ManagedKeyView(id=None, problem=problem)
            for problem in problems
        ]

    async def _problem(self, key: ManagedKey) -> ManagedKeyProblem | None:
        if key.role not in self._roles:
            return "role_not_found"
        if await self._store.find_tenant(key.tenant) is None:
            return "tenant_not_found"
        return None

    async def list_all(self, caller: Principal, tenant: str | None = None) -> list[ApiKey]:
        """Return all keys of the tenant, oldest first, revoked ones included. Raises NotFound."""
        keys = await self._store.list_keys(await administered_tenant(self._store, caller, tenant))
        return [replace(key, last_used_at=self._authenticator.last_used(key)) for key in keys]

    async def rotate(
        self, caller: Principal, key_id: str, rotation: KeyRotation
    ) -> tuple[ApiKey, str]:
        """Make a key that replaces another, which stays valid for the overlap at most.

        Tenant, role, name and expiry are those of the old key. Raises NotFound, and Conflict for a
        key that is revoked or comes from the deployment.
        """
        old = await self._administered(caller, key_id)
        now = self._clock()
        if old.bootstrap:
            raise _from_deployment()
        if old.managed:
            raise Conflict(
                "the key is managed elsewhere and is rotated there",
                field="id",
                hint="rotate it where it was made, such as its MemoryBankKey",
            )
        if not old.is_valid(now):
            raise _invalid_already()
        token = tokens.generate()
        key = replace(
            old,
            id=new_id(),
            digest=tokens.digest(token),
            created_at=now,
            last_used_at=None,
            rotated_from=old.id,
        )
        overlap = timedelta(seconds=rotation.overlap_seconds)
        try:
            if not await self._store.rotate_key(key, old_until=now + overlap):
                raise _invalid_already()
        finally:  # also when cancelled: it may have been rotated
            self._authenticator.forget_all()
        return key, token

    async def revoke(self, caller: Principal, key_id: str) -> None:
        """Make a key invalid at once. Revoking it again changes nothing.

        Raises NotFound, and Conflict for the bootstrap key: without it nobody might be left who
        can make keys.
        """
        key = await self._administered(caller, key_id)
        if key.bootstrap and key.revoked_at is None:
            raise _from_deployment()
        try:
            await self._store.revoke_key(key.tenant, key_id, self._clock())
        finally:  # also when cancelled: it may have been revoked
            self._authenticator.forget_all()

    def scopes(self, key: ApiKey) -> frozenset[Scope]:
        """Return what the key allows by the roles of now."""
        return self._roles.scopes(key.role)

    async def _administered(self, caller: Principal, key_id: str) -> ApiKey:
        """Return a key that the caller administers; raises NotFound, also for another tenant's."""
        caller.require(Scope.ADMIN)
        key = await self._store.get_key(key_id)
        if key is None or not (caller.administers_bank or key.tenant == caller.tenant):
            raise NotFound("there is no key with this id", field="id", hint="list the keys")
        return key


def _managed(key: ApiKey | None) -> ManagedKeyView:
    if key is None:
        return ManagedKeyView(id=None, problem="key_taken")
    return ManagedKeyView(id=key.id, problem=None)


def _from_deployment() -> Conflict:
    return Conflict(
        "the bootstrap key comes from the deployment and is replaced there",
        field="id",
        hint="start the service with another MEMORY_BANK_ADMIN_KEY; that revokes this one",
    )


def _invalid_already() -> Conflict:
    return Conflict(
        "the key is expired or revoked: there is nothing to rotate",
        field="id",
        hint="make a new key",
    )
