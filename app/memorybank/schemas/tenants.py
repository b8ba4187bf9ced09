"""Tenants as administrators send and get them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from memorybank.domain.tenants import Quotas, Tenant, TenantStats
from memorybank.schemas.fields import MAX_CURSOR, MAX_PAGE, Request, Response

MAX_RATE = 1_000_000
"""Requests: more than this process answers in a minute."""

TenantName = Annotated[str, Field(max_length=63, pattern=r"^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$")]
MaxMemories = Annotated[int, Field(ge=0, le=10**9)]
Rate = Annotated[int, Field(ge=1, le=MAX_RATE)]


def _absent_keeps(schema: dict[str, Any]) -> None:
    """Drop the default from a schema: an absent field keeps what is set."""
    schema.pop("default", None)


class NewTenant(Request):
    """A tenant to make."""

    name: TenantName = Field(
        description="Lower-case letters, digits, dots, hyphens and underscores."
    )
    max_memories: MaxMemories | None = Field(
        None, description="How many memories it may hold; null for no limit."
    )
    requests_per_minute: Rate | None = Field(
        None, description="How much all its keys together may ask; null for the bank's setting."
    )
    burst: Rate | None = Field(
        None, description="How much of that at once; null for the bank's setting."
    )

    def quotas(self) -> Quotas:
        """Return the limits."""
        return Quotas(self.max_memories, self.requests_per_minute, self.burst)


class TenantPatch(Request):
    """Changes to a tenant's limits: absent fields stay as they are, null removes a limit."""

    max_memories: MaxMemories | None = Field(None, json_schema_extra=_absent_keeps)
    requests_per_minute: Rate | None = Field(None, json_schema_extra=_absent_keeps)
    burst: Rate | None = Field(None, json_schema_extra=_absent_keeps)

    def applied_to(self, quotas: Quotas) -> Quotas:
        """Return the limits with the changes."""
        return replace(quotas, **{name: getattr(self, name) for name in self.model_fields_set})


class TenantListQuery(Request):
    """Which page of tenants to list."""

    # Not strict: a query string has texts only.
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE, strict=False)] = Field(
        50, description="How many tenants a page holds at most."
    )
    cursor: Annotated[str, Field(max_length=MAX_CURSOR)] | None = Field(
        None, description="`next_cursor` of the page before; absent for the first page."
    )


class TenantView(Response):
    """A tenant."""

    name: str
    created_at: datetime
    memories: int = Field(description="How many memories it holds now.")
    max_memories: int | None
    requests_per_minute: int | None
    burst: int | None

    @classmethod
    def of(cls, tenant: Tenant) -> TenantView:
        """Show a tenant."""
        return cls(
            name=tenant.name,
            created_at=tenant.created_at,
            memories=tenant.memories,
            max_memories=tenant.quotas.max_memories,
            requests_per_minute=tenant.quotas.requests_per_minute,
            burst=tenant.quotas.burst,
        )


class TenantList(Response):
    """One page of tenants, in the order of their names."""

    tenants: list[TenantView]
    next_cursor: str | None = Field(description="Pass it as `cursor`; null on the last page.")
    total: int = Field(description="How many tenants there are in all.")


class TenantStatsView(Response):
    """What a tenant holds, all of one moment."""

    memories: int
    keys: int = Field(description="Keys that are valid.")
    projects: int
    sessions: int
    oldest: datetime | None = Field(description="When the oldest memory was stored.")
    newest: datetime | None = Field(description="When the newest memory was stored.")
    by_type: dict[str, int] = Field(description="How many memories of each type.")

    @classmethod
    def of(cls, stats: TenantStats) -> TenantStatsView:
        """Show what a tenant holds."""
        return cls(
            memories=stats.memories,
            keys=stats.keys,
            projects=stats.projects,
            sessions=stats.sessions,
            oldest=stats.oldest,
            newest=stats.newest,
            by_type=dict(stats.by_type),
        )
