"""Lists of memories that are narrowed by what their details and edges say, as SQL.

Databases look into JSON each in their own way, which is a Narrowing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from memorybank.domain.memory import (
    AnyOf,
    Condition,
    DetailAtLeast,
    DetailBetween,
    HasDetail,
    LeadsTo,
    MemoryState,
)
from memorybank.stores.sql import rows

Clause = tuple[str, list[Any]]
"""A condition or an expression, and the values that are bound in it."""


class Narrowing(ABC):
    """How a database looks into the details of a row of `memories`, which has a name."""

    @abstractmethod
    def has(self, row: str, wanted: HasDetail) -> Clause:
        """Return whether a field is one of some texts, or holds one."""

    @abstractmethod
    def text(self, row: str, field: str) -> Clause:
        """Return a field as a text that is compared by its code points, NULL for none."""

    def clause(self, row: str, condition: Condition) -> Clause:
        """Return a condition on a row."""
        match condition:
            case HasDetail():
                return self.has(row, condition)
            case DetailBetween(field, after, before):
                return self._between(row, field, after, before)
            case DetailAtLeast(field, least):
                text, named = self.text(row, field)
                # Both databases know this name of the type.
                clause = f"coalesce(CAST({text} AS double precision) >= ?, false)"
                return clause, [*named, least]
            case LeadsTo():
                return self._leads_to(row, condition)
            case AnyOf(conditions, negated):
                clauses = [self.clause(row, each) for each in conditions]
                whole = " OR ".join(clause for clause, _ in clauses)
                values = [value for _, some in clauses for value in some]
                return f"{'NOT ' if negated else ''}({whole})", values

    def _between(
        self, row: str, field: str, after: datetime | None, before: datetime | None
    ) -> Clause:
        """Compare times as they are written: without the Z, what is longer is later."""
        text, named = self.text(row, field)
        parts, values = [f"{text} IS NOT NULL"], [*named]
        for operator, bound in ((">", after), ("<", before)):
            if bound is not None:
                parts.append(f"rtrim({text}, 'Z') {operator} ?")
                values += [*named, _written(bound)]
        return f"({' AND '.join(parts)})", values

    def _leads_to(self, row: str, condition: LeadsTo) -> Clause:
        has, values = self.has("other", condition.detail)
        near, far = ("target", "source") if condition.backward else ("source", "target")
        clause = (
            "EXISTS (SELECT 1 FROM links JOIN memories AS other"
            f" ON other.created_seq = links.{far} WHERE links.{near} = {row}.created_seq"
            f" AND links.type = ? AND other.type = ? AND other.state <> ? AND {has})"
        )
        kinds = [condition.link.value, condition.type.value, MemoryState.TRASH.value]
        return clause, [*kinds, *values]


def narrowed(
    narrowing: Narrowing, clause: str, values: rows.Bindings, conditions: Sequence[Condition]
) -> tuple[str, rows.Bindings]:
    """Return a condition on `memories` that all of these are said of as well."""
    for each in conditions:
        more, bound = narrowing.clause("memories", each)
        clause, values = f"{clause} AND {more}", [*values, *bound]
    return clause, values


def _written(moment: datetime) -> str:
    """Return a time as details have it, without the Z."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat()
