"""Opening the database: settings of each connection, and the schema's migrations."""

from __future__ import annotations

import time
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import apsw

from memorybank.domain.duplicates import fingerprint
from memorybank.errors import ConfigurationError
from memorybank.stores.sqlite import former
from memorybank.stores.sqlite.errors import translated_at_start

BUSY_MS = 5_000
"""How long to wait for a lock. Only backup and replication tools ever hold one against us."""

DELETIONS_KEPT = 10_000
"""Changes for which the feed tells of deletions, at least."""

_JOURNAL_SIZE_LIMIT = 64 * 1024 * 1024
"""Bytes of write-ahead log kept on disk after a checkpoint has emptied it."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered step of the schema."""

    version: int
    name: str
    script: str


def open_writer(path: Path, *, checkpoints: bool = True) -> apsw.Connection:
    """Open the one connection that writes, on the newest schema.

    Without `checkpoints` the log grows until a replication tool has read and emptied it, so that
    nothing in it is overwritten unread; closing leaves it as it is, too.

    The write-ahead log with synchronous=FULL makes a commit durable before it returns. No memory
    map: a failing disk must give an error, not SIGBUS. Raises ConfigurationError when the file is
    not ours to use, StoreUnavailable when the disk fails.
    """
    with translated_at_start(path):
        connection = apsw.Connection(
            str(path), flags=apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
        )
        try:
            if connection.readonly("main"):
                raise apsw.ReadOnlyError
            connection.set_busy_timeout(BUSY_MS)
            connection.pragma("journal_mode", "wal")
            connection.pragma("journal_size_limit", _JOURNAL_SIZE_LIMIT)
            if not checkpoints:
                connection.wal_autocheckpoint(0)
                connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            connection.pragma("synchronous", "full")
            connection.pragma("mmap_size", 0)
            connection.pragma("foreign_keys", True)
            connection.create_scalar_function("fingerprint", _fingerprint, 2, deterministic=True)
            migrate(connection, path)
            # The index of this process starts empty, where a deletion says nothing; those of
            # followers go on, and are built anew when they have missed as many changes.
            connection.execute(
                "DELETE FROM deletions WHERE seq <= (SELECT seq FROM feed) - ?", (DELETIONS_KEPT,)
            )
        except BaseException:
            connection.close()
            raise
    return connection


def open_reader(path: Path) -> apsw.Connection:
    """Open a connection that can only read; the database must be open for writing already."""
    with translated_at_start(path):
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        connection.set_busy_timeout(BUSY_MS)
        connection.pragma("mmap_size", 0)
        connection.pragma("query_only", True)
    return connection


def migrate(connection: apsw.Connection, path: Path) -> None:
    """Bring the schema to this version of the code, one transaction per step.

    Forward only; what was is kept. Raises ConfigurationError for a database of a newer version or
    of another program, StoreUnavailable when there is no room for what is kept.
    """
    if not connection.table_exists("main", "schema_migrations"):
        _refuse_foreign(connection, path)
    applied = _applied(connection)
    steps = migrations()
    if applied:
        require_known(max(applied), str(path))
        if max(applied) < steps[-1].version:
            former.keep(connection, path, schema=max(applied))
    for step in steps:
        if step.version not in applied:
            _apply(connection, step)


def require_known(schema: int, database: str) -> None:
    """Raise ConfigurationError for a schema of a newer version of the service."""
    newest = migrations()[-1].version
    if schema > newest:
        raise ConfigurationError(
            f"the database {database} was written by a newer version of the service"
            f" (schema {schema}, this version knows {newest})",
            field="database.path",
            hint="run that version or a later one, or restore an older backup",
        )


def migrations() -> list[Migration]:
    """Return the steps that come with this version, in order."""
    folder = resources.files("memorybank.stores.sqlite") / "migrations"
    steps = []
    for file in folder.iterdir():
        number, _, name = file.name.removesuffix(".sql").partition("_")
        steps.append(Migration(int(number), name, file.read_text(encoding="utf-8")))
    return sorted(steps, key=lambda step: step.version)


def _fingerprint(*texts: Any) -> bytes:
    """Migration 3 asks for this with title and content, the texts that there were then."""
    return fingerprint("\n\n".join(text for text in texts if text is not None))


def _apply(connection: apsw.Connection, step: Migration) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_migrations"
            " (version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at INTEGER NOT NULL) STRICT"
        )
        connection.execute(step.script)
        connection.execute(
            "INSERT INTO schema_migrations (version, name, applied_at) VALUES (?, ?, ?)",
            (step.version, step.name, time.time_ns() // 1_000),
        )
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _applied(connection: apsw.Connection) -> set[int]:
    if not connection.table_exists("main", "schema_migrations"):
        return set()
    return {version for (version,) in connection.execute("SELECT version FROM schema_migrations")}


def _refuse_foreign(connection: apsw.Connection, path: Path) -> None:
    # Litestream, which runs before the service, may be the first to make tables of its own in it.
    found = connection.execute(
        "SELECT 1 FROM sqlite_schema WHERE tbl_name NOT IN ('_litestream_seq', '_litestream_lock')"
        " LIMIT 1"
    )
    if next(found, None) is not None:
        raise ConfigurationError(
            f"the database {path} belongs to another program",
            field="database.path",
            hint="name another data folder",
        )
