"""The process that copies what is at the destination of backups to the others."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from memorybank.allocation import keep_large_arrays_apart, share_one_heap
from memorybank.background import beside
from memorybank.backup.bringing import SourceMoved
from memorybank.backup.copies import TOLD_SECONDS, Copied, Told
from memorybank.backup.mirroring import Mirror
from memorybank.backup.prepare import Prepared
from memorybank.backup.sides import Side
from memorybank.errors import BackupUnavailable, ConfigurationError, MemoryBankError
from memorybank.server.destinations import backup_of, copies_of, place_of
from memorybank.server.footprint import settle
from memorybank.server.signals import Signals
from memorybank.settings import BackupSettings, Settings

_WHOLE_SECONDS = 3_600.0
"""Between two comparisons of all that there is."""
_AGAIN_SECONDS = 60.0
"""Until the first of them after one that left something out; then twice as long, and so on."""
_MOST_AGAIN_DOUBLED = 4
_ALL_LEVELS_SECONDS = 60.0
"""Between two looks at what was made of single syncs, which are there for five minutes."""
_MOST_PAUSE = 60.0
"""Between two that fail."""
_MOST_DOUBLED = 6
"""How often the pause of a second has to be doubled to be as long."""
_ATTEMPTS = 5
_LAST_SECONDS = 10.0
"""What the last pass may take, when the process is told to end."""
_WORKERS = "TOKIO_WORKER_THREADS"
"""Of the object stores; one for each processor otherwise."""
_MOVED = "what is at the first destination changes faster than it is copied"
_logger = logging.getLogger(__name__)


def run(settings: Settings) -> int:
    """Copy until told to end by a signal. Raises ConfigurationError."""
    _stay_small()
    backup = backup_of(settings)
    if not backup.copies:
        raise ConfigurationError(
            "there are no copies in the settings",
            field="backup.copies",
            hint="name a destination in backup.copies, or do not start this",
        )
    prepared = Prepared.load(backup.run_dir)
    before = Told.load(backup.run_dir)
    told = {} if before is None else {each.name: each for each in before.copies}
    keepers = [
        Keeper(
            partial(_mirror, backup, each.name, prepared.epoch.name),
            told.get(each.name, Copied(name=each.name)),
            pause=backup.copy_seconds,
        )
        for each in backup.copies
    ]
    settle()
    asyncio.run(_keep(keepers, backup.run_dir))
    return 0


def _stay_small() -> None:
    """Bound what threads take, however many processors there are: it is for them to wait."""
    keep_large_arrays_apart()
    share_one_heap()
    os.environ.setdefault(_WORKERS, "1")


def _mirror(backup: BackupSettings, name: str, epoch: str) -> Mirror:
    """Return what makes the copy of this name. Raises ConfigurationError."""
    return Mirror(
        Side(place_of(backup), "the first destination"),
        Side(copies_of(backup)[name], f"the copy {name}"),
        epoch,
        keep=timedelta(hours=backup.retention_hours),
    )


async def _keep(keepers: list[Keeper], run_dir: Path) -> None:
    ended = Signals().first
    try:
        async with beside(_tell(keepers, run_dir)), asyncio.TaskGroup() as group:
            for each in keepers:
                group.create_task(each.run(ended))
    finally:
        _save(keepers, run_dir)


async def _tell(keepers: list[Keeper], run_dir: Path) -> None:
    told = ""
    while True:
        problem = _save(keepers, run_dir)
        if problem and problem != told:
            _logger.warning("how far the copies are cannot be told: %s", problem)
        told = problem
        await asyncio.sleep(TOLD_SECONDS)


def _save(keepers: list[Keeper], run_dir: Path) -> str:
    """Tell the service; return why that is not possible. The service says so by itself, and what is
    told is found out anew after each start: it is no reason to end.
    """
    try:
        Told(at=datetime.now(UTC), copies=tuple(each.seen for each in keepers)).save(run_dir)
    except ConfigurationError as error:
        return error.message
    return ""


@dataclass(slots=True)
class Keeper:
    """Keeps one copy as it should be, pass after pass."""

    make: Callable[[], Mirror]
    """Done for each comparison of all: keys may be others by then. One that cannot be read is no
    reason to end, and is read again.
    """
    known: Copied
    pause: float
    """Seconds between two passes."""
    _mirror: Mirror | None = None
    _failures: int = 0
    _left_out: int = 0
    """How many comparisons in a row left something out."""
    _compared: float = field(default=float("-inf"))
    """When all was compared last and was well since, by a clock of its own."""
    _looked: float = field(default=float("-inf"))
    """When all levels were looked at last."""

    @property
    def seen(self) -> Copied:
        """What is known of the copy now."""
        waiting = None if self._mirror is None else self._mirror.waiting_bytes
        return self.known.model_copy(update={"waiting_bytes": waiting})

    @property
    def rest(self) -> float:
        """Seconds until the next pass."""
        doubled = 1 << min(self._failures, _MOST_DOUBLED)
        return min(self.pause * doubled, max(_MOST_PAUSE, self.pause))

    async def run(self, ended: asyncio.Event) -> None:
        """Make passes until told to end, and a last one then."""
        stop = asyncio.create_task(ended.wait())
        look: asyncio.Task[None] | None = None
        while not stop.done():
            look = asyncio.create_task(self.look())
            await asyncio.wait((look, stop), return_when=asyncio.FIRST_COMPLETED)
            if look.done():
                await look
                await asyncio.wait((stop,), timeout=self.rest)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_SECONDS):
                if look is not None:
                    await look
                await self.look()

    async def look(self) -> None:
        """Make one pass, and note what came of it."""
        began = datetime.now(UTC)
        try:
            for _ in range(_ATTEMPTS):
                try:
                    await self._pass()
                    break
                except SourceMoved:
                    self._compared = float("-inf")
            else:
                raise BackupUnavailable(_MOVED)
        except MemoryBankError as error:
            self._failed(error.message, began)
        except Exception:
            # A container that ends makes its pod unready, and the bank with it.
            _logger.exception("the copy %s does not go on", self.known.name)
            self._failed("copying failed unexpectedly, see the log of what copies", began)
        else:
            problem = "" if self._mirror is None else self._mirror.problem
            if problem:
                self._tell(problem, began)
                self._failures = 0
            else:
                self._copied(began)

    async def _pass(self) -> None:
        now = time.monotonic()
        mirror = self._mirror
        if mirror is None or now - self._compared >= self._whole_seconds:
            mirror = self._made_anew()
            await mirror.whole()
            self._compared = self._looked = now
            self._left_out = self._left_out + 1 if mirror.problem else 0
        elif now - self._looked >= _ALL_LEVELS_SECONDS:
            await mirror.recent(syncs_only=False)
            self._looked = now
        else:
            await mirror.recent(syncs_only=True)

    def _made_anew(self) -> Mirror:
        """Return what copies by the keys that there are now. Raises ConfigurationError."""
        made = self.make()
        if self._mirror is not None:
            made.go_on_from(self._mirror)
        self._mirror = made
        return made

    @property
    def _whole_seconds(self) -> float:
        if self._mirror is None or not self._mirror.problem:
            return _WHOLE_SECONDS
        return _AGAIN_SECONDS * (1 << min(max(self._left_out - 1, 0), _MOST_AGAIN_DOUBLED))

    def _copied(self, at: datetime) -> None:
        if self.known.problem:
            _logger.info("the copy %s goes on", self.known.name)
        self._failures = 0
        self.known = Copied(name=self.known.name, copied_at=at)

    def _failed(self, problem: str, at: datetime) -> None:
        self._tell(problem, at)
        self._failures += 1
        self._compared = float("-inf")

    def _tell(self, problem: str, at: datetime) -> None:
        if problem != self.known.problem:
            _logger.warning("the copy %s does not go on: %s", self.known.name, problem)
        since = self.known.problem_since or at
        self.known = self.known.model_copy(update={"problem": problem, "problem_since": since})
