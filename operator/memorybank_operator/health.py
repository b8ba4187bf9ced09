"""Whether this operator does its work, for kubelets and for Prometheus: one small HTTP server.

A live event loop proves nothing: an operator whose watch is silent or whose queue stands still
looks alive and does nothing. /healthz looks at progress and says what has none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from memorybank_operator.engine.streams import Streams
from memorybank_operator.engine.workers import WORK_SECONDS
from memorybank_operator.metrics import Queue

SILENCE_SECONDS = 150.0
"""A watch gets a bookmark each minute and is renewed after 70 s without one: this is twice that."""
STUCK_SECONDS = WORK_SECONDS + 60.0
"""Work is given up after WORK_SECONDS, so something is finished within this time."""


class Health:
    """Looks at the watch streams and the queues."""

    def __init__(
        self,
        streams: Streams,
        queues: Mapping[str, Queue],
        *,
        is_working: Callable[[], bool],
        lacking: Callable[[], str] = str,
    ) -> None:
        """`lacking` says what else work cannot begin without; empty for nothing."""
        self._streams = streams
        self._queues = queues
        self._is_working = is_working
        self._lacking = lacking

    def problems(self) -> list[str]:
        """Return what makes no progress, in words; empty when all is well."""
        silent = [
            f"watch of {stream}: no answer for {age:.0f} s"
            for stream, age in self._streams.ages().items()
            if age > SILENCE_SECONDS
        ]
        stuck: list[str] = []
        if not self._is_working():
            return silent  # queues fill up until this operator is to work on them
        for name, queue in self._queues.items():
            depth = queue.depth()
            if depth.stalled > STUCK_SECONDS:
                stuck.append(f"queue of {name}: nothing finished for {depth.stalled:.0f} s")
            elif depth.oldest_running > STUCK_SECONDS:
                stuck.append(f"queue of {name}: one runs for {depth.oldest_running:.0f} s")
        return silent + stuck

    def unready(self) -> list[str]:
        """Return what is still to be learned about the cluster; empty when work has begun."""
        missing = self._streams.missing()
        unlisted = f"not listed yet: {', '.join(missing)}" if missing else ""
        return [each for each in (unlisted, self._lacking()) if each]


def application(health: Health, registry: CollectorRegistry) -> web.Application:
    """Return the server: /healthz and /readyz answer 200 or 503 with a line per problem."""

    async def healthz(_request: web.Request) -> web.Response:
        return _answer(health.problems())

    async def readyz(_request: web.Request) -> web.Response:
        return _answer(health.unready())

    async def metrics(_request: web.Request) -> web.Response:
        headers = {"Content-Type": CONTENT_TYPE_LATEST}
        return web.Response(body=generate_latest(registry), headers=headers)

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)
    return app


def _answer(problems: list[str]) -> web.Response:
    return web.Response(status=503 if problems else 200, text="\n".join(problems or ["ok"]) + "\n")
