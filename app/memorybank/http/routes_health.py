"""/health, /live and /ready: no key, any Host."""

from __future__ import annotations

from fastapi import APIRouter, Response

from memorybank.health import Readiness
from memorybank.schemas.health import Health, ReadyReport


class HealthRoutes:
    """What probes ask."""

    def __init__(self, readiness: Readiness, version: str) -> None:
        self._readiness = readiness
        self._health = Health(version=version)

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(tags=["health"])
        router.add_api_route("/health", self.health, methods=["GET"], summary="Is it there")
        router.add_api_route(
            "/live", self.health, methods=["GET"], summary="Is it alive", name="live"
        )
        router.add_api_route(
            "/ready",
            self.ready,
            methods=["GET"],
            summary="Does it do its job",
            responses={503: {"model": ReadyReport, "description": "It does not."}},
        )
        return router

    async def health(self) -> Health:
        """Answer, and nothing else: restarting the process cures nothing but a hung process."""
        return self._health

    async def ready(self, response: Response) -> ReadyReport:
        """Store, find and delete a memory that nobody sees; the outcome holds for seconds."""
        report = await self._readiness.report()
        if report.status != "ready":
            response.status_code = 503
        return report
