"""GET /metrics, on a port of its own that no caller of the service reaches."""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from memorybank.ports import MemoryStore, SearchIndex
from memorybank.telemetry import Telemetry


class MetricsApp:
    """An ASGI application with one path."""

    def __init__(self, telemetry: Telemetry, store: MemoryStore, index: SearchIndex) -> None:
        self._telemetry = telemetry
        self._store = store
        self._index = index

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        response: Response
        if scope["path"] != "/metrics":
            response = PlainTextResponse("only /metrics is here\n", status_code=404)
        elif scope["method"] not in ("GET", "HEAD"):
            response = PlainTextResponse("use GET\n", status_code=405, headers={"Allow": "GET"})
        else:
            body = await self._telemetry.exposition(self._store, self._index)
            response = Response(body, media_type=CONTENT_TYPE_LATEST)
        await response(scope, receive, send)
