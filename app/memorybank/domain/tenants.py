"""Tenants: whose memories they are, and how many there may be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

DEFAULT_TENANT = "default"
"""The tenant of the bank's own admin key. Its administrators administer the whole bank."""


@dataclass(frozen=True, slots=True)
class Quotas:
    """What a tenant may use at most; None leaves it to the bank's settings, or unlimited."""

    max_memories: int | None = None
    requests_per_minute: int | None = None
    burst: int | None = None


UNLIMITED = Quotas()


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant. Its name is its id."""

    name: str
    created_at: datetime
    quotas: Quotas = UNLIMITED
    memories: int = 0
    """How many there are now, counted by the store itself."""


@dataclass(frozen=True, slots=True)
class TenantPage:
    """One page of tenants, in the order of their names."""

    tenants: list[Tenant]
    next_cursor: str | None
    total: int


@dataclass(frozen=True, slots=True)
class TenantStats:
    """What a tenant holds, all of one moment."""

    memories: int
    keys: int
    """Keys that are valid."""
    projects: int
    sessions: int
    oldest: datetime | None
    newest: datetime | None
    by_type: Mapping[str, int] = field(default_factory=dict)
