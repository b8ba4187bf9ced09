"""A table of numpy columns that grows by doubling."""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

_FIRST_CAPACITY = 64
_MAPPED_BYTES = 4 * 1024 * 1024
"""Rows of so much are in memory of their own, whose pages are moved when it grows: a copy would
take a tenth of a start, and for its time the memory twice.
"""


class Columns:
    """Rows are appended and later dropped; a column is read as an array of all rows.

    Arrays handed out are views: they are to be dropped before the next `append` or `keep`.
    """

    def __init__(self, types: Mapping[str, npt.DTypeLike], *, vector: int) -> None:
        """Make columns of single values by these types, and one named `vector` of float32 rows."""
        self._arrays: dict[str, npt.NDArray[Any]] = {
            name: np.zeros(_FIRST_CAPACITY, dtype=kind) for name, kind in types.items()
        }
        self._vectors = _Vectors(vector)
        self._capacity = _FIRST_CAPACITY
        self.count = 0

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        return self._whole(name)[: self.count]

    def extend(self, count: int, **values: Any) -> int:
        """Add rows by an entry each of every column, or by one for all; return the first place."""
        first = self.count
        if first + count > self._capacity:
            capacity = self._capacity
            while capacity < first + count:
                capacity *= 2
            self._vectors.grow(capacity)
            self._move(capacity, slice(first))
        self.count += count
        for name, value in values.items():
            self._whole(name)[first : self.count] = value
        return first

    def keep(self, chosen: npt.NDArray[np.bool_]) -> None:
        """Drop all rows but the chosen ones, which keep their order."""
        kept = int(chosen.sum())
        capacity = _FIRST_CAPACITY
        while capacity < kept:
            capacity *= 2
        places = np.flatnonzero(chosen)
        self.count = kept
        self._vectors = self._vectors.chosen(places, capacity)
        self._move(capacity, places)

    def _whole(self, name: str) -> npt.NDArray[Any]:
        return self._vectors.rows if name == "vector" else self._arrays[name]

    def _move(self, capacity: int, places: Any) -> None:
        for name, old in self._arrays.items():
            moved = old[places]
            self._arrays[name] = np.zeros(capacity, dtype=old.dtype)
            self._arrays[name][: len(moved)] = moved
        self._capacity = capacity


class _Vectors:
    """Rows of float32, zeros until they are written."""

    def __init__(self, width: int, capacity: int = _FIRST_CAPACITY) -> None:
        self._memory: mmap.mmap | None = None
        self.rows: npt.NDArray[np.float32] = np.zeros((0, width), dtype=np.float32)
        self.grow(capacity)

    def grow(self, capacity: int) -> None:
        """Have so many rows, the first of which stay as they are."""
        width = self.rows.shape[1]
        size = capacity * width * self.rows.itemsize
        if self._memory is None or not self._moved(size):
            memory = _mapped(size) if size >= _MAPPED_BYTES else None
            rows = np.zeros(capacity * width, np.float32) if memory is None else _floats(memory)
            rows[: self.rows.size] = self.rows.ravel()
            self._memory, self.rows = memory, rows.reshape(capacity, width)

    def _moved(self, size: int) -> bool:
        """Have memory of this size by moving its pages; False while somebody looks at it."""
        assert self._memory is not None  # noqa: S101  # that is asked before
        width = self.rows.shape[1]
        self.rows = np.zeros((0, width), dtype=np.float32)
        try:
            self._memory.resize(size)
        except BufferError:
            return False
        finally:
            self.rows = _floats(self._memory).reshape(-1, width)
        return True

    def chosen(self, places: npt.NDArray[np.intp], capacity: int) -> _Vectors:
        """Return these rows by themselves, with room for so many."""
        kept = _Vectors(self.rows.shape[1], capacity)
        for start in range(0, len(places), _FIRST_CAPACITY * 64):
            some = places[start : start + _FIRST_CAPACITY * 64]
            kept.rows[start : start + len(some)] = self.rows[some]
        return kept


def _mapped(size: int) -> mmap.mmap:
    return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


def _floats(memory: mmap.mmap) -> npt.NDArray[np.float32]:
    return np.frombuffer(memory, dtype=np.float32)
