"""SQLite's failures in the service's own words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import apsw

from memorybank.errors import ConfigurationError, StoreUnavailable

_CAUSES: dict[type[apsw.Error], tuple[str, str]] = {
    apsw.FullError: (
        "the disk that holds the memories is full",
        "free some space or enlarge the volume; nothing that was acknowledged is lost",
    ),
    apsw.ReadOnlyError: (
        "the database cannot be written",
        "make the data folder and its files writable for the user that the service runs as",
    ),
    apsw.CantOpenError: (
        "the database file cannot be opened",
        "make the data folder writable for the user that the service runs as",
    ),
    apsw.NotADBError: (
        "the database file is not a SQLite database",
        "restore it from a backup, or name another data folder",
    ),
    apsw.CorruptError: (
        "the database file is damaged",
        "stop the service and restore the file from a backup",
    ),
    apsw.BusyError: (
        "another program keeps the database locked",
        "find the program that has the database open and let it finish",
    ),
    apsw.IOError: (
        "the disk that holds the memories cannot be read or written",
        "look for disk errors in the system's log; nothing that was acknowledged is lost",
    ),
}
_SETTINGS_AT_FAULT = (
    apsw.ReadOnlyError,
    apsw.CantOpenError,
    apsw.NotADBError,
    apsw.CorruptError,
)
"""Causes that no retry cures: they stop the start instead of being tried again."""


@dataclass(slots=True)
class Damage:
    """Whether any read or write has met damage since the database was opened.

    What is damaged stays so until the file is replaced, also where the next request meets none.
    """

    found: bool = False

    def note(self, error: BaseException) -> None:
        """Remember an error that tells of damage."""
        self.found = self.found or isinstance(error, apsw.CorruptError | apsw.NotADBError)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Remember what goes wrong within."""
        try:
            yield
        except apsw.Error as error:
            self.note(error)
            raise


def unavailable(error: apsw.Error) -> StoreUnavailable:
    """Return what to tell a caller whose request met this error."""
    message, hint = _cause(error)
    return StoreUnavailable(message, hint=hint)


@contextmanager
def translated() -> Iterator[None]:
    """Turn SQLite's errors into StoreUnavailable."""
    try:
        yield
    except apsw.Error as error:
        raise unavailable(error) from error


@contextmanager
def translated_at_start(path: Path) -> Iterator[None]:
    """Turn SQLite's errors while `path` is opened into ConfigurationError or StoreUnavailable."""
    try:
        yield
    except apsw.Error as error:
        message, hint = _cause(error)
        kind = ConfigurationError if isinstance(error, _SETTINGS_AT_FAULT) else StoreUnavailable
        raise kind(f"{message}: {path}", field="database.path", hint=hint) from error


def _cause(error: apsw.Error) -> tuple[str, str]:
    for kind, cause in _CAUSES.items():
        if isinstance(error, kind):
            return cause
    return f"the database failed: {error}", "look at the service's log"
