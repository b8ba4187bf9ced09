"""The ASGI application: routes, errors and what surrounds them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Scope
from typing_extensions import override

from memorybank.http import errors
from memorybank.http.needs import needed_scope, needs_bank
from memorybank.schemas.errors import ErrorEnvelope

Lifespan = Callable[[Any], AbstractAsyncContextManager[None]]

_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A key, mb_..., or a JWT."},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
BANK_ONLY = "x-bank-only"
"""Marks operations that only administrators of the bank may use, those of the default tenant."""


class Api(FastAPI):
    """FastAPI with our errors, our documentation and no pages that load scripts from elsewhere."""

    def __init__(self, *, version: str, lifespan: Lifespan) -> None:
        super().__init__(
            title="memory bank",
            summary="Store, find by meaning, forget.",
            version=version,
            lifespan=lifespan,
            docs_url=None,
            redoc_url=None,
            redirect_slashes=False,
            generate_unique_id_function=lambda route: f"{route.tags[0]}_{route.name}",
            responses={"default": {"model": ErrorEnvelope, "description": "What is wrong."}},
        )

    @override
    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document, with the ways to send a key and what it must allow."""
        if self.openapi_schema is None:
            document = super().openapi()
            document["components"]["securitySchemes"] = _SCHEMES
            for operations in document["paths"].values():
                for method, operation in operations.items():
                    scope = needed_scope(method, operation)
                    schemes = () if scope is None else _SCHEMES
                    operation["security"] = [{name: [scope]} for name in schemes]
                    if needs_bank(operation):
                        operation[BANK_ONLY] = True
        assert self.openapi_schema is not None  # noqa: S101  # set above, by super
        return self.openapi_schema


def create_api(routers: list[APIRouter], *, mcp: ASGIApp, lifespan: Lifespan, version: str) -> Api:
    """Return the application without its surroundings; see middleware.surround."""
    api = Api(version=version, lifespan=lifespan)
    errors.install(api)
    for router in routers:
        api.include_router(router)
    api.router.routes.append(_NamedRoute("/mcp", endpoint=mcp, methods=["POST"], name="mcp"))
    return api


class _NamedRoute(Route):
    """A route that logs and metrics know by its path, as they know those of the framework."""

    @override
    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child = super().matches(scope)
        return match, {**child, "route": self}
