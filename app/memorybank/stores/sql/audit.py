"""The audit log's statements. Those that write expect a transaction around them."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import TypeVar

from memorybank.domain.audit import (
    AuditEvent,
    AuditPage,
    AuditRecord,
    Chain,
    EventKind,
    NotedEvent,
    link,
)
from memorybank.domain.times import to_microseconds
from memorybank.errors import InvalidCursor
from memorybank.logs import request_id
from memorybank.stores.sql import rows
from memorybank.stores.sql.connection import Connection
from memorybank.trail import acting

Answer = TypeVar("Answer")
AnyConnection = TypeVar("AnyConnection", bound=Connection)

_COLUMNS = "tenant, seq, at, actor, request_id, action, target, details, previous, hash"
_PRUNED_AT_ONCE = 2_000
_READ_AT_ONCE = 1_000
_dumped = json.JSONEncoder(sort_keys=True).encode
"""What json.dumps does, which makes an encoder for each call with an option."""


class Recorder:
    """Adds to a write the record of it, in the same transaction."""

    def __init__(self, kinds: Iterable[EventKind] = ()) -> None:
        """`kinds` are the events that are recorded; none by default."""
        self._kinds = frozenset(kinds)

    def recording(
        self,
        write: Callable[[AnyConnection], Answer],
        events: Callable[[Answer], Iterable[AuditEvent]],
    ) -> Callable[[AnyConnection], Answer]:
        """Return a write that also records what it did, as done now by whoever acts now.

        `events` says what a write did, from what it returned. What the service does to its own
        tenants, whose names begin with an underscore, is not recorded.
        """
        at, who, request = datetime.now(UTC), acting(), request_id.get() or ""

        def recorded(connection: AnyConnection) -> Answer:
            answer = write(connection)
            chosen = (
                NotedEvent(event, at, who, request)
                for event in events(answer)
                if event.kind in self._kinds and not event.tenant.startswith("_")
            )
            append(connection, chosen)
            return answer

        return recorded


def done(event: AuditEvent) -> Callable[[object], list[AuditEvent]]:
    """Return what says that this happened, unless the write returned None or False."""
    return lambda answer: [] if answer is None or answer is False else [event]


def append(connection: Connection, events: Iterable[NotedEvent]) -> None:
    """Add records at the ends of their tenants' chains."""
    for noted in events:
        event = noted.event
        chain = _chain(connection, event.tenant) or Chain.new(event.tenant)
        record = AuditRecord(
            tenant=event.tenant,
            seq=chain.seq + 1,
            at=to_microseconds(noted.at),
            actor=noted.actor,
            request_id=noted.request_id,
            action=event.action,
            target=event.target,
            details=_dumped(dict(event.details)),
            previous=chain.hash,
            hash="",
        )
        digest = link(record)
        connection.execute(
            f"INSERT INTO audit ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(record.tenant, record.seq, record.at, record.actor, record.request_id),
                *(record.action, record.target, record.details, record.previous, digest),
            ),
        )
        connection.execute(
            "INSERT INTO audit_chains (tenant, seq, hash, pruned_seq, pruned_hash)"
            " VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (tenant) DO UPDATE SET seq = excluded.seq, hash = excluded.hash",
            (event.tenant, record.seq, digest, chain.pruned_seq, chain.pruned_hash),
        )


def chain_of(connection: Connection, tenant: str) -> Chain:
    """Return where the tenant's chain begins and ends."""
    return _chain(connection, tenant) or Chain.new(tenant)


def page(
    connection: Connection,
    tenant: str,
    *,
    action: str | None,
    actor: str | None,
    limit: int,
    cursor: str | None,
) -> AuditPage:
    """Return one page, newest first. Raises InvalidCursor."""
    clause, values = "tenant = ?", [tenant]
    for column, wanted in (("action", action), ("actor", actor)):
        if wanted is not None:
            clause += f" AND {column} = ?"
            values.append(wanted)
    before = None if cursor is None else _decode(cursor)
    with connection:  # the page and the total are of the same moment
        total = connection.execute(f"SELECT count(*) FROM audit WHERE {clause}", values).get
        found = connection.execute(
            f"SELECT {_COLUMNS} FROM audit WHERE {clause} AND seq < ? ORDER BY seq DESC LIMIT ?",
            (*values, 2**62 if before is None else before, limit + 1),
        ).fetchall()
    records = [_record(row) for row in found[:limit]]
    more = len(found) > limit
    return AuditPage(records, _encode(records[-1].seq) if more else None, total)


def following(connection: Connection, tenant: str, after: int) -> list[AuditRecord]:
    """Return the records after one, oldest first, a bounded number of them."""
    found = connection.execute(
        f"SELECT {_COLUMNS} FROM audit WHERE tenant = ? AND seq > ? ORDER BY seq LIMIT ?",
        (tenant, after, _READ_AT_ONCE),
    )
    return [_record(row) for row in found]


def prune(connection: Connection, before: datetime) -> bool:
    """Drop some of the oldest records made before a moment; say whether there are more.

    A chain stays one: what is dropped is its beginning, and the hash of the last record dropped is
    kept. The newest record always stays.
    """
    moment = to_microseconds(before)
    found = connection.execute("SELECT * FROM audit_chains").fetchall()
    for chain in map(_as_chain, found):
        last = _last_before(connection, chain, moment)
        if last is not None:
            seq, digest = last
            connection.execute(
                "DELETE FROM audit WHERE tenant = ? AND seq <= ?", (chain.tenant, seq)
            )
            connection.execute(
                "UPDATE audit_chains SET pruned_seq = ?, pruned_hash = ? WHERE tenant = ?",
                (seq, digest, chain.tenant),
            )
            return True
    return False


def every_chain(connection: Connection) -> Iterator[tuple[Chain, Iterator[AuditRecord]]]:
    """Yield every chain with its records, oldest first."""
    found = connection.execute("SELECT * FROM audit_chains ORDER BY tenant").fetchall()
    for chain in map(_as_chain, found):
        records = connection.execute(
            f"SELECT {_COLUMNS} FROM audit WHERE tenant = ? ORDER BY seq", (chain.tenant,)
        )
        yield chain, map(_record, records)


def _last_before(connection: Connection, chain: Chain, moment: int) -> tuple[int, str] | None:
    """Return the last of a chain's oldest records that are all older than a moment."""
    last = None
    for seq, at, digest in connection.execute(
        "SELECT seq, at, hash FROM audit WHERE tenant = ? ORDER BY seq LIMIT ?",
        (chain.tenant, _PRUNED_AT_ONCE),
    ):
        if at >= moment or seq >= chain.seq:
            break
        last = (seq, digest)
    return last


def _chain(connection: Connection, tenant: str) -> Chain | None:
    row = connection.execute("SELECT * FROM audit_chains WHERE tenant = ?", (tenant,)).fetchone()
    return None if row is None else _as_chain(row)


def _as_chain(row: rows.Row) -> Chain:
    return Chain(*row)


def _record(row: rows.Row) -> AuditRecord:
    return AuditRecord(*row)


def _encode(seq: int) -> str:
    return base64.urlsafe_b64encode(str(seq).encode()).decode().rstrip("=")


def _decode(cursor: str) -> int:
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        seq = int(base64.b64decode(padded, b"-_", validate=True))
    except (ValueError, binascii.Error):
        seq = -1
    if not 0 < seq < 2**62:
        raise InvalidCursor(
            "the cursor does not belong to this list",
            field="cursor",
            hint="pass next_cursor unchanged, or leave it out to start over",
        )
    return seq
