"""/v1/backup."""

from __future__ import annotations

from fastapi import APIRouter

from memorybank.http.body import JsonRoute
from memorybank.http.caller import Caller
from memorybank.schemas.backups import BackupMark, MarkRequest
from memorybank.services.backups import BackupService


class BackupRoutes:
    """Parse, call the service, show."""

    def __init__(self, service: BackupService) -> None:
        self._service = service

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(prefix="/v1/backup", route_class=JsonRoute, tags=["backup"])
        router.add_api_route(
            "/mark", self.mark, methods=["POST"], summary="Tell what a backup is compared with"
        )
        return router

    async def mark(self, caller: Caller, request: MarkRequest) -> BackupMark:
        """Wait until all that was committed is in the backup, and tell what that is."""
        return await self._service.mark(caller, request)
