"""The statements about the life of memories: states, history, use, links, repeated requests.

Those that write expect a transaction around them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from memorybank.domain.memory import (
    Link,
    LinkType,
    Memory,
    MemoryState,
    Revision,
    RevisionPage,
    Touch,
)
from memorybank.domain.times import from_microseconds, to_microseconds
from memorybank.ports import Claim, Move
from memorybank.stores.sql import rows
from memorybank.stores.sql.connection import Connection
from memorybank.stores.sql.sealing import Seal

LATER_ACCESS = "CASE WHEN accessed_at > ? THEN accessed_at ELSE ? END"
"""In SQL, the later of the time that is kept and one that is bound twice."""

_MOST_TWINS = 100
"""Memories of the same words that are looked at; more differ by project and type only."""


def next_seq(connection: Connection) -> int:
    """Return the number of the change that is being made."""
    return int(connection.execute("UPDATE feed SET seq = seq + 1 RETURNING seq").get)


def created_seq(connection: Connection, tenant: str, memory_id: str) -> int | None:
    """Return the row of a memory."""
    row = connection.execute(
        "SELECT created_seq FROM memories WHERE tenant = ? AND id = ?", (tenant, memory_id)
    ).fetchone()
    return None if row is None else int(row[0])


def revise(
    connection: Connection, memory: Memory, seal: Seal, *, by: str, action: str
) -> int | None:
    """Keep the state before and store what the memory says now; return its row."""
    row = created_seq(connection, memory.tenant, memory.id)
    if row is None:
        return None
    connection.execute(
        "INSERT INTO revisions"
        f" (created_seq, replaced_at, replaced_by, action, {rows.MEMORY_COLUMNS})"
        f" SELECT created_seq, ?, ?, ?, {rows.MEMORY_COLUMNS} FROM memories"
        " WHERE created_seq = ? AND revision = ? AND state <> ?",
        (
            to_microseconds(memory.updated_at),
            by,
            action,
            row,
            memory.revision - 1,
            MemoryState.TRASH.value,
        ),
    )
    if not connection.changes():
        return None
    connection.execute(
        f"UPDATE memories SET (seq, fingerprint, {rows.SAID_COLUMNS})"
        f" = (?, ?, {rows.placeholders(rows.SAID_COLUMNS)}) WHERE created_seq = ?",
        (
            next_seq(connection),
            rows.fingerprint_of(memory, seal),
            *rows.said_row(memory, seal),
            row,
        ),
    )
    return row


def history(
    connection: Connection,
    tenant: str,
    memory_id: str,
    seal: Seal,
    *,
    before: int | None,
    limit: int,
) -> RevisionPage | None:
    """Return earlier states, newest first."""
    with connection:  # all of the same moment
        row = created_seq(connection, tenant, memory_id)
        if row is None:
            return None
        total = connection.execute(
            "SELECT count(*) FROM revisions WHERE created_seq = ?", (row,)
        ).get
        found: Sequence[rows.Row] = connection.execute(
            f"SELECT {rows.MEMORY_COLUMNS}, replaced_at, replaced_by, action FROM revisions"
            " WHERE created_seq = ? AND revision < ? ORDER BY revision DESC LIMIT ?",
            (row, 2**62 if before is None else before, limit),
        ).fetchall()
    revisions = [
        Revision(rows.memory_from(each, seal), from_microseconds(each[-3]), each[-2], each[-1])
        for each in found
    ]
    return RevisionPage(revisions, total)


def move(connection: Connection, tenant: str, move: Move) -> int | None:
    """Put a memory into a state, by hand; return the change."""
    connection.execute(
        "UPDATE memories SET state = ?, state_changed_at = ?, state_run = NULL"
        " WHERE tenant = ? AND id = ? AND state <> ?"
        + (" AND NOT legal_hold" if move.state is MemoryState.TRASH else ""),
        (
            move.state.value,
            to_microseconds(move.at),
            tenant,
            move.memory_id,
            move.state.value,
        ),
    )
    return renumbered(connection, tenant, move.memory_id) if connection.changes() else None


def renumbered(connection: Connection, tenant: str, memory_id: str) -> int:
    """Let the feed tell of a memory; return the change."""
    seq = next_seq(connection)
    connection.execute(
        "UPDATE memories SET seq = ? WHERE tenant = ? AND id = ?", (seq, tenant, memory_id)
    )
    return seq


def mark(
    connection: Connection,
    tenant: str,
    memory_id: str,
    *,
    pinned: bool | None,
    legal_hold: bool | None,
) -> int | None:
    """Set flags; return the change."""
    connection.execute(
        "UPDATE memories SET pinned = coalesce(?, pinned), legal_hold = coalesce(?, legal_hold)"
        " WHERE tenant = ? AND id = ?",
        (pinned, legal_hold, tenant, memory_id),
    )
    return renumbered(connection, tenant, memory_id) if connection.changes() else None


def touch(connection: Connection, touches: Sequence[Touch]) -> None:
    """Count uses."""
    connection.executemany(
        "UPDATE memories SET access_count = access_count + ?,"
        f" accessed_at = {LATER_ACCESS} WHERE tenant = ? AND id = ?",
        [
            (each.times, *[to_microseconds(each.at)] * 2, each.tenant, each.memory_id)
            for each in touches
        ],
    )


def same_words(connection: Connection, tenant: str, fingerprint: bytes, seal: Seal) -> list[Memory]:
    """Return live memories of this fingerprint."""
    found = connection.execute(
        f"SELECT {rows.MEMORY_COLUMNS} FROM memories"
        " WHERE tenant = ? AND fingerprint = ? AND state = ? ORDER BY created_seq LIMIT ?",
        (tenant, fingerprint, MemoryState.LIVE.value, _MOST_TWINS),
    )
    return [rows.memory_from(row, seal) for row in found]


def find_claim(
    connection: Connection, tenant: str, key_id: str, name: str, seal: Seal
) -> Claim | None:
    """Return the claim."""
    row = connection.execute(
        "SELECT digest, answer, created_at FROM idempotency"
        " WHERE tenant = ? AND key_id = ? AND name = ?",
        (tenant, key_id, name),
    ).fetchone()
    if row is None:
        return None
    where = f"{key_id}/{name}"
    digest = seal.opened_blob(tenant, where, "digest", row[0])
    answer = seal.opened_text(tenant, where, "answer", row[1])
    return Claim(tenant, key_id, name, digest, answer, from_microseconds(row[2]))


def keep_claim(connection: Connection, claim: Claim, seal: Seal, *, since: datetime) -> None:
    """Store a claim, in place of one that is too old, and drop all of its tenant that are."""
    where = f"{claim.key_id}/{claim.name}"
    connection.execute(
        "DELETE FROM idempotency WHERE tenant = ? AND created_at < ?",
        (claim.tenant, to_microseconds(since)),
    )
    connection.execute(
        "INSERT INTO idempotency (tenant, key_id, name, digest, answer, created_at)"
        " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (tenant, key_id, name) DO UPDATE SET"
        " digest = excluded.digest, answer = excluded.answer, created_at = excluded.created_at",
        (
            claim.tenant,
            claim.key_id,
            claim.name,
            seal.blob(claim.tenant, where, "digest", claim.digest),
            seal.text(claim.tenant, where, "answer", claim.answer),
            to_microseconds(claim.created_at),
        ),
    )


def drop_claims(connection: Connection, before: datetime) -> None:
    """Drop all claims that are older, whoever's they are."""
    connection.execute("DELETE FROM idempotency WHERE created_at < ?", (to_microseconds(before),))


def link(connection: Connection, tenant: str, edge: Link) -> bool | None:
    """Store an edge."""
    source = created_seq(connection, tenant, edge.source)
    target = created_seq(connection, tenant, edge.target)
    if source is None or target is None:
        return None
    connection.execute(
        "INSERT INTO links (source, target, type, created_at) VALUES (?, ?, ?, ?)"
        " ON CONFLICT DO NOTHING",
        (source, target, edge.type.value, to_microseconds(edge.created_at)),
    )
    return connection.changes() == 1


def unlink(
    connection: Connection, tenant: str, source: str, target: str, kind: LinkType | None
) -> int:
    """Remove edges."""
    connection.execute(
        "DELETE FROM links WHERE source = ? AND target = ? AND type = coalesce(?, type)",
        (
            created_seq(connection, tenant, source),
            created_seq(connection, tenant, target),
            None if kind is None else kind.value,
        ),
    )
    return connection.changes()


def contradictions(
    connection: Connection, tenant: str, project: str | None, limit: int
) -> list[Link]:
    """Return the newest edges between live memories that contradict each other."""
    clauses, values = "", []
    for end in ("source", "target"):
        clauses += f" AND {end}.tenant = ? AND {end}.state = ? AND {end}.superseded_by IS NULL"
        values += [tenant, MemoryState.LIVE.value]
    if project is not None:
        clauses += " AND source.project = ?"
        values.append(project)
    # CROSS JOIN keeps SQLite from looking at each live memory; the type in the words of the index.
    found = connection.execute(
        "SELECT source.id, target.id, links.created_at FROM links"
        " CROSS JOIN memories AS source CROSS JOIN memories AS target"
        f" WHERE links.type = '{LinkType.CONTRADICTS.value}'"
        f" AND source.created_seq = links.source AND target.created_seq = links.target{clauses}"
        f" ORDER BY links.created_at DESC, source.id, target.id LIMIT {limit:d}",
        values,
    )
    return [
        Link(source, target, LinkType.CONTRADICTS, from_microseconds(at))
        for source, target, at in found
    ]


def links(connection: Connection, tenant: str, memory_id: str) -> list[Link] | None:
    """Return the edges of a memory."""
    with connection:  # all of the same moment
        row = created_seq(connection, tenant, memory_id)
        if row is None:
            return None
        found: Sequence[rows.Row] = connection.execute(
            "SELECT source.id, target.id, links.type, links.created_at FROM links"
            " JOIN memories AS source ON source.created_seq = links.source"
            " JOIN memories AS target ON target.created_seq = links.target"
            " WHERE (links.source = ? OR links.target = ?)"
            " AND source.state <> ? AND target.state <> ?"
            " ORDER BY links.created_at, source.id, target.id, links.type",
            (row, row, MemoryState.TRASH.value, MemoryState.TRASH.value),
        ).fetchall()
    return [
        Link(source, target, LinkType(kind), from_microseconds(at))
        for source, target, kind, at in found
    ]
