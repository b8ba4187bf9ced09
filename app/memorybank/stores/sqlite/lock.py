"""Exclusive claims on a database file.

SQLite itself lets several processes write one file. This service must be the only one: its search
indexes follow the changes of its own process. A claim is an flock(2) lock, which the kernel drops
with the process, however it ends.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from memorybank.errors import ConfigurationError


class _Lock:
    """Holds a file beside the database from construction to `release`."""

    suffix: str
    taken: str
    """What to say when another process holds it, with its folder and id."""
    cure: str

    def __init__(self, database: Path) -> None:
        path = database.with_name(database.name + self.suffix)
        try:
            database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            self._claim(database.parent)
        except OSError as error:
            raise ConfigurationError(
                f"the data folder {database.parent} cannot be used: {error.strerror}",
                field="database.path",
                hint="name a folder on a disk that is writable for the user that the service runs"
                " as and that supports file locks",
            ) from error

    def _claim(self, folder: Path) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.pread(self._descriptor, 32, 0).decode(errors="replace").strip()
            os.close(self._descriptor)
            if not isinstance(error, BlockingIOError):
                raise
            raise ConfigurationError(
                self.taken.format(folder, owner or "unknown"),
                field="database.path",
                hint=self.cure,
            ) from error
        os.truncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Give it up. The file stays: removing it would race with the next owner."""
        os.close(self._descriptor)


class DataFolderLock(_Lock):
    """Of the process that serves the database."""

    suffix = ".lock"
    taken = "the data folder {} is in use by process {}"
    cure = "stop that process, ask it through its URL, or name another data folder"


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Let no process serve a database until the block ends. Raises ConfigurationError while one
    does.
    """
    lock = DataFolderLock(database)
    try:
        yield
    finally:
        lock.release()


class MoveLock(_Lock):
    """Of the process that moves the bank away, while another one may serve it."""

    suffix = ".move.lock"
    taken = "the bank in {} is being moved already, by process {}"
    cure = "let that process end, or stop it"
