"""The parts of a running service that take new settings and secrets."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from memorybank.auth.bootstrap import establish_admin_key
from memorybank.encryption import KeyRing
from memorybank.server.engine import Engine
from memorybank.server.secrets import Secrets
from memorybank.settings import Settings

if TYPE_CHECKING:
    from memorybank.server.app import Application

OVERLAP = timedelta(minutes=5)
"""How long a replaced admin key or shared secret is good beside the new one: a kubelet brings a
changed Secret to those who use it within a minute and a half, and they need a moment to read it."""


class ServiceParts:
    """See reload.Parts."""

    def __init__(self, application: Application, engine: Engine) -> None:
        self._application = application
        self._engine = engine

    async def use_ring(self, ring: KeyRing) -> None:
        """See reload.Parts. What is there is wrapped anew before this returns; a crash before that
        leaves it to the next start.
        """
        await self._engine.store.access.use_ring(ring)
        await self._engine.store.access.rewrap_keys()

    async def use_admin_key(self, token: str) -> None:
        """See reload.Parts."""
        try:
            await establish_admin_key(self._engine.store.access, token, overlap=OVERLAP)
        finally:  # also when cancelled: it may have been replaced
            self._application.services.authenticator.forget_all()

    def use_secrets(self, secrets: Secrets) -> None:
        """See reload.Parts."""
        if secrets.jwt is not None:
            self._application.federation.use_secret(secrets.jwt, overlap=OVERLAP)
        self._engine.embedders.use_key(secrets.embedding_key)

    def use_settings(self, settings: Settings) -> None:
        """See reload.Parts."""
        self._application.asgi.apply(settings)
        services = self._application.services
        services.memories.use_gate(settings.write_gate.to_policy())
        services.forgetting.use_policy(settings.forgetting.to_policy())
        services.consolidation.use_rules(settings.consolidation.to_rules())
