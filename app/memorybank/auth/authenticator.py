"""From a token to a Principal."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from memorybank.auth import tokens
from memorybank.auth.principal import Principal
from memorybank.domain.keys import ApiKey, Roles
from memorybank.errors import Unauthenticated
from memorybank.ports import AccessStore

_CACHE_SIZE = 4_096
"""Keys kept in memory; the least recently used one makes way."""


def _now() -> datetime:
    return datetime.now(UTC)


class TokenAuthenticator(Protocol):
    """Knows callers by tokens of another kind than keys."""

    def is_token(self, token: str) -> bool:
        """Say whether this could be one of them."""

    async def authenticate(self, token: str) -> Principal:
        """Return the caller; raises Unauthenticated and Unavailable."""


@dataclass(frozen=True, slots=True)
class _Known:
    """A key that was valid when it was looked up, and what it stands for."""

    key: ApiKey
    principal: Principal


class Authenticator:
    """Looks keys up by their digest and remembers the valid ones.

    The cache holds digests, never tokens, and is asked by digest: how long a comparison takes tells
    nothing about a key. It is exact, not merely fresh: every change of keys and tenants in this
    process goes through `forget_all`, and expiry is looked at each time. What other processes
    change in a store that they share takes a moment (services/following.py).
    """

    def __init__(
        self,
        store: AccessStore,
        *,
        roles: Roles | None = None,
        jwt: TokenAuthenticator | None = None,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        self._store = store
        self._roles = roles or Roles()
        self._jwt = jwt
        self._clock = clock
        self._cache: OrderedDict[str, _Known] = OrderedDict()
        self._epoch = 0
        self._used: dict[str, datetime] = {}

    async def authenticate(self, token: str | None) -> Principal:
        """Return the caller; raises Unauthenticated, Unavailable when it cannot be told now."""
        if token is None:
            raise Unauthenticated(
                "an API key is required",
                hint="send it as `Authorization: Bearer mb_...`",
                presented=False,
            )
        if self._jwt is not None and self._jwt.is_token(token):
            return await self._jwt.authenticate(token)
        known = await self._find(token) if tokens.is_well_formed(token) else None
        now = self._clock()
        if known is None or not known.key.is_valid(now):
            raise Unauthenticated(
                "the API key is unknown, expired or revoked",
                hint="send a valid key as `Authorization: Bearer mb_...`",
            )
        self._used[known.key.id] = now
        return known.principal

    def remembers(self, token: str | None) -> bool:
        """Say whether this token is known without asking the store."""
        return token is not None and tokens.digest(token) in self._cache

    def forget_all(self) -> None:
        """Look every key up anew; to be called after any change of keys or tenants."""
        self._epoch += 1
        self._cache.clear()

    def last_used(self, key: ApiKey) -> datetime | None:
        """Return when the key was used last, what is not yet stored included."""
        return self._used.get(key.id, key.last_used_at)

    async def store_use(self) -> None:
        """Store when keys were used since the last call; loses nothing when the store fails."""
        used, self._used = self._used, {}
        if not used:
            return
        try:
            await self._store.note_use(used)
        except BaseException:
            self._used = used | self._used
            raise

    async def _find(self, token: str) -> _Known | None:
        digest = tokens.digest(token)
        cached = self._cache.get(digest)
        if cached is not None:
            self._cache.move_to_end(digest)
            return cached
        epoch = self._epoch
        key = await self._store.find_key(digest)
        if key is None or not key.is_valid(self._clock()):
            return None
        tenant = await self._store.find_tenant(key.tenant)
        if tenant is None:
            return None
        scopes = self._roles.scopes(key.role)
        known = _Known(key, Principal(key.tenant, key.id, scopes, tenant.quotas))
        if epoch == self._epoch:  # else the key may have been revoked since it was read
            self._cache[digest] = known
            if len(self._cache) > _CACHE_SIZE:
                self._cache.popitem(last=False)
        return known
