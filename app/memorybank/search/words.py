"""The words of memories: an inverted index that knows which terms are forms of one word."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from memorybank.domain.text import stem
from memorybank.search.postings import Occurrences, Postings


class Words(Postings):
    """Postings by term as it is written, and by all forms of a word at once.

    Forms are joined when they are asked for, so that what is written can still be suggested, and
    adding a row costs no more unless it brings a new term.
    """

    def __init__(self) -> None:
        super().__init__()
        self._known: set[str] = set()
        self._forms: dict[str, list[str]] = {}
        """Stem -> the terms that it stands for, itself left out."""

    @override
    def add(self, place: int, terms: Sequence[str]) -> None:
        """See Postings."""
        super().add(place, terms)
        self._learn(terms)

    def alike(self, root: str) -> Occurrences:
        """Return the places of the rows that hold a term of this stem, and how many they hold."""
        return self.holding(root, *self._forms.get(root, ()))

    @override
    def renumber(self, new_places: npt.NDArray[np.intp]) -> None:
        """See Postings."""
        super().renumber(new_places)
        self._known, self._forms = set(), {}
        self._learn(self.terms())

    def _learn(self, terms: Iterable[str]) -> None:
        new = set(terms) - self._known
        self._known |= new
        for term in new:
            root = stem(term)
            if root != term:
                self._forms.setdefault(root, []).append(term)
