"""How a whole bank that is copied is told: step by step, and by what it holds in the end."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from memorybank.cli.show import Progress, table

if TYPE_CHECKING:
    from memorybank.stores.sql.contents import Census

_SHOWN = ("memories", "revisions", "links", "vectors", "keys", "audit")


class Steps:
    """Tells a line for each step, and between them how far it is where somebody watches."""

    def __init__(self) -> None:
        self._bar: Progress | None = None

    def step(self, said: str) -> None:
        """See Watcher."""
        self.over()
        sys.stderr.write(f"{said}\n")
        sys.stderr.flush()

    def at(self, table: str, done: int, total: int) -> None:
        """See Watcher."""
        self._bar = Progress("copying", total)
        self._bar.at(done, f"{table} {done:,}/{total:,}")

    def over(self) -> None:
        """Leave the line empty."""
        if self._bar is not None:
            self._bar.over()
            self._bar = None


def counted(census: Census) -> list[dict[str, Any]]:
    """Return what each tenant has, with a digest of all of it."""
    return [
        {
            "tenant": name,
            **{each: census.counts.get((name, each), 0) for each in _SHOWN},
            "digest": census.digest(name),
        }
        for name in census.owners()
    ]


def listed(tenants: Sequence[dict[str, Any]]) -> str:
    """Return that as a table."""
    return table(tenants, ("tenant", *_SHOWN, "digest"), nothing="no tenants")


def told_broken(logs: Iterable[str]) -> list[str]:
    """Return a line for each audit log that was broken before."""
    return [f"THE AUDIT LOG WAS BROKEN BEFORE of {each}" for each in logs]
