"""A bank in a folder that no server holds: the same application, in this process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.types import ASGIApp, Message

from memorybank.auth.principal import Face, Principal
from memorybank.cli.bank import Answer, Bank, Query
from memorybank.cli.remote import encoded
from memorybank.configuration import load
from memorybank.domain.keys import Role
from memorybank.domain.tenants import DEFAULT_TENANT
from memorybank.server.app import build_application
from memorybank.server.engine import open_engine
from memorybank.telemetry import Telemetry
from memorybank.version import VERSION

_OWNER = Principal(DEFAULT_TENANT, "local", Role.ADMIN.scopes, face=Face.CLI)
"""Who can read the files needs no key."""

_DONE: Message = {"type": "done"}


@contextmanager
def local_bank(data: Path) -> Iterator[Bank]:
    """Open the folder until the block ends. Raises ConfigurationError when a server holds it."""
    settings = load(overrides={"data": str(data)})
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        try:
            engine = runner.run(stack.enter_async_context(open_engine(settings)))
            telemetry = Telemetry(version=VERSION, revision="")
            application = runner.run(build_application(engine, settings, telemetry))
            try:
                yield LocalBank(str(data), application.api, runner)
            finally:
                # Nothing goes on beside a command: what would be written later is written now.
                runner.run(application.services.steps.flush_all())
        finally:
            runner.run(stack.aclose())


class LocalBank:
    """Calls the application without its surroundings: no sockets, no keys, no limits."""

    def __init__(self, name: str, api: ASGIApp, runner: asyncio.Runner) -> None:
        self.name = name
        self._api = api
        self._runner = runner

    def request(
        self, method: str, path: str, *, query: Query | None = None, body: object = None
    ) -> Answer:
        """See Bank."""
        content = b"" if body is None else json.dumps(body).encode()
        return self._whole(method, path, query, content, "application/json")

    def send(self, path: str, content: bytes, *, query: Query) -> Answer:
        """See Bank."""
        return self._whole("POST", path, query, content, "application/x-ndjson")

    def fetch(self, path: str, *, query: Query) -> Iterator[bytes]:
        """See Bank."""
        answer = self._stream("GET", path, query, b"", "")
        try:
            status = self._runner.run(_next(answer))["status"]
            pieces: list[bytes] = []
            while (message := self._runner.run(_next(answer))) is not _DONE:
                if status == 200:
                    yield message.get("body", b"")
                else:
                    pieces.append(message.get("body", b""))
        finally:
            self._runner.run(answer.aclose())
        if status != 200:
            Answer(status, b"".join(pieces)).value(self.name)

    def _whole(
        self, method: str, path: str, query: Query | None, content: bytes, media_type: str
    ) -> Answer:
        async def ask() -> Answer:
            messages = [
                each async for each in self._stream(method, path, query, content, media_type)
            ]
            body = b"".join(each.get("body", b"") for each in messages[1:])
            return Answer(messages[0]["status"], body)

        return self._runner.run(ask())

    async def _stream(
        self, method: str, path: str, query: Query | None, content: bytes, media_type: str
    ) -> AsyncGenerator[Message, None]:
        """Yield the messages of the answer, then _DONE; one at a time is in memory."""
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": quote(path).encode(),
            "query_string": encoded(query).removeprefix("?").encode(),
            "headers": [(b"host", b"localhost"), (b"content-type", media_type.encode())],
            "state": {"principal": _OWNER, "request_id": "local"},
        }
        messages: asyncio.Queue[Message] = asyncio.Queue(1)
        sent = False

        async def receive() -> Message:
            nonlocal sent
            if sent:
                await asyncio.get_running_loop().create_future()  # nobody ever goes away
            sent = True
            return {"type": "http.request", "body": content, "more_body": False}

        async def run() -> None:
            try:
                await self._api(scope, receive, messages.put)
            finally:
                await messages.put(_DONE)

        task = asyncio.create_task(run())
        try:
            while (message := await messages.get()) is not _DONE:
                yield message
            await task
            yield _DONE
        finally:
            task.cancel()


async def _next(messages: AsyncGenerator[Message, None]) -> Message:
    return await anext(messages)
