"""How evidence becomes a rank: the formulas of hybrid search, without any I/O or state.

A memory's score is

    (trust * (lexical + SESSION_WEIGHT * session) + VECTOR_WEIGHT * vector) / (sum of the weights)

times a prior, where each part is brought to 0..1 per query first, and `trust` is the best lexical
share: words count as much as the query is covered by them. On conversations (1,982 questions over
5,882 turns), plain min-max shares and a trust of 1 found .785 of the evidence among the first ten,
against .639 for BM25 alone, .398 for MiniLM vectors alone and .671 for reciprocal rank fusion of
the two with equal weights. Why the shares differ from min-max, and what the trust is good for, says
docs/adr/0012-hybrid-ranking.md.

All functions take and return float32 arrays with one entry per memory, if not said otherwise.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float32]
Places = npt.NDArray[np.intp]

VECTOR_WEIGHT = 1.0
SESSION_WEIGHT = 0.3
"""Weights of the parts against the lexical one; from the measurement above."""

_K1 = 1.2
_B = 0.75
"""BM25's saturation and length normalisation: the usual values (Robertson and Zaragoza 2009,
section 3.4.1 recommends 1.2 < k1 < 2, .5 < b < .8)."""

_NEXT = 0.5
_NEXT_BUT_ONE = 0.25
"""What a turn gains from the scores of its neighbours in the session: a question's words are often
in the turn before the one that answers it."""

_SIMILAR = 0.3
_NOISE = 0.05
"""A cosine below .3 means little in common, whichever memory has the highest; those of unrelated
texts scatter around 0 by about .05."""

_IMPORTANCE = 0.05
_RECENCY = 0.05
_MICROSECONDS_PER_HALF_LIFE = 30 * 86_400e6
"""Bounds of the prior: it decides between memories that fit about equally well, never against one
that fits clearly better."""
PRIOR_RATIO = (1 - _IMPORTANCE) / (1 + _IMPORTANCE + _RECENCY)
"""The lowest prior in terms of the highest: what scores less than this part of another memory
before it is weighed cannot overtake it."""


def inverse_frequency(documents: int, holding: int) -> float:
    """Return how telling a term is that `holding` of the `documents` hold (Lucene's BM25 idf)."""
    return math.log(1 + (documents - holding + 0.5) / (holding + 0.5))


def length_norm(lengths: Scores, mean_length: float) -> Scores:
    """Return BM25's handicap of long documents: 1.2 at the mean length."""
    return (_K1 * (1 - _B + _B * lengths / max(mean_length, 1.0))).astype(np.float32)


def saturation(counts: Scores, norms: Scores) -> Scores:
    """Return BM25's share of a term's weight for documents that hold it `counts` times.

    1 for one occurrence in a document of mean length; at most 2.2.
    """
    return (counts * np.float32(_K1 + 1) / (counts + norms)).astype(np.float32, copy=False)


def with_neighbours(
    scores: Scores, nearest: tuple[Places, Places], next_but_one: tuple[Places, Places]
) -> Scores:
    """Add to each memory's score parts of its neighbours' scores in the same session.

    Each of the four holds, per memory, the place of the neighbour before or after it, or the number
    of memories where there is none.
    """
    ends_in_zero = np.append(scores, np.float32(0))
    near = ends_in_zero.take(nearest[0]) + ends_in_zero.take(nearest[1])
    far = ends_in_zero.take(next_but_one[0]) + ends_in_zero.take(next_but_one[1])
    smoothed: Scores = scores + np.float32(_NEXT) * near + np.float32(_NEXT_BUT_ONE) * far
    return smoothed


def lexical_share(scores: Scores, query_weight: float) -> Scores:
    """Bring BM25 scores to 0..1: divide by the highest, but at least by the query's whole weight.

    `query_weight` is the sum of the inverse frequencies of all its terms, unknown ones included.
    Were the highest always stretched to 1, as min-max normalisation does, a shared "how do I" would
    outweigh the meaning in a small bank; see docs/adr/0012-hybrid-ranking.md.
    """
    top = max(float(scores.max(initial=0)), query_weight)
    return (scores / top).astype(np.float32) if top > 0 else scores


def vector_share(cosines: Scores) -> Scores:
    """Bring cosines to 0..1: from the lowest, but at least from 0, to the highest, at least .3.

    Never 0, so that even a single memory that is unlike the query has a score.
    """
    low = min(float(cosines.min(initial=0)), 0.0) - _NOISE
    high = max(float(cosines.max(initial=0)), _SIMILAR)
    return ((cosines - low) / (high - low)).astype(np.float32)


def fused(lexical: Scores, session: Scores, vector: Scores | None) -> Scores:
    """Return the weighted mean of the parts, 0..1; without vectors, of the other two.

    Beside vectors, words count as much as the best match covers the query: where even that one
    shares little more than "how do I" with it, their order by words is chance. The divisor stays,
    so that a query that nothing covers has low scores.
    """
    words = lexical + np.float32(SESSION_WEIGHT) * session
    weight = 1 + SESSION_WEIGHT
    if vector is None:
        return (words / np.float32(weight)).astype(np.float32)
    trust = float(lexical.max(initial=0))
    total = np.float32(trust) * words + np.float32(VECTOR_WEIGHT) * vector
    return (total / np.float32(weight + VECTOR_WEIGHT)).astype(np.float32)


def spread_out(
    scores: Scores, vectors: npt.NDArray[np.float32], diversity: float, limit: int
) -> list[int]:
    """Choose up to `limit` places so that those chosen are good and differ from each other.

    Maximal marginal relevance (Carbonell and Goldstein 1998): each next one is the best by
    (1 - diversity) * score - diversity * its highest cosine to one chosen before, where scores are
    brought to 0..1. `vectors` has a unit row, or a row of zeros, per score.
    """
    if not scores.size:
        return []
    relevance = (1 - diversity) * scores / max(float(scores.max()), 1e-9)
    likeness = np.zeros_like(scores)
    left = np.ones(scores.size, dtype=np.bool_)
    order: list[int] = []
    while left.any() and len(order) < limit:
        worth = np.where(left, relevance - diversity * likeness, -np.inf)
        best = int(worth.argmax())
        order.append(best)
        left[best] = False
        likeness = np.maximum(likeness, vectors @ vectors[best])
    return order


def prior(importance: Scores, moments: npt.NDArray[np.int64], newest: int) -> Scores:
    """Return factors between .95 and 1.10 from importance and recency.

    `moments` are microseconds; recency halves every 30 days before the newest of all that could be
    found, so that the same memories always rank the same.
    """
    half_lives = (moments - newest) / _MICROSECONDS_PER_HALF_LIFE
    recency = np.exp2(half_lives.astype(np.float32))
    factors = 1 + _IMPORTANCE * (2 * importance - 1) + _RECENCY * recency
    return factors.astype(np.float32, copy=False)
