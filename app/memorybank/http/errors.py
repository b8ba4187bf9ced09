"""The one place where errors become HTTP answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import BaseRoute, Match

from memorybank.domain.keys import Scope
from memorybank.errors import (
    Conflict,
    Forbidden,
    InvalidRequest,
    MemoryBankError,
    NotFound,
    Unauthenticated,
    Unavailable,
)
from memorybank.logs import request_id
from memorybank.schemas.errors import ErrorEnvelope
from memorybank.schemas.problems import invalid_request

_STATUS: dict[type[MemoryBankError], int] = {
    InvalidRequest: 422,
    Unauthenticated: 401,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    Unavailable: 503,
}
_CHALLENGE = 'Bearer realm="memory-bank"'
_RETRY_AFTER = "1"
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


class HttpProblem(MemoryBankError):
    """A request that is wrong as HTTP, before any use case is asked."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        hint: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.status = status
        self.headers = dict(headers or {})


def error_response(error: MemoryBankError) -> Response:
    """Return the answer to a request that met this error."""
    if isinstance(error, HttpProblem):
        status, headers = error.status, error.headers
    else:
        status = next((_STATUS[kind] for kind in type(error).mro() if kind in _STATUS), 500)
        headers = _headers(error)
    if status == 500:
        return internal_error()
    return _envelope(error, status, headers)


def internal_error() -> Response:
    """Return the answer when something unexpected went wrong; the log holds the rest."""
    error = MemoryBankError(
        "something went wrong in the service",
        hint=f"the service's log says more under the request id {request_id.get()}",
    )
    return _envelope(error, 500, {})


def install(app: FastAPI) -> None:
    """Make every error of the framework one of ours."""

    async def ours(_request: Request, error: Exception) -> Response:
        assert isinstance(error, MemoryBankError)  # noqa: S101  # registered for it below
        return error_response(error)

    async def validation(_request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101  # registered for it below
        return error_response(invalid_request(error.errors()))

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101  # registered for it below
        return error_response(_problem(request, error))

    async def unexpected(_request: Request, _error: Exception) -> Response:
        return internal_error()

    app.add_exception_handler(MemoryBankError, ours)
    app.add_exception_handler(RequestValidationError, validation)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, unexpected)


def _envelope(error: MemoryBankError, status: int, headers: Mapping[str, str]) -> Response:
    body = ErrorEnvelope.of(error).model_dump_json(exclude_none=True)
    return Response(body, status, headers, media_type="application/json")


def _headers(error: MemoryBankError) -> dict[str, str]:
    """Return what RFC 6750 and RFC 9110 want beside the status."""
    if isinstance(error, Unauthenticated):
        needs = f'scope="{Scope.READ}"'
        if error.presented:
            needs = f'error="invalid_token", {needs}'
        return {"WWW-Authenticate": f"{_CHALLENGE}, {needs}"}
    if isinstance(error, Forbidden) and error.scope is not None:
        needs = f'error="insufficient_scope", scope="{error.scope}"'
        return {"WWW-Authenticate": f"{_CHALLENGE}, {needs}"}
    if isinstance(error, Unavailable):
        return {"Retry-After": _RETRY_AFTER}
    return {}


def _problem(request: Request, error: HTTPException) -> MemoryBankError:
    if error.status_code == 404:
        return HttpProblem(
            404, "not_found", "there is nothing at this path", hint="/openapi.json lists the paths"
        )
    if error.status_code == 405:
        allowed = ", ".join(_allowed_methods(request.app.routes, request))
        return HttpProblem(
            405,
            "method_not_allowed",
            f"{request.method} does not work here",
            hint=f"use {allowed}",
            headers={"Allow": allowed},
        )
    return HttpProblem(error.status_code, "bad_request", "the request cannot be read")


def _allowed_methods(routes: Sequence[BaseRoute], request: Request) -> list[str]:
    """Return the methods that any route takes at this path, not just the first that matches it."""
    return [
        method
        for method in _METHODS
        if any(
            route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes
        )
    ]
