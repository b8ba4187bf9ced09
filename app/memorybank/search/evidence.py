"""What one term says about the rows that hold it, and about their sessions.

A term that many rows hold costs passes over long arrays, and a few such terms ("the", "is") are in
nearly every question. What they say depends on nothing but the rows, so it is kept until a row
changes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from memorybank.domain.ranking import Places, Scores

_LEAST_ROWS = 512
_LEAST_SHARE = 1 / 16
"""Terms of so many rows, and of such a part of all, are worth keeping; others cost little."""
_MOST_BYTES = 4 * 1024 * 1024
_LEAST_TERMS = 24
"""What is kept: so much, four bytes per row and term, but always so many terms, which are 10 MB at
100,000 memories. English has some 30 such words, a bank about one thing has a hundred."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Which rows hold a term, and the parts of its weight that they and their sessions get."""

    rows: int
    """How many hold it."""
    places: Places | slice
    """Where the entries of `shares` belong: which rows, or all."""
    shares: Scores
    sessions: int
    """How many sessions hold it."""
    session_shares: Scores
    """One entry per session."""

    def dense(self, count: int) -> Evidence:
        """Return the same with an entry for each of all rows, 0 for those that do not hold it."""
        shares = np.zeros(count, dtype=np.float32)
        shares[self.places] = self.shares
        return Evidence(self.rows, slice(None), shares, self.sessions, self.session_shares)


class FrequentTerms:
    """Keeps the evidence of the frequent terms that were asked for last."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Evidence] = OrderedDict()

    def of(self, term: str, count: int, gather: Callable[[str], Evidence]) -> Evidence:
        """Return the evidence of a term among so many rows; `gather` finds it."""
        known = self._kept.get(term)
        if known is not None:
            self._kept.move_to_end(term)
            return known
        found = gather(term)
        if found.rows >= max(_LEAST_ROWS, _LEAST_SHARE * count):
            found = self._kept[term] = found.dense(count)
            if len(self._kept) > max(_LEAST_TERMS, _MOST_BYTES // found.shares.nbytes):
                self._kept.popitem(last=False)
        return found

    def forget(self) -> None:
        """Call when a row has changed."""
        self._kept.clear()
