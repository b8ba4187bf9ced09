"""Conditions on memories that PostgreSQL says in its own way."""

from __future__ import annotations

from collections.abc import Sequence

from memorybank.domain.memory import HasDetail
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


def holding_details(
    clause: str, values: rows.Bindings, details: Sequence[HasDetail]
) -> tuple[str, rows.Bindings]:
    """Return a condition, and its values, of memories with all of these details as well.

    Compared as the JSON that they are written in, as tags are.
    """
    for each in details:
        field = "memories.details::json -> ?::text"
        absent = f"{field} IS NULL OR " if each.or_absent else ""
        clause += (
            f" AND ({absent}CASE json_typeof({field}) WHEN 'array' THEN EXISTS"
            f" (SELECT 1 FROM json_array_elements({field}) AS part WHERE part.value::text = ?)"
            f" ELSE ({field})::text = ? END)"
        )
        wanted = rows.dumped(each.value)
        names = [each.field] * (2 + each.or_absent)
        values = [*values, *names, wanted, each.field, wanted]
    return clause, values
