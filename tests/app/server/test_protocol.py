"""What a connection may send before anybody knows who it is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from socket import socket

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from memorybank.http.middleware import SECURITY_HEADERS
from memorybank.server import lingering, protocol
from memorybank.server.listener import Listener

HEAD = b"POST / HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n"
Address = tuple[str, int]


async def size_of_the_body(scope: Scope, receive: Receive, send: Send) -> None:
    body = await Request(scope, receive).body()
    await PlainTextResponse(str(len(body)))(scope, receive, send)


@pytest.fixture
async def address() -> AsyncIterator[Address]:
    with socket() as bound:
        bound.bind(("127.0.0.1", 0))
        async with Listener(size_of_the_body, bound, grace_seconds=1):
            yield bound.getsockname()


async def exchange(address: Address, *pieces: bytes) -> bytes:
    """Send all pieces, then return all that the other side says until it closes.

    That is how most clients work, and what a connection has to bear that is closed early.
    """
    reader, writer = await asyncio.open_connection(*address)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        return await reader.read()
    finally:
        writer.close()


def refusal(answer: bytes, status: int, code: str) -> None:
    head, _, body = answer.partition(b"\r\n\r\n")
    line, *fields = head.decode().split("\r\n")
    assert line.startswith(f"HTTP/1.1 {status} ")
    shown = {name.lower(): value for name, _, value in (each.partition(": ") for each in fields)}
    assert shown["connection"] == "close"
    assert shown["content-length"] == str(len(body))
    for name, value in SECURITY_HEADERS.items():
        assert shown[name.lower()] == value
    error = json.loads(body)["error"]
    assert error["code"] == code
    assert error["hint"]


@pytest.mark.parametrize(
    "start",
    [
        b"GET /" + b"a" * 70_000,
        HEAD + b"X-Large: " + b"a" * 70_000,
        HEAD + b"X-One: 1\r\n" * 7_000,
        b"a" * 70_000,
    ],
    ids=["address", "one-header", "many-headers", "method"],
)
async def test_an_endless_head_is_cut_off(address: Address, start: bytes) -> None:
    rest = start[-70_000:] if b"\r\n" in start[-20:] else b"a" * 70_000
    answer = await exchange(address, start, *[rest] * 40)
    refusal(answer, 400 if start.startswith(b"aa") else 431, answer_code(start))


def answer_code(start: bytes) -> str:
    return "invalid_http" if start.startswith(b"aa") else "headers_too_large"


async def test_too_large_a_head_is_refused_whole_with_all_that_follows(address: Address) -> None:
    head = HEAD + b"X-Large: " + b"a" * 140_000 + b"\r\nContent-Length: 2\r\n\r\nok"
    answer = await exchange(address, head + HEAD + b"Content-Length: 2\r\n\r\nok")
    refusal(answer, 431, "headers_too_large")


@pytest.mark.parametrize("trailer", [b"X-T: 1\r\n" * 9_000, b"X-T: " + b"a" * 70_000])
async def test_endless_trailers_close_the_connection(address: Address, trailer: bytes) -> None:
    more = trailer if trailer.endswith(b"\n") else b"a" * 70_000
    answer = await exchange(address, CHUNKED + trailer, *[more] * 40)
    assert b"200" not in answer


async def test_a_large_body_is_no_head(address: Address) -> None:
    for head, end in (
        (HEAD + b"Content-Length: 1000000\r\n", b""),
        (HEAD + b"Transfer-Encoding: chunked\r\n", b"\r\n0\r\nX-Trailer: 1\r\n\r\n"),
    ):
        size = b"F4240\r\n" if end else b""
        one = [head + b"\r\n" + size, *[b"x" * 10_000] * 100, end]
        last = [head + b"Connection: close\r\n\r\n" + size, *[b"x" * 10_000] * 100, end]
        answer = await exchange(address, *one, *last)
        assert answer.count(b"1000000") == 2


@pytest.mark.parametrize(
    "request_",
    [
        b"NONSENSE\r\n\r\n",
        HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Content-Length: -1\r\n\r\n",
        HEAD + b"A header without colon\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_refused_in_the_envelope(
    address: Address, request_: bytes
) -> None:
    refusal(await exchange(address, request_), 400, "invalid_http")


async def kept_open(address: Address) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return a connection on which a request was answered: the next begins with its first byte."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(HEAD + b"Content-Length: 2\r\n\r\nok")
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
    assert await reader.readexactly(1) == b"2"
    return reader, writer


async def test_a_head_that_does_not_come_is_not_waited_for(
    address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = await kept_open(address)
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.05)
    writer.write(HEAD)
    refusal(await reader.read(), 408, "request_timeout")
    writer.close()
    assert await exchange(address) == b""


async def test_a_slow_body_is_waited_for(address: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = await kept_open(address)
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.05)
    writer.write(HEAD + b"Content-Length: 2\r\n\r\no")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), 0.2)
    writer.write(b"k")
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    writer.close()


async def refuse_unread(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer before the body, as a server does that sees by the head that it is too large."""
    await PlainTextResponse("too large", status_code=413)(scope, receive, send)


async def refuse_midway(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer when a part of the body has come."""
    await receive()
    await PlainTextResponse("too large", status_code=413)(scope, receive, send)


@pytest.fixture(params=[refuse_unread, refuse_midway])
async def refusing(request: pytest.FixtureRequest) -> AsyncIterator[Address]:
    with socket() as bound:
        bound.bind(("127.0.0.1", 0))
        async with Listener(request.param, bound, grace_seconds=1):
            yield bound.getsockname()


TEN_MEGABYTES = [b"x" * 1_000_000] * 10


async def test_who_sends_all_of_a_refused_body_first_gets_the_refusal(refusing: Address) -> None:
    closing = HEAD + b"Connection: close\r\nContent-Length: 10000000\r\n\r\n"
    answer = await exchange(refusing, closing, *TEN_MEGABYTES)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert answer.endswith(b"too large")


async def test_the_next_request_follows_a_refused_body_on_the_same_connection(
    refusing: Address,
) -> None:
    kept = HEAD + b"Content-Length: 10000000\r\n\r\n"
    last = HEAD + b"Connection: close\r\nContent-Length: 2\r\n\r\nok"
    answer = await exchange(refusing, kept, *TEN_MEGABYTES, last)
    assert answer.count(b"HTTP/1.1 413 ") == 2


@pytest.mark.parametrize("connection", [b"Connection: close\r\n", b""])
async def test_a_refused_body_is_listened_to_only_so_long(
    refusing: Address, connection: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lingering, "LINGER_BYTES", 2_000_000)
    head = HEAD + connection + b"Content-Length: 100000000\r\n\r\n"
    with pytest.raises(ConnectionError):
        await exchange(refusing, head, *TEN_MEGABYTES * 10)


async def test_who_neither_goes_on_nor_closes_is_left(
    refusing: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lingering, "LINGER_SECONDS", 0.05)
    reader, writer = await asyncio.open_connection(*refusing)
    writer.write(HEAD + b"Connection: close\r\nContent-Length: 10000000\r\n\r\nx")
    assert (await reader.read()).startswith(b"HTTP/1.1 413 ")
    with pytest.raises(ConnectionError):
        await asyncio.wait_for(go_on_for_ever(writer), 60)
    writer.close()


async def go_on_for_ever(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0)
