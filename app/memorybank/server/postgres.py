"""The database in PostgreSQL that the settings name, for what is not serving it.

Loaded where it is needed: a bank in SQLite has no use for the driver, nor for its megabytes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from memorybank.configuration import database_url
from memorybank.ports import StoreFacts
from memorybank.settings import Settings
from memorybank.stores.postgres import moving as postgres
from memorybank.stores.postgres.connection import Server
from memorybank.stores.sql.connection import Connection
from memorybank.stores.sql.copying import Copied, copy
from memorybank.stores.sql.facts import facts
from memorybank.stores.sql.moving import Watcher
from memorybank.stores.sqlite import moving as sqlite

PATIENT_SECONDS = 600
"""For a statement that reads or writes a page, which takes milliseconds, on a server that is busy;
or that removes or indexes all there is.
"""
_logger = logging.getLogger(__name__)


class Logged:
    """See Watcher: tells nothing but steps, and those to the log."""

    def step(self, said: str) -> None:
        """See Watcher."""
        _logger.info("%s", said)

    def at(self, table: str, done: int, total: int) -> None:
        """See Watcher."""


def server_of(settings: Settings, *, statement_seconds: int | None = None) -> Server:
    """Return how the database is reached. Raises ConfigurationError."""
    database = settings.database
    return Server(
        database_url(settings),
        connect_seconds=database.connect_seconds,
        statement_seconds=statement_seconds or database.statement_seconds,
    )


def copy_bank(
    settings: Settings,
    file: Path,
    watcher: Watcher,
    *,
    seen: Callable[[StoreFacts], None] = lambda _facts: None,
) -> Copied:
    """Copy the bank as it is at one moment, which is `seen` first, into a new file that is served
    as it is. Raises MemoryBankError.
    """
    server = server_of(settings, statement_seconds=PATIENT_SECONDS)
    with postgres.source(server) as one, sqlite.new_file(file) as other:
        return copy(one, other, watcher, seen=lambda moment: seen(_facts(moment)))


def facts_now(settings: Settings) -> StoreFacts:
    """Return what the bank holds. Raises MemoryBankError."""
    with postgres.source(server_of(settings)) as end, end.moment() as moment:
        return _facts(moment)


def _facts(moment: Connection) -> StoreFacts:
    return facts(moment, larger="greatest")
