"""Who is acting in this request, for whatever records it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

SYSTEM = "system"


@dataclass(slots=True)
class Actor:
    """The caller of the request under way."""

    name: str
    """Tenant and id of the key."""
    recorded: bool = False
    """Whether a write of this request is recorded, or asked to be."""


actor: ContextVar[Actor | None] = ContextVar("actor", default=None)
_told_again: ContextVar[bool] = ContextVar("told_again", default=False)


def acting() -> str:
    """Return who acts now, and note that it is recorded."""
    current = actor.get()
    if current is None:
        return SYSTEM
    current.recorded = True
    return current.name


@contextmanager
def told_again(is_so: bool = True) -> Iterator[None]:
    """Mark what is written within as something that its writer tells each database anew: probes,
    and what is managed elsewhere. It is no loss.
    """
    token = _told_again.set(is_so)
    try:
        yield
    finally:
        _told_again.reset(token)


def is_told_again() -> bool:
    """Return whether what is written now is told to each database anew."""
    return _told_again.get()
