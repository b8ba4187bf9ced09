"""The audit log: who did what, in a chain of hashes per tenant.

A record names the actor, the action and what it was about by ids; it never holds contents, names
of keys, or secrets. Every record carries the hash of the one before it, and its own over both, so
that a record which is changed, left out or moved shows. The chain begins with a hash of the
tenant's name; where old records were pruned, the hash of the last of them is kept as the anchor.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

_dumped = json.JSONEncoder(separators=(",", ":")).encode
"""What json.dumps does, which makes an encoder for each call with an option."""


class EventKind(StrEnum):
    """What can be chosen to be recorded."""

    ADMIN = "admin"
    """Keys, tenants, the log itself."""
    AUTH = "auth"
    """Requests that were refused for who asked."""
    WRITE = "write"
    """Memories made or changed."""
    DELETE = "delete"
    """Memories taken away."""
    READ = "read"
    """Requests that changed nothing. Noted in batches, apart from any transaction."""


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """Something that happens to a tenant, to be recorded; the recorder adds who and when."""

    kind: EventKind
    action: str
    """Stable, such as `memory.create`."""
    tenant: str
    """In whose log it is recorded."""
    target: str | None = None
    """The id of what it was done to."""
    details: Mapping[str, str | int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NotedEvent:
    """An event that is recorded later than it happened, with who and when."""

    event: AuditEvent
    at: datetime
    actor: str
    request_id: str


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One link of a chain."""

    tenant: str
    seq: int
    """1, 2, 3 ... without a gap."""
    at: int
    """Microseconds since 1970 in UTC."""
    actor: str
    """Tenant and id of the key, `default/0197...`; `system` for what the service does itself."""
    request_id: str
    action: str
    target: str | None
    details: str
    """A JSON object."""
    previous: str
    """The hash of the record before, hex."""
    hash: str
    """SHA-256, hex, of everything above."""


@dataclass(frozen=True, slots=True)
class Chain:
    """Where a chain begins and ends."""

    tenant: str
    seq: int
    hash: str
    pruned_seq: int
    pruned_hash: str

    @classmethod
    def new(cls, tenant: str) -> Chain:
        """Return the chain without records."""
        start = genesis(tenant)
        return cls(tenant, 0, start, 0, start)


@dataclass(frozen=True, slots=True)
class AuditPage:
    """One page of a tenant's log, newest first."""

    records: list[AuditRecord]
    next_cursor: str | None
    total: int


def genesis(tenant: str) -> str:
    """Return what the first record of a tenant refers to."""
    return hashlib.sha256(f"memorybank audit of {tenant}".encode()).hexdigest()


def link(record: AuditRecord) -> str:
    """Return the hash that a record must carry. A change of this breaks every chain there is."""
    fields = [
        record.tenant,
        record.seq,
        record.at,
        record.actor,
        record.request_id,
        record.action,
        record.target,
        record.details,
        record.previous,
    ]
    return hashlib.sha256(_dumped(fields).encode()).hexdigest()


def broken(chain: Chain, records: Iterable[AuditRecord]) -> str | None:
    """Return what is wrong with a chain, None when it is whole.

    `records` are all from the anchor to the head, in their order.
    """
    seq, last = chain.pruned_seq, chain.pruned_hash
    if seq == 0 and last != genesis(chain.tenant):
        return "it does not begin where the log of this tenant begins"
    for record in records:
        if record.seq != seq + 1:
            return f"record {seq + 1} is missing: record {record.seq} stands in its place"
        if record.tenant != chain.tenant:
            return f"record {record.seq} belongs to another tenant"
        if record.previous != last:
            return f"record {record.seq} does not follow from the one before it"
        if record.hash != link(record):
            return f"record {record.seq} was changed"
        seq, last = record.seq, record.hash
    if seq != chain.seq:
        return f"records {seq + 1} to {chain.seq} are missing at the end"
    return None if last == chain.hash else f"record {seq} is not the one that was last"
