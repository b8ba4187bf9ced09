"""From what the database told of candidates to hits, by the formulas of every index.

What TenantIndex computes over all memories is computed over those that come into question. Figures
about all of them (how telling a word is, mean lengths, the mean vector) are the tenant's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from memorybank.domain import ranking
from memorybank.domain.search import Hit, Refinement
from memorybank.ports import Vector
from memorybank.stores.postgres.searching.lexemes import counted
from memorybank.stores.postgres.searching.statements import Held, Neighbour, Row, Totals

_DECIMALS = 6
"""Scores are rounded: the order of equal memories must not hang on the last bit of a sum."""
SPREAD = 4
"""From so many times the limit those are chosen that differ from each other."""
_LIFTED = 64
"""So many of the best get what their neighbours' meaning adds."""
_SIDES = (-1, 1, -2, 2)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and what there is of the tenant."""

    tenant: str
    words: Mapping[str, int]
    """How often the query holds each word."""
    held: Mapping[str, Held]
    """What holds each of them."""
    totals: Totals
    vector: Vector | None
    """To be compared with, centred where words count beside it."""
    raised: float
    """What is added to its products."""
    newest: int | None
    """The moment of the newest of all that is meant; None where that is rather taken of what comes
    into question."""
    refine: Refinement

    @property
    def weights(self) -> list[float]:
        """How telling each word is."""
        return [
            times * ranking.inverse_frequency(self.totals.memories, self.held[root].memories)
            for root, times in self.words.items()
        ]

    @property
    def session_weights(self) -> list[float]:
        """How telling each word is of a session."""
        return [
            times * ranking.inverse_frequency(self.totals.sessions, self.held[root].sessions)
            for root, times in self.words.items()
        ]


@dataclass
class Candidates:
    """Memories of which enough is known, as columns; more may come, none goes."""

    question: Question
    rows: list[Row] = field(default_factory=list)
    places: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.counts = counted([], self.question.tenant, list(self.question.words))
        self.add([])

    def add(self, rows: Sequence[Row]) -> None:
        """Add what is not there yet."""
        new = [row for row in rows if row.seq not in self.places]
        for row in new:
            self.places[row.seq] = len(self.places)
        self.rows += new
        columns = list(zip(*self.rows, strict=True)) if self.rows else [()] * len(Row._fields)
        self.lengths = np.asarray(columns[4], dtype=np.float32)
        self.importances = np.asarray(columns[5], dtype=np.float32)
        self.moments = np.asarray(columns[3], dtype=np.int64)
        self.products = np.asarray(columns[8], dtype=np.float32)
        self.meant = np.asarray(columns[9], dtype=np.bool_)
        some = [row.lexemes for row in new]
        words = list(self.question.words)
        self.counts = np.concatenate([self.counts, counted(some, self.question.tenant, words)])

    def evidence(self) -> ranking.Scores:
        """Return the BM25 score of each by its own words."""
        totals = self.question.totals
        mean = totals.length / max(1, totals.memories)
        return _bm25(self.counts, ranking.length_norm(self.lengths, mean), self.question.weights)

    def prior(self) -> ranking.Scores:
        """Return the factors of importance and recency."""
        newest = self.question.newest
        if newest is None:
            newest = int(self.moments[self.meant].max(initial=0))
        return ranking.prior(self.importances, self.moments, newest)

    def vector_shares(self) -> ranking.Scores | None:
        """Return how near each is in meaning; None when no vector was asked with."""
        if self.question.vector is None:
            return None
        return ranking.vector_share(self.products + np.float32(self.question.raised))

    def promising(self, count: int) -> list[Row]:
        """Return those that are likely to be the best, best first, by what is known so far."""
        whole = np.zeros(len(self.rows), dtype=np.float32)
        shares = self.vector_shares()
        if self.question.refine.words:
            lexical = ranking.lexical_share(self.evidence(), sum(self.question.weights))
            whole = ranking.fused(lexical, lexical, shares)
        elif shares is not None:
            whole = shares
        order = np.argsort(-(whole * self.prior() * self.meant), kind="stable")[:count]
        return [self.rows[at] for at in order if self.meant[at]]


def ranked(
    candidates: Candidates,
    beside: Sequence[Neighbour],
    lengths: Mapping[str, int],
    *,
    limit: int,
    vectors_of: Callable[[Sequence[int]], Mapping[int, Vector]],
) -> list[Hit]:
    """Return the best, best first.

    `beside` are their neighbours, `lengths` those of their sessions. `vectors_of` tells vectors,
    where it matters how much hits differ.
    """
    question = candidates.question
    if not candidates.meant.any():
        return []
    around = _around(candidates, beside)
    lexical = session = np.zeros(len(candidates.rows), dtype=np.float32)
    if question.refine.words:
        lexical, session = _word_shares(candidates, around, lengths)
    vectors, prior = candidates.vector_shares(), candidates.prior()
    if not question.refine.words:
        whole = np.zeros_like(lexical) if vectors is None else vectors
    else:
        whole = ranking.fused(lexical, session, vectors)
        if vectors is not None:
            best = np.argsort(-(whole * prior * candidates.meant), kind="stable")[:_LIFTED]
            vectors[best] = _lifted(vectors, around, best)
            whole[best] = ranking.fused(lexical[best], session[best], vectors[best])
    scores = (whole * prior).round(_DECIMALS)
    places = _best(candidates, scores, limit * (SPREAD if question.refine.diversity else 1))
    if question.refine.diversity:
        places = _spread_out(candidates, places, scores, vectors_of, limit)
    return [
        Hit(
            candidates.rows[at].id,
            float(scores[at]),
            ranking.parts(at, lexical, session, vectors, prior),
        )
        for at in places
    ]


def _best(candidates: Candidates, scores: ranking.Scores, count: int) -> list[int]:
    """Return where the best are of what is meant, those of equal score newest first."""
    chosen = np.flatnonzero(
        candidates.meant & (scores > 0) & (scores >= candidates.question.refine.min_score)
    )
    if chosen.size > count:
        least = np.partition(scores[chosen], -count)[-count]
        chosen = chosen[scores[chosen] >= least]
    order = sorted(
        (-float(scores[at]), -candidates.rows[at].created, candidates.rows[at].id, int(at))
        for at in chosen
    )
    return [at for *_, at in order[:count]]


def _bm25(
    counts: ranking.Scores, norms: ranking.Scores, weights: Sequence[float]
) -> ranking.Scores:
    scores = np.zeros(len(counts), dtype=np.float32)
    for column, weight in zip(counts.T, weights, strict=True):
        scores += np.float32(weight) * ranking.saturation(column, norms)
    return scores


def _around(candidates: Candidates, beside: Sequence[Neighbour]) -> dict[int, npt.NDArray[np.intp]]:
    """Return for each of four sides the place of the neighbour there, the number of all where it is
    not known. Who is beside one has that one on its other side.
    """
    nobody = len(candidates.rows)
    sides = {side: np.full(nobody, nobody, dtype=np.intp) for side in _SIDES}
    for seq, step, other in beside:
        one, another = candidates.places.get(seq), candidates.places.get(other)
        if one is not None and another is not None:
            sides[step][one] = another
            sides[-step][another] = one
    return sides


def _word_shares(
    candidates: Candidates,
    around: Mapping[int, npt.NDArray[np.intp]],
    lengths: Mapping[str, int],
) -> tuple[ranking.Scores, ranking.Scores]:
    """Return the lexical and the session part, each within 0..1."""
    question = candidates.question
    spread = ranking.with_neighbours(
        candidates.evidence(), (around[-1], around[1]), (around[-2], around[2])
    )
    lexical = ranking.lexical_share(
        np.where(candidates.meant, spread, np.float32(0)), sum(question.weights)
    )
    totals = question.totals
    if not totals.sessions:
        return lexical, lexical
    names = {name: number for number, name in enumerate(lengths)}
    of = np.asarray([names.get(row.session or "", -1) for row in candidates.rows], dtype=np.intp)
    inside = np.flatnonzero(of >= 0)
    counts = np.zeros((len(names), len(question.words)), dtype=np.float32)
    np.add.at(counts, of[inside], candidates.counts[inside])
    norms = ranking.length_norm(
        np.asarray(list(lengths.values()), dtype=np.float32),
        totals.session_length / totals.sessions,
    )
    scores = _bm25(counts, norms, question.session_weights)
    shares = ranking.lexical_share(scores, sum(question.session_weights))
    session = lexical.copy()
    session[inside] = shares[of[inside]]
    return lexical, session


def _lifted(
    shares: ranking.Scores, around: Mapping[int, npt.NDArray[np.intp]], places: ranking.Places
) -> ranking.Scores:
    """Return vector shares of these places, lifted by their neighbours in their sessions."""
    known = np.append(shares, np.float32(0))
    nearest = np.max([known[around[side][places]] for side in _SIDES], axis=0)
    return ranking.lifted(shares[places], nearest)


def _spread_out(
    candidates: Candidates,
    places: list[int],
    scores: ranking.Scores,
    vectors_of: Callable[[Sequence[int]], Mapping[int, Vector]],
    limit: int,
) -> list[int]:
    if not places:
        return places
    vectors = vectors_of([candidates.rows[at].seq for at in places])
    size = next((vector.size for vector in vectors.values()), 1)
    table = np.zeros((len(places), size), dtype=np.float32)
    for line, at in enumerate(places):
        vector = vectors.get(candidates.rows[at].seq)
        if vector is not None:
            table[line] = vector / np.linalg.norm(vector)
    order = ranking.spread_out(scores[places], table, candidates.question.refine.diversity, limit)
    return [places[at] for at in order]
