"""What can go wrong between us and the API server, by what helps against it.

    KubeError
    ├── Transient         a retry may help; `retry_after` when the server named a time
    │   ├── Unreachable   no connection, no answer in time
    │   ├── Overloaded    429 and 5xx
    │   ├── NotLeading    nothing was sent: another operator may be writing
    │   ├── Unauthorized  401: the token is read anew before the next request
    │   └── Conflict      409: somebody else was faster, or the object is another one by now
    ├── Forbidden         403: a missing permission, a quota, an admission policy
    │   └── NamespaceTerminating   the namespace is being deleted: nothing new is made in it
    ├── NotFound          404: the object, its namespace or its kind is not there
    └── Invalid           400, 405, 415, 422: the API server will never take this body

Messages are for people. They never hold what was sent or stored for a Secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MAX_MESSAGE = 500
"""Characters of a server's message that are passed on: enough for a sentence, not for a document.
"""


class KubeError(Exception):
    """A request to the API server did not do what it was sent for."""

    reason = "ApiError"
    """CamelCase, for conditions and metrics."""

    def __init__(self, message: str, *, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        """HTTP status; None when there was no answer."""


class Transient(KubeError):
    """A retry may help."""

    def __init__(
        self, message: str, *, code: int | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message, code=code)
        self.retry_after = retry_after
        """Seconds to wait at least, as the server said; None when it said nothing."""


class Unreachable(Transient):
    """No connection, or no answer in time. Whether the request took effect is unknown."""

    reason = "ApiUnreachable"


class NotLeading(Transient):
    """This operator does not lead, so nothing was sent."""

    reason = "NotLeading"


class Overloaded(Transient):
    """The server has too much to do, or a fault of its own."""

    reason = "ApiOverloaded"


class Unauthorized(Transient):
    """The server does not accept our credentials, perhaps since a token was rotated."""

    reason = "ApiUnauthorized"


class Conflict(Transient):
    """The object exists already, changed meanwhile, or is another one than the precondition
    names.
    """

    reason = "ApiConflict"


class Forbidden(KubeError):
    """A permission is missing, a quota is used up, or an admission policy refuses."""

    reason = "ApiForbidden"


class NamespaceTerminating(Forbidden):
    """The namespace is being deleted: nothing new is made in it."""


class NotFound(KubeError):
    """The object, its namespace or its kind does not exist."""

    reason = "ApiNotFound"


class Invalid(KubeError):
    """The API server will never accept this body."""

    reason = "ApiInvalid"


_BY_CODE: dict[int, type[KubeError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    429: Overloaded,
}


def from_answer(
    action: str, code: int, status: Mapping[str, Any], *, retry_after: str | None, secret: bool
) -> KubeError:
    """Turn an HTTP failure into the error that says what helps.

    `action` names verb and object for people, `status` is the answer's `Status` object or empty,
    `retry_after` the header of that name. With `secret`, only the answer's reason and the names
    of fields are repeated, since validation messages quote values.
    """
    message = f"{action}: {_explanation(status, secret=secret) or f'HTTP {code}'}"
    kind = _BY_CODE.get(code, Overloaded if code >= 500 else Invalid)
    if kind is Forbidden and any(
        cause.get("reason") == "NamespaceTerminating" for cause in _causes(status)
    ):
        kind = NamespaceTerminating
    if issubclass(kind, Transient):
        return kind(message, code=code, retry_after=_seconds(retry_after, status))
    return kind(message, code=code)


def _explanation(status: Mapping[str, Any], *, secret: bool) -> str:
    if not secret:
        return _cut(str(status.get("message") or ""))
    fields = sorted({str(cause["field"]) for cause in _causes(status) if cause.get("field")})
    reason = str(status.get("reason") or "")
    return _cut(f"{reason} ({', '.join(fields)})" if fields else reason)


def _causes(status: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    return tuple((status.get("details") or {}).get("causes") or ())


def _cut(text: str) -> str:
    return text if len(text) <= MAX_MESSAGE else text[: MAX_MESSAGE - 1] + "…"


def _seconds(header: str | None, status: Mapping[str, Any]) -> float | None:
    named = header or (status.get("details") or {}).get("retryAfterSeconds")
    try:
        return max(0.0, float(named)) if named is not None else None
    except ValueError:  # RFC 9110 also allows a date, which the API server does not use
        return None
