"""Whether backups are fresh, as seen by the service that writes what is replicated."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

from memorybank.background import beside
from memorybank.backup.backlog import Backlog, copy_seconds
from memorybank.backup.prepare import Prepared
from memorybank.errors import BackupUnavailable, MemoryBankError

LOOK_SECONDS = 10.0
"""Between two looks, unless what is written may wait for longer than that."""
_AGAIN_SECONDS = 3.0
"""Between two that fail: what was refused meanwhile is waited for."""
SYNC_SECONDS = 8.0
"""How long a look waits for what was written to arrive."""
_TIDY_SECONDS = 24 * 3_600.0
_SURVEY_SECONDS = 600.0
"""Between two looks at what can be restored, of which the oldest expires now and then."""
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Freshness:
    """What is known of the backups now."""

    synced_at: datetime | None = None
    """When everything that was committed then is known to have arrived: to when the bank can be
    restored.
    """
    recoverable_from: datetime | None = None
    """From when on every moment can be restored."""
    problem: str = ""
    """Why the last look failed."""
    problem_since: datetime | None = None


class Care(Protocol):
    """What is done at the destination beside replicating."""

    async def record(self) -> None:
        """Write the epoch down, unless it is. Raises BackupUnavailable."""

    async def tidy(self) -> None:
        """Remove what is kept for nobody. Raises BackupUnavailable."""

    async def since(self) -> datetime | None:
        """Return from when on every moment can be restored. Raises BackupUnavailable."""


class Watch:
    """Asks Litestream again and again whether everything has arrived, and remembers the answer."""

    def __init__(
        self,
        prepared: Prepared,
        sync: Callable[[float], str | None],
        care: Care,
        backlog: Backlog,
        *,
        look_seconds: float,
        database_bytes: int,
        looked: Callable[[Freshness], None] = lambda _: None,
    ) -> None:
        """`sync` returns when everything has arrived, the last transaction of it, or raises
        BackupUnavailable; it is called in a thread. `looked` hears what each look finds.
        """
        self.prepared = prepared
        self._sync = sync
        self._care = care
        self._backlog = backlog
        self._look_seconds = look_seconds
        self._looked = looked
        self._seen = Freshness()
        self._recorded = prepared.recorded
        # Nothing is known against the destination while the first copy is on its way.
        patience = copy_seconds(database_bytes)
        self._first_until = time.monotonic() + patience if prepared.recorded else 0.0
        self._tidied = float("-inf")
        self._surveyed = float("-inf")
        self._asked = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def seen(self) -> Freshness:
        """What the last look found."""
        return self._seen

    def look_soon(self) -> None:
        """Look at once, for a thread that met a problem."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._asked.set)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Look in the background until left."""
        self._loop = asyncio.get_running_loop()
        try:
            async with beside(self._run()):
                yield
        finally:
            self._loop = None

    async def look(self) -> None:
        """Ask once, and note the answer."""
        began = datetime.now(UTC)
        try:
            if not self._recorded:
                await self._care.record()
                self._recorded = True
            if self._backlog.held:
                await self._backlog.let_go()
                return  # Litestream only starts now
            arrived = await asyncio.to_thread(self._sync, SYNC_SECONDS)
        except BackupUnavailable as error:
            self._failed(error, began)
            await self._backlog.failed(error)
        else:
            self._synced(began)
            self._backlog.arrived(arrived)

    async def _run(self) -> None:
        while True:
            began = time.monotonic()
            self._asked.clear()
            await self.look()
            if not self._seen.problem and self._seen.synced_at is not None:
                await self._tidy()
                await self._survey()
            pause = _AGAIN_SECONDS if self._seen.problem else self._look_seconds
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, pause - (time.monotonic() - began))):
                    await self._asked.wait()

    def _synced(self, at: datetime) -> None:
        if self._seen.problem:
            _logger.info("backups arrive again")
        self._note(replace(self._seen, synced_at=at, problem="", problem_since=None))

    def _failed(self, error: BackupUnavailable, at: datetime) -> None:
        first = self._seen.synced_at is None and time.monotonic() < self._first_until
        if error.late and first and not self._seen.problem:
            return
        if error.message != self._seen.problem:
            _logger.warning("backups do not arrive: %s", error.message)
        since = self._seen.problem_since or at
        self._note(replace(self._seen, problem=error.message, problem_since=since))

    def _note(self, seen: Freshness) -> None:
        self._seen = seen
        self._looked(seen)

    async def _tidy(self) -> None:
        if time.monotonic() - self._tidied < _TIDY_SECONDS:
            return
        self._tidied = time.monotonic()
        try:
            await self._care.tidy()
        except MemoryBankError as error:
            _logger.warning("old backups could not be removed: %s", error.message)

    async def _survey(self) -> None:
        """Find out from when on every moment can be restored; again soon while nothing can be."""
        since = self._seen.recoverable_from
        if since is not None and time.monotonic() - self._surveyed < _SURVEY_SECONDS:
            return
        self._surveyed = time.monotonic()
        try:
            found = await self._care.since()
        except MemoryBankError as error:
            _logger.warning("what can be restored could not be listed: %s", error.message)
            return
        if found != since:
            self._note(replace(self._seen, recoverable_from=found))
