"""Reading JSON bodies strictly.

RFC 8259 JSON only: no NaN, no Infinity, no lone surrogates, valid UTF-8, at most 200 levels deep.
Starlette's own parser takes the first three and fails on the last.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic_core import from_json
from typing_extensions import override

from memorybank.http.errors import HttpProblem


def parse_json(body: bytes) -> Any:
    """Return the value; raises HttpProblem 400."""
    try:
        return from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise HttpProblem(
            400, "invalid_json", f"the body is not JSON: {error}", hint="correct it at that place"
        ) from None


class _JsonRequest(Request):
    """A request whose body was parsed by parse_json."""

    async def parse(self) -> None:
        body = await self.body()
        if body:  # FastAPI says what is missing of one that is empty
            self._value = parse_json(body)

    @override
    async def json(self) -> Any:
        return self._value


class JsonRoute(APIRoute):
    """A route whose body, if it takes one, must be strict JSON."""

    @override
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()
        if self.body_field is None:
            return handler

        async def parsed(request: Request) -> Response:
            json_request = _JsonRequest(request.scope, request.receive)
            await json_request.parse()
            return await handler(json_request)

        return parsed
