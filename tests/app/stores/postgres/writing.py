"""Writers that go on whatever becomes of the database."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from memorybank.errors import StoreUnavailable
from memorybank.stores.postgres import PostgresStore
from tests.support.memory_samples import a_memory, a_vector

COUNT, PATIENCE_SECONDS = 4, 120
Item = TypeVar("Item")


class Writers:
    """Tasks that store memories of the tenant `acme` until they are stopped."""

    def __init__(self, store: PostgresStore) -> None:
        """Begin."""
        self._store = store
        self._stopped = asyncio.Event()
        self.acknowledged: asyncio.Queue[str] = asyncio.Queue()
        """Ids of the memories that are stored."""
        self.failed: asyncio.Queue[StoreUnavailable] = asyncio.Queue()
        self._tasks = [asyncio.create_task(self._write()) for _ in range(COUNT)]

    async def stop(self) -> None:
        """End when what is under way has its answer."""
        self._stopped.set()
        await asyncio.gather(*self._tasks)

    async def _write(self) -> None:
        while not self._stopped.is_set():
            memory = a_memory()
            try:
                await self._store.add(memory, a_vector())
            except StoreUnavailable as error:
                self.failed.put_nowait(error)
                await asyncio.sleep(0.01)
            else:
                self.acknowledged.put_nowait(memory.id)


async def some(queue: asyncio.Queue[Item], count: int) -> list[Item]:
    """Return so many more of what came. Raises TimeoutError when they do not come."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        return [await queue.get() for _ in range(count)]
