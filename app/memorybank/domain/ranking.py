"""How evidence becomes a rank: the formulas of hybrid search, without any I/O or state.

A memory's score is

    (vector + WORDS_WEIGHT * (told(lexical) + SESSION_WEIGHT * told(session))) / (sum of weights)

times a prior. Each part is a share of 0 to 1 that means the same for every question: `lexical` says
how much of the question's weight is in the memory's words, `vector` how near its meaning is.
`told` takes off what chance matches give. Where the figures come from and what else was tried says
docs/adr/0052-words-count-from-a-fifth-on.md.

All functions take and return float32 arrays with one entry per memory, if not said otherwise.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from memorybank.domain.search import Parts

Scores = npt.NDArray[np.float32]
Places = npt.NDArray[np.intp]

WORDS_WEIGHT = 0.5
SESSION_WEIGHT = 0.3
"""Weights of the lexical part against the vector, and of the session against the memory's own
words. From .4 to .6 and .15 to .5 the figures change little."""

_CHANCE = 0.2
"""So much of a question's weight is found in some memory by chance: its "how do I" and a common
word or two. Half of the questions that share no telling word with their answer find no more
than .24 of it anywhere, nine of ten that name what they ask for at least .45."""

_K1 = 0.8
_B = 0.3
"""BM25's saturation and length normalisation. Lower than for documents (1.2 and .75): a memory is
some sentences, and being short does not make it be about the one word that it shares."""

_NEXT = 0.5
_NEXT_BUT_ONE = 0.25
"""What a turn gains from the scores of its neighbours in the session: a question's words are often
in the turn before the one that answers it."""

_LIFT = 0.5
"""What a turn gains of what the meaning of a neighbour is nearer to the question."""

_UNCENTRED = 0.5
"""So much of what a memory has in common with all others is not counted as nearness."""

_LEAST = 0.02
"""Cosines below are pressed into what is left above 0: they say that a memory is unlike the query,
but it was asked for by the filter and keeps its place in the order."""

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


def told(shares: Scores) -> Scores:
    """Return what lexical shares say beyond chance, again 0..1."""
    beyond: Scores = (shares - np.float32(_CHANCE)) / np.float32(1 - _CHANCE)
    return np.maximum(beyond, np.float32(0))


def centred(query: Scores, mean: Scores) -> tuple[Scores, float]:
    """Return a query vector, and what to add to its products with memories, against hubs.

    Some memories are near to whatever is asked, since they are near to the mean of all. Taking half
    of the mean's part off each cosine undoes that (Suzuki et al. 2013, "Centering similarity
    measures to reduce hubs"); what is added keeps the cosines' mean where it was. `mean` is that of
    the vectors of all memories, of one entry per dimension like `query`.
    """
    off = np.float32(_UNCENTRED) * mean
    return query - off, float(off @ mean)


def vector_share(cosines: Scores) -> Scores:
    """Bring cosines to 0..1, nearly as they are; never 0, so that unlike memories have a score."""
    pressed: Scores = (cosines + np.float32(2)) * np.float32(_LEAST / 2)
    shares: Scores = np.clip(np.maximum(cosines, pressed), np.float32(0), np.float32(1))
    return shares


def lifted(shares: Scores, nearest: Scores) -> Scores:
    """Return vector shares, each raised half way to the nearest of its neighbours in the session.

    A turn that says "yes, on Sunday" means what was asked in the turn before.
    """
    raised: Scores = shares + np.float32(_LIFT) * np.maximum(nearest - shares, np.float32(0))
    return raised


def fused(lexical: Scores, session: Scores, vector: Scores | None) -> Scores:
    """Return the weighted mean of the parts, 0..1; without vectors, of the other two.

    Beside vectors, words count as far as they cover the question by more than chance does: where
    they share little more than "how do I" with it, their order is chance, too.
    """
    session_weight = np.float32(SESSION_WEIGHT)
    if vector is None:
        whole, weight = lexical + session_weight * session, 1 + SESSION_WEIGHT
    else:
        words = told(lexical) + session_weight * told(session)
        whole = vector + np.float32(WORDS_WEIGHT) * words
        weight = 1 + WORDS_WEIGHT * (1 + SESSION_WEIGHT)
    return (whole / np.float32(weight)).astype(np.float32, copy=False)


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


def parts(
    at: int, lexical: Scores, session: Scores, vectors: Scores | None, prior: Scores
) -> Parts:
    """Return what the score at one place is made of."""
    return Parts(
        float(lexical[at]),
        float(session[at]),
        None if vectors is None else float(vectors[at]),
        float(prior[at]),
    )


def prior(importance: Scores, moments: npt.NDArray[np.int64], newest: int) -> Scores:
    """Return factors between .95 and 1.10 from importance and recency.

    `moments` are microseconds; recency halves every 30 days before the newest of all that could be
    found, so that the same memories always rank the same.
    """
    half_lives = (moments - newest) / _MICROSECONDS_PER_HALF_LIFE
    recency = np.exp2(half_lives.astype(np.float32))
    factors = 1 + _IMPORTANCE * (2 * importance - 1) + _RECENCY * recency
    return factors.astype(np.float32, copy=False)
