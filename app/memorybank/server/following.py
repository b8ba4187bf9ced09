"""The bank that the settings ask to follow: its copy, and how far behind that is."""

from __future__ import annotations

import asyncio
import logging
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from memorybank.background import beside
from memorybank.backup.arrivals import Arrivals
from memorybank.backup.chain import Epoch
from memorybank.backup.copy import Copy
from memorybank.backup.destination import Destination, newest_bank
from memorybank.backup.litestream import program
from memorybank.backup.restoring import Restorer
from memorybank.configuration import key_ring
from memorybank.errors import BackupUnavailable, ConfigurationError
from memorybank.schemas.health import FollowReport
from memorybank.server.destinations import place_in
from memorybank.server.engine import copies_in
from memorybank.settings import FollowSettings, Settings
from memorybank.stores.sqlite import pages
from memorybank.stores.sqlite.connection import migrations
from memorybank.stores.sqlite.follower import SqliteFollower
from memorybank.stores.sqlite.lock import DataFolderLock

_logger = logging.getLogger(__name__)


class Followed:
    """A bank that is read here."""

    def __init__(
        self,
        follow: FollowSettings,
        copy: Copy,
        file: Path,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._copy = copy
        self._file = file
        self._max_lag_seconds = follow.max_lag_seconds
        self._primary_url = follow.primary_url
        self._clock = clock
        self._store: SqliteFollower | None = None
        self._behind: Callable[[], float] = lambda: 0.0

    async def open_store(self, settings: Settings, model: str) -> SqliteFollower:
        """Open the copy. Raises ConfigurationError and StoreUnavailable."""
        self._store = await SqliteFollower.open(
            self._file, model=model, ring=key_ring(settings), primary_url=self._primary_url
        )
        return self._store

    @asynccontextmanager
    async def running(self, behind: Callable[[], float]) -> AsyncIterator[None]:
        """Keep the copy the same until left; `behind` tells by how many seconds searches are behind
        it.
        """
        assert self._store is not None  # noqa: S101  # it is opened before
        self._behind = behind
        async with beside(self._copy.run(self._store)):
            yield

    def lag(self) -> float | None:
        """Return how long ago what is found here had arrived, at most; None before it is known."""
        known_at = self._copy.seen.known_at
        return None if known_at is None else self._clock() - known_at + self._behind()

    def stale(self) -> str | None:
        """Return why this is too far behind to be asked, None when it is not."""
        if self._max_lag_seconds is None:
            return None
        lag = self.lag()
        if lag is not None and lag <= self._max_lag_seconds:
            return None
        since = "the start" if lag is None else f"{lag:.0f} s"
        problem = self._copy.seen.problem
        return f"what arrived is not read since {since}" + (f": {problem}" if problem else "")

    def report(self) -> FollowReport:
        """Return what is known of it now."""
        seen, lag = self._copy.seen, self.lag()
        return FollowReport(
            epoch=seen.position.epoch,
            transaction=seen.position.transaction,
            written_at=seen.position.written_at,
            lag_seconds=None if lag is None else round(lag, 3),
            problem=seen.problem,
            problem_since=seen.problem_since,
        )


@asynccontextmanager
async def followed(settings: Settings) -> AsyncIterator[Followed]:
    """Make a copy of the bank that the settings name, or go on with the one that is there. Raises
    ConfigurationError, and as Copy.begin does.
    """
    follow = settings.follow
    assert follow is not None  # noqa: S101  # asked by who follows
    database = settings.database_path
    lock = DataFolderLock(database)
    secret = Path(tempfile.mkdtemp(prefix="memorybank-"))
    try:
        if database.exists() and database.stat().st_size:
            raise ConfigurationError(
                f"there is a bank in {database.parent}, which cannot follow another one",
                field="follow",
                hint="name an empty data folder, or take `follow` away",
            )
        copies = copies_in(database) / follow.bank
        uid = follow.uid or await _newest(follow, copies)
        place = place_in(follow, f"{follow.bank}/{uid}", "follow")
        copy = Copy(
            Destination(place),
            Arrivals(place),
            Restorer(
                program=program(),
                place=place,
                run_dir=secret,
                ca_file=None if follow.s3 is None else follow.s3.ca_file,
                seconds=follow.restore_seconds,
            ),
            pages,
            copies / uid,
            check=_require_schema,
            poll_seconds=follow.poll_seconds,
        )
        began = time.monotonic()
        file = await copy.begin()
        await asyncio.to_thread(_remove_others, copies_in(database), file.parent)
        _logger.info(
            "follows a bank",
            extra={
                "details": {
                    "bank": f"{follow.bank}/{uid}",
                    "epoch": copy.seen.position.epoch,
                    "seconds": round(time.monotonic() - began, 1),
                }
            },
        )
        yield Followed(follow, copy, file)
    finally:
        shutil.rmtree(secret, ignore_errors=True)
        lock.release()


def _remove_others(copies: Path, own: Path) -> None:
    """Remove the copies of banks that were followed before."""
    for folder in own.parents:
        if folder == copies.parent:
            return
        for each in folder.iterdir():
            if each != own and each not in own.parents:
                shutil.rmtree(each, ignore_errors=True)


async def _newest(follow: FollowSettings, copies: Path) -> str:
    """Return the uid of the bank of the name that is meant; of the one whose copy is here, when the
    destination cannot be asked.
    """
    try:
        return await newest_bank(place_in(follow, follow.bank, "follow"))
    except BackupUnavailable:
        here = await asyncio.to_thread(lambda: [each.name for each in copies.glob("*")])
        if len(here) != 1:
            raise
        return here[0]


def _require_schema(epoch: Epoch) -> None:
    """Raise ConfigurationError for an epoch that is of another schema than this version's; of one
    that could not be recorded, its database says so.
    """
    known = migrations()[-1].version
    if epoch.schema_version not in (0, known):
        raise ConfigurationError(
            f"the bank that is followed is of schema {epoch.schema_version}, which the service"
            f" {epoch.service_version} wrote; this version reads {known}",
            field="follow",
            hint="run the version that the primary runs",
        )
