"""What is asked of a search index and what it answers, beside memories themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

MOST_VALUES = 50
"""Values that a facet lists."""
LENGTHS = (("1-24", 24), ("25-99", 99), ("100-399", 399), ("400+", 2**62))
"""Numbers of words that facets tell apart: a sentence, a paragraph, a page, more."""

Scalar = str | int | float | bool | None
"""A value of metadata that can be asked for."""


@dataclass(frozen=True, slots=True)
class Refinement:
    """How to look, beyond query and filter."""

    tags_any: frozenset[str] = frozenset()
    """Only memories with at least one of these tags; empty means any."""
    metadata: Mapping[str, Scalar] = field(default_factory=dict)
    """Only memories whose metadata holds all of these, at its top level."""
    words: bool = True
    """Whether the query's words count; without them, its vector alone does."""
    min_score: float = 0.0
    """Leave out what scores less."""
    diversity: float = 0.0
    """0 to 1: how much a memory loses by being like a better one."""


class Parts(NamedTuple):
    """What a score is made of: the first three are shares of 0 to 1, `prior` is a factor."""

    lexical: float
    session: float
    vector: float | None
    """None when no vector was asked with, or the memory has none yet."""
    prior: float


class Hit(NamedTuple):
    """A memory that an index found."""

    memory_id: str
    score: float
    parts: Parts


Count = tuple[str, int]
"""A value and how many memories have it."""


@dataclass(frozen=True, slots=True)
class Facets:
    """How the memories that a filter means are spread; values by falling count."""

    total: int
    types: list[Count]
    tags: list[Count]
    projects: list[Count]
    sessions: list[Count]
    lengths: list[Count]
    """By number of words, in rising order of length."""
    months: list[Count]
    """YYYY-MM of their creation in UTC, newest first."""


class Suggestion(NamedTuple):
    """A way to go on with a query that has begun."""

    text: str
    kind: str
    """title, tag or word."""
    memories: int
    """How many memories it leads to."""


_KINDS = {"title": 0, "tag": 1, "word": 2}


def most_frequent(counts: Iterable[Count]) -> list[Count]:
    """Return the most frequent values, equal ones in order of their names."""
    held = [pair for pair in counts if pair[1]]
    return sorted(held, key=lambda pair: (-pair[1], pair[0]))[:MOST_VALUES]


def some_of_each(found: Iterable[Suggestion], limit: int) -> list[Suggestion]:
    """Return suggestions by kind, the most common first.

    There are some of each kind: many titles must not hide the words.
    """
    ranked = sorted(
        {each for each in found if each.memories},
        key=lambda each: (_KINDS[each.kind], -each.memories, each.text),
    )
    share = max(1, limit // 2)
    first = [each for kind in _KINDS for each in [e for e in ranked if e.kind == kind][:share]]
    return first[:limit]
