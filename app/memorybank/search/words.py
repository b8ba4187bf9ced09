"""The words of memories: an inverted index that knows which terms are forms of one word."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from memorybank.domain.text import stem
from memorybank.search.postings import Occurrences, Postings, Rows

_MOST_MET = 65_536
"""So many terms are learned whether or not anybody asks: half a megabyte."""


class Words(Postings):
    """Postings by term as it is written, and by all forms of a word at once.

    Forms are joined when they are asked for, so that what is written can still be suggested, and
    adding a row costs no more unless it brings a new term.
    """

    def __init__(self) -> None:
        super().__init__()
        self._met: list[str] = []
        """Terms of rows that came since forms were asked for. Of a thousand tenants few are asked
        soon after a start, which needs not learn the forms of all."""
        self._known: set[str] = set()
        self._forms: dict[str, list[str]] = {}
        """Stem -> the terms that it stands for, itself left out."""

    @override
    def extend(self, first: int, rows: Rows) -> Collection[str]:
        """See Postings."""
        terms = super().extend(first, rows)
        self._met += terms
        if len(self._met) >= _MOST_MET:
            self.learn()
        return terms

    def alike(self, root: str) -> Occurrences:
        """Return the places of the rows that hold a term of this stem, and how many they hold."""
        self.learn()
        return self.holding(root, *self._forms.get(root, ()))

    @override
    def renumber(self, new_places: npt.NDArray[np.intp]) -> None:
        """See Postings."""
        super().renumber(new_places)
        self._known, self._forms = set(), {}
        self._met = list(self.terms())

    def learn(self) -> None:
        """Find out of which words the terms that came since the last time are forms."""
        new = set(self._met) - self._known
        self._met = []
        self._known |= new
        for term in new:
            root = stem(term)
            if root != term:
                self._forms.setdefault(root, []).append(term)
