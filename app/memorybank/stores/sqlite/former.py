"""The database as it was before its schema was migrated, for a version that knows no newer one.

Migrations go forwards only. So the whole file is copied first, and while nobody was told of a write
since, an older version puts the copy in the database's place: nothing is lost by that.

    memory_bank.db.schema-8        nobody wrote since: a version that knows schema 8 goes back to it
    memory_bank.db.schema-8.past   somebody did: kept a week, for people
    memory_bank.db.back            is being put back, which whoever comes next ends

Every file is whole when it has its name, and each step is one rename: a crash at any point leaves
one of these states.
"""

from __future__ import annotations

import logging
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import apsw

from memorybank.durable import put_in_place, sync
from memorybank.errors import StoreUnavailable
from memorybank.stores.sqlite.errors import translated_at_start

_PAST = ".past"
_BACK = ".back"
_NEW = ".new"
_PAGES_AT_ONCE = 10_000
_KEPT_SECONDS = 7 * 24 * 3_600.0
_logger = logging.getLogger(__name__)


def keep(connection: apsw.Connection, path: Path, *, schema: int) -> None:
    """Copy the database beside itself, as a whole and on disk, before its schema is another one.

    Raises StoreUnavailable when there is no room for that, and when the disk fails.
    """
    copy = path.with_name(f"{path.name}.schema-{schema}")
    if copy.exists():
        return  # a migration that was broken off goes on
    _require_room(connection, path)
    new = copy.with_name(copy.name + _NEW)
    new.unlink(missing_ok=True)
    try:
        with translated_at_start(path):
            _copy(connection, new)
        sync(new)
        new.rename(copy)
    except OSError as error:
        raise StoreUnavailable(
            f"the database could not be copied before its schema is migrated: {error.strerror}",
            hint="look for disk errors in the system's log; the database is as it was",
        ) from None
    finally:
        new.unlink(missing_ok=True)
    sync(path.parent)
    _logger.info("the database is kept as it was: %s", copy.name)


class WayBack:
    """From what a process that serves has migrated, to what was kept of it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.schema = newest(path)
        """See `newest`; asked of the disk once."""

    def leave(self) -> None:
        """Let nobody go back any more, from the moment that this returns. Raises OSError."""
        if self.schema is None:
            return
        for _, copy in list(_copies(self._path)):
            copy.rename(copy.with_name(copy.name + _PAST))
        sync(self._path.parent)
        self.schema = None


def newest(path: Path, *, known: int | None = None) -> int | None:
    """Return the newest schema that the database can be put back to without losing anything, of
    those up to `known`; None for none.
    """
    return max((each for each, _ in _copies(path) if known is None or each <= known), default=None)


def is_kept(path: Path) -> bool:
    """Return whether there is anything to go back to, or a way back to end."""
    return path.with_name(path.name + _BACK).exists() or newest(path) is not None


def end_way_back(path: Path) -> None:
    """End what a process that went back began. Raises OSError."""
    back = path.with_name(path.name + _BACK)
    if not back.exists():
        return
    put_in_place(back, path)


def go_back(path: Path, *, found: int, known: int) -> bool:
    """Put back what was kept, where the database's schema is newer than the newest that is known;
    return whether that was done. Nobody else may use the database. Raises OSError.
    """
    schema = newest(path, known=known)
    if found <= known or schema is None:
        return False
    path.with_name(f"{path.name}.schema-{schema}").rename(path.with_name(path.name + _BACK))
    end_way_back(path)
    _logger.warning("went back from schema %d to %d; nobody had written since", found, schema)
    return True


def forget(path: Path) -> None:
    """Remove copies that were of use to people alone, and long ago."""
    for copy in path.parent.glob(f"{path.name}.schema-*{_PAST}"):
        if time.time() - copy.stat().st_mtime > _KEPT_SECONDS:
            copy.unlink(missing_ok=True)


def _copies(path: Path) -> Iterator[tuple[int, Path]]:
    named = re.compile(re.escape(path.name) + r"\.schema-(\d+)")
    for each in path.parent.glob(f"{path.name}.schema-*"):
        if (match := named.fullmatch(each.name)) is not None:
            yield int(match[1]), each


def _copy(connection: apsw.Connection, file: Path) -> None:
    copy = apsw.Connection(str(file))
    try:
        with copy.backup("main", connection, "main") as backup:
            while not backup.done:
                backup.step(_PAGES_AT_ONCE)
        copy.pragma("journal_mode", "delete")  # one file, not three
    finally:
        copy.close()


def _require_room(connection: apsw.Connection, path: Path) -> None:
    needed = int(connection.pragma("page_count")) * int(connection.pragma("page_size"))
    free = shutil.disk_usage(path.parent).free
    if free < needed:
        raise StoreUnavailable(
            "the volume has no room for a copy of the database, which is kept before its schema is"
            f" migrated: {needed >> 20} MiB are needed and {free >> 20} are free",
            hint="enlarge the volume; the database is as it was",
        )
