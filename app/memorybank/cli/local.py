"""A bank in a folder that no server holds."""

from __future__ import annotations

from memorybank.auth.principal import Face, Principal
from memorybank.domain.keys import Role
from memorybank.domain.tenants import DEFAULT_TENANT
from memorybank.health import Readiness
from memorybank.schemas.health import ReadyReport
from memorybank.schemas.memories import MemoryView, NewMemory, SearchRequest, SearchResponse
from memorybank.server.engine import Engine
from memorybank.server.services import Services
from memorybank.version import VERSION

_OWNER = Principal(DEFAULT_TENANT, "local", Role.ADMIN.scopes, face=Face.CLI)
"""Who can read the files needs no key."""


class LocalBank:
    """Calls the services in this process."""

    def __init__(self, services: Services) -> None:
        self._services = services

    @classmethod
    async def on(cls, engine: Engine) -> LocalBank:
        """Return the bank on an open engine."""
        return cls(await Services.on(engine))

    async def store(self, new: NewMemory) -> MemoryView:
        """See Bank."""
        return MemoryView.of(await self._services.memories.remember(_OWNER, new))

    async def search(self, request: SearchRequest) -> SearchResponse:
        """See Bank."""
        return SearchResponse.of(await self._services.memories.recall(_OWNER, request))

    async def health(self) -> ReadyReport:
        """See Bank."""
        return await Readiness(self._services.selftest, version=VERSION, revision="").report()
