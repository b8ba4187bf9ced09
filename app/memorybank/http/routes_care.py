"""/v1/admin/status, /v1/admin/configuration, /v1/admin/check and /v1/admin/index."""

from __future__ import annotations

from fastapi import APIRouter

from memorybank.http.body import JsonRoute
from memorybank.http.caller import Caller
from memorybank.schemas.care import (
    BankStatus,
    CheckReport,
    ConfigurationView,
    IndexCheckReport,
    IndexRebuilt,
)
from memorybank.services.care import CareService


class CareRoutes:
    """Parse, call the service, show."""

    def __init__(self, service: CareService) -> None:
        self._service = service

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(prefix="/v1/admin", route_class=JsonRoute, tags=["care"])
        router.add_api_route("/status", self.status, methods=["GET"], summary="Tell what is there")
        router.add_api_route(
            "/configuration",
            self.configuration,
            methods=["GET"],
            summary="Tell which configuration is in effect",
        )
        router.add_api_route("/check", self.check, methods=["POST"], summary="Check for damage")
        router.add_api_route(
            "/index/check",
            self.check_index,
            methods=["POST"],
            summary="Compare the search index with the database",
        )
        router.add_api_route(
            "/index/rebuild",
            self.rebuild_index,
            methods=["POST"],
            summary="Build the search index anew",
        )
        return router

    async def status(self, caller: Caller) -> BankStatus:
        """Tell versions, counts and sizes of the whole bank."""
        return await self._service.status(caller)

    async def configuration(self, caller: Caller) -> ConfigurationView:
        """Tell by fingerprints which configuration and secrets the service runs by."""
        return await self._service.configuration(caller)

    async def check(self, caller: Caller) -> CheckReport:
        """Read every page of the database. It takes about a second per gigabyte."""
        return await self._service.check(caller)

    async def check_index(self, caller: Caller) -> IndexCheckReport:
        """Compare every memory; an index that differs is built anew. Searches go on meanwhile."""
        return await self._service.check_index(caller)

    async def rebuild_index(self, caller: Caller) -> IndexRebuilt:
        """Drop the index and the remembered vectors, and read all anew. Searches go on."""
        return await self._service.rebuild_index(caller)
