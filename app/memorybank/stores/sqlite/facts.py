"""What a database file holds, for whoever compares copies of a bank.

A copy that was restored is read as it stands: nothing is written into it, no log made beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

import apsw

from memorybank.encryption import KeyRing
from memorybank.ports import StoreCheck, StoreFacts
from memorybank.stores.sql import facts as sql_facts
from memorybank.stores.sql.sealing import seal_for
from memorybank.stores.sqlite.care import check
from memorybank.stores.sqlite.connection import open_reader, require_known
from memorybank.stores.sqlite.errors import translated

_UNTOLD = StoreFacts(0, 0, None, 0, 0, 0, ())
_MISCOUNTED = """
SELECT name FROM tenants WHERE memories !=
    (SELECT count(*) FROM memories WHERE memories.tenant = tenants.name)
"""


def facts_of_served(database: Path) -> StoreFacts:
    """Return what a database holds that is being served. Raises StoreUnavailable."""
    with translated():
        connection = open_reader(database)
        try:
            return facts(connection)
        finally:
            connection.close()


def facts_of_copy(copy: Path) -> StoreFacts:
    """Return what a copy holds. Raises StoreUnavailable."""
    with _copy(copy) as connection:
        return facts(connection)


def facts(connection: apsw.Connection) -> StoreFacts:
    """Return what a database holds, all of the same moment."""
    if not connection.table_exists("main", "schema_migrations"):
        return _UNTOLD
    return sql_facts.facts(connection, larger="max")


def check_copy(copy: Path) -> StoreCheck:
    """Read every page of a copy and what refers to what, and count what is counted in it."""
    with _copy(copy) as connection:
        found = check(connection)
        if found.problems or not connection.table_exists("main", "tenants"):
            return found
        wrong = connection.execute(_MISCOUNTED).fetchall()
        problems = [f"the memories of {len(wrong)} tenants are not as many as was counted"]
        return StoreCheck(problems if wrong else [], found.counts)


def require_known_copy(copy: Path) -> None:
    """Raise ConfigurationError when a copy is of a newer version of the service."""
    with _copy(copy) as connection:
        if connection.table_exists("main", "schema_migrations"):
            require_known(connection.execute(sql_facts.SCHEMA).get, "that was restored")


def require_ring(copy: Path, ring: KeyRing | None) -> None:
    """Raise ConfigurationError unless the ring opens all that is in a copy; without a ring, if it
    is encrypted.
    """
    with _copy(copy) as connection:
        if not connection.table_exists("main", "encryption"):
            return
        is_new = connection.execute("SELECT 1 FROM encryption").get is None
        is_empty = connection.execute("SELECT 1 FROM memories").get is None
        if not (is_new and is_empty):  # what a new one begins with is written when it is opened
            seal_for(ring).attach(connection, "that was restored")


@contextmanager
def _copy(copy: Path) -> Iterator[apsw.Connection]:
    with translated(), closing(
        apsw.Connection(
            f"file:{quote(str(copy))}?immutable=1",
            flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI,
        )
    ) as connection:  # fmt: skip
        connection.pragma("query_only", True)
        yield connection
