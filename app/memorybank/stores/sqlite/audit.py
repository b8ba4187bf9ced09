"""The audit log in a database file that a service may have open."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from memorybank.domain.audit import AuditRecord, Chain
from memorybank.stores.sql.audit import every_chain
from memorybank.stores.sqlite.connection import open_reader


def stored_chains(database: Path) -> Iterator[tuple[Chain, Iterator[AuditRecord]]]:
    """Yield every chain of a database file with its records, oldest first.

    Reads only, at one moment, whether or not a service has the file open.
    """
    with closing(open_reader(database)) as connection, connection:
        yield from every_chain(connection)
