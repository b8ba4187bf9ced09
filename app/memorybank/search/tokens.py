"""The terms of many rows at once, as arrays: where each is, and its hash.

A bank of 100,000 memories has millions of words. An object for each, and a look-up of it in some
table, would take most of the time of building an index. Numpy finds where they are and adds up
their hashes in a few passes over all letters; only the terms that are new become objects.

A term is known by a hash of 64 bits: the sum of one random number per letter and place of a letter
(Zobrist, or simple tabulation, hashing). The numbers are made anew in each process: that two of a
million terms share a hash has a chance of one in ten million, and nobody can choose texts for it.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import chain
from typing import Self

import numpy as np
import numpy.typing as npt

from memorybank.domain.text import ASCII_TERMS, LONGEST_TERM, terms

_SPACE = 32
_MOST_LETTERS = 4 * LONGEST_TERM
"""Bytes of a word, in UTF-8, at most. Longer terms, of tags and metadata, have Python's hash."""
_NUMBERS = np.frombuffer(secrets.token_bytes(8 * 256 * _MOST_LETTERS), dtype=np.int64)
"""256 for the first byte of a term, 256 for the second, and so on."""

Numbers = npt.NDArray[np.intp]
Hashes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Terms:
    """The terms of some rows, one after the other."""

    letters: npt.NDArray[np.uint8]
    """Of all terms, in UTF-8."""
    ends: Numbers
    """Where each term ends there, which is where the next one begins."""
    per_row: Numbers
    """How many terms each row has."""

    @classmethod
    def of_texts(cls, texts: Sequence[str]) -> Self:
        """Return what `memorybank.domain.text.terms` returns of each text, a row each."""
        plain = np.fromiter(map(str.isascii, texts), np.bool_, len(texts))
        rows = [
            _bytes(text if simple else " ".join(terms(text)))
            for text, simple in zip(texts, plain.tolist(), strict=True)
        ]
        letters = np.frombuffer(b" ".join([*rows, b""]).translate(ASCII_TERMS), dtype=np.uint8)
        inside = letters != _SPACE
        begins = inside.copy()
        begins[1:] &= ~inside[:-1]
        lengths = np.fromiter(map(len, rows), np.intp, len(rows)) + 1
        per_row = np.add.reduceat(begins, np.cumsum(lengths) - lengths, dtype=np.intp)
        begins = begins[inside]
        letters = letters[inside]
        ends = np.append(np.flatnonzero(begins)[1:], len(letters)) if len(letters) else _NONE
        cut = np.flatnonzero((np.diff(ends, prepend=0) > LONGEST_TERM) & np.repeat(plain, per_row))
        if cut.size:
            kept = np.ones(len(letters), dtype=np.bool_)
            for at in cut.tolist():
                start = ends[at - 1] if at else 0
                kept[start + LONGEST_TERM : ends[at]] = False
            letters = letters[kept]
            ends = np.cumsum(kept)[ends - 1]
        return cls(letters, ends, per_row)

    @classmethod
    def of(cls, rows: Sequence[Sequence[str]]) -> Self:
        """Return these terms, whatever is in them; none is empty."""
        each = [_bytes(term) for term in chain.from_iterable(rows)]
        return cls(
            np.frombuffer(b"".join(each), dtype=np.uint8),
            np.cumsum(np.fromiter(map(len, each), np.intp, len(each))),
            np.fromiter(map(len, rows), np.intp, len(rows)),
        )

    def __len__(self) -> int:
        return len(self.ends)

    @cached_property
    def hashes(self) -> Hashes:
        """The hash of each term."""
        if not len(self):
            return np.empty(0, dtype=np.int64)
        lengths = np.diff(self.ends, prepend=0)
        starts = self.ends - lengths
        at = np.arange(len(self.letters)) - np.repeat(starts, lengths)
        at <<= 8
        at |= self.letters
        long = np.flatnonzero(lengths > _MOST_LETTERS)
        hashes: Hashes = np.add.reduceat(_NUMBERS.take(at, mode="clip"), starts)
        for each, text in zip(long.tolist(), self.texts(long), strict=True):
            hashes[each] = hash_of(text)
        return hashes

    def texts(self, which: Iterable[int]) -> list[str]:
        """Return some terms as they are written."""
        letters = self.letters.tobytes()
        ends = [0, *self.ends.tolist()]
        return [letters[ends[at] : ends[at + 1]].decode(errors="surrogatepass") for at in which]


@lru_cache(maxsize=16_384)
def hash_of(term: str) -> int:
    """Return the hash of a term."""
    letters = np.frombuffer(_bytes(term), dtype=np.uint8)
    if len(letters) > _MOST_LETTERS:
        return hash(term)
    return int(_NUMBERS.take(256 * np.arange(len(letters)) + letters).sum())


_NONE: Numbers = np.empty(0, dtype=np.intp)


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogatepass")
