"""Which vectors may be near: a first choice by the signs of their components.

Two unit vectors at the angle a differ in the sign of about a/pi of their components, so counting
the signs that differ (Charikar 2002, "Similarity estimation techniques from rounding algorithms")
orders vectors roughly by their cosine. One bit per component instead of four bytes: a choice among
100,000 vectors reads 5 MB instead of 150. The same bits say more when the question keeps its
magnitudes: see `estimates`. The exact cosine then decides among the few that are left.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from memorybank.ports import Vector

_WORD = 64
_FIRST_CAPACITY = 64
_AT_ONCE = 1_024
"""Vectors that are packed at a time: they stay in the processor's cache."""

_PLANES = 4
"""Bits of the question's components in `estimates`; more do not find more."""
_SPREAD = 1.25
"""The root of pi / 2: how much longer a vector is than the mean of its components' magnitudes
would make it, if these are distributed normally."""


class Signs:
    """The signs of a growing table of vectors: a row of words of 64 bits, a column per vector.

    That way each step of counting is one pass over an array without gaps.
    """

    def __init__(self, dimensions: int) -> None:
        self._dimensions = dimensions
        self._words = -(-dimensions // _WORD)
        self._bits = np.zeros((self._words, _FIRST_CAPACITY), dtype=np.uint64)
        self.count = 0

    def follow(self, vectors: npt.NDArray[np.float32]) -> None:
        """Add the rows of the table that came since; zeros are as far from any as chance is."""
        self.extend(vectors[self.count :])

    def extend(self, vectors: npt.NDArray[np.float32]) -> None:
        """Add rows."""
        end = self.count + len(vectors)
        capacity = self._bits.shape[1]
        if end > capacity:
            while capacity < end:
                capacity *= 2
            grown = np.zeros((self._words, capacity), dtype=np.uint64)
            grown[:, : self.count] = self._bits[:, : self.count]
            self._bits = grown
        for start in range(0, len(vectors), _AT_ONCE):
            part = vectors[start : start + _AT_ONCE]
            first = self.count + start
            self._bits[:, first : first + len(part)] = self._packed(part).T
        self.count = end

    def agrees(self, place: int, vector: Vector | None) -> bool:
        """Tell whether a row is what `follow` makes, or will make, of the vector."""
        wanted = 0 if vector is None else self._packed(vector[np.newaxis])[0]
        return place >= self.count or bool((self._bits[:, place] == wanted).all())

    def keep(self, chosen: npt.NDArray[np.bool_]) -> None:
        """Drop all vectors but the chosen ones, which keep their order."""
        self._bits = np.ascontiguousarray(self._bits[:, : self.count][:, chosen[: self.count]])
        self.count = self._bits.shape[1]
        if not self.count:
            self._bits = np.zeros((self._words, _FIRST_CAPACITY), dtype=np.uint64)

    def distances(self, vector: Vector) -> npt.NDArray[np.uint16]:
        """Return for each row how many signs differ from the vector's."""
        differing = np.zeros(self.count, dtype=np.uint16)
        (words,) = self._packed(vector[np.newaxis])
        for bits, word in zip(self._bits[:, : self.count], words, strict=True):
            differing += np.bitwise_count(bits ^ word)
        return differing

    def cosines(self, vector: Vector) -> npt.NDArray[np.float32]:
        """Return for each row its cosine with the vector, as the differing signs let one guess."""
        steps = len(vector)
        guesses = np.cos(np.pi * np.arange(steps + 1) / steps).astype(np.float32)
        return guesses.take(self.distances(vector))

    def estimates(self, vector: Vector, places: npt.NDArray[np.intp]) -> npt.NDArray[np.float32]:
        """Return better guesses at the cosines of some rows: by their signs and the whole vector.

        The error is about half of that of `cosines`. The vector's components are rounded to 4 bits,
        so that the product is a sum of counted bits, plane by plane.
        """
        least, most = float(vector.min()), float(vector.max())
        step = (most - least) / (2**_PLANES - 1) or 1.0
        levels = np.rint((vector - least) / step).astype(np.uint8)
        planes = [levels & 2**plane for plane in range(_PLANES)]
        masks = self._packed(np.stack([*planes, np.ones_like(levels)]))
        counts = np.zeros((len(masks), places.size), dtype=np.uint16)
        for bits, mask in zip(self._bits, masks.T, strict=True):
            counts += np.bitwise_count(bits.take(places) & mask[:, np.newaxis])
        weights = np.array([step * 2**plane for plane in range(_PLANES)] + [least])
        positive = weights.astype(np.float32) @ counts.astype(np.float32)
        scale = np.float32(_SPREAD / len(vector) ** 0.5)
        return np.asarray(scale * (2 * positive - vector.sum()), dtype=np.float32)

    def units(self, places: npt.NDArray[np.intp]) -> npt.NDArray[np.float32]:
        """Return some rows as vectors of length 1 whose components all have the same magnitude."""
        bits = np.ascontiguousarray(self._bits.take(places, axis=1).T).view(np.uint8)
        positive = np.unpackbits(bits, axis=1, count=self._dimensions)
        sized = np.float32(1 / self._dimensions**0.5)
        return np.where(positive, sized, -sized)

    def _packed(self, table: npt.NDArray[Any]) -> npt.NDArray[np.uint64]:
        """Return for each row of a table which of its values are above 0, as words of bits."""
        padded = np.zeros((len(table), self._words * _WORD), dtype=np.bool_)
        np.greater(table, 0, out=padded[:, : table.shape[1]])
        return np.packbits(padded, axis=1).view(np.uint64)
