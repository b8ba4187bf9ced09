"""What the services of one process share about changes: how far they are, and who is at which."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from weakref import WeakValueDictionary


class Ledger:
    """Knows the newest change that anybody was told of, and keeps changes of one thing in line."""

    def __init__(self, seq: int) -> None:
        """`seq` is that of the newest change in the store."""
        self.acknowledged = seq
        self._locks: WeakValueDictionary[Hashable, asyncio.Lock] = WeakValueDictionary()

    def acknowledge(self, seq: int) -> None:
        """Note a change whose maker is about to be told; recalls wait until it can be found."""
        self.acknowledged = max(self.acknowledged, seq)

    @asynccontextmanager
    async def alone_with(self, things: Iterable[Hashable]) -> AsyncIterator[None]:
        """Let nobody else into a block about any of these things.

        They are taken in one order by everybody, so that no two callers wait for each other. A
        lock lives as long as somebody holds or awaits it.
        """
        async with AsyncExitStack() as stack:
            for thing in sorted(set(things), key=repr):
                lock = self._locks.setdefault(thing, asyncio.Lock())
                await stack.enter_async_context(lock)
            yield
