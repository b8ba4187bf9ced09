"""A proxy in front of the API server that does to an operator whatever networks, load balancers and
API servers do to their clients on bad days, at random, by a seed.

Requests are refused, left without an answer, cut off before or after they took effect, answered
late, by half, or, if they list, as they were answered some time ago. Events of a watch are lost,
held back, sent twice, sent again later and out of order; the stream ends, breaks or says that it is
too old.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise
from typing import Any, Generic, NamedTuple, TypeVar

import aiohttp
from aiohttp import web
from yarl import URL

from memorybank_operator.kube import kinds
from memorybank_operator.kube.connection import Connection, Token

FORWARDED = ("Accept", "Content-Type", "User-Agent")
LINE_BYTES = 4 * 1024 * 1024
LATE_SECONDS = 0.5
HELD_SECONDS = 1.0
SILENT_SECONDS = 3.0
"""More than the operators in these tests wait for an answer."""
REMEMBERED = 20
PAST = "Thu, 01 Jan 2026 00:00:00 GMT"

LISTED = {kind.plural for kind in kinds.WATCHED}

REFUSALS = {
    401: "Unauthorized", 409: "Conflict", 429: "TooManyRequests", 500: "InternalError",
    503: "ServiceUnavailable", 504: "Timeout",
}  # fmt: skip
REQUEST_FAULTS = ("refused", "reset", "silent", "lost", "half", "late", "stale")
ENDS = ("ended", "cut", "torn", "too old", "failed")
"""`torn` ends in the middle of an event, but in order, as load balancers do it."""
ERRORS = {"too old": 410, "failed": 500}
EVENT_FAULTS = ("dropped", "held", "twice", "replayed", "slow", *ENDS)


class Request(NamedTuple):
    """A request of the operator."""

    at: float
    """By the clock of the event loop."""
    method: str
    path: str
    body: bytes

    @property
    def is_write(self) -> bool:
        return self.method != "GET"


CardT = TypeVar("CardT")


class Deck(Generic[CardT]):
    """Deals each of some cards once, in random order, before any of them again."""

    def __init__(self, cards: Iterable[CardT], dice: random.Random) -> None:
        self._all = tuple(cards)
        self._left: list[CardT] = []
        self._dice = dice

    def deal(self, fits: Callable[[CardT], bool] = lambda _card: True) -> CardT:
        """Return the next card that fits; those that do not are dealt as soon as they do."""
        if not any(fits(each) for each in self._left):
            self._left += self._dice.sample(self._all, len(self._all))
        card = next(each for each in self._left if fits(each))
        self._left.remove(card)
        return card


class Storm:
    """The proxy. It does nothing but pass on while `share` and `event_share` are 0."""

    def __init__(self, connection: Connection, *, seed: int) -> None:
        self._connection = connection
        self._dice = random.Random(seed)  # noqa: S311 - no secret
        self._request_faults = Deck(REQUEST_FAULTS, self._dice)
        self._event_faults = Deck(EVENT_FAULTS, self._dice)
        self._refusals = Deck(REFUSALS, self._dice)
        self._session: aiohttp.ClientSession
        self._lists: dict[str, list[bytes]] = {}
        self.share = 0.0
        """Of requests that something happens to."""
        self.event_share = 0.0
        """Of events that something happens to."""
        self.refuse: Callable[[Request], tuple[int, float | None] | None] = lambda _request: None
        """Status and Retry-After for a request that is to be refused in any case."""
        self._dead_until = 0.0
        self.requests: list[Request] = []
        self.faults: Counter[str] = Counter()

    @asynccontextmanager
    async def blowing(self) -> AsyncIterator[Connection]:
        """Serve; yield a connection that leads through the storm."""
        app = web.Application(client_max_size=LINE_BYTES)
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        async with self._connection.session(connections=0) as self._session:
            await runner.setup()
            try:
                site = web.TCPSite(runner, "127.0.0.1", 0)
                await site.start()
                port = runner.addresses[0][1]
                yield replace(self._connection, server=f"http://127.0.0.1:{port}", token=Token())
            finally:
                await runner.cleanup()

    def calm(self) -> None:
        """End the storm; what is under way goes on as it is."""
        self.share = self.event_share = 0.0

    def forget_watches(self) -> None:
        """Say nothing more on the watches that are open, and leave them open: as when a firewall
        forgot the connection.
        """
        self._dead_until = asyncio.get_running_loop().time()

    def writes(self) -> list[Request]:
        """Return what the operator tried to write so far."""
        return [each for each in self.requests if each.is_write]

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        now = asyncio.get_running_loop().time()
        made = Request(now, request.method, request.path, await request.read())
        self.requests.append(made)
        refusal = self.refuse(made)
        if refusal is not None:
            code, wait = refusal
            return _refusal(code, None if wait is None else f"{wait:g}")
        fault = self._fault(request)
        if fault:
            self.faults[fault] += 1
        if fault == "refused":
            return self._refused(made)
        if fault in ("reset", "silent"):
            await asyncio.sleep(SILENT_SECONDS if fault == "silent" else 0)
            return _broken(request)
        url = URL(self._connection.server + request.raw_path, encoded=True)
        headers = {name: request.headers[name] for name in FORWARDED if name in request.headers}
        async with self._session.request(
            request.method, url, data=made.body or None, headers=headers,
            timeout=aiohttp.ClientTimeout(total=None), read_bufsize=LINE_BYTES,
        ) as answer:  # fmt: skip
            if request.query.get("watch") and answer.status == 200:
                return await self._watch(request, answer)
            content = await answer.read()
            response = web.Response(
                status=answer.status, body=content, content_type=answer.content_type
            )
        return await self._answer(request, response, content, fault)

    def _fault(self, request: web.Request) -> str:
        if self._dice.random() >= self.share:
            return ""
        fault = self._request_faults.deal()
        # What does not fit is as good as a late answer.
        if fault == "stale" and request.raw_path not in self._lists:
            return "late"
        return fault

    def _refused(self, request: Request) -> web.Response:
        code = self._refusals.deal(lambda code: code != 409 or request.is_write)
        self.faults[str(code)] += 1
        # The API server names seconds; what stands before it may name a date.
        return _refusal(code, self._dice.choice(("1", PAST)) if code == 429 else None)

    async def _answer(
        self, request: web.Request, response: web.Response, content: bytes, fault: str
    ) -> web.StreamResponse:
        if fault == "lost":
            return _broken(request)
        if fault == "late":
            await asyncio.sleep(self._dice.uniform(0, LATE_SECONDS))
        if fault == "half":
            await response.prepare(request)
            with contextlib.suppress(ConnectionError):
                await response._payload_writer.write(content[: len(content) // 2])  # type: ignore[union-attr]
            return _broken(request)
        if request.method == "GET" and request.path.rpartition("/")[2] in LISTED:
            older = self._lists.setdefault(request.raw_path, [])
            if fault == "stale":
                response.body = self._dice.choice(older)
            older.append(content)
            del older[:-REMEMBERED]
        return response

    async def _watch(
        self, request: web.Request, answer: aiohttp.ClientResponse
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        began = asyncio.get_running_loop().time()
        lines: asyncio.Queue[bytes] = asyncio.Queue()
        reader = asyncio.create_task(_read(answer, lines))
        stream = _Stream(request, response, self._dice, self.faults)
        try:
            while True:
                try:
                    async with asyncio.timeout(stream.patience()):
                        line = await lines.get()
                except TimeoutError:
                    await stream.release()
                    continue
                if began <= self._dead_until:
                    continue
                if not line:
                    return response
                shaken = self._dice.random() < self.event_share
                fault = self._event_faults.deal() if shaken else ""
                if not await stream.send(line, fault):
                    return response
        except ConnectionError:  # the operator went away
            return response
        finally:
            reader.cancel()


class _Stream:
    """One watch on its way to the operator."""

    def __init__(
        self,
        request: web.Request,
        response: web.StreamResponse,
        dice: random.Random,
        faults: Counter[str],
    ) -> None:
        self._request = request
        self._response = response
        self._dice = dice
        self._faults = faults
        self._held: list[tuple[float, bytes]] = []
        self._sent: list[bytes] = []

    def patience(self) -> float | None:
        """Return the seconds until an event that is held back is to be sent."""
        now = asyncio.get_running_loop().time()
        return max(0.0, min(due for due, _ in self._held) - now) if self._held else None

    async def release(self) -> None:
        """Send what was held back for long enough."""
        now = asyncio.get_running_loop().time()
        due = [each for each in self._held if each[0] <= now]
        self._held = [each for each in self._held if each[0] > now]
        for _, line in due:
            await self._write(line)

    async def send(self, line: bytes, fault: str) -> bool:
        """Pass an event on, or not quite; return whether the stream goes on."""
        if fault:
            self._faults[fault] += 1
        match fault:
            case "dropped":
                return True
            case "held":
                due = asyncio.get_running_loop().time() + self._dice.uniform(0, HELD_SECONDS)
                self._held.append((due, line))
                return True
            case "slow":
                await asyncio.sleep(self._dice.uniform(0, LATE_SECONDS))
            case "twice":
                await self._write(line)
            case "replayed" if self._sent:
                await self._write(self._dice.choice(self._sent))
        if fault in ENDS:
            await self._end(line, fault)
            return False
        await self._write(line)
        return True

    async def _end(self, line: bytes, fault: str) -> None:
        if fault in ("torn", "cut"):
            await self._response.write(line[: len(line) // 2])
        if fault == "cut":
            _broken(self._request)
            raise ConnectionResetError
        if fault in ERRORS:
            await self._response.write(_error(ERRORS[fault]))

    async def _write(self, line: bytes) -> None:
        self._sent = [*self._sent[-REMEMBERED:], line]
        await self._response.write(line)


async def _read(answer: aiohttp.ClientResponse, lines: asyncio.Queue[bytes]) -> None:
    """Hand the lines of a stream over; an empty one is its end."""
    try:
        async for line in answer.content:
            lines.put_nowait(line)
    except aiohttp.ClientError:
        pass
    finally:
        lines.put_nowait(b"")


def _broken(request: web.Request) -> web.Response:
    """Break the connection off; return an answer that nobody gets."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _refusal(code: int, retry_after: str | None) -> web.Response:
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return web.json_response(_status(code), status=code, headers=headers)


def _error(code: int) -> bytes:
    return json.dumps({"type": "ERROR", "object": _status(code)}).encode() + b"\n"


def _status(code: int) -> dict[str, Any]:
    return {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "the storm", "reason": REFUSALS.get(code, "Expired"), "code": code,
    }  # fmt: skip


def gaps(requests: list[Request]) -> list[float]:
    """Return the seconds between one request and the next."""
    return [after.at - before.at for before, after in pairwise(requests)]
