"""What a search asks the database: which memories come into question, and what is known of them.

All of it is read in one transaction. Filters are conditions of the statements, so what is told is
what they mean; where few memories are meant, all their vectors are compared.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from memorybank.domain.memory import MemoryFilter
from memorybank.domain.search import Refinement
from memorybank.ports import Vector
from memorybank.stores.postgres.filters import holding_tags
from memorybank.stores.postgres.searching.lexemes import any_of, holding
from memorybank.stores.sql import rows
from memorybank.stores.sql.connection import Connection

_MOST_KEPT = 1_000
"""By pgvector."""
_MOST_SCANNED = 40_000
"""Vectors that are met at most while a filter leaves most of them out."""


class Row(NamedTuple):
    """What a rank is made of."""

    seq: int
    id: str
    session: str | None
    moment: int
    length: int
    importance: float
    created: int
    lexemes: bytes
    product: float
    meant: bool
    """Whether the filter means it. What it does not mean may still speak for a neighbour."""


class Neighbour(NamedTuple):
    """Who is beside whom in a session."""

    seq: int
    step: int
    """-2 to 2: two before to two after."""
    beside: int


class Totals(NamedTuple):
    """What there is of a tenant."""

    memories: int
    length: int
    sessions: int
    session_length: int


class Held(NamedTuple):
    """How many memories, and how many sessions, hold a word."""

    memories: int
    sessions: int


@dataclass(frozen=True, slots=True)
class Meant:
    """The memories that a search may tell of, as a condition on `memories`."""

    tenant: str
    clause: str
    values: Sequence[object]
    narrow: bool
    """Whether it asks for more than any search does: for what is live, and holds now."""

    @classmethod
    def by(cls, tenant: str, where: MemoryFilter, refine: Refinement) -> Meant:
        """Return the condition of a filter."""
        clause, values = holding_tags(*rows.condition(tenant, where), sorted(where.tags_all))
        if refine.tags_any:
            each = [holding_tags("true", [], [tag]) for tag in sorted(refine.tags_any)]
            clause += f" AND ({' OR '.join(part for part, _ in each)})"
            values = [*values, *(value for _, bound in each for value in bound)]
        for key, value in refine.metadata.items():
            clause += (
                " AND EXISTS (SELECT 1 FROM json_each(metadata::json) AS entry"
                " WHERE entry.key = ? AND entry.value::text = ?)"
            )
            values = [*values, key, rows.dumped(value)]
        asked = MemoryFilter(states=where.states, valid_at=where.valid_at)
        narrow = where != asked or bool(refine.tags_any or refine.metadata)
        return cls(tenant, clause, values, narrow)


def begin(connection: Connection, *, kept: int) -> None:
    """Make the plans of this transaction what they have to be.

    Of the vectors that are met, so many of the nearest are kept in mind: the more, the surer.

    What is joined are some hundred rows, which the planner, unless its server was told of a fast
    disk, rather finds by reading all of a table. To be compiled they are too short.
    """
    settings = {
        "hnsw.ef_search": min(kept, _MOST_KEPT),
        "hnsw.iterative_scan": "relaxed_order",
        "hnsw.max_scan_tuples": _MOST_SCANNED,
        "enable_sort": "off",
        "enable_hashjoin": "off",
        "enable_mergejoin": "off",
        "enable_seqscan": "off",
        "max_parallel_workers_per_gather": 0,
        "jit": "off",
    }
    connection.execute(
        "SELECT set_config(name, value, true) FROM unnest(?::text[], ?::text[]) AS s (name, value)",
        (list(settings), list(map(str, settings.values()))),
    )


def totals(connection: Connection, tenant: str) -> Totals:
    """Count what there is."""
    return Totals(
        *connection.execute(
            "SELECT count(*), coalesce(sum(length), 0)::bigint, count(DISTINCT session),"
            " coalesce(sum(length) FILTER (WHERE session IS NOT NULL), 0)::bigint"
            " FROM words WHERE tenant = ?",
            (tenant,),
        ).fetchone()
    )


def summed(connection: Connection, tenant: str, table: str) -> tuple[int, Vector | None]:
    """Return how many vectors a tenant has, and their mean."""
    count, mean = connection.execute(
        f"SELECT count(*), avg(vector)::real[] FROM {table} WHERE tenant = ?", (tenant,)
    ).fetchone()
    return count, None if mean is None else np.asarray(mean, dtype=np.float32)


def held(connection: Connection, tenant: str, roots: Sequence[str]) -> dict[str, Held]:
    """Count what holds each of these words."""
    found = connection.execute(
        "SELECT place, counted.* FROM unnest(?::text[]) WITH ORDINALITY AS asked (query, place),"
        " LATERAL (SELECT count(*), count(DISTINCT session) FROM words"
        " WHERE lexemes @@ query::tsquery AND tenant = ?) AS counted",
        ([holding(tenant, root) for root in roots], tenant),
    )
    return {roots[place - 1]: Held(memories, sessions) for place, memories, sessions in found}


def counted(connection: Connection, meant: Meant, *, most: int) -> int:
    """Count what is meant, up to a number."""
    return int(
        connection.execute(
            "SELECT count(*) FROM"
            f" (SELECT 1 FROM memories WHERE {meant.clause} LIMIT ?) AS counted",
            (*meant.values, most),
        ).get
    )


def newest(connection: Connection, meant: Meant, *, few: bool) -> int | None:
    """Return the moment of the newest of what is meant; None when it is nothing."""
    listed = f"SELECT created_seq FROM memories WHERE {meant.clause}"
    if few:
        statement = f"SELECT max(moment) FROM words JOIN ({listed}) AS meant USING (created_seq)"
        values: Sequence[object] = meant.values
    else:
        statement = (
            f"SELECT words.moment FROM words JOIN ({listed}) AS meant USING (created_seq)"
            " WHERE words.tenant = ? ORDER BY words.moment DESC LIMIT 1"
        )
        values = (*meant.values, meant.tenant)
    moment: int | None = connection.execute(statement, values).get
    return moment


def nearest(
    connection: Connection, meant: Meant, table: str, vector: Vector, *, count: int, few: bool
) -> list[int]:
    """Return the memories of what is meant whose products with a vector are the highest.

    Of few, all are compared; of more, the index finds nearly all of the nearest.
    """
    asked = literal(vector)
    listed = f"SELECT created_seq FROM memories WHERE {meant.clause}"
    if few:
        # Ordered where it is joined, it would be walked through in the order of the index, which
        # tells all memories of all tenants before the last one that is meant.
        statement = (
            f"WITH meant AS MATERIALIZED ({listed}), compared AS MATERIALIZED"
            f" (SELECT created_seq, vector <#> ?::halfvec({vector.size}) AS apart"
            f" FROM meant JOIN {table} USING (created_seq))"
            " SELECT created_seq FROM compared ORDER BY apart LIMIT ?"
        )
        values: Sequence[object] = (*meant.values, asked, count)
    else:
        statement = (
            f"SELECT near.created_seq FROM {table} AS near JOIN ({listed}) AS meant"
            " USING (created_seq) WHERE near.tenant = ?"
            f" ORDER BY near.vector <#> ?::halfvec({vector.size}) LIMIT ?"
        )
        values = (*meant.values, meant.tenant, asked, count)
    return [seq for (seq,) in connection.execute(statement, values)]


def listed(connection: Connection, meant: Meant) -> list[int]:
    """Return all that is meant."""
    found = connection.execute(
        f"SELECT created_seq FROM memories WHERE {meant.clause}", meant.values
    )
    return [seq for (seq,) in found]


def described(
    connection: Connection,
    meant: Meant,
    table: str,
    vector: Vector | None,
    which: str,
    bound: object,
) -> list[Row]:
    """Return what is to be known of the memories that a condition on `words` finds, which has one
    value. See `numbered` and `holders`.
    """
    product, joined, asked = "0.0::float8", "", []
    if vector is not None:
        product = "coalesce(-(near.vector <#> asked.vector), 0.0)"
        joined = (
            f" CROSS JOIN (SELECT ?::halfvec({vector.size}) AS vector) AS asked"
            f" LEFT JOIN {table} AS near USING (created_seq)"
        )
        asked = [literal(vector)]
    found = connection.execute(
        "SELECT words.created_seq, words.id, words.session, words.moment, words.length,"
        f" kept.importance, kept.created_at, words.lexemes, {product}, kept.meant"
        " FROM words JOIN"
        f" (SELECT created_seq, importance, created_at, coalesce({meant.clause}, false) AS meant"
        f" FROM memories) AS kept USING (created_seq){joined}"
        f" WHERE words.tenant = ? AND {which}",
        (*meant.values, *asked, meant.tenant, bound),
    )
    return list(map(Row._make, found.fetchall()))


def numbered(seqs: Sequence[int]) -> tuple[str, object]:
    """Return the condition of these memories."""
    return "words.created_seq = ANY(?)", list(seqs)


def holders(meant: Meant, words: Iterable[Sequence[str]], *, narrow: bool) -> tuple[str, object]:
    """Return the condition of what holds any of these words or combinations of words.

    With `narrow`, of what is meant; else also of what may speak for a session of that.
    """
    query = any_of(holding(meant.tenant, *each) for each in words)
    return f"words.lexemes @@ ?::tsquery{' AND kept.meant' * narrow}", query


def neighbours(connection: Connection, tenant: str, seqs: Sequence[int]) -> list[Neighbour]:
    """Return who is up to two before and after these in their sessions."""
    sides = " UNION ALL ".join(
        f"(SELECT {sign}row_number() OVER (ORDER BY moment {order}, id {order}) AS step,"
        " created_seq FROM words"
        " WHERE tenant = own.tenant AND session = own.session"
        f" AND (moment, id) {relation} (own.moment, own.id)"
        f" ORDER BY moment {order}, id {order} LIMIT 2)"
        for sign, order, relation in (("-", "DESC", "<"), ("", "ASC", ">"))
    )
    found = connection.execute(
        "SELECT own.created_seq, beside.step, beside.created_seq FROM words AS own,"
        f" LATERAL ({sides}) AS beside"
        " WHERE own.created_seq = ANY(?) AND own.tenant = ? AND own.session IS NOT NULL",
        (list(seqs), tenant),
    )
    return [Neighbour(*row) for row in found]


def session_lengths(connection: Connection, tenant: str, sessions: Sequence[str]) -> dict[str, int]:
    """Return how many terms these sessions have."""
    found = connection.execute(
        "SELECT session, sum(length)::bigint FROM words"
        " WHERE tenant = ? AND session = ANY(?) GROUP BY session",
        (tenant, list(sessions)),
    )
    return dict(found)


def vectors_of(
    connection: Connection, tenant: str, table: str, seqs: Sequence[int]
) -> dict[int, Vector]:
    """Return the vectors of these memories, as far as they have one."""
    found = connection.execute(
        f"SELECT created_seq, vector::real[] FROM {table}"
        " WHERE tenant = ? AND created_seq = ANY(?)",
        (tenant, list(seqs)),
    )
    return {seq: np.asarray(vector, dtype=np.float32) for seq, vector in found}


def literal(vector: Vector) -> str:
    """Return a vector as the database reads it."""
    return json.dumps(vector.astype(np.float16).tolist())
