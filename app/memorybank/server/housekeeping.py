"""What the service does for itself from time to time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from memorybank.auth.authenticator import Authenticator
from memorybank.errors import MemoryBankError
from memorybank.ports import AccessStore
from memorybank.services.activity import Activity
from memorybank.services.adding import IDEMPOTENCY_KEPT

_logger = logging.getLogger(__name__)

_INTERVAL_SECONDS = 30.0
_PRUNING_SECONDS = 3_600.0


class Housekeeping:
    """Finishes what a crash cut short, then stores in batches what requests only count."""

    def __init__(
        self,
        store: AccessStore,
        authenticator: Authenticator,
        activity: Activity,
        *,
        audit_days: int | None,
    ) -> None:
        self._store = store
        self._authenticator = authenticator
        self._activity = activity
        self._audit_days = audit_days

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
            await self._store.rewrap_keys()
        except MemoryBankError as error:
            _logger.warning("work of the last run could not be finished: %s", error.message)
        pruned = float("-inf")
        while True:
            if time.monotonic() - pruned >= _PRUNING_SECONDS:
                pruned = time.monotonic()
                await self._prune()
            await asyncio.sleep(_INTERVAL_SECONDS)
            await self._flush()

    async def _prune(self) -> None:
        now = datetime.now(UTC)
        try:
            await self._store.prune_claims(now - IDEMPOTENCY_KEPT)
            if self._audit_days is not None:
                await self._store.prune_audit(now - timedelta(days=self._audit_days))
        except MemoryBankError as error:
            _logger.warning("what is too old could not be dropped: %s", error.message)

    async def _flush(self) -> None:
        try:
            await self._authenticator.store_use()
            await self._activity.store()
        except MemoryBankError as error:  # it stays noted, for the next time
            _logger.warning("the use of the service could not be noted: %s", error.message)
