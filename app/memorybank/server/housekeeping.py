"""What the service does for itself from time to time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from memorybank.auth.authenticator import Authenticator
from memorybank.errors import MemoryBankError
from memorybank.ports import AccessStore
from memorybank.services.activity import Activity
from memorybank.services.adding import IDEMPOTENCY_KEPT
from memorybank.services.leadership import Leadership

_logger = logging.getLogger(__name__)

_NOTING_SECONDS = 30.0
_TIDYING_SECONDS = 3_600.0


class Housekeeping:
    """Stores in batches what requests only count, and looks after what is left lying about.

    The latter is for one of the processes that share a store: the one that leads.
    """

    def __init__(
        self,
        store: AccessStore,
        authenticator: Authenticator,
        activity: Activity,
        leadership: Leadership,
        *,
        audit_days: int | None,
    ) -> None:
        self._store = store
        self._authenticator = authenticator
        self._activity = activity
        self._leadership = leadership
        self._audit_days = audit_days

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Work in the background until left; what was counted by then is stored, too."""
        tasks = [asyncio.create_task(each) for each in (self._note(), self._tidy())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._flush()

    async def _note(self) -> None:
        while True:
            await asyncio.sleep(_NOTING_SECONDS)
            await self._flush()

    async def _tidy(self) -> None:
        while True:
            await self._leadership.gained()
            await self._finish()
            await self._prune()
            await asyncio.sleep(_TIDYING_SECONDS)

    async def _finish(self) -> None:
        """Finish what a process began that was killed."""
        try:
            await self._store.finish_deletions()
            await self._store.rewrap_keys()
        except MemoryBankError as error:
            _logger.warning("work of the last run could not be finished: %s", error.message)

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
