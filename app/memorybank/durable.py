"""Files that are there, as they are to be, after any crash."""

from __future__ import annotations

import os
from pathlib import Path

LOGS = ("-wal", "-shm")
"""What SQLite has beside a database, behind its name."""


def sync(path: Path) -> None:
    """Return when a file, or what is in a folder, is on disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def put_in_place(new: Path, database: Path) -> None:
    """Give a whole file the name of a database, in whose place it is from then on. Who finds the
    file beside the database goes on by calling this again. Raises OSError.

    The log goes first: it belongs to the file that is given up, and would spoil the other one.
    """
    sync(new)
    for each in LOGS:
        database.with_name(database.name + each).unlink(missing_ok=True)
    sync(database.parent)
    new.rename(database)
    sync(database.parent)
