"""Counting what a filter means, and going on with what was typed."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from memorybank.domain.memory import joined_text
from memorybank.domain.search import (
    LENGTHS,
    MOST_VALUES,
    Facets,
    Suggestion,
    most_frequent,
    some_of_each,
)
from memorybank.domain.text import stem, terms
from memorybank.stores.postgres.searching.lexemes import beginning, holding
from memorybank.stores.postgres.searching.statements import Meant
from memorybank.stores.sql.connection import Connection

_READ = 500
"""Memories, the newest ones, whose words and titles are suggested from."""

_SIZES = " ".join(f"WHEN length <= {most} THEN '{name}'" for name, most in LENGTHS)
_MONTH = "to_char(to_timestamp(created_at / 1000000) AT TIME ZONE 'UTC', 'YYYY-MM')"
_GROUPS = {
    "type": "type",
    "tags": "tags",
    "project": "project",
    "session": "session",
    "length": f"CASE {_SIZES} END",
    "month": _MONTH,
}


def facets(connection: Connection, meant: Meant) -> Facets:
    """Count the memories that the filter means, by what tells them apart."""
    groups = " UNION ALL ".join(
        f"(SELECT '{name}', {value}, count(*) FROM meant GROUP BY 2)"
        for name, value in _GROUPS.items()
    )
    found = connection.execute(
        "WITH meant AS MATERIALIZED (SELECT kept.*, length FROM words JOIN"
        " (SELECT created_seq, type, tags, project, session, created_at FROM memories"
        f" WHERE {meant.clause}) AS kept USING (created_seq)) {groups}",
        meant.values,
    )
    counts: dict[str, Counter[Any]] = {name: Counter() for name in _GROUPS}
    for name, value, count in found:
        if value is not None:
            counts[name][value] += count
    tags: Counter[str] = Counter()
    for texts, count in counts["tags"].items():
        tags.update(dict.fromkeys(json.loads(texts), count))
    return Facets(
        total=counts["type"].total(),
        types=most_frequent(counts["type"].items()),
        tags=most_frequent(tags.items()),
        projects=most_frequent(counts["project"].items()),
        sessions=most_frequent(counts["session"].items()),
        lengths=[(name, counts["length"][name]) for name, _ in LENGTHS if counts["length"][name]],
        months=sorted(counts["month"].items(), reverse=True)[:MOST_VALUES],
    )


def suggestions(connection: Connection, meant: Meant, begun: str, limit: int) -> list[Suggestion]:
    """Return titles, tags and words that go on with what was typed, the most common first.

    The last word counts as not finished; those before it must be in the memory, too. What counts is
    the newest of the memories that hold all of it.
    """
    typed = terms(begun)
    if not typed:
        return []
    *whole, last = typed
    query = " & ".join(
        [holding(meant.tenant, *map(stem, whole))] * bool(whole)
        + [f"({beginning(meant.tenant, last)})"]
    )
    found = connection.execute(
        "SELECT title, content, details, tags FROM words JOIN"
        " (SELECT created_seq, title, content, details, tags FROM memories"
        f" WHERE {meant.clause}) AS kept USING (created_seq)"
        " WHERE lexemes @@ ?::tsquery AND tenant = ? ORDER BY created_seq DESC LIMIT ?",
        (*meant.values, query, meant.tenant, _READ),
    )
    titles: set[str] = set()
    tagged: Counter[str] = Counter()
    words: Counter[str] = Counter()
    folded = begun.strip().casefold()
    for title, content, details, written in found:
        tags = json.loads(written)
        held = set(terms("\n".join([joined_text(title, content, json.loads(details)), *tags])))
        if not held.issuperset(whole):
            continue
        words.update(word for word in held if word.startswith(last))
        tagged.update(tag for tag in set(tags) if tag.casefold().startswith(folded))
        if title is not None and any(word.startswith(last) for word in terms(title)):
            titles.add(title)
    before = begun[: len(begun) - len(begun.split()[-1])] if whole else ""
    return some_of_each(
        [
            *(Suggestion(title, "title", 1) for title in titles),
            *(Suggestion(tag, "tag", count) for tag, count in tagged.items()),
            *(Suggestion(before + word, "word", count) for word, count in words.items()),
        ],
        limit,
    )
