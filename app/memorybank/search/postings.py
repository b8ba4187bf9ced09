"""The inverted index: for each term, who holds it how often.

Rows come to a short unsorted tail, which becomes a sorted segment when it is long enough; segments
are merged when they are many, as in a log-structured merge tree. So a row costs a few passes of C
over its words, and a pair of row and term 6 bytes; a thousand small indexes have no objects per
term, and the texts of terms are shared between them.

A term is known by its 64-bit hash: see `memorybank.search.tokens`.
"""

from __future__ import annotations

import bisect
import sys
from array import array
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from memorybank.search.tokens import Terms, hash_of

Rows = Terms | Sequence[Sequence[str]]
"""The terms of each row."""
Occurrences = tuple[npt.NDArray[np.intp], npt.NDArray[np.float32]]

_TAIL_LEAST = 1_024
_TAIL_MOST = 16_384
_TAIL_SHARE = 32
"""Pairs of a tail: 1/32 of all, within these bounds. A query looks through all of it for each of
its terms, which takes 6 microseconds at most."""
_HASHED_AT_ONCE = 128
"""From so many terms on, numpy hashes them faster than one by one, if some are new."""
_SEGMENTS = 8
"""More segments than this are merged before they are read,"""
_WAITING_SEGMENTS = 64
"""or at this number while rows are only added."""
_MOST_COUNTED = 0xFFFF
"""How often a row can hold a term; BM25 tells no difference beyond a few dozen."""


class Postings:
    """Term -> pairs (place, count), ascending by place."""

    def __init__(self) -> None:
        self._segments: list[_Segment] = []
        self._pairs = 0
        self._hashes = array("q")
        self._places = array("I")
        self._counts = array("H")
        self._texts: list[str] = []

    def terms(self) -> Iterable[str]:
        """Return every term that any row holds or held, each once."""
        known: dict[str, None] = {}
        for segment in self._segments:
            known.update(dict.fromkeys(segment.texts.tolist()))
        known.update(dict.fromkeys(self._texts))
        return known.keys()

    def beginning(self, prefix: str, *, limit: int) -> list[str]:
        """Return the first terms in order that begin so."""
        found = {text for text in self._texts if text.startswith(prefix)}
        for segment in self._segments:
            ordered = segment.in_order
            at = bisect.bisect_left(ordered, prefix)
            found.update(text for text in ordered[at : at + limit] if text.startswith(prefix))
        return sorted(found)[:limit]

    def extend(self, first: int, rows: Rows) -> Collection[str]:
        """Record the terms of new rows, whose places are counted on from the first.

        Places must come in ascending order. Terms as arrays become a segment at once, which pays
        from some thousand on. Returns every term that there was at least once.
        """
        if isinstance(rows, Terms):
            return self._extend_at_once(first, rows)
        texts: list[str] = []
        for place, row in enumerate(rows, start=first):
            counted = Counter(row)
            texts += map(sys.intern, counted)
            self._places.extend((place,) * len(counted))
            self._counts.extend(min(times, _MOST_COUNTED) for times in counted.values())
        self._texts += texts
        if len(texts) < _HASHED_AT_ONCE:
            self._hashes.extend(map(hash_of, texts))
        else:
            self._hashes.frombytes(Terms.of([texts]).hashes.tobytes())
        if len(self._texts) >= _TAIL_LEAST and len(self._texts) >= min(
            self._pairs // _TAIL_SHARE, _TAIL_MOST
        ):
            self._seal()
        return texts

    def _extend_at_once(self, first: int, rows: Terms) -> Collection[str]:
        if not len(rows):
            return ()
        self._seal()
        every = np.arange(first, first + len(rows.per_row), dtype=np.uint32)
        segment = _inverted(rows.hashes, np.repeat(every, rows.per_row), rows.texts)
        self._append(segment)
        written: list[str] = segment.texts.tolist()
        return written

    def holding(self, *terms: str) -> Occurrences:
        """Return the places of the rows that hold any of the terms, ascending.

        With each comes how often the row holds them, all together.
        """
        self.settle()
        found = [pairs for term in terms for pairs in self._pairs_of(hash_of(term))]
        if not found:
            return np.empty(0, dtype=np.intp), np.empty(0, dtype=np.float32)
        places = np.concatenate([places for places, _ in found])
        counts = np.concatenate([counts for _, counts in found]).astype(np.float32)
        if len(terms) > 1:
            order = places.argsort(kind="stable")  # merges what is sorted already
            places, counts = places[order], counts[order]
            firsts = np.flatnonzero(_changes(places))
            places, counts = places[firsts], np.add.reduceat(counts, firsts)
        return places.astype(np.intp), counts

    def _pairs_of(self, wanted: int) -> Iterator[tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
        """Yield places and counts of a term, those of later rows later."""
        for segment in self._segments:
            pairs = segment.holding(wanted)
            if pairs is not None:
                yield pairs
        at = np.flatnonzero(np.frombuffer(self._hashes, dtype=np.int64) == wanted)
        if at.size:
            places = np.frombuffer(self._places, dtype=np.uint32)
            yield places[at], np.frombuffer(self._counts, dtype=np.uint16)[at]

    def agrees(self, place: int, terms: Iterable[str]) -> bool:
        """Tell whether all that `extend` records of a row is here."""
        wanted = Counter(terms)
        for segment in self._segments:
            if segment.first <= place <= segment.last:
                return all(
                    segment.count(hash_of(term), place) == min(n, _MOST_COUNTED)
                    for term, n in wanted.items()
                )
        at = np.flatnonzero(np.frombuffer(self._places, dtype=np.uint32) == place)
        held = {self._texts[each]: self._counts[each] for each in at}
        return held == {term: min(n, _MOST_COUNTED) for term, n in wanted.items()}

    def renumber(self, new_places: npt.NDArray[np.intp]) -> None:
        """Move every row to its new place, where -1 means that it is dropped.

        Rows keep their order.
        """
        self._seal()
        moved = [segment.renumbered(new_places) for segment in self._segments]
        self._segments = [segment for segment in moved if segment.size]
        self._pairs = sum(segment.size for segment in self._segments)

    def settle(self) -> None:
        """Merge segments if they are too many for a query to go through."""
        while len(self._segments) > _SEGMENTS:
            self._merge()

    def _merge(self) -> None:
        """Merge the last segments, and those before that are not longer than what follows them."""
        size = 0
        kept = len(self._segments)
        while kept and (
            len(self._segments) - kept < _SEGMENTS // 2 or self._segments[kept - 1].size <= size
        ):
            kept -= 1
            size += self._segments[kept].size
        self._segments[kept:] = [_merged(self._segments[kept:])]

    def _seal(self) -> None:
        """Make the tail a segment."""
        if not self._texts:
            return
        hashes = np.frombuffer(self._hashes, dtype=np.int64)
        order = np.argsort(hashes, kind="stable")
        places = np.frombuffer(self._places, dtype=np.uint32)
        counts = np.frombuffer(self._counts, dtype=np.uint16)
        texts = np.empty(len(order), dtype=np.object_)
        texts[:] = self._texts
        self._append(_segment(hashes[order], places[order], counts[order], texts[order]))
        self._hashes, self._places = array("q"), array("I")
        self._counts, self._texts = array("H"), []

    def _append(self, segment: _Segment) -> None:
        self._segments.append(segment)
        self._pairs += segment.size
        if len(self._segments) > _WAITING_SEGMENTS:
            self._merge()


@dataclass(frozen=True)
class _Segment:
    """Terms by their hashes, ascending; the pairs of a term lie between its start and the next."""

    hashes: npt.NDArray[np.int64]
    texts: npt.NDArray[np.object_]
    starts: npt.NDArray[np.uint32]
    """One more than terms."""
    places: npt.NDArray[np.uint32]
    counts: npt.NDArray[np.uint16]
    first: int
    last: int
    """The places of all rows are within these."""

    @property
    def size(self) -> int:
        """Return the number of pairs."""
        return len(self.places)

    @cached_property
    def in_order(self) -> list[str]:
        """All terms as they are sorted."""
        return sorted(self.texts.tolist())

    def holding(self, wanted: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]] | None:
        """Return places and counts of a term, None when no row holds it."""
        at = int(self.hashes.searchsorted(wanted))
        if at == len(self.hashes) or self.hashes[at] != wanted:
            return None
        start, end = self.starts[at], self.starts[at + 1]
        return self.places[start:end], self.counts[start:end]

    def count(self, wanted: int, place: int) -> int:
        """Return how often the row of this place holds the term."""
        found = self.holding(wanted)
        if found is None:
            return 0
        places, counts = found
        at = int(places.searchsorted(place))
        return int(counts[at]) if at < len(places) and places[at] == place else 0

    def pair_hashes(self) -> npt.NDArray[np.int64]:
        """Return the term of each pair."""
        return np.repeat(self.hashes, np.diff(self.starts))

    def renumbered(self, new_places: npt.NDArray[np.intp]) -> _Segment:
        """Return the segment of the rows that stay, at their new places."""
        places = new_places[self.places]
        kept = places >= 0
        texts = np.repeat(self.texts, np.diff(self.starts))
        return _segment(
            self.pair_hashes()[kept],
            places[kept].astype(np.uint32),
            self.counts[kept],
            texts[kept],
        )


def _segment(
    hashes: npt.NDArray[np.int64],
    places: npt.NDArray[np.uint32],
    counts: npt.NDArray[np.uint16],
    texts: npt.NDArray[np.object_],
) -> _Segment:
    """Return the segment of these pairs, sorted by hash and then by place."""
    at = np.flatnonzero(_changes(hashes))
    return _Segment(
        hashes[at],
        texts[at],
        np.append(at, len(hashes)).astype(np.uint32),
        places,
        counts,
        int(places.min(initial=0xFFFFFFFF)),
        int(places.max(initial=0)),
    )


def _changes(values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return which values differ from the one before; the first does."""
    new = np.ones(len(values), dtype=np.bool_)
    np.not_equal(values[1:], values[:-1], out=new[1:])
    return new


def _inverted(
    hashes: npt.NDArray[np.int64],
    places: npt.NDArray[np.uint32],
    texts: Callable[[list[int]], list[str]],
) -> _Segment:
    """Return the segment of pairs, by place; `texts` tells the terms at some of them.

    Places ascend already, and the order is stable: of each term they ascend then, too.
    """
    order = np.argsort(hashes, kind="stable")
    hashes, ordered = hashes[order], places[order]
    new_term = _changes(hashes)
    at = np.flatnonzero(new_term | _changes(ordered))
    terms = np.flatnonzero(new_term)
    written = np.empty(len(terms), dtype=np.object_)
    written[:] = [sys.intern(text) for text in texts(order[terms].tolist())]
    return _Segment(
        hashes[terms],
        written,
        np.append(np.searchsorted(at, terms), len(at)).astype(np.uint32),
        ordered[at],
        np.minimum(np.diff(at, append=len(ordered)), _MOST_COUNTED).astype(np.uint16),
        int(places[0]),
        int(places[-1]),
    )


def _merged(segments: Sequence[_Segment]) -> _Segment:
    """Return one segment of neighbouring ones: no row is in two, the rows of later ones are later.

    The stable sort merges runs that are sorted already, and keeps places ascending.
    """
    hashes = np.concatenate([segment.pair_hashes() for segment in segments])
    order = np.argsort(hashes, kind="stable")
    hashes = hashes[order]
    places = np.concatenate([segment.places for segment in segments])[order]
    counts = np.concatenate([segment.counts for segment in segments])[order]
    del order
    terms, which = np.unique(
        np.concatenate([segment.hashes for segment in segments]), return_index=True
    )
    starts = np.append(np.searchsorted(hashes, terms), len(hashes)).astype(np.uint32)
    return _Segment(
        terms,
        np.concatenate([segment.texts for segment in segments])[which],
        starts,
        places,
        counts,
        min(segment.first for segment in segments),
        max(segment.last for segment in segments),
    )
