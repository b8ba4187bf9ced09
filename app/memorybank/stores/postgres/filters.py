"""Conditions on memories that PostgreSQL says in its own way."""

from __future__ import annotations

from collections.abc import Sequence

from memorybank.stores.sql import rows


def holding_tags(
    clause: str, values: rows.Bindings, tags: Sequence[str]
) -> tuple[str, rows.Bindings]:
    """Return a condition, and its values, of memories that hold all of these tags as well.

    Tags are compared as the JSON that they are written in: PostgreSQL cannot turn every such text
    into one of its own.
    """
    has = (
        " AND EXISTS (SELECT 1 FROM json_array_elements(memories.tags::json) AS tag"
        " WHERE tag.value::text = ?)"
    )
    return clause + has * len(tags), [*values, *map(rows.dumped, tags)]
