"""The identity provider whose tokens this bank accepts, if it is configured."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from memorybank.auth.authenticator import TokenAuthenticator
from memorybank.domain.keys import Roles
from memorybank.ports import AccessStore
from memorybank.settings import JwtSettings

if TYPE_CHECKING:
    import httpx

    from memorybank.auth.jwt import KeySource, SharedSecret


class Federation:
    """What tokens need: nothing is loaded and nobody is asked unless it is configured."""

    def __init__(self, settings: JwtSettings | None, store: AccessStore, roles: Roles) -> None:
        self.authenticator: TokenAuthenticator | None = None
        self._shared: SharedSecret | None = None
        self.issuer = None if settings is None else settings.issuer
        self._client: httpx.AsyncClient | None = None
        if settings is None:
            return
        # Loaded here: most banks know keys only, and the library brings cryptography with it.
        from memorybank.auth import jwt
        from memorybank.jwks import PublishedKeys

        keys: KeySource
        if settings.jwks_url is not None:
            import httpx

            self._client = httpx.AsyncClient(headers={"Accept": "application/json"})
            keys = PublishedKeys(self._client, settings.jwks_url)
        else:
            keys = self._shared = jwt.SharedSecret(settings.read_secret())
        claims = jwt.Claims(
            settings.issuer, settings.audience, settings.roles_claim, settings.tenant_claim
        )
        self.authenticator = jwt.JwtAuthenticator(keys, claims, store=store, roles=roles)

    def use_secret(self, secret: bytes, *, overlap: timedelta) -> None:
        """Verify tokens by this shared secret, and for the overlap by the former one, too."""
        if self._shared is not None:
            self._shared.replace(secret, overlap=overlap)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Close connections to the provider when left."""
        try:
            yield
        finally:
            if self._client is not None:
                await self._client.aclose()
