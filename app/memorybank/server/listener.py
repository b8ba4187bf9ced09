"""One uvicorn server on one socket, inside a loop that serves others, too."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from types import TracebackType

import uvicorn
from starlette.types import ASGIApp
from typing_extensions import override

from memorybank.errors import ConfigurationError
from memorybank.server.protocol import BoundedHttp

_BACKLOG = 1_024
_KEEP_ALIVE_SECONDS = 75
"""Longer than the 60 s after which common proxies drop idle connections: they should do it first,
or they may send a request into a connection that is closing."""


class Listener:
    """Accepts connections from entering to leaving; leaving waits for requests in flight."""

    def __init__(self, app: ASGIApp, bound: socket.socket, *, grace_seconds: int) -> None:
        """After `grace_seconds` of leaving, requests are cancelled."""
        config = uvicorn.Config(
            app,
            http=BoundedHttp,
            ws="none",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=grace_seconds,
        )
        self._socket = bound
        self._server = _Server(config)

    async def __aenter__(self) -> Listener:
        """Return when connections are accepted."""
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        await self._server.accepting.wait()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Return when the last request is answered."""
        self._server.should_exit = True
        await self._task

    def hurry(self) -> None:
        """Do not wait for requests in flight."""
        self._server.force_exit = True


class _Server(uvicorn.Server):
    """Leaves signals to the process, which has more to stop than this."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.accepting = asyncio.Event()

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.accepting.set()

    @override
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.contextmanager
def bound(host: str, port: int, field: str) -> Iterator[socket.socket]:
    """Hold a listening socket until the block ends. Raises ConfigurationError, about `field`."""
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.create_server(address, family=family, backlog=_BACKLOG)
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {host} port {port}: {error.strerror}",
            field=field,
            hint="choose an address of this machine and a port that is free",
        ) from None
    with bound:
        yield bound
