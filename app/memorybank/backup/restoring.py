"""Bringing an epoch back, by Litestream's own command."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import apsw

from memorybank.backup.chain import Epoch
from memorybank.backup.litestream import known_cause, last_words, rendered
from memorybank.backup.objects import Place
from memorybank.backup.private import write_private
from memorybank.durable import put_in_place
from memorybank.errors import BackupDamaged, BackupUnavailable, NotFound, StoreUnavailable

_CONFIG = "restore.yml"
_RESTORING = ".restoring"
_TOO_EARLY = "no matching backup files"
_FULL = "no space left on device"
_BREAKING = "AWS_CA_BUNDLE"
"""With it, Litestream reaches no S3 at all."""


@dataclass(frozen=True, slots=True)
class Restorer:
    """Restores epochs of one bank."""

    program: str
    place: Place
    run_dir: Path
    """Where its configuration is written, which holds credentials."""
    ca_file: Path | None
    seconds: float
    """Litestream itself tries for minutes to reach who does not answer."""
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)

    async def restore(
        self, epoch: Epoch, database: Path, *, at: datetime | None = None
    ) -> str | None:
        """Put the newest state of an epoch, or the last one up to a moment, where the database is
        to be; return its last transaction, as Litestream names it.

        It is there as a whole, checked, or not at all. Raises NotFound when all of the epoch is
        later, BackupUnavailable when it cannot be reached, BackupDamaged when it cannot be read,
        StoreUnavailable when the disk fails.
        """
        partial = partial_of(database)
        config = self.run_dir / _CONFIG
        write_private(
            config,
            rendered({"dbs": [{"path": str(database), "replica": self.place.replica(epoch.name)}]}),
        )
        try:
            transaction = await self._run(epoch, config, partial, database, at)
        finally:
            config.unlink(missing_ok=True)
        await asyncio.to_thread(_require_whole, partial, epoch)
        put_in_place(partial, database)
        return transaction

    async def _run(
        self, epoch: Epoch, config: Path, partial: Path, database: Path, at: datetime | None
    ) -> str | None:
        until = () if at is None else ("-timestamp", at.astimezone(UTC).isoformat())
        process = await asyncio.create_subprocess_exec(
            self.program, "restore", "-config", str(config), "-o", str(partial),
            "-integrity-check", "none", "-json", *until, str(database),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE, env=self._environment(),
        )  # fmt: skip
        try:
            async with asyncio.timeout(self.seconds):
                told, said = await process.communicate()
        except TimeoutError:
            raise BackupUnavailable(
                f"the restore did not end within {self.seconds:.0f} s",
                hint="give it longer (backup.restore_seconds), or look at the destination",
            ) from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode != 0:
            words = said.decode(errors="replace")
            if at is not None and _TOO_EARLY in words:
                raise NotFound(f"the epoch {epoch.name} has nothing of {at.isoformat()}")
            raise _failure(epoch, words)
        return _transaction_of(told)

    def _environment(self) -> dict[str, str]:
        environ = {name: value for name, value in self.environ.items() if name != _BREAKING}
        return environ if self.ca_file is None else environ | {"SSL_CERT_FILE": str(self.ca_file)}


def partial_of(database: Path) -> Path:
    """Return the file that is restored before it gets its name, of which nothing is left."""
    database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = database.with_name(database.name + _RESTORING)
    for left in database.parent.glob(f"{partial.name}*"):
        left.unlink()
    return partial


def require_room(folder: Path, needed: int) -> None:
    """Raise StoreUnavailable unless so many bytes fit where something is to be restored."""
    there = next(each for each in (folder, *folder.parents) if each.is_dir())
    free = shutil.disk_usage(there).free
    if free < needed:
        raise too_small(folder, needed, free)


def too_small(folder: Path, needed: int, free: int) -> StoreUnavailable:
    """Return the error for a disk that takes no more."""
    return StoreUnavailable(
        f"what is restored does not fit: it takes {_mib(needed)} in {folder}, where {_mib(free)}"
        " are free",
        hint="enlarge the volume, or name a folder on another one",
    )


def _mib(size: int) -> str:
    return f"{-(-size // (1024 * 1024)):,} MiB"


def _require_whole(partial: Path, epoch: Epoch) -> None:
    """Read all of what was restored. Here, since it takes Litestream's own SQLite three times as
    long. Raises BackupDamaged and StoreUnavailable.
    """
    flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    try:
        file = apsw.Connection(f"{partial.absolute().as_uri()}?immutable=1", flags=flags)
        with contextlib.closing(file):
            (said,) = next(file.execute("PRAGMA quick_check(1)"))
    except (apsw.CorruptError, apsw.NotADBError) as error:
        said = str(error)
    except apsw.Error as error:
        raise StoreUnavailable(
            f"what was restored cannot be read: {error}",
            hint="look for disk errors in the system's log",
        ) from None
    if said != "ok":
        raise _failure(epoch, f"what was restored is damaged: {said}")


def _transaction_of(told: bytes) -> str | None:
    """Return what the summary says, which comes behind lines of a log."""
    try:
        return str(json.loads(told[told.index(b"{\n") :])["txid"])
    except (ValueError, KeyError, TypeError):
        return None


def _failure(epoch: Epoch, said: str) -> BackupUnavailable | BackupDamaged | StoreUnavailable:
    if _FULL in said:
        return StoreUnavailable(
            "the volume is too small for what is restored", hint="enlarge the volume"
        )
    words = known_cause(said)
    if words is not None:
        return BackupUnavailable(words)
    before = (
        f"go on from the one before it by moving epochs/{epoch.name}.json and {epoch.name}/ away"
        f" (it went on from {epoch.parent})"
        if epoch.parent
        else "restore a moment of it that can be read by hand"
    )
    return BackupDamaged(
        f"the backup cannot be restored, epoch {epoch.name}: {last_words(said)}",
        hint=f"{before}: docs/service/backup.md, A damaged backup",
    )
