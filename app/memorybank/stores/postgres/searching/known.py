"""What is known of a tenant as a whole: how telling its words are, its mean vector.

Counting it for each search would take longer than the search. It is remembered until a fiftieth of
the tenant's memories may have changed, by which a score hardly changes; how many hold a word that
few hold not even so long. The rarest are counted each time: that is quickly done, and one that
nobody held may be in what was stored a moment ago. What is remembered is bounded, and is no memory.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np

from memorybank.ports import Vector
from memorybank.stores.postgres.searching import statements
from memorybank.stores.postgres.searching.statements import Held, Totals
from memorybank.stores.postgres.searching.tables import Space
from memorybank.stores.sql.connection import Connection

_STALE = 50
_COMMON = 50
"""Memories that hold a word whose count is remembered,"""
_TIMES = 4
"""until there may be so many times more."""
_WORDS = 20_000
_TENANTS = 1_000

Key = TypeVar("Key")
Value = TypeVar("Value")


class _Remembered(Generic[Key, Value]):
    """The values asked for last, and since which change of the feed each is known."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[Key, tuple[Value, int]] = OrderedDict()
        self._gate = threading.Lock()

    def get(self, key: Key, *, at: int, lasts: Callable[[Value], int]) -> Value | None:
        """Return a value unless more changes came since than it lasts for."""
        with self._gate:
            found = self._values.get(key)
            if found is None or at - found[1] > lasts(found[0]):
                return None
            self._values.move_to_end(key)
            return found[0]

    def put(self, key: Key, value: Value, *, at: int) -> None:
        with self._gate:
            self._values[key] = value, at
            self._values.move_to_end(key)
            if len(self._values) > self._most:
                self._values.popitem(last=False)

    def clear(self) -> None:
        with self._gate:
            self._values.clear()


@dataclass(frozen=True)
class Known:
    """What is remembered, of all tenants."""

    totals: _Remembered[str, Totals] = field(default_factory=lambda: _Remembered(_TENANTS))
    held: _Remembered[tuple[str, str], Held] = field(default_factory=lambda: _Remembered(_WORDS))
    means: _Remembered[tuple[str, str], Vector] = field(
        default_factory=lambda: _Remembered(_TENANTS)
    )

    def of(self, connection: Connection, tenant: str, *, at: int) -> KnownTenant:
        """Return what a search may ask, by the change up to which the tables are known to be."""
        return KnownTenant(self, connection, tenant, at)

    def forget(self) -> None:
        """Count everything anew."""
        for each in (self.totals, self.held, self.means):
            each.clear()


@dataclass(frozen=True)
class KnownTenant:
    """What is known of one tenant; what is not yet, or no longer, is asked of the database."""

    known: Known
    connection: Connection
    tenant: str
    at: int

    def totals(self) -> Totals:
        """Return what there is."""
        found = self.known.totals.get(self.tenant, at=self.at, lasts=_lasting)
        if found is None:
            found = statements.totals(self.connection, self.tenant)
            self.known.totals.put(self.tenant, found, at=self.at)
        return found

    def held(self, roots: Sequence[str]) -> dict[str, Held]:
        """Return what holds each of these words."""
        most = _lasting(self.totals())
        found = {
            root: self.known.held.get(
                (self.tenant, root),
                at=self.at,
                lasts=lambda held: min(most, _TIMES * held.memories),
            )
            for root in roots
        }
        missing = [root for root, held in found.items() if held is None]
        counted = statements.held(self.connection, self.tenant, missing) if missing else {}
        for root, held in counted.items():
            if held.memories >= _COMMON:
                self.known.held.put((self.tenant, root), held, at=self.at)
        return {root: held for root, held in (found | counted).items() if held is not None}

    def mean(self, space: Space) -> Vector:
        """Return the mean of the vectors of all memories; those without one count as zeros."""
        totals = self.totals()
        key = (self.tenant, space.table)
        found = self.known.means.get(key, at=self.at, lasts=lambda _: _lasting(totals))
        if found is None:
            count, mean = statements.summed(self.connection, self.tenant, space.table)
            share = np.float32(count / max(1, totals.memories))
            zeros = np.zeros(space.dimensions, dtype=np.float32)
            found = zeros if mean is None else mean * share
            self.known.means.put(key, found, at=self.at)
        return found


def _lasting(totals: Totals) -> int:
    """Return after how many changes what is remembered of a tenant is counted anew."""
    return totals.memories // _STALE
