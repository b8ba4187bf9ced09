"""How services say how long their steps take, without knowing who listens."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

Timed = Callable[[str], AbstractContextManager[None]]
"""`with timed("embed"): ...` measures one step under a name from a small fixed set."""


def untimed(_step: str) -> AbstractContextManager[None]:
    """Measure nothing."""
    return nullcontext()


Counted = Callable[[str, str], None]
"""Hears that something was done with a thing of a kind: both are from small fixed sets."""


def uncounted(_kind: str, _what: str) -> None:
    """Count nothing."""
