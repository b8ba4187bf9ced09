"""What the service does at the destination of its backups, beside what Litestream writes there."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from memorybank.backup.chain import Epoch, lineage
from memorybank.backup.destination import SILENT, Destination
from memorybank.backup.points import Points
from memorybank.backup.prepare import Prepared, forget_states
from memorybank.backup.rewinds import Rewinds
from memorybank.errors import BackupDamaged, BackupUnavailable, Conflict

_WRITE_SECONDS = 8.0
_TIDY_SECONDS = 900.0
"""A hundred thousand objects are listed in a minute."""
_logger = logging.getLogger(__name__)


class Care:
    """See watch.Care."""

    def __init__(
        self,
        destination: Destination,
        points: Points,
        prepared: Prepared,
        database: Path,
        *,
        keep: timedelta,
    ) -> None:
        self._destination = destination
        self._points = points
        self._epoch = prepared.epoch
        self._database = database
        self._keep = keep
        self._line: Sequence[Epoch] = ()
        """The epochs that the newest one went on from, when it was looked last; they only go."""

    async def record(self) -> None:
        """Write the epoch down that could not be when it began, once those before it can be read.
        Raises BackupUnavailable.
        """
        try:
            async with asyncio.timeout(_WRITE_SECONDS):
                with contextlib.suppress(BackupDamaged):  # as when it began
                    await self._destination.begun()
                await self._destination.begin(self._epoch)
        except (TimeoutError, Conflict) as error:
            words = error.message if isinstance(error, Conflict) else SILENT
            raise BackupUnavailable(words) from None
        _logger.info("the epoch %s is recorded", self._epoch.name)

    async def reach(self) -> None:
        """Find out whether the destination takes anything. Raises BackupUnavailable."""
        try:
            async with asyncio.timeout(_WRITE_SECONDS):
                await self._destination.reach(self._epoch)
        except TimeoutError:
            raise BackupUnavailable(SILENT) from None

    async def clear(self) -> None:
        """Let what replicates go on from what had arrived one by one. Raises BackupUnavailable."""
        try:
            async with asyncio.timeout(_WRITE_SECONDS):
                await self._destination.forget_ahead(self._epoch)
        except TimeoutError:
            raise BackupUnavailable(SILENT) from None

    async def tidy(self) -> None:
        """Remove the epochs of which nothing is kept, here and there, the recovery points that have
        expired, and what was kept of rewinds for as long. Raises BackupUnavailable and
        BackupDamaged.

        What is old is told by the clock of the destination, where something arrived just now.
        """
        self._line = ()
        forget_states(self._database, but=self._epoch.name)
        self._forget_rewinds()
        try:
            async with asyncio.timeout(_TIDY_SECONDS):
                chain = await self._destination.chain()
                now = max(chain.written.values(), default=self._epoch.began)
                for each in chain.expired(keep=self._keep, now=now, own=self._epoch.name):
                    gone = await self._destination.remove(each)
                    _logger.info("the epoch %s is removed: %d objects", each.name, gone)
                await self._points.tidy(now)
        except TimeoutError:
            raise BackupUnavailable(SILENT) from None

    async def since(self) -> datetime | None:
        """Return from when on every moment can be restored, by the clock of the destination; None
        while there is no whole copy. Raises BackupUnavailable and BackupDamaged.
        """
        try:
            async with asyncio.timeout(_WRITE_SECONDS):
                if not self._line:
                    epochs, newest = await self._destination.look(seconds=_WRITE_SECONDS)
                    self._line = () if newest is None else tuple(lineage(epochs, newest))
                return await self._destination.since(self._line)
        except TimeoutError:
            raise BackupUnavailable(SILENT) from None

    def _forget_rewinds(self) -> None:
        try:
            Rewinds(self._database).forget(older_than=self._keep)
        except (OSError, BackupDamaged) as error:
            _logger.warning("what was kept of a rewind could not be removed: %s", error)
