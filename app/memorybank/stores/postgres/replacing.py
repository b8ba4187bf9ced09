"""Another bank in the place of the one in a database, and what is written down of that there."""

from __future__ import annotations

import time

from memorybank.errors import ConfigurationError
from memorybank.stores.postgres.errors import URL_FIELD
from memorybank.stores.postgres.moving import PostgresEnd
from memorybank.stores.postgres.searching.tables import start_over
from memorybank.stores.sql.connection import Connection
from memorybank.stores.sql.contents import TABLES

_LED = "SELECT 1 FROM lease WHERE ends_at > clock_timestamp()"
_LOOK_SECONDS = 1.0


def require_unserved(end: PostgresEnd, *, seconds: float) -> None:
    """Wait until no service leads the others at this database, one that died included. Raises
    ConfigurationError when one still does.
    """
    deadline = time.monotonic() + seconds
    while True:
        with end.moment() as connection:
            if not connection.execute(_LED).fetchone():
                return
        if time.monotonic() > deadline:
            raise _served()
        time.sleep(_LOOK_SECONDS)


def empty(connection: Connection) -> None:
    """Remove all that a bank holds, and what is derived from it, within a transaction that fills
    it. Raises ConfigurationError when a service has begun to serve it.
    """
    if connection.execute(_LED).fetchone():
        raise _served()
    start_over(connection)
    tables = ", ".join(table.name for table in TABLES)
    connection.execute(f"TRUNCATE {tables}, deletions")


def records(connection: Connection) -> list[str]:
    """Return what is written down of each time."""
    return [record for (record,) in connection.execute("SELECT record FROM rewinds")]


def note(connection: Connection, name: str, record: str) -> None:
    """Write that down of one of them."""
    connection.execute(
        "INSERT INTO rewinds (id, record) VALUES (?, ?)"
        " ON CONFLICT (id) DO UPDATE SET record = excluded.record",
        (name, record),
    )


def _served() -> ConfigurationError:
    return ConfigurationError(
        "the database is in use by a service",
        field=URL_FIELD,
        hint="stop every process that serves this bank, and run the same command again",
    )
