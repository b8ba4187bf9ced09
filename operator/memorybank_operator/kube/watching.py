"""What the watch streams of kopf do, seen from the HTTP session they use.

kopf tells its handlers about objects, but not when a listing is complete, which objects a renewed
listing no longer has, or whether a silent stream is alive. All of that passes through the
session, so this middleware reads along.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, NamedTuple, Protocol, cast
from weakref import WeakSet

from aiohttp import ClientHandlerType, ClientRequest, ClientResponse, StreamReader
from typing_extensions import override
from yarl import URL

from memorybank_operator.kube.kinds import ApiKind


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

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """Pass the request on, and note what its answer says."""
        response = await handler(request)
        stream = self._streams.get(request.url.path)
        if stream is None or request.method != "GET":
            return response
        if response.status == 404:
            response.close()
            self._listener.gone(stream)
            # kopf would fail as a whole and leave its pieces behind. It waits here to be stopped.
            await asyncio.Event().wait()
        if response.status >= 400:
            return response
        self._listener.alive(stream)
        if request.url.query.get("watch"):
            content = _NotedReader(response.content, lambda: self._listener.alive(stream))
            response.content = cast(StreamReader, content)
            self._watches.add(response)
        else:
            first = not request.url.query.get("continue")
            self._page(stream, await response.json(), first=first)
        return response

    def abort(self) -> None:
        """Cut all watches off: a TLS farewell that waits for its answer would outlive them."""
        for response in self._watches:
            connection = response.connection
            if connection is not None and connection.transport is not None:
                connection.transport.abort()

    def _page(self, stream: Stream, answer: dict[str, Any], *, first: bool) -> None:
        if first:
            self._pages[stream] = set()
        uids = self._pages.setdefault(stream, set())
        uids.update(item["metadata"]["uid"] for item in answer.get("items") or ())
        metadata = answer["metadata"]
        if not metadata.get("continue"):
            del self._pages[stream]
            version = int(metadata["resourceVersion"])
            self._listener.listed(stream, frozenset(uids), resource_version=version)


class _NotedReader:
    """A response's content that calls back for each chunk somebody takes from it."""

    def __init__(self, content: StreamReader, note: Callable[[], None]) -> None:
        self._content = content
        self._note = note

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        async for chunk in self._content.iter_chunked(size):
            self._note()
            yield chunk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)
