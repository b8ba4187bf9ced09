"""How sure one can be of a share that was seen a few times."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

Z = 1.96
"""Of a confidence of 95 %, both sides."""

Number = TypeVar("Number", float, "npt.NDArray[np.float64]")


def lower_bound(well: Number, count: Number) -> Number:
    """Return the lower bound of the Wilson score interval of a share `well / count`.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", Journal
    of the American Statistical Association 22 (158), 1927, pages 209 to 212. Three of three are
    0.44, thirty of thirty 0.89: few observations are not taken for many. `count` is above 0.
    """
    share = well / count
    square = Z * Z / count
    spread = Z * (share * (1 - share) / count + square / (4 * count)) ** 0.5
    lower: Number = (share + square / 2 - spread) / (1 + square)
    return lower
