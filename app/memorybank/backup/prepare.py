"""What happens before a pod replicates: its database is found or restored, its epoch begun.

Each step may be the last before a crash, and the next start begins anew: what is restored gets its
name when it is whole, and an epoch that was begun in vain stays empty and expires.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from memorybank.backup.chain import Epoch, Origin, is_epoch, next_name
from memorybank.backup.destination import REACH_SECONDS, SILENT, Destination
from memorybank.backup.fence import Fence
from memorybank.backup.litestream import state_of, states
from memorybank.backup.moments import Moment, Restored, Written, offer, restore
from memorybank.backup.private import write_private
from memorybank.backup.restoring import Restorer
from memorybank.errors import (
    BackupDamaged,
    BackupUnavailable,
    ConfigurationError,
    NotFound,
    StoreUnavailable,
)

RECORD = "epoch.json"
"""What was prepared, in the folder that is shared with the service."""
_PATIENCE_SECONDS = 20.0
"""How long a pod that has its database waits for a destination that does not answer."""
_DEAD_SECONDS = 120.0
"""After so long without a change nobody replicates to an epoch any more: a bank that serves writes
a memory of its own every few seconds.
"""
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Incarnation:
    """What is known of a pod that is about to replicate."""

    database: Path
    bank: str
    """Namespace and name."""
    service_version: str
    schema_version: int
    prove: Callable[[Path], None] = lambda _copy: None
    """Raises what keeps a restored file from being the database, and makes it one."""
    source: str | None = None
    """What the database on the volume was restored from, since the last epoch."""

    @property
    def has_database(self) -> bool:
        """Whether there is one that goes on; SQLite makes an empty file first."""
        try:
            return self.database.stat().st_size > 0
        except FileNotFoundError:
            return False


class Prepared(BaseModel):
    """What a pod was prepared for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epoch: Epoch
    recorded: bool
    """Whether the destination knows of the epoch; it did not answer otherwise."""
    restore_seconds: float | None = None
    """How long the restore took; None when nothing was to be restored."""
    fence: Fence | None = None
    """What says that another bank was promoted in the place of this one."""

    def save(self, run_dir: Path) -> None:
        """Write it where the service finds it. Raises ConfigurationError."""
        write_private(run_dir / RECORD, self.model_dump_json())

    @classmethod
    def load(cls, run_dir: Path) -> Prepared:
        """Read what was saved. Raises ConfigurationError."""
        try:
            return cls.model_validate_json((run_dir / RECORD).read_bytes())
        except (OSError, ValidationError):
            raise ConfigurationError(
                f"no epoch was begun: {run_dir / RECORD} is missing or is not ours",
                field="backup.run_dir",
                hint="run `memorybank backup prepare` before the service, with the same settings",
            ) from None


@dataclass(frozen=True, slots=True)
class Start:
    """What a bank begins with that never had anything."""

    bank: str
    """Namespace, name and uid of the bank whose backup it is."""
    destination: Destination
    restorer: Restorer
    moment: Moment


async def prepare(
    destination: Destination,
    incarnation: Incarnation,
    restorer: Restorer,
    *,
    start: Callable[[], Awaitable[Start]] | None = None,
    now: datetime,
) -> Prepared:
    """Make the database what the bank was last, and begin the epoch that replicates it; a bank that
    never had anything begins with nothing, or with what `start` says, which must be there.

    A bank that has its database does not wait for its backups: while nothing can be read or written
    at the destination, it begins an epoch that is recorded later. Raises BackupUnavailable when
    there is no database and the destination cannot be used; NotFound and BackupDamaged when there
    ought to be a backup and none can be restored.
    """
    known = _states_of(incarnation.database)
    is_readable = True
    seconds: float | None = None
    source: str | None = None
    if had_database := incarnation.has_database:
        origin = Origin.VOLUME if incarnation.source is None else Origin.RESTORED
        source = incarnation.source
        epochs, parent, is_readable = await _looked_up(destination, max(known, default=None))
    else:
        try:
            epochs, newest = await destination.look(seconds=REACH_SECONDS)
        except BackupDamaged as error:
            await offer(error, destination)
            raise
        began = time.monotonic()
        origin = await _made(destination, epochs, newest, incarnation, restorer, known)
        if origin is Origin.NOTHING and start is not None:
            origin, source = Origin.RESTORED, await _started(await start(), incarnation)
        seconds = None if origin is Origin.NOTHING else time.monotonic() - began
        parent = None if newest is None else newest.name
    epoch = Epoch(
        name=next_name([*epochs, *known]),
        parent=parent,
        source=source,
        origin=origin,
        began=now,
        bank=incarnation.bank,
        service_version=incarnation.service_version,
        schema_version=incarnation.schema_version,
    )
    # First here: an empty volume that knows of an epoch never had anything.
    _remember(incarnation.database, epoch)
    recorded = is_readable and await _recorded(destination, epoch, may_wait=had_database)
    if origin is not Origin.NOTHING:
        forget_states(incarnation.database, but=epoch.name)
    return Prepared(epoch=epoch, recorded=recorded, restore_seconds=seconds)


def forget_states(database: Path, *, but: str) -> None:
    """Remove what Litestream remembers of other epochs, except where one may still be at work."""
    for name, folder in _states_of(database).items():
        if name != but and time.time() - _changed(folder) > _DEAD_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)


async def _looked_up(
    destination: Destination, own: str | None
) -> tuple[Mapping[str, Epoch], str | None, bool]:
    """Return the epochs, which one the database went on in last (`own`, the last one of this
    volume, when that cannot be told), and whether the destination could be read. An epoch is not
    recorded where it cannot: one that is encrypted by another key would be taken for well.
    """
    try:
        epochs, newest = await destination.look(seconds=_PATIENCE_SECONDS)
    except (BackupUnavailable, BackupDamaged) as error:
        _logger.warning("backups are not looked up: %s", error.message)
        return {}, own, isinstance(error, BackupDamaged)
    return epochs, own if newest is None else newest.name, True


def _remember(database: Path, epoch: Epoch) -> None:
    folder = state_of(database, epoch.name)
    try:
        folder.mkdir(mode=0o700, parents=True)
    except OSError as error:
        raise StoreUnavailable(
            f"the data folder {database.parent} cannot be written: {error.strerror}",
            hint="look at the volume: is it full, or mounted for another user?",
        ) from None


async def _recorded(destination: Destination, epoch: Epoch, *, may_wait: bool) -> bool:
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await destination.begin(epoch)
    except (BackupUnavailable, TimeoutError) as error:
        words = error.message if isinstance(error, BackupUnavailable) else SILENT
        if not may_wait:
            raise BackupUnavailable(words) from None
        _logger.warning("the epoch %s is recorded later: %s", epoch.name, words)
        return False
    return True


async def _made(
    destination: Destination,
    epochs: Mapping[str, Epoch],
    newest: Epoch | None,
    incarnation: Incarnation,
    restorer: Restorer,
    known: Mapping[str, Path],
) -> Origin:
    """Make the database of a volume that has none, if the bank ever had one."""
    if newest is not None:
        newest_state = Moment(epoch=newest.name)
        await _brought_back(destination, restorer, newest_state, incarnation)
        return Origin.BACKUP
    if set(epochs) - set(known):
        raise NotFound(
            "the volume is empty, and the bank had one before that was never replicated",
            hint="bring the former volume back, or let the bank begin with nothing:"
            " docs/service/backup.md, Nothing to restore",
        )
    return Origin.NOTHING


async def _started(start: Start, incarnation: Incarnation) -> str:
    """Restore what a bank begins with; return what that was."""
    restored = await _brought_back(start.destination, start.restorer, start.moment, incarnation)
    return source_of(start.bank, start.moment, restored)


async def _brought_back(
    destination: Destination, restorer: Restorer, moment: Moment, incarnation: Incarnation
) -> Restored:
    """Make the database what a bank was: once it is proved to be one, and not before."""
    return await restore(
        destination, restorer, moment, incarnation.database,
        check=lambda each: _require_known_schema(each, incarnation), prove=incarnation.prove,
    )  # fmt: skip


def source_of(bank: str, moment: Moment, restored: Restored) -> str:
    """Return how the record of an epoch names what the database was restored from."""
    if restored.point is not None:
        place = bank if restored.epoch is None else f"{bank}/{restored.epoch}"
        return f"{place} at the recovery point {restored.point.name}"
    at = "" if moment.at is None else f" at {moment.at.isoformat()}"
    return f"{bank}/{restored.epoch}{at}"


def _require_known_schema(written: Written, incarnation: Incarnation) -> None:
    if written.schema_version > incarnation.schema_version:
        raise ConfigurationError(
            f"the backup is of a newer version of the service ({written.service_version}, schema"
            f" {written.schema_version}; this version knows {incarnation.schema_version})",
            hint="run that version or a later one",
        )


def _states_of(database: Path) -> dict[str, Path]:
    with contextlib.suppress(OSError):
        return {each.name: each for each in states(database).iterdir() if is_epoch(each.name)}
    return {}


def _changed(folder: Path) -> float:
    return max(map(_time_of, (folder, *folder.rglob("*"))))


def _time_of(file: Path) -> float:
    try:
        return file.lstat().st_mtime
    except OSError:
        return 0.0
