"""API keys: make, list, revoke."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from memorybank.auth import tokens
from memorybank.auth.authenticator import Authenticator
from memorybank.auth.principal import Principal
from memorybank.domain.ids import new_id
from memorybank.domain.keys import ApiKey, Scope
from memorybank.errors import Conflict, NotFound
from memorybank.ports import MemoryStore
from memorybank.schemas.keys import NewKey
from memorybank.services.memories import now_utc


class KeyService:
    """What administrators can do with the keys of their tenant."""

    def __init__(
        self,
        store: MemoryStore,
        authenticator: Authenticator,
        *,
        clock: Callable[[], datetime] = now_utc,
    ) -> None:
        self._store = store
        self._authenticator = authenticator
        self._clock = clock

    async def create(self, caller: Principal, new: NewKey) -> tuple[ApiKey, str]:
        """Make a key; return its record and the key itself, which is kept nowhere."""
        caller.require(Scope.ADMIN)
        token = tokens.generate()
        key = ApiKey(
            id=new_id(),
            tenant=caller.tenant,
            name=new.name,
            role=new.role,
            digest=tokens.digest(token),
            created_at=self._clock(),
        )
        await self._store.add_key(key)
        return key, token

    async def list_all(self, caller: Principal) -> list[ApiKey]:
        """Return all keys of the tenant, oldest first, revoked ones included."""
        caller.require(Scope.ADMIN)
        return await self._store.list_keys(caller.tenant)

    async def revoke(self, caller: Principal, key_id: str) -> None:
        """Make a key invalid at once. Revoking it again changes nothing.

        Raises NotFound, and Conflict for the bootstrap key: without it nobody might be left who
        can make keys.
        """
        caller.require(Scope.ADMIN)
        keys = {key.id: key for key in await self._store.list_keys(caller.tenant)}
        key = keys.get(key_id)
        if key is None:
            raise NotFound("there is no key with this id", field="id", hint="list the keys")
        if key.bootstrap and key.revoked_at is None:
            raise Conflict(
                "the bootstrap key comes from the deployment and is replaced there",
                field="id",
                hint="start the service with another MEMORY_BANK_ADMIN_KEY; that revokes this one",
            )
        try:
            await self._store.revoke_key(caller.tenant, key_id, self._clock())
        finally:  # also when cancelled: it may have been revoked
            self._authenticator.forget_all()
