"""The lease of a store that several processes share, without the store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from typing_extensions import override

from memorybank.errors import StoreUnavailable
from memorybank.ports import Marks, SharedStore
from memorybank.services.leadership import Leadership


class Lease(SharedStore):
    """Gives the lease as every shared store does, by a clock that the test sets."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.holder: str | None = None
        self.ends_at = 0.0
        self.down = False
        self.looks = 0
        self.answered: Callable[[], None] = lambda: None
        """Called when a lease was given, before whoever asked hears of it."""

    @override
    async def marks(self) -> Marks:
        raise NotImplementedError

    @override
    async def lead(self, holder: str, *, seconds: int) -> bool:
        self.looks += 1
        if self.down:
            raise StoreUnavailable("the store is down")
        if self.holder not in (None, holder) and self.now < self.ends_at:
            return False
        self.holder, self.ends_at = holder, self.now + seconds
        self.answered()
        return True

    @override
    async def resign(self, holder: str) -> None:
        if self.holder == holder:
            self.holder = None

    def process(self) -> Leadership:
        return Leadership(self, lease_seconds=15, look_seconds=0, clock=lambda: self.now)

    async def seen(self) -> None:
        """Return when everybody has looked once more, at least."""
        until = self.looks + 10
        while self.looks < until:  # noqa: ASYNC110  # nothing tells
            await asyncio.sleep(0)
