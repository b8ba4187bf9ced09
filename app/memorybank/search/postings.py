"""The inverted index: for each term, who holds it how often."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

Occurrences = tuple[npt.NDArray[np.intp], npt.NDArray[np.float32]]


class Postings:
    """Term -> pairs (place, count), ascending by place; 8 bytes per pair."""

    def __init__(self) -> None:
        self._pairs: dict[str, array[int]] = {}

    def terms(self) -> Iterable[str]:
        """Return every term that any row holds or held, each once."""
        return self._pairs.keys()

    def add(self, place: int, terms: Iterable[str]) -> bool:
        """Record a new row; return whether it brought a new term.

        Places must come in ascending order.
        """
        known = len(self._pairs)
        for term, count in Counter(terms).items():
            pairs = self._pairs.get(term)
            if pairs is None:
                pairs = self._pairs[term] = array("I")
            pairs.append(place)
            pairs.append(count)
        return len(self._pairs) > known

    def holding(self, term: str) -> Occurrences:
        """Return the places of the rows that hold the term, ascending, and their counts."""
        pairs = self._pairs.get(term, ())
        table = np.array(pairs, dtype=np.uint32).reshape(-1, 2)
        return table[:, 0].astype(np.intp), table[:, 1].astype(np.float32)

    def agrees(self, place: int, terms: Iterable[str]) -> bool:
        """Tell whether all that `add` records of a row is here."""
        return all(self._count(term, place) == n for term, n in Counter(terms).items())

    def _count(self, term: str, place: int) -> int:
        table = np.frombuffer(self._pairs.get(term, b""), dtype=np.uint32).reshape(-1, 2)
        at = int(np.searchsorted(table[:, 0], place))
        return int(table[at, 1]) if at < len(table) and table[at, 0] == place else 0

    def renumber(self, new_places: npt.NDArray[np.intp]) -> None:
        """Move every row to its new place, where -1 means that it is dropped."""
        for term, pairs in list(self._pairs.items()):
            old = np.frombuffer(pairs, dtype=np.uint32).reshape(-1, 2)
            places = new_places[old[:, 0]]
            kept = places >= 0
            if not kept.any():
                del self._pairs[term]
                continue
            moved = np.stack([places[kept].astype(np.uint32), old[kept, 1]], axis=1)
            self._pairs[term] = array("I", moved.tobytes())
