"""The process beside an embedding server: keeps its model answering, and says whether it does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from memorybank.loading.keeper import Keeper
from memorybank.loading.ollama import OllamaModel
from memorybank.server.listener import Listener, bound
from memorybank.server.signals import Signals


def run(model: Callable[[], OllamaModel], *, host: str, port: int) -> None:
    """Keep a model until a signal to stop. Raises ConfigurationError."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_keep(model, host, port))


def build_app(keeper: Keeper) -> Starlette:
    """Return the app with what probes ask: /live, and /ready while the model answers."""

    async def live(_: Request) -> JSONResponse:
        return JSONResponse({"status": "ok"})

    async def ready(_: Request) -> JSONResponse:
        if keeper.problem is None:
            return JSONResponse({"status": "ready"})
        return JSONResponse({"status": "not_ready", "message": keeper.problem}, status_code=503)

    return Starlette(routes=[Route("/live", live), Route("/ready", ready)])


async def _keep(model: Callable[[], OllamaModel], host: str, port: int) -> None:
    stopping = Signals()
    async with contextlib.AsyncExitStack() as stack:
        listening = stack.enter_context(bound(host, port, "port"))
        kept = model()
        stack.push_async_callback(kept.close)
        keeper = Keeper(kept)
        await stack.enter_async_context(Listener(build_app(keeper), listening, grace_seconds=1))
        work = asyncio.create_task(keeper.run())
        stop = asyncio.create_task(stopping.first.wait())
        await asyncio.wait([work, stop], return_when=asyncio.FIRST_COMPLETED)
        for each in (work, stop):
            each.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work
