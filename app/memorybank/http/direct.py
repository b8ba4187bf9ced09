"""The hot paths, without the framework's machinery.

FastAPI takes about 1 ms of CPU per request to match routes, solve dependencies and enter exit
stacks. A route that needs none of it, because it takes the caller and one JSON body and returns one
model, is answered here in a fifth of that. It is still declared to FastAPI, for the OpenAPI
document; tests hold that both ways answer alike.
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


class DirectRoutes:
    """Serves POST to some paths itself and passes everything else on.

    Errors are raised: RequestContext answers them as it answers those of the other routes.
    """

    def __init__(self, app: ASGIApp, endpoints: Mapping[str, Endpoint]) -> None:
        """Take the endpoints by their path. Raises TypeError for one that needs the framework."""
        self._app = app
        self._routes = {path: _DirectRoute(path, each) for path, each in endpoints.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and scope["method"] == "POST":
            route = self._routes.get(scope["path"])
            if route is not None:
                await route(scope, receive, send)
                return
        await self._app(scope, receive, send)


class _DirectRoute:
    """One endpoint of the form `async (caller, body) -> answer`."""

    def __init__(self, path: str, endpoint: Endpoint) -> None:
        self.path = path
        """Read by RequestContext, as the `path` of any route."""
        self._endpoint = endpoint
        hints = get_type_hints(endpoint)
        names = list(inspect.signature(endpoint).parameters)
        if len(names) != 2 or hints[names[0]] is not Principal or not _is_model(hints[names[1]]):
            raise TypeError(f"{path} takes more than a caller and a body")
        self._body: TypeAdapter[Any] = TypeAdapter(hints[names[1]])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["route"] = self
        value = parse_json(await _body(receive))
        try:
            body = self._body.validate_python(value, from_attributes=True)  # as FastAPI does
        except ValidationError as error:
            raise invalid_request(
                [{**each, "loc": ("body", *each["loc"])} for each in error.errors()]
            ) from None
        answer = await self._endpoint(scope["state"]["principal"], body)
        content = answer.__pydantic_serializer__.to_json(answer)
        await Response(content, media_type="application/json")(scope, receive, send)


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
