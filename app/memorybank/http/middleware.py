"""What surrounds every request, outermost first: see `surround`."""

from __future__ import annotations

import ipaddress
import logging
import re
import secrets
import time
from collections.abc import Iterable, Mapping
from contextlib import nullcontext

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from memorybank import tracing
from memorybank.auth.authenticator import Authenticator
from memorybank.auth.limits import FailedAttempts, RateLimiter
from memorybank.auth.principal import Principal
from memorybank.errors import MemoryBankError, Unauthenticated
from memorybank.http.cors import Cors
from memorybank.http.errors import HttpProblem, error_response, internal_error
from memorybank.http.limits import RateLimit, too_many
from memorybank.http.resource import ResourceRoutes
from memorybank.logs import request_id
from memorybank.services.activity import Activity
from memorybank.telemetry import Telemetry
from memorybank.tracing import Span, Tracer, Unrecorded
from memorybank.trail import Actor, actor

_logger = logging.getLogger(__name__)

PROBES = frozenset({"/health", "/live", "/ready"})
"""Paths that the kubelet calls, by the pod's address and without a key."""

STREAMED = frozenset({"/v1/import"})
"""Paths whose routes read the body piece by piece, whatever its size."""
_STREAMED_TYPES = frozenset(
    {"application/x-ndjson", "application/jsonl", "application/gzip", "application/octet-stream"}
)
_OF_GUIDES = ("/memory_stats", "/scheduler_status", "/run_forgetting_curve", "/metrics", "/api/v1")
_PROTECTED = ("/v1", "/mcp", *_OF_GUIDES)
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_MAX_TARGET = 8_192
_MAX_HEADERS = 65_536
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "X-Permitted-Cross-Domain-Policies": "none",
    "Cache-Control": "no-store",
}
"""What every answer carries, errors included."""


def _raw(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [
        (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()
    ]


_ALWAYS = _raw(SECURITY_HEADERS)


def surround(
    app: ASGIApp,
    *,
    telemetry: Telemetry,
    tracer: Tracer,
    authenticator: Authenticator,
    limiter: RateLimiter,
    cors: Cors,
    resource: ResourceRoutes,
    activity: Activity,
    allowed_hosts: Iterable[str],
    max_body_bytes: int,
) -> ASGIApp:
    """Wrap the application.

    The order matters: every answer gets an id, headers and a line in the log; a wrong Host learns
    nothing about keys; and no more than a head is read for a caller without a key or with too many
    requests.
    """
    app = BodyLimit(app, max_body_bytes)
    app = RateLimit(app, limiter)
    app = Authentication(app, authenticator, FailedAttempts())
    app = HostCheck(app, allowed_hosts, cors)
    return RequestContext(app, telemetry, tracer, cors, resource, activity)


class RequestContext:
    """Gives a request its id, counts and logs it, and answers what nobody else did."""

    def __init__(
        self,
        app: ASGIApp,
        telemetry: Telemetry,
        tracer: Tracer,
        cors: Cors,
        resource: ResourceRoutes,
        activity: Activity,
    ) -> None:
        self._app = app
        self._telemetry = telemetry
        self._tracer = tracer
        self._cors = cors
        self._resource = resource
        self._activity = activity

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        current = _id_of(scope)
        token = request_id.set(current)
        span = self._span(scope)
        trace_token = tracing.current.set(span.context)
        scope.setdefault("state", {}).update(request_id=current, trace=span.context)
        status = 0
        added = [*_ALWAYS, *_raw(self._cors.headers(scope) | _traceresponse(span))]

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = current
                there = {name for name, _ in headers.raw}
                headers.raw.extend(pair for pair in added if pair[0] not in there)
                if "www-authenticate" in headers:
                    where = f'resource_metadata="{self._resource.address(scope)}"'
                    headers["WWW-Authenticate"] += f", {where}"
            await send(message)

        began = time.perf_counter()
        self._telemetry.request_began()
        try:
            await self._app(scope, receive, send_marked)
        except MemoryBankError as error:
            await error_response(error)(scope, receive, send_marked)
        except Exception:
            _logger.exception("unexpected error")
            if not status:
                await internal_error()(scope, receive, send_marked)
        finally:
            self._finish(scope, status=status or 499, seconds=time.perf_counter() - began)
            self._tell(span, scope, status or 499)
            tracing.current.reset(trace_token)
            request_id.reset(token)

    def _span(self, scope: Scope) -> Span:
        """Begin to record the request; probes are not worth it."""
        tracer = Unrecorded() if scope["path"] in PROBES else self._tracer
        return tracer.begin(tracing.parse(Headers(scope=scope).get(tracing.HEADER)))

    def _tell(self, span: Span, scope: Scope, status: int) -> None:
        if not span.recorded:
            return
        method, route = scope["method"], _route(scope)
        facts = {
            "http.request.method": method,
            "http.route": route,
            "http.response.status_code": status,
            "memorybank.request_id": scope["state"]["request_id"],
        }
        caller = scope["state"].get("principal")
        if isinstance(caller, Principal):
            facts |= {"memorybank.tenant": caller.tenant, "memorybank.key": caller.key_id}
        span.end(f"{method} {route}", facts, failed=status >= 500)

    def _finish(self, scope: Scope, *, status: int, seconds: float) -> None:
        route = _route(scope)
        self._telemetry.request_ended(route, scope["method"], status=status, seconds=seconds)
        self._note(scope, route, status)
        caller = scope["state"].get("principal")
        if isinstance(caller, Principal):
            self._telemetry.tenant_asked(caller.tenant, status=status)
        level = logging.DEBUG if route in PROBES and status < 500 else logging.INFO
        if _logger.isEnabledFor(level):
            principal = scope["state"].get("principal")
            details = {
                "method": scope["method"],
                "route": route,
                "status": status,
                "milliseconds": round(seconds * 1000, 1),
                "key": None if principal is None else principal.key_id,
            }
            _logger.log(level, "request", extra={"details": details})

    def _note(self, scope: Scope, route: str, status: int) -> None:
        state = scope["state"]
        tool = state.get("tool")
        acting = state.get("actor")
        self._activity.ended(
            state.get("principal"),
            f"{scope['method']} {route}" if tool is None else f"mcp {tool}",
            status,
            address=_address(scope),
            request_id=state["request_id"],
            recorded=isinstance(acting, Actor) and acting.recorded,
        )


class HostCheck:
    """Refuses requests for other hosts, which protects browsers from DNS rebinding."""

    def __init__(self, app: ASGIApp, allowed_hosts: Iterable[str], cors: Cors) -> None:
        self._app = app
        self._allowed = AllowedHosts(allowed_hosts)
        self._cors = cors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] == "http" and scope["path"] not in PROBES:
            headers = Headers(scope=scope)
            if not self._allowed.names(headers.get("host", "")):
                raise HttpProblem(
                    421,
                    "misdirected_request",
                    "this service is not known by the host name of the request",
                    hint="use a name from security.allowed_hosts, or add this one to it",
                )
            origin = headers.get("origin")
            if origin is not None and not self._is_welcome(origin):
                raise HttpProblem(
                    403,
                    "forbidden_origin",
                    "web pages of this origin may not use the service",
                    hint="add it to cors.allowed_origins, or its host to security.allowed_hosts",
                )
            preflight = self._cors.preflight(scope)
            if preflight is not None:
                await Response(status_code=204, headers=preflight)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _is_welcome(self, origin: str) -> bool:
        return self._cors.allows(origin) or self._allowed.names(origin.partition("://")[2])


class AllowedHosts:
    """Names by which the service may be addressed, whatever the port. Loopback always is one."""

    def __init__(self, hosts: Iterable[str]) -> None:
        names = {host.lower().strip("[]") for host in hosts}
        self._any = "*" in names
        self._names = names | {"localhost"}

    def names(self, authority: str) -> bool:
        """Say whether `host` or `host:port` is allowed."""
        if self._any:
            return True
        host = _without_port(authority).lower()
        return host in self._names or _is_loopback(host)


class Authentication:
    """Puts the Principal into the request's state, or answers 401."""

    def __init__(
        self, app: ASGIApp, authenticator: Authenticator, attempts: FailedAttempts
    ) -> None:
        self._app = app
        self._authenticator = authenticator
        self._attempts = attempts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] == "http" and _is_protected(scope["path"]):
            headers = Headers(scope=scope)
            principal = await self._authenticated(scope, presented_token(headers))
            named = headers.get("x-tenant-id")
            if named is not None:
                principal.require_tenant(named)
            scope["state"]["principal"] = principal
            scope["state"]["actor"] = Actor(principal.name)
            actor.set(scope["state"]["actor"])
        await self._app(scope, receive, send)

    async def _authenticated(self, scope: Scope, token: str | None) -> Principal:
        address = _address(scope)
        gate = None
        if not self._authenticator.remembers(token):
            gate = self._attempts.gate(address)
        try:
            async with gate or nullcontext():
                return await self._authenticator.authenticate(token)
        except Unauthenticated:
            wait = self._attempts.failed(address)
            if wait:
                raise too_many("too many wrong keys came from this address", wait) from None
            raise


class BodyLimit:
    """Refuses what is too large or no JSON, and reads the body before anything else happens."""

    def __init__(self, app: ASGIApp, max_body_bytes: int) -> None:
        self._app = app
        self._max = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        self._check_head(scope)
        if scope["path"] in STREAMED:
            await self._app(scope, receive, send)
            return
        body = await self._read(receive)
        if body is None:  # the client has gone: there is nobody to answer
            return
        message: Message | None = {"type": "http.request", "body": body, "more_body": False}

        async def replay() -> Message:
            nonlocal message
            if message is not None:
                first, message = message, None
                return first
            return await receive()

        await self._app(scope, replay, send)

    def _check_head(self, scope: Scope) -> None:
        if len(scope["raw_path"]) + len(scope["query_string"]) > _MAX_TARGET:
            raise HttpProblem(
                414,
                "uri_too_long",
                "the address of the request is too long",
                hint=f"send at most {_MAX_TARGET} bytes; a long query belongs into POST /v1/search",
            )
        if sum(len(name) + len(value) for name, value in scope["headers"]) > _MAX_HEADERS:
            raise HttpProblem(
                431,
                "headers_too_large",
                "the headers of the request are too large",
                hint=f"send at most {_MAX_HEADERS} bytes",
            )
        headers = Headers(scope=scope)
        media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        if scope["path"] in STREAMED:
            if scope["method"] in _WITH_BODY and media_type not in _STREAMED_TYPES:
                raise HttpProblem(
                    415,
                    "unsupported_media_type",
                    "the body must be JSON Lines, gzip or not",
                    hint="send it with the header `Content-Type: application/x-ndjson`",
                )
            return
        needs_json = scope["method"] in _WITH_BODY and _has_body(headers)
        if needs_json and media_type != "application/json":
            raise HttpProblem(
                415,
                "unsupported_media_type",
                "the body must be JSON",
                hint="send it with the header `Content-Type: application/json`",
            )
        declared = headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > self._max:
            raise self._too_large()

    async def _read(self, receive: Receive) -> bytes | None:
        chunks: list[bytes] = []
        size = 0
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > self._max:
                raise self._too_large()
            chunks.append(chunk)
            more = message.get("more_body", False)
        return b"".join(chunks)

    def _too_large(self) -> HttpProblem:
        return HttpProblem(
            413,
            "body_too_large",
            "the body of the request is too large",
            hint=f"send at most {self._max} bytes (limits.max_body_bytes)",
        )


def _traceresponse(span: Span) -> dict[str, str]:
    """Return the header that tells a caller under which ids its request is recorded."""
    if not span.recorded or span.context is None:
        return {}
    return {"traceresponse": span.context.header()}


def _address(scope: Scope) -> str:
    """Return where a request comes from, as far as the connection tells."""
    return str(scope["client"][0]) if scope.get("client") else ""


def presented_token(headers: Headers) -> str | None:
    """Return the API key of a request, from `Authorization: Bearer` or `X-API-Key`."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    return headers.get("x-api-key")


def _id_of(scope: Scope) -> str:
    given = Headers(scope=scope).get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)


def _route(scope: Scope) -> str:
    """Return the template of the route, such as /v1/memories/{id}; never what the caller wrote."""
    path = getattr(scope.get("route"), "path", None)
    return path if isinstance(path, str) else "unmatched"


def _is_protected(path: str) -> bool:
    return any(path == root or path.startswith(f"{root}/") for root in _PROTECTED)


def _has_body(headers: Headers) -> bool:
    """Say whether a body follows (RFC 9112 section 6.3)."""
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers


def _without_port(authority: str) -> str:
    if authority.startswith("["):
        return authority.partition("]")[0].lstrip("[")
    return authority.partition(":")[0]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
