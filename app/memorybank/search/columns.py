"""A table of numpy columns that grows by doubling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

_FIRST_CAPACITY = 64


class Columns:
    """Rows are appended and later dropped; a column is read as an array of all rows.

    Arrays handed out are views: they are to be dropped before the next `append` or `keep`.
    """

    def __init__(self, types: Mapping[str, npt.DTypeLike], *, vector: int) -> None:
        """Make columns of single values by these types, and one named `vector` of float32 rows."""
        self._arrays: dict[str, npt.NDArray[Any]] = {
            name: np.zeros(_FIRST_CAPACITY, dtype=kind) for name, kind in types.items()
        }
        self._arrays["vector"] = np.zeros((_FIRST_CAPACITY, vector), dtype=np.float32)
        self._capacity = _FIRST_CAPACITY
        self.count = 0

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        return self._arrays[name][: self.count]

    def extend(self, count: int, **values: Any) -> int:
        """Add rows by an entry each of every column, or by one for all; return the first place."""
        first = self.count
        if first + count > self._capacity:
            capacity = self._capacity
            while capacity < first + count:
                capacity *= 2
            self._move(capacity, slice(first))
        self.count += count
        for name, value in values.items():
            self._arrays[name][first : self.count] = value
        return first

    def keep(self, chosen: npt.NDArray[np.bool_]) -> None:
        """Drop all rows but the chosen ones, which keep their order."""
        kept = int(chosen.sum())
        capacity = _FIRST_CAPACITY
        while capacity < kept:
            capacity *= 2
        places = np.flatnonzero(chosen)
        self.count = kept
        self._move(capacity, places)

    def _move(self, capacity: int, places: Any) -> None:
        for name, old in self._arrays.items():
            moved = old[places]
            self._arrays[name] = np.zeros((capacity, *old.shape[1:]), dtype=old.dtype)
            self._arrays[name][: len(moved)] = moved
        self._capacity = capacity
