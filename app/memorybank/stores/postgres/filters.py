"""Conditions on memories that PostgreSQL says in its own way."""

from __future__ import annotations

from collections.abc import Sequence

from typing_extensions import override

from memorybank.domain.memory import Condition, HasDetail
from memorybank.stores.sql import rows
from memorybank.stores.sql.narrowing import Clause, Narrowing, narrowed


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
    clause: str, values: rows.Bindings, details: Sequence[Condition]
) -> tuple[str, rows.Bindings]:
    """Return a condition, and its values, of memories with all of these details as well."""
    return narrowed(_Narrowing(), clause, values, details)


class _Narrowing(Narrowing):
    """How PostgreSQL looks into details: it compares the JSON that they are written in."""

    @override
    def has(self, row: str, wanted: HasDetail) -> Clause:
        """See Narrowing."""
        field = f"{row}.details::json -> ?::text"
        absent = f"{field} IS NULL OR " if wanted.or_absent else ""
        any_of = ", ".join("?" * len(wanted.values))
        clause = (
            f"({absent}coalesce(CASE json_typeof({field}) WHEN 'array' THEN EXISTS"
            f" (SELECT 1 FROM json_array_elements({field}) AS part"
            f" WHERE part.value::text IN ({any_of})) ELSE ({field})::text IN ({any_of}) END,"
            " false))"
        )
        texts = [rows.dumped(value) for value in wanted.values]
        names = [wanted.field] * (2 + wanted.or_absent)
        return clause, [*names, *texts, wanted.field, *texts]

    @override
    def text(self, row: str, field: str) -> Clause:
        """See Narrowing."""
        return f'({row}.details::json ->> ?::text) COLLATE "C"', [field]
