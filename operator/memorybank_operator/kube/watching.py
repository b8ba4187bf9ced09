"""The watch streams of kopf, read where they pass through the HTTP session that it uses.

kopf lists, watches, reconnects and resumes. The objects are taken out on the way: kopf would read
each of them a second time, keep a memory of it, and start a task and a queue for it, which for
thousands of banks is most of an operator's time and memory. To kopf a listing has no objects, and
a watch consists of bookmarks that tell from where to go on. That also tells what kopf does not:
when a listing is complete, what a renewed listing no longer has, whether a silent stream is alive.

What kopf would take for the end of everything, though a new listing cures it, is put before it as
the end of a stream: half an event, an event that says that the server failed, a page of a listing
that is not there any more, an answer that is none. Streams that end as soon as they begin are
opened ever more slowly, since kopf begins anew at once.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, NamedTuple, Protocol, cast
from weakref import WeakSet

from aiohttp import (
    ClientConnectionError,
    ClientHandlerType,
    ClientPayloadError,
    ClientRequest,
    ClientResponse,
    ClientResponseError,
    StreamReader,
)
from typing_extensions import override
from yarl import URL

from memorybank_operator.kube.kinds import ApiKind

logger = logging.getLogger(__name__)

RETRIED = frozenset({401, 403, 429})
"""What kopf asks again for by itself, as it does after each 5xx."""
OPENED_BURST = 6.0
"""Listings and watches of one stream that are begun without a pause."""
OPENED_PER_SECOND = 0.5
BREATH = 50
"""Objects that are taken before others get a turn."""
TOO_OLD = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 410}
"""What the API server says for kopf to list anew."""


class Stream(NamedTuple):
    """One list-and-watch: all objects of a kind, or those of one namespace."""

    kind: ApiKind
    namespace: str | None

    @override
    def __str__(self) -> str:
        where = f" in {self.namespace}" if self.namespace is not None else ""
        return f"{self.kind.plural}{where}"


def streams(kinds: Iterable[ApiKind], namespaces: Iterable[str]) -> tuple[Stream, ...]:
    """Return the streams that watch some kinds in these namespaces, in all when none is named."""
    scopes: tuple[str | None, ...] = tuple(namespaces) or (None,)
    return tuple(
        Stream(kind, scope) for kind in kinds for scope in (scopes if kind.namespaced else (None,))
    )


Event = dict[str, Any]
"""As the API server sends it: `type` and `object`; type None stands for an object of a listing."""
Take = Callable[[Event], None]


class Listener(Protocol):
    """Wants to know about the streams."""

    async def turn(self, stream: Stream) -> None:
        """Return when a listing may begin: others may have to be there first."""

    def listed(self, stream: Stream, uids: frozenset[str], *, resource_version: int) -> None:
        """A listing is complete: at this resource version there were exactly these objects, all of
        which were handed over before.
        """

    def alive(self, stream: Stream) -> None:
        """The API server answered on this stream: a page, an event, a bookmark, a new watch."""

    def gone(self, stream: Stream) -> None:
        """The API server does not know the kind any more."""


class WatchObserver:
    """A client middleware that takes the events out of what passes through."""

    def __init__(
        self, server: str, expected: Iterable[Stream], listener: Listener, take: Take
    ) -> None:
        # By path: a URL may name a default port or leave it out.
        self._prefix = URL(server).path.rstrip("/")
        self._streams: dict[str, Stream] = {}
        self._paces: dict[Stream, _Pace] = {}
        self.expect(expected)
        self._listener = listener
        self._take = take
        self._pages: dict[Stream, set[str]] = {}
        self._watches: WeakSet[ClientResponse] = WeakSet()

    def expect(self, more: Iterable[Stream]) -> None:
        """Observe these streams as well."""
        for stream in more:
            self._streams[f"{self._prefix}{stream.kind.collection(stream.namespace)}"] = stream
            self._paces[stream] = _Pace()

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """Pass the request on, and note what its answer says.

        Raises ClientPayloadError for kopf to begin the stream anew, ClientConnectionError for it to
        ask again for something else, such as which kinds there are, and RuntimeError for it to
        take the session that replaced a closed one.
        """
        stream = self._streams.get(request.url.path)
        if stream is None:
            return await _whole(await _sent(request, handler))
        first = not request.url.query.get("continue")
        if first:
            await self._listener.turn(stream)
            await self._paces[stream].wait()
        response = await _sent(request, handler)
        watching = bool(request.url.query.get("watch"))
        if response.status == 404:
            response.close()
            self._listener.gone(stream)
            # kopf would fail as a whole and leave its pieces behind. It waits here to be stopped.
            await asyncio.Event().wait()
        if response.status in RETRIED or response.status >= 500:
            return response
        if response.status >= 400:
            if not watching:
                response.close()
                raise ClientPayloadError(f"{stream}: HTTP {response.status}: the listing is over")
            response.status = 200
            response.content = cast(StreamReader, _TooOld(response.content))
            return response
        self._listener.alive(stream)
        if watching:
            content = _WatchReader(response.content, stream, self._listener, self._take)
            response.content = cast(StreamReader, content)
            self._watches.add(response)
        else:
            await self._page(stream, response, first=first)
        return response

    def abort(self) -> None:
        """Cut all watches off: a TLS farewell that waits for its answer would outlive them."""
        for response in self._watches:
            connection = response.connection
            if connection is not None and connection.transport is not None:
                connection.transport.abort()

    async def _page(self, stream: Stream, response: ClientResponse, *, first: bool) -> None:
        try:
            answer: dict[str, Any] = json.loads(await response.content.read())
            metadata, items = answer["metadata"], answer.pop("items", None) or ()
            version = int(metadata["resourceVersion"])
        except (KeyError, TypeError, ValueError):
            response.close()
            raise ClientPayloadError(f"{stream}: the answer is no listing") from None
        response.content = cast(StreamReader, _Text(response.content, json.dumps(answer).encode()))
        if first:
            self._pages[stream] = set()
        uids = self._pages.setdefault(stream, set())
        for number, item in enumerate(items):
            uids.add(item["metadata"]["uid"])
            _hand_over(self._take, {"type": None, "object": typed(stream.kind, item)})
            if number % BREATH == 0:
                await asyncio.sleep(0)
        if not metadata.get("continue"):
            del self._pages[stream]
            self._listener.listed(stream, frozenset(uids), resource_version=version)


def typed(kind: ApiKind, item: dict[str, Any]) -> dict[str, Any]:
    """Return an item of a listing with its kind, which only the listing itself tells."""
    return {"apiVersion": kind.api_version, "kind": kind.kind, **item}


def _hand_over(take: Take, event: Event) -> None:
    try:
        take(event)
    except Exception:  # one object that nobody expects must not stop all others
        logger.exception("an event could not be taken, which is a bug of this operator")


async def _sent(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """Send a request. Raises RuntimeError when its session is closed, as one is after a 401, and
    ClientConnectionError for an answer that kopf would end by.

    aiohttp looks at the session before the middlewares, which may wait, and then fails an
    assertion of its own, by which kopf would end for good. A RuntimeError it knows.
    """
    try:
        response = await handler(request)
    except Exception as error:
        if request.session.closed:
            raise RuntimeError("the session was closed under the request") from error
        raise
    wait = response.headers.get("Retry-After")
    if response.status == 429 and wait is not None and not wait.isdecimal():
        # RFC 9110 also allows a date, which whoever is before the API server may send.
        response.close()
        raise ClientConnectionError(f"{request.url.path}: HTTP 429, to be asked again some time")
    return response


async def _whole(response: ClientResponse) -> ClientResponse:
    """Return an answer that is here as a whole, which kopf relies on; one that is no refusal can be
    read as JSON as well.
    """
    try:
        await response.read()
        if response.status < 400:
            await response.json()
    except (ClientPayloadError, ClientResponseError, ValueError) as error:
        response.close()
        raise ClientConnectionError(f"{response.url.path}: the answer is broken") from error
    return response


class _Pace:
    """How soon a stream may be begun again: a bucket of tokens."""

    def __init__(self) -> None:
        self._tokens = OPENED_BURST
        self._at = 0.0

    async def wait(self) -> None:
        """Wait for a token, and take it."""
        now = asyncio.get_running_loop().time()
        self._tokens = min(OPENED_BURST, self._tokens + (now - self._at) * OPENED_PER_SECOND) - 1.0
        self._at = now
        if self._tokens < 0:
            await asyncio.sleep(-self._tokens / OPENED_PER_SECOND)


class _Reader:
    """A response's content that kopf iterates over in another way."""

    def __init__(self, content: StreamReader) -> None:
        self._content = content

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)


class _Text(_Reader):
    """The content of an answer, replaced by another one."""

    def __init__(self, content: StreamReader, text: bytes) -> None:
        super().__init__(content)
        self._text = text

    async def read(self) -> bytes:
        return self._text


class _TooOld(_Reader):
    """The content of a watch that has to begin with a new listing."""

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        yield _event("ERROR", TOO_OLD)


async def _chunks(content: StreamReader, size: int) -> AsyncIterator[bytes]:
    """Yield what comes. kopf closes a session that was refused to one of its requests, under the
    watches that use it: aiohttp takes who still reads for a mistake, kopf knows broken connections.
    """
    try:
        async for chunk in content.iter_chunked(size):
            yield chunk
    except RuntimeError as error:
        raise ClientConnectionError(str(error)) from error


class _WatchReader(_Reader):
    """A watch's content: its events are taken out, what is left of them is how far they got."""

    def __init__(
        self, content: StreamReader, stream: Stream, listener: Listener, take: Take
    ) -> None:
        super().__init__(content)
        self._stream = stream
        self._listener = listener
        self._take = take

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        rest = b""
        async for chunk in _chunks(self._content, size):
            self._listener.alive(self._stream)
            whole, end, rest = (rest + chunk).rpartition(b"\n")
            if not end:
                continue
            left = b""
            for number, line in enumerate(whole.split(b"\n")):
                left = self._pass_on(line)
                if left == FAILURE:
                    break
                if number % BREATH == 0:
                    await asyncio.sleep(0)
            yield left
            if left == FAILURE:
                return

    def _pass_on(self, line: bytes) -> bytes:
        """Hand an event over; return what kopf is to see of it."""
        try:
            event: Event = json.loads(line)
            kind, version = event["type"], event["object"]["metadata"]["resourceVersion"]
        except (KeyError, TypeError, ValueError):
            return FAILURE
        if kind == "ERROR":
            return FAILURE
        if kind != "BOOKMARK":
            _hand_over(self._take, event)
        metadata = {"resourceVersion": version}
        return _event("BOOKMARK", {"kind": self._stream.kind.kind, "metadata": metadata})


def _event(kind: str, body: dict[str, Any]) -> bytes:
    return json.dumps({"type": kind, "object": body}).encode() + b"\n"


FAILURE = _event("ERROR", TOO_OLD)
