"""What the C library does with memory that is free again.

glibc takes arrays of up to 32 MiB from one heap once such an array was freed, and returns only the
heap's end: after indexes of 50,000 memories were built, some 35 MiB stayed that nobody used. With
other C libraries, which have no such functions, nothing is done.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8
"""From malloc.h."""
_LARGE_BYTES = 4 * 1024 * 1024
"""Larger arrays get pages of their own; those of single searches are smaller, and stay quick."""


def keep_large_arrays_apart() -> None:
    """Let large arrays go back to the system when they are freed. To be called at start."""
    choose = getattr(ctypes.CDLL(None), "mallopt", None)
    if choose is not None:
        choose(_M_MMAP_THRESHOLD, _LARGE_BYTES)


def share_one_heap() -> None:
    """Let all threads take from one heap, for processes that wait more than they compute. To be
    called before there are any.
    """
    choose = getattr(ctypes.CDLL(None), "mallopt", None)
    if choose is not None:
        choose(_M_ARENA_MAX, 1)


def give_back() -> None:
    """Return pages that are free to the system; takes some milliseconds per 100 MiB."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def resident_bytes() -> int:
    """Return how much of this process is in memory; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
