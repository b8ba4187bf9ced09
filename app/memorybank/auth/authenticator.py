"""From a token to a Principal."""

from __future__ import annotations

from collections import OrderedDict

from memorybank.auth import tokens
from memorybank.auth.principal import Principal
from memorybank.errors import Unauthenticated
from memorybank.ports import MemoryStore

_CACHE_SIZE = 4_096
"""Keys kept in memory; the least recently used one makes way."""


class Authenticator:
    """Looks keys up by their digest and remembers the valid ones.

    The cache holds digests, never tokens. It is exact, not merely fresh: this process is the only
    one that changes the keys, and every change goes through `forget_all`.
    """

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._cache: OrderedDict[str, Principal] = OrderedDict()
        self._epoch = 0

    async def authenticate(self, token: str | None) -> Principal:
        """Return the caller; raises Unauthenticated."""
        if token is None:
            raise Unauthenticated(
                "an API key is required", hint="send it as `Authorization: Bearer mb_...`"
            )
        principal = await self._find(token) if tokens.is_well_formed(token) else None
        if principal is None:
            raise Unauthenticated(
                "the API key is unknown or revoked",
                hint="send a valid key as `Authorization: Bearer mb_...`",
            )
        return principal

    def forget_all(self) -> None:
        """Look every key up anew; to be called after any change of the keys."""
        self._epoch += 1
        self._cache.clear()

    async def _find(self, token: str) -> Principal | None:
        digest = tokens.digest(token)
        cached = self._cache.get(digest)
        if cached is not None:
            self._cache.move_to_end(digest)
            return cached
        epoch = self._epoch
        key = await self._store.find_key(digest)
        if key is None or key.revoked_at is not None:
            return None
        principal = Principal(key.tenant, key.id, key.role.scopes)
        if epoch == self._epoch:  # else the key may have been revoked since it was read
            self._cache[digest] = principal
            if len(self._cache) > _CACHE_SIZE:
                self._cache.popitem(last=False)
        return principal
