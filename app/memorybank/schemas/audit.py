"""The audit log and usage as administrators ask for and get them."""

from __future__ import annotations

import json
from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from memorybank.domain.audit import AuditRecord, Chain
from memorybank.domain.times import from_microseconds
from memorybank.schemas.fields import MAX_CURSOR, MAX_PAGE, Request, Response
from memorybank.schemas.tenants import TenantName

# Not strict: a query string has texts only.
Day = Annotated[date, Field(strict=False)]


class AuditQuery(Request):
    """Which page of whose log to read."""

    tenant: TenantName | None = Field(None, description="Absent for that of the key that asks.")
    action: Annotated[str, Field(max_length=100)] | None = Field(
        None, description="Only this action, such as `memory.delete`."
    )
    actor: Annotated[str, Field(max_length=300)] | None = Field(
        None, description="Only by this actor: tenant, slash, id of the key."
    )
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE, strict=False)] = Field(
        50, description="How many records a page holds at most."
    )
    cursor: Annotated[str, Field(max_length=MAX_CURSOR)] | None = Field(
        None, description="`next_cursor` of the page before; absent for the first page."
    )


class UsageQuery(Request):
    """Whose usage of which days to read."""

    tenant: TenantName | None = Field(None, description="Absent for that of the key that asks.")
    first_day: Day | None = Field(None, description="In UTC; absent for the last 30 days.")
    last_day: Day | None = Field(None, description="In UTC, included; absent for today.")


class AuditRecordView(Response):
    """One record. `hash` is over all the others in their order, `previous` that of the one before.

    docs/service/audit.md says how to compute it.
    """

    tenant: str
    seq: int
    at: datetime
    at_microseconds: int = Field(description="The same moment, as it is hashed.")
    actor: str = Field(description="Tenant, slash, id of the key; or `system`, `unknown`.")
    request_id: str
    action: str
    target: str | None = Field(description="The id of what it was done to.")
    details: dict[str, Any]
    previous: str
    hash: str

    @classmethod
    def of(cls, record: AuditRecord) -> AuditRecordView:
        """Show a record."""
        return cls(
            tenant=record.tenant,
            seq=record.seq,
            at=from_microseconds(record.at),
            at_microseconds=record.at,
            actor=record.actor,
            request_id=record.request_id,
            action=record.action,
            target=record.target,
            details=json.loads(record.details),
            previous=record.previous,
            hash=record.hash,
        )

    def record(self) -> AuditRecord:
        """Return the record that this shows, as it is hashed."""
        return AuditRecord(
            tenant=self.tenant,
            seq=self.seq,
            at=self.at_microseconds,
            actor=self.actor,
            request_id=self.request_id,
            action=self.action,
            target=self.target,
            details=json.dumps(self.details, sort_keys=True),
            previous=self.previous,
            hash=self.hash,
        )


class AuditList(Response):
    """One page of a log, newest first."""

    records: list[AuditRecordView]
    next_cursor: str | None = Field(description="Pass it as `cursor`; null on the last page.")
    total: int = Field(description="How many records match in all.")


class AuditHeader(Response):
    """The first line of an export: where the chain begins and ends."""

    kind: Literal["memorybank.audit"] = "memorybank.audit"
    version: Literal[1] = 1
    tenant: str
    seq: int = Field(description="Of the last record.")
    hash: str = Field(description="Of the last record. Keep it elsewhere: it proves all before it.")
    pruned_seq: int = Field(description="Of the last record that was dropped for its age.")
    pruned_hash: str

    @classmethod
    def of(cls, chain: Chain) -> AuditHeader:
        """Show a chain."""
        return cls(
            tenant=chain.tenant,
            seq=chain.seq,
            hash=chain.hash,
            pruned_seq=chain.pruned_seq,
            pruned_hash=chain.pruned_hash,
        )

    def chain(self) -> Chain:
        """Return the chain that this shows."""
        return Chain(self.tenant, self.seq, self.hash, self.pruned_seq, self.pruned_hash)


class EndpointUsage(Response):
    """How often one endpoint was asked."""

    endpoint: str
    requests: int
    refused: int = Field(description="Answered 4xx.")
    failed: int = Field(description="Answered 5xx, or not at all.")


class Usage(Response):
    """What a tenant asked, by endpoint. Some seconds behind."""

    first_day: date
    last_day: date
    requests: int
    endpoints: list[EndpointUsage]
