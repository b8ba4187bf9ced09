from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from memorybank.server.deferred import Deferred


class Part:
    """Answers while its lifespan lasts."""

    def __init__(self) -> None:
        self.alive = False

    @asynccontextmanager
    async def lifespan(self, _app: ASGIApp) -> AsyncIterator[None]:
        self.alive = True
        yield
        self.alive = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self.alive
        await PlainTextResponse("hello")(scope, receive, send)


async def request(app: ASGIApp) -> bytes:
    sent = []

    async def receive() -> dict[str, str]:
        return {"type": "http.disconnect"}

    async def send(message: object) -> None:
        sent.append(message)

    await app({"type": "http", "method": "GET", "path": "/", "headers": []}, receive, send)
    body: bytes = sent[-1]["body"]  # type: ignore[index]  # a message
    return body


async def nobody(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise NotImplementedError


async def test_requests_that_come_before_it_is_loaded_wait_for_it() -> None:
    part, may_load = Part(), threading.Event()

    def load() -> Part:
        may_load.wait()
        return part

    deferred = Deferred(load)
    async with deferred.lifespan(nobody):
        early = [asyncio.create_task(request(deferred)) for _ in range(3)]
        await asyncio.sleep(0)
        assert not any(task.done() for task in early)
        may_load.set()
        assert await asyncio.gather(*early) == [b"hello"] * 3
        await deferred.loaded()
        assert await request(deferred) == b"hello"
    assert not part.alive


async def test_what_loading_failed_with_is_told_to_every_request() -> None:
    def load() -> Part:
        raise ImportError("broken")

    deferred = Deferred(load)
    async with deferred.lifespan(nobody):
        for _ in range(2):
            with pytest.raises(ImportError, match="broken"):
                await request(deferred)
        with pytest.raises(ImportError, match="broken"):
            await deferred.loaded()
