"""The requests this operator makes, one HTTP request each: nothing is retried here, the queue
decides that.

Objects travel as plain JSON, so that fields we do not know survive. The answer to a write is the
object as the server now has it. Whether a failed write took effect is unknown only for
Unreachable; all writes are safe to repeat.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from enum import Enum
from typing import Any, NamedTuple

import aiohttp

from memorybank_operator.kube import errors, kinds
from memorybank_operator.kube.connection import CONNECT_SECONDS
from memorybank_operator.kube.kinds import ApiKind

REQUEST_SECONDS = 15.0
SILENCE_SECONDS = 70.0
"""API servers send a bookmark each minute: a watch without one is dead."""
CHUNK = 65_536
PAGE = 100
"""Objects of a page: up to 10 KB each as text and ten times that when read, all at once."""

Object = dict[str, Any]


class _Request(NamedTuple):
    method: str
    media_type: str = "application/json"


class Verb(Enum):
    """What is done to an object, by the names that RBAC and people use."""

    GET = _Request("GET")
    CREATE = _Request("POST")
    # JSON is YAML, and the API server takes it under this name in every version.
    APPLY = _Request("PATCH", "application/apply-patch+yaml")
    PATCH = _Request("PATCH", "application/merge-patch+json")
    DELETE = _Request("DELETE")

    @property
    def label(self) -> str:
        """For messages and metrics."""
        return self.name.lower()


DRY_RUN: Mapping[str, str] = {"dryRun": "All"}

_SURROGATE_PAIR = re.compile(r"\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}")


def encode(body: object) -> bytes:
    """Write JSON that is YAML as well.

    YAML knows no surrogate pairs, by which JSON escapes what lies beyond the first 65,536
    characters, such as emoji; JSON sent as YAML has these characters as they are.
    """
    text = _SURROGATE_PAIR.sub(lambda pair: str(json.loads(f'"{pair[0]}"')), json.dumps(body))
    return text.encode()


def with_status(body: Mapping[str, Any], status: Mapping[str, Any]) -> Object:
    """Return what `apply_status` takes to make this the status of this very object: its uid keeps
    one of the same name, made meanwhile, as it is.
    """
    metadata = {field: body["metadata"][field] for field in ("name", "namespace", "uid")}
    kind = kinds.by_kind(body["kind"])
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": metadata,
        "status": status,
    }


WriteObserver = Callable[[str, str], None]
"""Is told verb and kind of each write that the API server took."""
AnswerObserver = Callable[[str, str, str, float], None]
"""Is told verb, kind, status code and seconds of each request that was sent; of one that nobody
answered the code is NO_ANSWER.
"""
NO_ANSWER = "none"


class KubeClient:
    """Reads and writes single objects of the kinds in `kube.kinds`."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        server: str,
        *,
        field_manager: str,
        on_write: WriteObserver = lambda _verb, _kind: None,
        on_answer: AnswerObserver = lambda _verb, _kind, _code, _seconds: None,
        write_seconds: Callable[[], float] = lambda: math.inf,
        request_seconds: float = REQUEST_SECONDS,
    ) -> None:
        """`write_seconds` says for how long a write may still be under way; 0 forbids it."""
        self._session = session
        self._server = server
        self._manager = field_manager
        self._on_write = on_write
        self._on_answer = on_answer
        self._write_seconds = write_seconds
        self._request_seconds = request_seconds

    async def get(self, kind: ApiKind, namespace: str | None, name: str) -> Object | None:
        """Return the object, None when it does not exist."""
        try:
            return await self._send(Verb.GET, kind, namespace, name=name)
        except errors.NotFound:
            return None

    async def apply(self, body: Mapping[str, Any]) -> Object:
        """Server-side apply as the only owner of our fields: others' changes to them are taken
        back.
        """
        return await self._apply(body)

    async def share(self, body: Mapping[str, Any]) -> Object:
        """Have the fields of the body owned by another name beside ours. Raises Conflict when one
        of them has another value, or the object another uid.
        """
        kind, namespace, name = _address(body)
        return await self._send(
            Verb.APPLY, kind, namespace, name=name, body=body,
            query={"fieldManager": f"{self._manager}-handover", "force": "false"},
        )  # fmt: skip

    async def apply_status(self, body: Mapping[str, Any]) -> Object:
        """Server-side apply of the status alone. Never creates: NotFound when the object is gone.

        With `metadata.uid` in the body, an object of the same name made later gets Conflict
        instead.
        """
        return await self._apply(body, subresource="status")

    async def _apply(self, body: Mapping[str, Any], *, subresource: str = "") -> Object:
        kind, namespace, name = _address(body)
        return await self._send(
            Verb.APPLY, kind, namespace,
            name=name, subresource=subresource, body=body,
            query={"fieldManager": self._manager, "force": "true"},
        )  # fmt: skip

    async def create(self, body: Mapping[str, Any], *, dry_run: bool = False) -> Object:
        """Create the object. Raises Conflict when one of that name exists, which is left as it
        is. With `dry_run` only return what would be there, with all that is checked.
        """
        kind, namespace, _ = _address(body)
        query = {"fieldManager": self._manager, **(DRY_RUN if dry_run else {})}
        return await self._send(Verb.CREATE, kind, namespace, body=body, query=query)

    async def merge(
        self,
        kind: ApiKind,
        namespace: str | None,
        *,
        name: str,
        changes: Mapping[str, Any],
        dry_run: bool = False,
    ) -> Object:
        """Change the fields named by a JSON merge patch; `dry_run` as in `create`."""
        query = DRY_RUN if dry_run else None
        return await self._send(Verb.PATCH, kind, namespace, name=name, body=changes, query=query)

    async def delete(
        self, kind: ApiKind, namespace: str | None, *, name: str, uid: str
    ) -> Object | None:
        """Delete exactly the object with this uid; what it owns goes after it.

        Return it as it waits for its finalizers, None when it is gone. Raises NotFound when it
        was gone before and Conflict when another object has the name now.
        """
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": uid},
            "propagationPolicy": "Background",
        }
        answer = await self._send(Verb.DELETE, kind, namespace, name=name, body=options)
        return answer if answer.get("kind") == kind.kind else None

    async def pages(
        self, kind: ApiKind, namespace: str | None, *, selector: str
    ) -> AsyncIterator[Object]:
        """Yield the pages of a listing, all of them as of the same resource version."""
        query = {"limit": str(PAGE)} | ({"labelSelector": selector} if selector else {})
        path, more = kind.collection(namespace), ""
        while True:
            position = {"continue": more} if more else {}
            page = await self._request(
                Verb.GET, path,
                action=f"list {kind.plural}", told=("list", kind.kind), query=query | position,
            )  # fmt: skip
            yield page
            more = page["metadata"].get("continue", "")
            if not more:
                return

    async def named(self, kind: ApiKind, namespace: str, name: str) -> Object:
        """Return a listing that has the object of this name, or none."""
        return await self._request(
            Verb.GET, kind.collection(namespace),
            action=f"list {kind.kind} {name}", told=("list", kind.kind), query=_by_name(name),
        )  # fmt: skip

    async def watch_named(
        self, kind: ApiKind, namespace: str, name: str, *, since: str
    ) -> AsyncGenerator[Object, None]:
        """Yield what happens to the object of this name after a resource version, as events, until
        the API server ends the watch or is silent for longer than its bookmarks.

        Raises KubeError, also when it says that the watch has to begin with a new listing.
        """
        action = f"watch {kind.kind} {name}"
        query = _by_name(name) | {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": since,
        }
        timeout = aiohttp.ClientTimeout(sock_connect=CONNECT_SECONDS, sock_read=SILENCE_SECONDS)
        try:
            async with self._session.get(
                self._server + kind.collection(namespace), params=query, timeout=timeout
            ) as response:
                if response.status >= 400:
                    status = _status(await response.read())
                    raise errors.from_answer(
                        action, response.status, status, retry_after=None, secret=False
                    )
                rest = b""
                async for chunk in response.content.iter_chunked(CHUNK):
                    *lines, rest = (rest + chunk).split(b"\n")
                    for line in lines:
                        yield _event(action, line)
        except TimeoutError:
            raise errors.Unreachable(f"{action}: silent for {SILENCE_SECONDS:.3g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise errors.Unreachable(f"{action}: {error or type(error).__name__}") from error

    async def discover(self, path: str) -> Object:
        """Return what a path that names no object answers."""
        return await self._request(Verb.GET, path, action=f"get {path}", told=("discover", ""))

    async def logs(
        self, namespace: str, pod: str, container: str, *, previous: bool, query: Mapping[str, str]
    ) -> str:
        """Return what a container printed, or the one before it. `query` limits it: tailLines,
        limitBytes.
        """
        path = kinds.POD.item(namespace, pod, subresource="log")
        of = {"container": container, "previous": str(previous).lower()}
        content = await self._exchange(
            Verb.GET, path,
            action=f"get the log of Pod {pod}", told=("get", "Pod/log"), query={**of, **query},
        )  # fmt: skip
        return content.decode(errors="replace")

    async def _send(
        self,
        verb: Verb,
        kind: ApiKind,
        namespace: str | None,
        *,
        name: str = "",
        subresource: str = "",
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> Object:
        path = kind.collection(namespace)
        if name:
            path = kind.item(namespace, name, subresource=subresource)
        shown = f"{kind.kind}/{subresource}" if subresource else kind.kind
        answer = await self._request(
            verb, path,
            action=f"{verb.label} {shown} {name or _address(body or {}).name}",
            told=(verb.label, shown), body=body, query=query, secret=kind is kinds.SECRET,
        )  # fmt: skip
        if verb is not Verb.GET:
            self._on_write(verb.label, shown)
        return answer

    async def _request(self, verb: Verb, path: str, *, action: str, **more: Any) -> Object:
        """Do as `_exchange` does, and return the answer as JSON."""
        content = await self._exchange(verb, path, action=action, **more)
        try:
            answer: Object = json.loads(content)
        except ValueError:  # whoever is in between cut it short, or answered in our server's place
            raise errors.Unreachable(f"{action}: the answer is no JSON") from None
        return answer

    async def _exchange(
        self,
        verb: Verb,
        path: str,
        *,
        action: str,
        told: tuple[str, str],
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
        secret: bool = False,
    ) -> bytes:
        """`action` is for messages, `told` is verb and kind for the observer."""
        method, media_type = verb.value
        seconds = self._request_seconds
        if verb is not Verb.GET:
            seconds = min(seconds, self._write_seconds())
        if seconds <= 0:
            raise errors.NotLeading(f"{action}: not sent, for this operator does not lead")
        code, begun = NO_ANSWER, time.monotonic()
        try:
            async with self._session.request(
                method,
                self._server + path,
                data=None if body is None else encode(body),
                params=query,
                headers={} if body is None else {"Content-Type": media_type},
                timeout=aiohttp.ClientTimeout(total=seconds, sock_connect=CONNECT_SECONDS),
            ) as response:
                content = await response.read()
                code = str(response.status)
        except TimeoutError:
            raise errors.Unreachable(f"{action}: no answer within {seconds:.3g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise errors.Unreachable(f"{action}: {error or type(error).__name__}") from error
        finally:
            self._on_answer(*told, code, time.monotonic() - begun)
        if response.status >= 400:
            raise errors.from_answer(
                action,
                response.status,
                _status(content),
                retry_after=response.headers.get("Retry-After"),
                secret=secret,
            )
        return content


def _by_name(name: str) -> dict[str, str]:
    """Select one object. With these words a right on this name alone is enough."""
    return {"fieldSelector": f"metadata.name={name}"}


def _event(action: str, line: bytes) -> Object:
    try:
        event: Object = json.loads(line)
        kind, body = event["type"], event["object"]
    except (KeyError, TypeError, ValueError):
        raise errors.Unreachable(f"{action}: an event is broken") from None
    if kind == "ERROR":
        raise errors.Conflict(f"{action}: {body.get('message', 'it is over')}")
    return event


class _Address(NamedTuple):
    kind: ApiKind
    namespace: str | None
    name: str


def _address(body: Mapping[str, Any]) -> _Address:
    metadata = body["metadata"]
    name = metadata.get("name") or metadata.get("generateName", "")
    return _Address(kinds.by_kind(body["kind"]), metadata.get("namespace"), name)


def _status(content: bytes) -> Mapping[str, Any]:
    """Read the `Status` object that explains a failure; anything else, such as a proxy's page, is
    empty.
    """
    try:
        status = json.loads(content)
    except ValueError:
        return {}
    return status if isinstance(status, dict) and status.get("kind") == "Status" else {}
