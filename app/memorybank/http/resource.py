"""What this service is as an OAuth 2.0 protected resource (RFC 9728), for MCP clients.

A client that is refused finds the address of this document in WWW-Authenticate, and in it who
issues tokens. Keys need none of it.
"""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.datastructures import Headers
from starlette.types import Scope as AsgiScope

from memorybank.domain.keys import Scope
from memorybank.schemas.resource import ProtectedResource

_PATH = "/.well-known/oauth-protected-resource"
_MCP = "/mcp"


class ResourceRoutes:
    """The document, where RFC 9728 and MCP look for it."""

    def __init__(self, *, public_url: str | None, issuer: str | None) -> None:
        """`public_url` is the service's address for clients; None: the one that they used."""
        self._public_url = public_url
        self._issuers = [] if issuer is None else [issuer]

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(tags=["metadata"])
        add = router.add_api_route
        add(_PATH, self.bank, methods=["GET"], summary="Who issues tokens")
        add(f"{_PATH}{_MCP}", self.mcp, methods=["GET"], summary="Who issues tokens, for MCP")
        return router

    async def bank(self, request: Request) -> ProtectedResource:
        """Describe the service as a protected resource (RFC 9728)."""
        return self._described(self._base(request.scope))

    async def mcp(self, request: Request) -> ProtectedResource:
        """Describe the MCP endpoint as a protected resource (RFC 9728)."""
        return self._described(f"{self._base(request.scope)}{_MCP}")

    def address(self, scope: AsgiScope) -> str:
        """Return where the description of what this request asked for is."""
        suffix = _MCP if scope["path"] == _MCP else ""
        return f"{self._base(scope)}{_PATH}{suffix}"

    def _described(self, resource: str) -> ProtectedResource:
        return ProtectedResource(
            resource=resource,
            resource_name="memory bank",
            authorization_servers=self._issuers,
            scopes_supported=list(Scope),
            bearer_methods_supported=["header"],
        )

    def _base(self, scope: AsgiScope) -> str:
        """Return the address without path; the Host was checked before."""
        if self._public_url is not None:
            return self._public_url.rstrip("/")
        return f"{scope['scheme']}://{Headers(scope=scope).get('host', 'localhost')}"
