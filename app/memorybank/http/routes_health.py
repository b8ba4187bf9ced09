"""/health, /live and /ready: no key, any Host."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime

from fastapi import APIRouter, Response

from memorybank.allocation import resident_bytes
from memorybank.health import Readiness
from memorybank.schemas.health import Health, Live, ProcessCpu, ProcessMemory, ReadyReport


class HealthRoutes:
    """What probes ask."""

    def __init__(self, readiness: Readiness, version: str) -> None:
        self._readiness = readiness
        self._version = version
        self._began = time.monotonic()

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(tags=["health"])
        router.add_api_route("/health", self.health, methods=["GET"], summary="Is it there")
        router.add_api_route("/live", self.live, methods=["GET"], summary="Is it alive")
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
        return Health(
            version=self._version,
            timestamp=datetime.now(UTC),
            uptime=round(time.monotonic() - self._began, 3),
        )

    async def live(self) -> Live:
        """Answer as /health does, with what the process takes."""
        times = os.times()
        return Live(
            version=self._version,
            pid=os.getpid(),
            memory=ProcessMemory(rss=resident_bytes()),
            cpu=ProcessCpu(user=round(times.user * 1e6), system=round(times.system * 1e6)),
        )

    async def ready(self, response: Response) -> ReadyReport:
        """Store, find and delete a memory that nobody sees; the outcome holds for seconds."""
        report = await self._readiness.report()
        if report.status != "ready":
            response.status_code = 503
        return report
