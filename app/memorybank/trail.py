"""Who is acting in this request, for whatever records it."""

from __future__ import annotations

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


def acting() -> str:
    """Return who acts now, and note that it is recorded."""
    current = actor.get()
    if current is None:
        return SYSTEM
    current.recorded = True
    return current.name
