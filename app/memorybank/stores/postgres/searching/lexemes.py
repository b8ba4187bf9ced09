"""Words of memories as lexemes of a tsvector, and how a question is asked of them.

The database splits no text and knows no language: a lexeme is a mark of the tenant and what
`memorybank.domain.text.stem` makes of a term, so words are the same here as in any other index. The
one position of a lexeme is how often the memory holds it.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import combinations

import numpy as np

from memorybank.domain.ranking import Scores
from memorybank.domain.text import stem, without_accents

_MOST_COUNTED = 0x3FFF
"""The highest position that a tsvector knows."""
_MOST_BYTES = 900_000
_OVERHEAD = 12
"""A tsvector is at most a megabyte, in which a lexeme takes so many bytes beside itself. Of a text
with more different words the first ones count."""

_COMBINED = 8
"""So many of the words that are too common by themselves are looked for together."""


@lru_cache(maxsize=1_024)
def mark(tenant: str) -> str:
    """Return what the lexemes of a tenant begin with. No term holds a colon."""
    return hashlib.blake2b(tenant.encode(), digest_size=6).hexdigest() + ":"


def document(tenant: str, terms: Iterable[str]) -> str:
    """Return the lexemes of these terms as the text of a tsvector."""
    begins, room, parts = mark(tenant), _MOST_BYTES, []
    for root, count in Counter(map(stem, terms)).items():
        lexeme = begins + root
        room -= len(lexeme.encode()) + _OVERHEAD
        if room < 0:
            break
        parts.append(f"{_quoted(lexeme)}:{min(count, _MOST_COUNTED)}")
    return " ".join(parts)


def holding(tenant: str, *roots: str) -> str:
    """Return the tsquery of what holds all of these."""
    return " & ".join(_quoted(mark(tenant) + root) for root in roots)


def beginning(tenant: str, prefix: str) -> str:
    """Return the tsquery of what holds a word that begins so, or that may be a form of one."""
    plain = without_accents(prefix)
    written = [f"{_quoted(mark(tenant) + each)}:*" for each in sorted({prefix, plain})]
    roots = {stem(prefix), *(plain[:-cut] for cut in (1, 2, 3) if len(plain) - cut >= 3)}
    return " | ".join([*written, *(holding(tenant, each) for each in sorted(roots))])


def any_of(queries: Iterable[str]) -> str:
    """Return the tsquery of what any of these finds."""
    return " | ".join(f"({each})" for each in queries)


def telling(counts: Mapping[str, int], *, among: int, budget: int) -> list[tuple[str, ...]]:
    """Choose words, and combinations of words, that some `budget` of `among` memories hold.

    What only common words speak for is not worth a look: each alone finds too many, and hardly
    weighs. Two or three of them together are rarer, as many as chance would have it or some more.
    """
    chosen: list[tuple[str, ...]] = []
    left = float(budget)
    rarest = sorted((count, root) for root, count in counts.items() if count)
    for count, root in rarest:
        if count > left:
            break
        chosen.append((root,))
        left -= count
    common = [root for _, root in rarest[len(chosen) :]][:_COMBINED]
    for size in (2, 3):
        expected: list[tuple[float, tuple[str, ...]]] = sorted(
            (among * math.prod(counts[root] / among for root in some), some)
            for some in combinations(common, size)
            if not any(set(some).issuperset(each) for each in chosen)
        )
        for chance, some in expected:
            if chance > left:
                break
            chosen.append(some)
            left -= max(chance, 1.0)
    return chosen or [tuple(common)] if common else chosen


def counted(vectors: Sequence[bytes], tenant: str, roots: Sequence[str]) -> Scores:
    """Return how often each of these holds each word: a line per tsvector, as the server sends it.

    There a lexeme ends with a zero byte; the number of its positions follows, and its only one. All
    are looked through at once, so that what is not there costs nothing.
    """
    counts = np.zeros((len(vectors), len(roots)), dtype=np.float32)
    together = b"".join(vectors)
    ends = np.cumsum(np.fromiter(map(len, vectors), np.intp, len(vectors)))
    for column, root in enumerate(roots):
        key = f"{mark(tenant)}{root}\0".encode()
        places, values, at = [], [], together.find(key)
        while at >= 0:
            places.append(at)
            at += len(key) + 2
            values.append(int.from_bytes(together[at : at + 2]) & _MOST_COUNTED)
            at = together.find(key, at)
        counts[ends.searchsorted(places, side="right"), column] = values
    return counts


def _quoted(lexeme: str) -> str:
    escaped = lexeme.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"
