"""HTTP/1.1 on one connection, with limits on what comes before the application can set its own.

The parser collects a request's head, and trailers after a chunked body, before anybody sees them.
Without a limit here a client without a key could fill the memory with one endless header, or hold
connections open by sending a head byte by byte.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from memorybank.http.errors import HttpProblem, error_response
from memorybank.http.middleware import SECURITY_HEADERS
from memorybank.server.lingering import LingeringTransport

MAX_HEAD = 131_072
"""Bytes of a head or of trailers. Above the limits of http.middleware, which tell more."""

HEAD_SECONDS = 30.0
"""How long a head may take, from the connection or its first byte on."""


class BoundedHttp(HttpToolsProtocol):
    """Closes connections whose heads are too long or too slow; refuses in the one envelope.

    Whoever is refused while still sending gets the answer nevertheless; see server.lingering.
    """

    transport: LingeringTransport

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._head = 0
        self._steps = 0
        self._unseen = 0
        self._too_large = False
        self._patience: asyncio.TimerHandle | None = None

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.transport = LingeringTransport(transport, self.loop)
        self._expect_head()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._head_is_here()
        self.transport.lost()
        super().connection_lost(exc)

    @override
    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            self.transport.discard(data)
            return
        steps = self._steps
        super().data_received(data)
        # What the parser holds back until its end, such as a header's value, calls nobody.
        self._unseen = self._unseen + len(data) if steps == self._steps else 0
        if (self._too_large or self._unseen > MAX_HEAD) and not self.transport.is_closing():
            self._refuse(
                HttpProblem(
                    431,
                    "headers_too_large",
                    "the head of the request is too large",
                    hint=f"send at most {MAX_HEAD} bytes",
                )
            )

    @override
    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.transport.request_began()
        self._head = 0
        if self._patience is None:
            self._expect_head()

    @override
    def on_url(self, url: bytes) -> None:
        if self._is_bearable(len(url)):
            super().on_url(url)

    @override
    def on_header(self, name: bytes, value: bytes) -> None:
        if self._is_bearable(len(name) + len(value)):
            super().on_header(name, value)

    @override
    def on_headers_complete(self) -> None:
        self._head_is_here()
        if self._is_bearable(0):
            self._head = 0  # from here on, of the trailers
            super().on_headers_complete()

    @override
    def on_body(self, body: bytes) -> None:
        if not self._is_bearable(0):
            return
        if self.cycle.response_complete:  # refused, on a connection that is to be kept
            self.transport.discard(body)
        super().on_body(body)

    @override
    def on_message_complete(self) -> None:
        self.transport.request_ended()
        if self._is_bearable(0):
            super().on_message_complete()

    @override
    def send_400_response(self, msg: str) -> None:
        self._refuse(
            HttpProblem(400, "invalid_http", "this is no HTTP/1.1 request", hint="correct it")
        )

    def _is_bearable(self, more: int) -> bool:
        """Count a step of the parser; say whether the application may hear of it."""
        self._steps += 1
        self._head += more
        self._too_large = self._too_large or self._head > MAX_HEAD
        return not self._too_large

    def _expect_head(self) -> None:
        self._patience = self.loop.call_later(HEAD_SECONDS, self._too_slow)

    def _head_is_here(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _too_slow(self) -> None:
        self._patience = None
        if not self._steps:  # nothing was asked
            self.transport.close()
            return
        self._refuse(
            HttpProblem(
                408,
                "request_timeout",
                "the head of the request did not come in time",
                hint=f"send it within {HEAD_SECONDS:.0f} s",
            )
        )

    def _refuse(self, problem: HttpProblem) -> None:
        """Answer, unless an answer is under way, and close the connection."""
        if getattr(self.cycle, "response_complete", True):  # None before the first request
            answer = error_response(problem)
            shown = {name.decode(): value.decode() for name, value in answer.raw_headers}
            self.transport.write(_head_of(problem.status, shown) + bytes(answer.body))
        self.transport.request_began()  # nobody knows where this one ends
        self.transport.close()


def _head_of(status: int, headers: Mapping[str, str]) -> bytes:
    closing = {"connection": "close"}
    lowered = {name.lower(): value for name, value in SECURITY_HEADERS.items()}
    fields = "".join(
        f"{name}: {value}\r\n" for name, value in {**lowered, **headers, **closing}.items()
    )
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{fields}\r\n".encode()
