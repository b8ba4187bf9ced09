"""The change feed as indexes read it: a stretch of it at once, field by field."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from memorybank.domain.feed import FeedPage, MemoryColumns
from memorybank.domain.memory import MemoryState, joined_text
from memorybank.stores.sql import rows
from memorybank.stores.sql.connection import Connection
from memorybank.stores.sql.embeddings import WITH_VECTOR
from memorybank.stores.sql.sealing import Seal

_TRASH = MemoryState.TRASH.value

_CONTENT, _DETAILS, _STATE = 4, 5, 11
"""Where these are in a row, its `seq` before them."""
_MOST_TEXT = 16 * 1024 * 1024
"""Characters of texts in a page: nearly always there are fewer, but a text can have 100,000."""
_COLUMNS = (
    "tenant, id, title, content, details, tags, metadata, project, session, type, state, origin,"
    " importance, trust, pinned, created_at, coalesce(occurred_at, created_at), valid_from,"
    " valid_to, vector"
)


def read_page(
    connection: Connection, after: int, *, limit: int, model: str, seal: Seal
) -> FeedPage:
    """Return what changed after a change: so many memories, and deletions, at most, and fewer
    memories when their texts are long.

    A memory whose row is there was changed after each deletion of the same id.
    """
    with connection:  # both halves are of the same moment
        changed: list[rows.Row] = []
        size = 0
        cursor = connection.execute(
            f"SELECT seq, {_COLUMNS} FROM {WITH_VECTOR} WHERE seq > ? ORDER BY seq LIMIT ?",
            (model, after, limit),
        )
        for row in cursor:
            changed.append(row)
            size += len(row[_CONTENT]) + len(row[_DETAILS])
            if size >= _MOST_TEXT:
                break
        cursor.close()
        deleted: Sequence[rows.Row] = connection.execute(
            "SELECT seq, tenant, memory_id FROM deletions WHERE seq > ? ORDER BY seq LIMIT ?",
            (after, limit),
        ).fetchall()
    full = [deleted[-1][0]] if len(deleted) == limit else []
    if len(changed) == limit or size >= _MOST_TEXT:
        full.append(changed[-1][0])
    read = [part[-1][0] for part in (changed, deleted) if part]
    # Of the half that was read to an end, what is later than the end of the other waits for it.
    seq = min(full, default=max(read, default=after))
    changed = [row for row in changed if row[0] <= seq]
    gone = [(row[1], row[2]) for row in deleted if row[0] <= seq]
    gone += [(row[1], row[2]) for row in changed if row[_STATE] == _TRASH]
    found = [row for row in changed if row[_STATE] != _TRASH]
    return FeedPage(seq, not full, gone, _columns(found, seal) if found else None)


def _columns(found: Sequence[rows.Row], seal: Seal) -> MemoryColumns:
    """Return rows of _COLUMNS, each behind its `seq`, as columns. Raises StoreUnavailable."""
    (
        _, tenants, ids, titles, contents, details, tags, metadata, projects, sessions, types,
        states, origins, importances, trusts, pinned, created, moments, valid_from, valid_to,
        vectors,
    ) = zip(*found, strict=True)  # fmt: skip

    def opened(column: str, values: Sequence[Any]) -> Sequence[Any]:
        if not seal.active:
            return values
        return [
            None if value is None else seal.opened_text(tenant, memory_id, column, value)
            for tenant, memory_id, value in zip(tenants, ids, values, strict=True)
        ]

    names = opened("title", titles)
    said = _loaded(opened("details", details))
    texts = zip(names, opened("content", contents), said, strict=True)
    return MemoryColumns(
        tenants=tenants,
        ids=ids,
        titles=names,
        texts=[joined_text(*each) for each in texts],
        tags=_loaded(opened("tags", tags)),
        metadata=_loaded(opened("metadata", metadata)),
        projects=projects,
        sessions=sessions,
        types=types,
        states=states,
        origins=origins,
        importances=importances,
        trusts=trusts,
        pinned=pinned,
        created=created,
        moments=moments,
        valid_from=valid_from,
        valid_to=valid_to,
        vectors=[
            None if blob is None else rows.vector_from(blob, tenant, memory_id, seal)
            for tenant, memory_id, blob in zip(tenants, ids, vectors, strict=True)
        ],
    )


def _loaded(texts: Sequence[str]) -> list[Any]:
    """Return what JSON says in each text; the same for the same, as most say nothing or alike."""
    known = {text: json.loads(text) for text in set(texts)}
    return [known[text] for text in texts]
