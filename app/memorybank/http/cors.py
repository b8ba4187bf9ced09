"""Cross-origin requests: which web pages may use the service, and what their browser is told.

Pages send the key themselves, as a header; cookies and other credentials that a browser adds on its
own are never allowed.
"""

from __future__ import annotations

from collections.abc import Iterable

from starlette.datastructures import Headers
from starlette.types import Scope

_METHODS = "GET, POST, PUT, PATCH, DELETE"
_REQUEST_HEADERS = (
    "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, Mcp-Method, Mcp-Name,"
    " MCP-Protocol-Version, Traceparent, Tracestate, X-API-Key, X-Request-Id, X-Tenant-ID"
)
_ANSWER_HEADERS = (
    "ETag, Location, RateLimit, RateLimit-Policy, Retry-After, WWW-Authenticate, X-Request-Id"
)


class Cors:
    """What is said to browsers about the origins that are allowed."""

    def __init__(self, origins: Iterable[str], *, max_age_seconds: int) -> None:
        self._origins = frozenset(origin.lower() for origin in origins)
        self._max_age = max_age_seconds

    def allows(self, origin: str) -> bool:
        """Say whether pages of this origin may read answers."""
        return "*" in self._origins or origin.lower() in self._origins

    def headers(self, scope: Scope) -> dict[str, str]:
        """Return what every answer to this request carries."""
        if not self._origins:
            return {}
        origin = Headers(scope=scope).get("origin")
        vary = {"Vary": "Origin"}
        if origin is None or not self.allows(origin):
            return vary
        shown = {"Access-Control-Allow-Origin": origin}
        return vary | shown | {"Access-Control-Expose-Headers": _ANSWER_HEADERS}

    def preflight(self, scope: Scope) -> dict[str, str] | None:
        """Return the answer to a preflight request, None when this is none that is allowed."""
        headers = Headers(scope=scope)
        if scope["method"] != "OPTIONS" or "access-control-request-method" not in headers:
            return None
        if not self.allows(headers.get("origin", "")):
            return None
        return {
            "Access-Control-Allow-Methods": _METHODS,
            "Access-Control-Allow-Headers": _REQUEST_HEADERS,
            "Access-Control-Max-Age": str(self._max_age),
        }
