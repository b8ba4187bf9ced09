"""A copy of a bank's database that is kept the same as its backups are.

The newest epoch is restored into a file of its own, and what arrives later is brought into that.
When the bank goes on in another epoch, after a start or a rewind, that one is restored beside it
and takes its place: the way from one to the other is nowhere.

    00000002-c4d1e20f.db    the copy
    position                which file that is, of which epoch, and up to which transaction; it may
                            be further

A position is written behind the changes, so after a crash some are brought in a second time. Pages
are what they are however often they are written, as long as all of them are up to the newest.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from memorybank.backup.arrivals import Arrivals, Missing, joined
from memorybank.backup.chain import Epoch, number_of
from memorybank.backup.destination import REACH_SECONDS, SILENT, Destination
from memorybank.backup.restoring import Restorer
from memorybank.errors import BackupUnavailable, MemoryBankError, NotFound

_POSITION = "position"
_EPOCH_SECONDS = 5.0
"""Between two looks for a newer epoch, and for what the first level has no more."""
_LOOK_SECONDS = 20.0
"""How long a look may take that reads nothing large."""
_LONGEST_PAUSE_SECONDS = 10.0
"""Between two looks while they fail."""
_AHEAD = "a whole copy at the destination is ahead of everything else there"
_MOST_BYTES = 256 * 1024 * 1024
"""Of changes that are brought in at once; for more the epoch is restored anew."""
_logger = logging.getLogger(__name__)


class Files(Protocol):
    """What is done with files of a database that nobody reads."""

    def settle(self, file: Path) -> None:
        """Make a restored file one that can be read, and brought on."""

    def recover(self, file: Path) -> None:
        """Undo what was not brought in to its end."""

    def forget(self, file: Path) -> None:
        """Remove what is left beside a file that is to be replaced."""

    def put(self, file: Path, pages: Mapping[int, bytes], *, count: int, page_bytes: int) -> None:
        """Bring in pages, all or none."""


class Reader(Protocol):
    """Who reads the copy."""

    async def put(self, changed: Mapping[int, bytes], *, count: int, page_bytes: int) -> bool:
        """Bring in pages, all or none; False when that must wait."""

    async def switch(self, path: Path) -> bool:
        """Read another copy; False when that must wait."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a copy is."""

    file: str
    epoch: str
    transaction: int
    written_at: datetime | None = None
    """When the last changes were replicated, by the clock of who did; None before any arrived."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the last looks found."""

    position: Position
    known_at: float | None = None
    """What had arrived by then is here, by a clock that nobody can set; None before it is known."""
    problem: str = ""
    problem_since: datetime | None = None


class Copy:
    """Keeps a copy in a folder."""

    def __init__(
        self,
        destination: Destination,
        arrivals: Arrivals,
        restorer: Restorer,
        files: Files,
        folder: Path,
        *,
        check: Callable[[Epoch], None],
        poll_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`check` raises what keeps an epoch from being followed."""
        self._destination = destination
        self._arrivals = arrivals
        self._restorer = restorer
        self._files = files
        self._folder = folder
        self._check = check
        self._poll_seconds = poll_seconds
        self._clock = clock
        self._epoch: Epoch | None = None
        self._position: Position | None = None
        self._known_at: float | None = None
        self._problem = ""
        self._problem_since: datetime | None = None
        self._next_epoch_look = 0.0

    @property
    def seen(self) -> Seen:
        """What is known of it; there must be one."""
        assert self._position is not None  # noqa: S101  # `begin` has returned
        return Seen(self._position, self._known_at, self._problem, self._problem_since)

    async def begin(self) -> Path:
        """Make the copy, or go on with the one that is there; return its file.

        Who has one goes on with it when the destination cannot be used. Raises NotFound when there
        is nothing to follow, and what `check`, Destination and Restorer raise.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        left = await asyncio.to_thread(self._left)
        try:
            _, newest = await self._destination.look(seconds=REACH_SECONDS)
            await self._arrivals.require_open()
            if newest is None:
                raise NotFound(
                    "there is no backup of the bank that is to be followed",
                    hint="wait until it has one, or correct `follow`",
                )
            self._check(newest)
            if left is not None and left.epoch == newest.name:
                self._epoch, self._position = newest, left
            else:
                self._position = await self._made(newest)
                self._epoch = newest
        except MemoryBankError as error:
            if left is None:
                raise
            self._failed(error)
            self._position = left
        await asyncio.to_thread(self._keep, self._position)
        self._tidy(and_hidden=True)
        return self._folder / self._position.file

    async def run(self, reader: Reader) -> None:
        """Keep it the same until cancelled."""
        pause = self._poll_seconds
        while True:
            began = self._clock()
            try:
                await self._look(reader)
            except (MemoryBankError, TimeoutError) as error:
                self._failed(
                    BackupUnavailable(SILENT) if isinstance(error, TimeoutError) else error
                )
                pause = min(2 * pause, max(_LONGEST_PAUSE_SECONDS, self._poll_seconds))
            else:
                pause = self._poll_seconds
            await asyncio.sleep(max(0.0, pause - (self._clock() - began)))

    async def _look(self, reader: Reader) -> None:
        began = self._clock()
        looks_for_epochs = began >= self._next_epoch_look or bool(self._problem)
        if looks_for_epochs:
            self._next_epoch_look = began + _EPOCH_SECONDS
            newer = await self._newer()
            if newer is not None:
                self._check(newer)
                await self._go_over(newer, reader)
        try:
            whole = await self._bring_in(reader, all_levels=looks_for_epochs)
        except Missing as error:
            _logger.warning("%s: it is restored anew", error.message)
            assert self._epoch is not None  # noqa: S101  # else what follows would not be missing
            await self._go_over(self._epoch, reader)
            return
        if whole:
            self._succeeded(began)

    async def _newer(self) -> Epoch | None:
        """Return the epoch that the bank has gone on in since, if it has."""
        at = self.seen.position.epoch
        async with asyncio.timeout(_LOOK_SECONDS):
            await self._arrivals.require_open()
            names = await self._arrivals.epochs()
        ahead = [each for each in names if each != at and number_of(each) >= number_of(at)]
        if not ahead and self._epoch is not None:
            return None
        epochs, newest = await self._destination.look(seconds=REACH_SECONDS)
        if self._epoch is None:
            self._epoch = epochs.get(at)
        if newest is None or newest.name == at:
            return None
        if self._epoch is not None and newest.order < self._epoch.order:
            return None
        return newest

    async def _go_over(self, epoch: Epoch, reader: Reader) -> None:
        """Restore an epoch and let it be read."""
        made = await self._made(epoch)
        while not await reader.switch(self._folder / made.file):  # noqa: ASYNC110  # readers tell nobody
            await asyncio.sleep(self._poll_seconds)
        self._epoch, self._position = epoch, made
        await asyncio.to_thread(self._keep, made)
        self._tidy()
        _logger.info("follows the epoch %s", epoch.name)

    async def _made(self, epoch: Epoch) -> Position:
        """Restore an epoch, up to what has arrived when that is done; return where it is."""
        name = f"{epoch.name}.db"
        if self._position is not None and self._position.file == name:
            name = f"{epoch.name}.anew.db"
        file = self._folder / name
        await asyncio.to_thread(self._files.forget, file)
        last = await self._restorer.restore(epoch, file)
        assert last is not None  # noqa: S101  # this Litestream tells
        await asyncio.to_thread(self._files.settle, file)
        position = Position(name, epoch.name, int(last, 16))
        await self._until_arrived(position)
        parts = await self._arrivals.after(epoch.name, position.transaction, all_levels=True)
        if parts:
            changes = joined(await self._arrivals.read(parts))
            await asyncio.to_thread(
                self._files.put, file, changes.pages,
                count=changes.pages_after, page_bytes=changes.page_bytes,
            )  # fmt: skip
            position = Position(name, epoch.name, changes.last, changes.written_at)
        return position

    async def _until_arrived(self, position: Position) -> None:
        """Wait until what arrives one by one is as far as a whole copy that was restored, which may
        be there first. If that never arrives, others of the same numbers do in its place, and the
        copy is removed: what was restored of it is not to be gone on from. Raises
        BackupUnavailable.
        """
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                newest = self._arrivals.newest
                while await newest(position.epoch) < position.transaction:  # noqa: ASYNC110  # it is elsewhere
                    await asyncio.sleep(self._poll_seconds)
        except TimeoutError:
            raise BackupUnavailable(_AHEAD) from None

    async def _bring_in(self, reader: Reader, *, all_levels: bool) -> bool:
        """Bring in what has arrived; False when it must wait."""
        position = self.seen.position
        async with asyncio.timeout(_LOOK_SECONDS):
            parts = await self._arrivals.after(
                position.epoch, position.transaction, all_levels=all_levels
            )
        if not parts:
            return True
        if sum(each.size for each in parts) > _MOST_BYTES:
            raise Missing(position.transaction)
        changes = joined(await self._arrivals.read(parts))
        if not await reader.put(
            changes.pages, count=changes.pages_after, page_bytes=changes.page_bytes
        ):
            return False
        self._position = replace(position, transaction=changes.last, written_at=changes.written_at)
        await asyncio.to_thread(self._keep, self._position)
        return True

    def _keep(self, position: Position) -> None:
        file = self._folder / _POSITION
        new = file.with_suffix(".new")
        new.write_text(f"{position.file} {position.epoch} {position.transaction}\n")
        new.rename(file)

    def _left(self) -> Position | None:
        """Return the copy that an earlier process left."""
        try:
            name, epoch, transaction = (self._folder / _POSITION).read_text().split()
            if not (self._folder / name).stat().st_size:
                return None
            self._files.recover(self._folder / name)
            return Position(name, epoch, int(transaction))
        except (OSError, ValueError):
            return None

    def _tidy(self, *, and_hidden: bool = False) -> None:
        """Remove what is not of the copy; what is hidden may be of who reads it."""
        for each in self._folder.iterdir():
            kept = each.name == _POSITION or each.name.startswith(self.seen.position.file)
            if not kept and (and_hidden or not each.name.startswith(".")):
                shutil.rmtree(each) if each.is_dir() else each.unlink(missing_ok=True)

    def _succeeded(self, began: float) -> None:
        if self._problem:
            _logger.info("follows the bank again")
        self._known_at, self._problem, self._problem_since = began, "", None

    def _failed(self, error: MemoryBankError) -> None:
        words = error.message if error.hint is None else f"{error.message}; {error.hint}"
        if words != self._problem:
            _logger.warning("the bank is not followed: %s", words)
            self._problem_since = self._problem_since or datetime.now(UTC)
        self._problem = words
