"""How often tenants ask what."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What is counted together."""

    tenant: str
    day: str
    """In UTC, as 2026-03-01."""
    name: str
    """Method and template of a route, or `mcp` and the name of a tool; never what callers wrote."""


@dataclass(frozen=True, slots=True)
class Count:
    """How many requests there were."""

    requests: int = 0
    refused: int = 0
    """Answered 4xx."""
    failed: int = 0
    """Answered 5xx, or not at all."""

    def __add__(self, other: Count) -> Count:
        return Count(
            self.requests + other.requests,
            self.refused + other.refused,
            self.failed + other.failed,
        )

    @classmethod
    def of(cls, status: int) -> Count:
        """Return the count of one request with this status."""
        return cls(1, int(400 <= status < 500), int(status >= 500))
