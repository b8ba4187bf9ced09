"""Vectors that know which embedding space they are of.

While a bank goes over to another embedding model, vectors of both are on their way through it. One
that was made before the switch and arrives after it must neither be compared with the others nor
stored as one of them, whatever its length; so it carries the name of its space with it. Rows and
slices of an array keep the name, arithmetic with others loses nothing that matters.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from typing_extensions import override

from memorybank.ports import Vector


class _OfSpace(np.ndarray[Any, np.dtype[np.float32]]):
    space: str | None = None

    @override
    def __array_finalize__(self, source: Any) -> None:
        self.space = getattr(source, "space", None)


def of_space(vectors: Vector, space: str) -> Vector:
    """Return the vectors, marked as of an embedding space."""
    marked = vectors.view(_OfSpace)
    marked.space = space
    return marked


def space_of(vector: Vector) -> str | None:
    """Return the space that a vector is marked with; None means the one in use."""
    return vector.space if isinstance(vector, _OfSpace) else None
