"""/v1/admin/encryption."""

from __future__ import annotations

from fastapi import APIRouter

from memorybank.http.body import JsonRoute
from memorybank.http.caller import Caller
from memorybank.schemas.encryption import EncryptionView
from memorybank.services.encryption import EncryptionService


class EncryptionRoutes:
    """Parse, call the service, show."""

    def __init__(self, service: EncryptionService) -> None:
        self._service = service

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(prefix="/v1/admin", route_class=JsonRoute, tags=["encryption"])
        router.add_api_route(
            "/encryption", self.status, methods=["GET"], summary="How the bank is encrypted"
        )
        return router

    async def status(self, caller: Caller) -> EncryptionView:
        """Tell whether the bank is encrypted, and how far a rotation of the key ring has got."""
        return EncryptionView.of(await self._service.status(caller))
