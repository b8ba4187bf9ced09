"""Keeping the idle process small."""

from __future__ import annotations

import gc

from memorybank.allocation import give_back


def settle() -> None:
    """Call once when everything is loaded: return what loading needed to the system.

    Loading the model and the libraries leaves tens of MiB of free memory that the C library keeps.
    What is alive now will stay alive, so the garbage collector need not look at it again.
    """
    gc.collect()
    gc.freeze()
    give_back()
