"""A part of the application that is loaded after the service has begun to listen.

Importing the MCP package takes about as long as everything else together. Nobody calls /mcp in the
first second of a start but may well call /v1, so it is imported meanwhile, in a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

from starlette.types import ASGIApp, Receive, Scope, Send


class WithLifespan(Protocol):
    """An ASGI application that runs something while it serves."""

    def lifespan(self, app: ASGIApp) -> AbstractAsyncContextManager[None]:
        """Run it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""


class Deferred:
    """Serves requests with what `load` returns; those that come earlier wait for it."""

    def __init__(self, load: Callable[[], WithLifespan]) -> None:
        """`load` runs in a thread, once the lifespan has begun."""
        self._load = load
        self._loaded: asyncio.Future[WithLifespan] | None = None

    async def loaded(self) -> None:
        """Return when requests need not wait any more; raises what `load` raised."""
        if self._loaded is not None:
            await asyncio.shield(self._loaded)

    @asynccontextmanager
    async def lifespan(self, app: ASGIApp) -> AsyncIterator[None]:
        """Load, and run the lifespan of what was loaded; yields at once."""
        self._loaded = asyncio.get_running_loop().create_future()
        stopping = asyncio.Event()
        # A task of its own: a task group must be left by the task that entered it.
        running = asyncio.create_task(self._run(app, self._loaded, stopping))
        try:
            yield
        finally:
            stopping.set()
            await running

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        assert self._loaded is not None  # noqa: S101  # requests come within the lifespan
        part = await asyncio.shield(self._loaded)
        await part(scope, receive, send)

    async def _run(
        self, app: Any, loaded: asyncio.Future[WithLifespan], stopping: asyncio.Event
    ) -> None:
        try:
            part = await asyncio.to_thread(self._load)
        except Exception as error:  # whatever it is, the requests that need it must hear of it
            loaded.set_exception(error)
            loaded.exception()  # heard of, even when nobody asks
            return
        async with part.lifespan(app):
            loaded.set_result(part)
            await stopping.wait()
