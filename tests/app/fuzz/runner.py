"""One service for a whole fuzz test, called request after request; and how long to go on."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
from hypothesis import HealthCheck, settings

from tests.support.service import Service, service

Send = Callable[..., httpx.Response]


def effort(examples: int) -> settings:
    """Return how many examples to try: always the same ones, or many times more and other ones.

    `make fuzz` sets MEMORYBANK_FUZZ to how many times more.
    """
    times = int(os.environ.get("MEMORYBANK_FUZZ", "1"))
    return settings(
        max_examples=examples * times,
        derandomize=times == 1,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


class Runner:
    """A service, and requests to it from code that is not asynchronous."""

    def __init__(self, loop: asyncio.Runner, bank: Service) -> None:
        self._loop = loop
        self.bank = bank

    def run(self, work: Any) -> Any:
        """Wait for something asynchronous."""
        return self._loop.run(work)

    def send(self, key: str, method: str, path: str, **options: Any) -> httpx.Response:
        """Send one request with a key."""

        async def one() -> httpx.Response:
            async with self.bank.client(key) as client:
                return await client.request(method, path, **options)

        answer: httpx.Response = self.run(one())
        return answer


@contextmanager
def running(folder: Path, **overrides: Any) -> Iterator[Runner]:
    """Run a service on a folder."""
    with asyncio.Runner() as loop:
        stack = AsyncExitStack()
        bank = loop.run(stack.enter_async_context(service(folder, **overrides)))
        try:
            yield Runner(loop, bank)
        finally:
            loop.run(stack.aclose())


def mcp(runner: Runner, key: str, method: str, params: Any) -> dict[str, Any]:
    """Send one MCP request and return the answer, which is never a server error."""
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    headers = {
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2025-11-25",
    }
    answer = runner.send(key, "POST", "/mcp", json=message, headers=headers)
    assert answer.status_code < 500, answer.text
    shown: dict[str, Any] = answer.json()
    return shown
