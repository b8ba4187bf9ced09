"""Putting a database in the place of the one on a volume, and that one back.

    .memory_bank.db-rewinds/ID/record.json    what is done, or was
    .memory_bank.db-rewinds/ID/new/           what is to be put in place
    .memory_bank.db-rewinds/ID/before/        what was there before the rewind
    .memory_bank.db-rewinds/ID/after/         what was there before it was undone

What is there is kept under a second name first; then it is written down that it goes; then the new
one takes its name, which is one step. Whoever comes next, be it the same command or the next pod,
ends what was written down, so that a crash at any point leaves the one database or the other.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import time
from collections.abc import Iterator
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from memorybank.durable import LOGS, sync
from memorybank.errors import BackupDamaged, InvalidRequest, NotFound

_RECORD = "record.json"
_NEW, _BEFORE, _AFTER = "new", "before", "after"
_logger = logging.getLogger(__name__)


class State(StrEnum):
    """How far a rewind is."""

    REWINDING = "rewinding"
    REWOUND = "rewound"
    UNDOING = "undoing"
    UNDONE = "undone"


class Rewind(BaseModel):
    """What is written down of a rewind beside the database."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    state: State
    source: str = Field(max_length=1024)
    """What was restored: namespace, name, uid and epoch of a bank, and the moment or the point."""
    at: AwareDatetime
    replaced: bool
    """Whether there was a database before."""
    begun: bool = False
    """Whether an epoch was begun with what this has put in place."""
    report: dict[str, Any]
    """What was told of it."""

    @property
    def told(self) -> str:
        """How the record of an epoch names what the database was made of."""
        undone = self.state is State.UNDONE
        return f"what was there before the rewind {self.id}" if undone else self.source


class Rewinds:
    """Those of one database. Only who holds the lock of its folder changes anything."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._folder = database.with_name(f".{database.name}-rewinds")

    def find(self, name: str) -> Rewind | None:
        """Return a rewind. Raises BackupDamaged when its record cannot be read."""
        return self._read(self._folder / name / _RECORD)

    def place(self, name: str) -> Path:
        """Return where the new database of a rewind is made."""
        return self._folder / name / _NEW / self._database.name

    def rewind(self, rewind: Rewind) -> None:
        """Put the new database in place, and keep what is there. Raises OSError."""
        self._keep(self._folder / rewind.id / _BEFORE)
        self._write(rewind.model_copy(update={"state": State.REWINDING}))
        self.finish()
        for other in self._all():
            if other.id != rewind.id:
                self._drop(other.id)

    def undo(self, rewind: Rewind) -> None:
        """Put back what was there before, and keep what is there. Raises NotFound when that is
        kept no more, OSError.
        """
        self.require_kept(rewind)
        self._keep(self._folder / rewind.id / _AFTER)
        self._write(rewind.model_copy(update={"state": State.UNDOING, "begun": False}))
        self.finish()

    def require_kept(self, rewind: Rewind) -> None:
        """Raise NotFound unless a rewind can be undone."""
        if not rewind.replaced:
            raise NotFound(
                f"there was no database before the rewind {rewind.id}",
                hint="rewind to another state of the bank, by another id",
            )
        if not (self._folder / rewind.id / _BEFORE / self._database.name).exists():
            raise NotFound(
                f"what was there before the rewind {rewind.id} is kept no more",
                hint="its backup may have it: rewind to a moment before, by another id",
            )

    def finish(self) -> None:
        """End what somebody began who was interrupted. Raises OSError, BackupDamaged."""
        for each in self._all():
            if each.state is State.REWINDING:
                self._take(self._folder / each.id / _NEW)
                self._write(each.model_copy(update={"state": State.REWOUND}))
            elif each.state is State.UNDOING:
                self._take(self._folder / each.id / _BEFORE)
                self._write(each.model_copy(update={"state": State.UNDONE}))

    def sweep(self) -> None:
        """Remove what was left of those that never came about. Raises OSError."""
        with contextlib.suppress(FileNotFoundError):
            for folder in self._folder.iterdir():
                if not (folder / _RECORD).exists():
                    shutil.rmtree(folder)

    @property
    def is_pending(self) -> bool:
        """Whether there is something to finish. Raises BackupDamaged."""
        return any(each.state in (State.REWINDING, State.UNDOING) for each in self._all())

    def not_begun(self) -> Rewind | None:
        """Return what has put the database in place, unless an epoch was begun with it. Raises
        BackupDamaged.
        """
        last = self.last()
        return None if last is None or last.begun else last

    def last(self) -> Rewind | None:
        """Return the last one that was done or undone. Raises BackupDamaged."""
        return max(self._all(), key=lambda each: each.at, default=None)

    def note_begun(self, rewind: Rewind) -> None:
        """Note that an epoch was begun with what this has put in place. Raises OSError."""
        self._write(rewind.model_copy(update={"begun": True}))

    def discard(self, name: str) -> bool:
        """Remove what is kept of a rewind, which can be undone no more then; return whether there
        was anything. Raises OSError.
        """
        return self._drop(name)

    def forget(self, *, older_than: timedelta) -> None:
        """Remove what was kept for so long. Raises OSError, BackupDamaged."""
        for each in self._all():
            record = self._folder / each.id / _RECORD
            age = time.time() - record.stat().st_mtime
            if each.begun and age > older_than.total_seconds() and self._drop(each.id):
                _logger.info("what was there before the rewind %s is removed", each.id)

    def _keep(self, folder: Path) -> None:
        """Give what is there a second name; where there is none, it is copied."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700, parents=True)
        for suffix in ("", LOGS[0]):
            file = self._database.with_name(self._database.name + suffix)
            if file.exists():
                kept = folder / file.name
                try:
                    os.link(file, kept)
                except OSError:
                    shutil.copyfile(file, kept)
                    sync(kept)
        sync(folder)
        sync(folder.parent)

    def _take(self, folder: Path) -> None:
        """Put what is in a folder in place; what is not there any more is in place already."""
        taken = folder / self._database.name
        if taken.exists():
            # The log belongs to the file that goes; with the other one it would spoil that.
            for suffix in LOGS:
                self._database.with_name(self._database.name + suffix).unlink(missing_ok=True)
            sync(self._database.parent)
            taken.rename(self._database)
        log = folder / (self._database.name + LOGS[0])
        if log.exists():
            log.rename(self._database.parent / log.name)
        sync(self._database.parent)

    def _drop(self, name: str) -> bool:
        kept = [self._folder / name / each for each in (_NEW, _BEFORE, _AFTER)]
        there = [each for each in kept if each.exists()]
        for each in there:
            shutil.rmtree(each)
        return bool(there)

    def _all(self) -> Iterator[Rewind]:
        with contextlib.suppress(FileNotFoundError):
            for folder in sorted(self._folder.iterdir()):
                found = self._read(folder / _RECORD)
                if found is not None:
                    yield found

    def _read(self, record: Path) -> Rewind | None:
        try:
            return Rewind.model_validate_json(record.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError:
            raise BackupDamaged(
                f"the record of a rewind is not what was written there: {record}",
                hint="move its folder away; what was there before the rewind is in it",
            ) from None

    def _write(self, rewind: Rewind) -> None:
        record = self._folder / rewind.id / _RECORD
        beside = record.with_name(f".{_RECORD}")
        beside.write_text(rewind.model_dump_json())
        sync(beside)
        beside.rename(record)
        sync(record.parent)
        sync(self._folder)


def undone(rewind: Rewind) -> InvalidRequest:
    """Return the error for an id that was used up."""
    return InvalidRequest(
        f"the rewind {rewind.id} was undone",
        field="id",
        hint="rewind by another id",
    )
