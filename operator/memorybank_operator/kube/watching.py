"""What the watch streams of kopf do, seen from the HTTP session they use.

kopf tells its handlers about objects, but not when a listing is complete, which objects a renewed
listing no longer has, or whether a silent stream is alive. All of that passes through the
session, so this middleware reads along.

What kopf would take for the end of everything, though a new listing cures it, is put before it as
the end of a stream: half an event, an event that says that the server failed, a page of a listing
that is not there any more, an answer that is none. Streams that end as soon as they begin are
opened ever more slowly, since kopf begins anew at once.
"""

from __future__ import annotations

import asyncio
import json
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

RETRIED = frozenset({401, 403, 429})
"""What kopf asks again for by itself, as it does after each 5xx."""
OPENED_BURST = 6.0
"""Listings and watches of one stream that are begun without a pause."""
OPENED_PER_SECOND = 0.5
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


class Listener(Protocol):
    """Wants to know about the streams."""

    def listed(self, stream: Stream, uids: frozenset[str], *, resource_version: int) -> None:
        """A listing is complete: at this resource version there were exactly these objects."""

    def alive(self, stream: Stream) -> None:
        """The API server answered on this stream: a page, an event, a bookmark, a new watch."""

    def gone(self, stream: Stream) -> None:
        """The API server does not know the kind any more."""


class WatchObserver:
    """A client middleware that reads along and tells a listener."""

    def __init__(self, server: str, expected: Iterable[Stream], listener: Listener) -> None:
        # By path: a URL may name a default port or leave it out.
        prefix = URL(server).path.rstrip("/")
        self._streams = {
            f"{prefix}{kind.collection(ns)}": Stream(kind, ns) for kind, ns in expected
        }
        self._listener = listener
        self._pages: dict[Stream, set[str]] = {}
        self._watches: WeakSet[ClientResponse] = WeakSet()
        self._paces = {stream: _Pace() for stream in self._streams.values()}

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """Pass the request on, and note what its answer says.

        Raises ClientPayloadError for kopf to begin the stream anew, and ClientConnectionError for
        it to ask again for something else, such as which kinds there are.
        """
        stream = self._streams.get(request.url.path)
        if stream is None:
            return await _whole(await handler(request))
        first = not request.url.query.get("continue")
        if first:
            await self._paces[stream].wait()
        response = await handler(request)
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
            content = _WatchReader(response.content, lambda: self._listener.alive(stream))
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
            answer: dict[str, Any] = await response.json()
            metadata = answer["metadata"]
            version = int(metadata["resourceVersion"])
        except (ClientResponseError, KeyError, TypeError, ValueError):
            response.close()
            raise ClientPayloadError(f"{stream}: the answer is no listing") from None
        if first:
            self._pages[stream] = set()
        uids = self._pages.setdefault(stream, set())
        uids.update(item["metadata"]["uid"] for item in answer.get("items") or ())
        if not metadata.get("continue"):
            del self._pages[stream]
            self._listener.listed(stream, frozenset(uids), resource_version=version)


async def _whole(response: ClientResponse) -> ClientResponse:
    """Return an answer that is here as a whole and can be read as JSON, which kopf relies on."""
    if response.status < 400:
        try:
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


class _TooOld(_Reader):
    """The content of a watch that has to begin with a new listing."""

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        yield _event(TOO_OLD)


class _WatchReader(_Reader):
    """A watch's content in whole events, that calls back for each chunk somebody takes from it."""

    def __init__(self, content: StreamReader, note: Callable[[], None]) -> None:
        super().__init__(content)
        self._note = note

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        rest = b""
        async for chunk in self._content.iter_chunked(size):
            self._note()
            whole, end, rest = (rest + chunk).rpartition(b"\n")
            if not end:
                continue
            if any(map(_is_failure, whole.split(b"\n"))):
                yield _event(TOO_OLD)
                return
            yield whole + end


def _is_failure(line: bytes) -> bool:
    """Whether an event says that the server cannot go on with this watch."""
    # The word is next to never in an event, and looking for it costs nothing beside reading JSON.
    return b'"ERROR"' in line and json.loads(line).get("type") == "ERROR"


def _event(status: dict[str, Any]) -> bytes:
    return json.dumps({"type": "ERROR", "object": status}).encode() + b"\n"
