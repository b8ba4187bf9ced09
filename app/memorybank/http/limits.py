"""Rate limits over HTTP: 429 with Retry-After, and what is left in every answer.

The headers are those of draft-ietf-httpapi-ratelimit-headers: RateLimit-Policy names the quotas,
RateLimit what is left of each (r) and in how many seconds it is whole again (t).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from memorybank.auth.limits import Quota, RateLimiter
from memorybank.auth.principal import Principal
from memorybank.http.errors import HttpProblem


class RateLimit:
    """Refuses callers that ask too often."""

    def __init__(self, app: ASGIApp, limiter: RateLimiter) -> None:
        self._app = app
        self._limiter = limiter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        principal = scope.get("state", {}).get("principal")
        quotas = self._limiter.admit(principal) if isinstance(principal, Principal) else []
        if not quotas:
            await self._app(scope, receive, send)
            return
        headers = _headers(quotas)

        async def send_marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(headers)
            await send(message)

        if quotas[0].wait:
            raise too_many(
                f"too many requests of this {quotas[0].name}", quotas[0].wait, headers=headers
            )
        await self._app(scope, receive, send_marked)


def too_many(message: str, wait: float, *, headers: dict[str, str] | None = None) -> HttpProblem:
    """Return the refusal of a caller that has to wait so many seconds."""
    seconds = max(1, math.ceil(wait))
    return HttpProblem(
        429,
        "rate_limited",
        message,
        hint=f"wait {seconds} s, as Retry-After says, and ask less often",
        headers={**(headers or {}), "Retry-After": str(seconds)},
    )


def _headers(quotas: Sequence[Quota]) -> dict[str, str]:
    policies = [f'"{quota.name}";q={quota.rate.per_minute};w=60' for quota in quotas]
    left = [f'"{quota.name}";r={quota.remaining};t={quota.full_in}' for quota in quotas]
    return {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(left)}
