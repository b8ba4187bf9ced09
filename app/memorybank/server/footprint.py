"""Keeping the idle process small."""

from __future__ import annotations

import ctypes
import gc


def settle() -> None:
    """Call once when everything is loaded: return what loading needed to the system.

    Loading the model and the libraries leaves tens of MiB of free memory that glibc keeps; other C
    libraries have no malloc_trim and are left alone. What is alive now will stay alive, so the
    garbage collector need not look at it again.
    """
    gc.collect()
    gc.freeze()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
