"""What the service does for itself from time to time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from memorybank.auth.authenticator import Authenticator
from memorybank.errors import MemoryBankError
from memorybank.ports import AccessStore

_logger = logging.getLogger(__name__)

_INTERVAL_SECONDS = 30.0


class Housekeeping:
    """Finishes what a crash cut short, then stores in batches what requests only count."""

    def __init__(
        self,
        store: AccessStore,
        authenticator: Authenticator,
        *,
        interval_seconds: float = _INTERVAL_SECONDS,
    ) -> None:
        self._store = store
        self._authenticator = authenticator
        self._interval = interval_seconds

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Work in the background until left; what was counted by then is stored, too."""
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self._flush()

    async def _run(self) -> None:
        try:
            await self._store.finish_deletions()
        except MemoryBankError as error:
            _logger.warning("a tenant could not be erased: %s", error.message)
        while True:
            await asyncio.sleep(self._interval)
            await self._flush()

    async def _flush(self) -> None:
        try:
            await self._authenticator.store_use()
        except MemoryBankError as error:  # it stays counted, for the next time
            _logger.warning("the use of keys could not be noted: %s", error.message)
