"""Bringing an epoch back, by Litestream's own command."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from memorybank.backup.chain import Epoch
from memorybank.backup.destination import Place
from memorybank.backup.litestream import known_cause, last_words, rendered
from memorybank.backup.private import write_private
from memorybank.errors import BackupDamaged, BackupUnavailable, NotFound, StoreUnavailable

_CONFIG = "restore.yml"
_RESTORING = ".restoring"
_LOGS = ("-wal", "-shm")
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

    async def restore(self, epoch: Epoch, database: Path, *, at: datetime | None = None) -> None:
        """Put the newest state of an epoch, or the last one up to a moment, where the database is
        to be.

        It is there as a whole, checked, or not at all. Raises NotFound when all of the epoch is
        later, BackupUnavailable when it cannot be reached, BackupDamaged when it cannot be read,
        StoreUnavailable when the disk fails.
        """
        database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial = database.with_name(database.name + _RESTORING)
        for left in database.parent.glob(f"{partial.name}*"):
            left.unlink()
        config = self.run_dir / _CONFIG
        write_private(
            config,
            rendered({"dbs": [{"path": str(database), "replica": self.place.replica(epoch.name)}]}),
        )
        try:
            await self._run(epoch, config, partial, database, at)
        finally:
            config.unlink(missing_ok=True)
        settle(partial, database)

    async def _run(
        self, epoch: Epoch, config: Path, partial: Path, database: Path, at: datetime | None
    ) -> None:
        until = () if at is None else ("-timestamp", at.astimezone(UTC).isoformat())
        process = await asyncio.create_subprocess_exec(
            self.program, "restore", "-config", str(config), "-o", str(partial),
            "-integrity-check", "quick", *until, str(database),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE, env=self._environment(),
        )  # fmt: skip
        try:
            async with asyncio.timeout(self.seconds):
                _, said = await process.communicate()
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

    def _environment(self) -> dict[str, str]:
        environ = {name: value for name, value in self.environ.items() if name != _BREAKING}
        return environ if self.ca_file is None else environ | {"SSL_CERT_FILE": str(self.ca_file)}


def settle(partial: Path, database: Path) -> None:
    """Give a restored file its name once it is on disk; what is left of a former log goes first,
    which would be taken for the new one's.
    """
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    for each in _LOGS:
        database.with_name(database.name + each).unlink(missing_ok=True)
    partial.rename(database)
    folder = os.open(database.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


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
