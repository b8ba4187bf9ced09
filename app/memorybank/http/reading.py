"""Where a copy of a bank is served: what writes is refused before anything else is looked at."""

from __future__ import annotations

from collections.abc import Iterable

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send

from memorybank.errors import ReadOnly
from memorybank.http.needs import writes


class ReadingOnly:
    """Refuses requests to operations that write. Tools of MCP are refused by the store."""

    def __init__(
        self, app: ASGIApp, routers: Iterable[APIRouter], *, primary_url: str | None
    ) -> None:
        self._app = app
        self._primary_url = primary_url
        self._writing = [
            route for router in routers for route in map(_checked, router.routes) if _writes(route)
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] == "http" and scope["method"] not in ("GET", "HEAD"):
            for route in self._writing:
                if route.matches(scope)[0] is Match.FULL:
                    scope["route"] = route
                    raise ReadOnly(self._primary_url)
        await self._app(scope, receive, send)


def _checked(route: BaseRoute) -> APIRoute:
    if not isinstance(route, APIRoute):
        # Such as a router within one: what writes behind it would not be refused.
        message = f"{route!r} is no operation"
        raise TypeError(message)
    return route


def _writes(route: APIRoute) -> bool:
    tag = str(route.tags[0])
    return writes(route.methods, tag, f"{tag}_{route.name}")
