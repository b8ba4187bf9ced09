"""What a tenant's index keeps of its memories' vectors: all of them, or only their signs.

With the whole vectors every comparison is exact. Where they are with a vector server, their signs
stay here, a bit per component: they choose which memories may be near, and stand in for a vector
that the server did not speak of, be it down, behind, or asked for too few.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from memorybank.domain import ranking
from memorybank.ports import Vector
from memorybank.search.columns import Columns
from memorybank.search.signs import Signs

Table = npt.NDArray[np.float32]
"""A vector per row; zeros for a memory that has none."""


@dataclass(frozen=True, slots=True)
class Known:
    """What a vector server said, for rows."""

    products: ranking.Scores
    """One for every row; NaN where it said nothing."""
    most: float
    """What the products are at most that it did not tell."""

    def better(self, guesses: ranking.Scores, places: ranking.Places) -> ranking.Scores:
        """Return guesses at the products of these rows, put right by what is known."""
        told = self.products[places]
        bounded = np.minimum(guesses, np.float32(self.most))
        return np.where(np.isnan(told), bounded, told)


class Vectors(Protocol):
    """The vectors of a growing table of rows; rows that are dead count until they are dropped."""

    def extend(self, table: Table) -> None:
        """Add rows."""

    def forget(self, place: int, *, of: int) -> None:
        """Leave a row that is dead from now on out of the mean; `of` were alive with it."""

    def keep(self, chosen: npt.NDArray[np.bool_]) -> None:
        """Drop all rows but the chosen ones, which keep their order."""

    def mean(self, alive: int) -> Vector:
        """Return the mean of the rows that are alive, of which there are so many."""

    def signs(self) -> Signs:
        """Return the signs of all rows."""

    def agrees(self, place: int, vector: Vector | None) -> bool:
        """Tell whether a row is what `extend` makes, or will make, of the vector."""

    def held(self) -> npt.NDArray[np.bool_]:
        """Return which rows have a vector."""

    def one(self, place: int) -> Vector | None:
        """Return the vector of a row, as far as it is known; None where there is none."""

    def several(self, places: ranking.Places) -> Table:
        """Return unit rows that differ from each other as the vectors of these rows do."""

    def products(
        self, vector: Vector, places: ranking.Places, known: Known | None
    ) -> ranking.Scores:
        """Return the products of a vector with these rows, `known` being of the same vector."""


class _Kept:
    """What every way to keep vectors has: a table, their signs, and what they add up to."""

    def __init__(self, rows: Columns, dimensions: int) -> None:
        self._rows = rows
        self._signs = Signs(dimensions)
        self._sum = np.zeros(dimensions)
        """Of all vectors; in double precision, as it is not added up anew."""

    def keep(self, chosen: npt.NDArray[np.bool_]) -> None:
        """See Vectors."""
        self._rows.keep(chosen)
        self._signs.keep(chosen)

    def mean(self, alive: int) -> Vector:
        """See Vectors."""
        return (self._sum / alive).astype(np.float32)


class WholeVectors(_Kept):
    """The vectors themselves, and their signs once there are many."""

    def __init__(self, dimensions: int) -> None:
        super().__init__(Columns({}, vector=dimensions), dimensions)

    def extend(self, table: Table) -> None:
        """See Vectors."""
        self._rows.extend(len(table), vector=table)
        self._sum += table.sum(axis=0, dtype=np.float64)

    def forget(self, place: int, *, of: int) -> None:  # exact without it
        """See Vectors."""
        self._sum -= self._rows["vector"][place]

    def signs(self) -> Signs:
        """See Vectors."""
        self._signs.follow(self._rows["vector"])
        return self._signs

    def agrees(self, place: int, vector: Vector | None) -> bool:
        """See Vectors."""
        row = self._rows["vector"][place]
        same = not row.any() if vector is None else np.array_equal(row, vector)
        return bool(same) and self._signs.agrees(place, vector)

    def held(self) -> npt.NDArray[np.bool_]:
        """See Vectors."""
        return np.asarray(self._rows["vector"].any(axis=1))

    def one(self, place: int) -> Vector | None:
        """See Vectors."""
        vector: Vector = self._rows["vector"][place]
        return vector.copy() if vector.any() else None

    def several(self, places: ranking.Places) -> Table:
        """See Vectors."""
        return np.asarray(self._rows["vector"][places])

    def products(
        self,
        vector: Vector,
        places: ranking.Places,
        known: Known | None,  # nobody knows better
    ) -> ranking.Scores:
        """See Vectors."""
        matrix = self._rows["vector"]
        if 2 * places.size < self._rows.count:  # below that, copying rows costs less than skipping
            return np.asarray(matrix[places] @ vector)
        return np.asarray((matrix @ vector)[places])


class CoarseVectors(_Kept):
    """The signs only: 48 bytes instead of 1.5 KB for 384 dimensions."""

    def __init__(self, dimensions: int) -> None:
        super().__init__(Columns({"held": np.bool_}, vector=0), dimensions)

    def extend(self, table: Table) -> None:
        """See Vectors."""
        self._rows.extend(len(table), held=table.any(axis=1))
        self._signs.extend(table)
        self._sum += table.sum(axis=0, dtype=np.float64)

    def forget(self, place: int, *, of: int) -> None:  # what it was is not known
        """See Vectors. The mean stays what it was, as if an average vector had gone."""
        self._sum -= self._sum / of

    def signs(self) -> Signs:
        """See Vectors."""
        return self._signs

    def agrees(self, place: int, vector: Vector | None) -> bool:
        """See Vectors: as far as it can be told from the signs."""
        held = vector is not None and bool(vector.any())
        return bool(self._rows["held"][place]) == held and self._signs.agrees(place, vector)

    def held(self) -> npt.NDArray[np.bool_]:
        """See Vectors."""
        return self._rows["held"]

    def one(self, place: int) -> Vector | None:
        """See Vectors: one of the same signs."""
        if not self._rows["held"][place]:
            return None
        vector: Vector = self._signs.units(np.array([place]))[0]
        return vector

    def several(self, places: ranking.Places) -> Table:
        """See Vectors: rows of signs, of length 1."""
        return self._signs.units(places)

    def products(
        self, vector: Vector, places: ranking.Places, known: Known | None
    ) -> ranking.Scores:
        """See Vectors. What the server did not tell is estimated."""
        guesses = self._signs.estimates(vector, places)
        guesses[~self._rows["held"][places]] = 0
        return guesses if known is None else known.better(guesses, places)
