"""The hot paths, without the framework's machinery.

FastAPI takes about 1 ms of CPU per request to match routes, solve dependencies and enter exit
stacks. A route that needs none of it, because it takes the caller and one JSON body and returns one
model, is answered here in a fifth of that; a request that needs more of its route goes on to it.
Each is still declared to FastAPI, for the OpenAPI document; tests hold that both ways answer
alike.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, get_type_hints

from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from memorybank.auth.principal import Principal
from memorybank.http.body import parse_json
from memorybank.schemas.problems import invalid_request

Endpoint = Callable[..., Awaitable[BaseModel]]

_FOR_THE_FRAMEWORK = b"idempotency-key"
"""A header that endpoints may take: requests with it are passed on."""


class DirectRoutes:
    """Serves POST to some paths itself and passes everything else on.

    Errors are raised: RequestContext answers them as it answers those of the other routes.
    """

    def __init__(self, app: ASGIApp, endpoints: Mapping[str, tuple[Endpoint, int]]) -> None:
        """Take the endpoints by their path, each with the status that it is declared with.

        Raises TypeError for one that needs the framework.
        """
        self._app = app
        self._routes = {path: _DirectRoute(path, *each) for path, each in endpoints.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and scope["method"] == "POST":
            route = self._routes.get(scope["path"])
            if route is not None and not any(
                name == _FOR_THE_FRAMEWORK for name, _ in scope["headers"]
            ):
                await route(scope, receive, send)
                return
        await self._app(scope, receive, send)


class _DirectRoute:
    """One endpoint of the form `async (caller, body[, response]) -> answer`.

    Through `response` it may set status and headers. Parameters with defaults keep these.
    """

    def __init__(self, path: str, endpoint: Endpoint, status: int) -> None:
        self.path = path
        """Read by RequestContext, as the `path` of any route."""
        self._endpoint = endpoint
        self._status = status
        hints = get_type_hints(endpoint)
        parameters = inspect.signature(endpoint).parameters.values()
        needed = [hints[each.name] for each in parameters if each.default is each.empty]
        self._responds = needed[2:] == [Response]
        if (
            needed[:1] != [Principal]
            or not all(map(_is_model, needed[1:2]))
            or (len(needed) != 2 + self._responds)
        ):
            raise TypeError(f"{path} takes more than a caller and a body")
        self._body: TypeAdapter[Any] = TypeAdapter(needed[1])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["route"] = self
        sent = await _body(receive)
        if not sent:  # as FastAPI does
            raise invalid_request([{"type": "missing", "loc": ("body",)}])
        value = parse_json(sent)
        try:
            body = self._body.validate_python(value, from_attributes=True)  # as FastAPI does
        except ValidationError as error:
            raise invalid_request(
                [{**each, "loc": ("body", *each["loc"])} for each in error.errors()]
            ) from None
        caller = scope["state"]["principal"]
        response = Response(status_code=self._status, media_type="application/json")
        answer = await self._endpoint(caller, body, *([response] if self._responds else ()))
        response.body = answer.__pydantic_serializer__.to_json(answer)
        response.headers["Content-Length"] = str(len(response.body))
        await response(scope, receive, send)


def _is_model(hint: object) -> bool:
    return isinstance(hint, type) and issubclass(hint, BaseModel)


async def _body(receive: Receive) -> bytes:
    chunks = []
    more = True
    while more:
        message = await receive()
        chunks.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(chunks)
