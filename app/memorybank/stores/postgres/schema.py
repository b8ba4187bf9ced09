"""The schema's migrations: numbered, forward only, one process at a time."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources

import psycopg

from memorybank.errors import ConfigurationError
from memorybank.stores.postgres.connection import Session
from memorybank.stores.postgres.errors import URL_FIELD

_LOCK = 0x6D656D6F72796261
"""Of the advisory lock that who migrates holds: `memoryba`."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered step of the schema."""

    version: int
    name: str
    script: str


def migrations() -> list[Migration]:
    """Return the steps that come with this version, in order."""
    steps = []
    for file in (resources.files("memorybank.stores.postgres") / "migrations").iterdir():
        number, _, name = file.name.removesuffix(".sql").partition("_")
        steps.append(Migration(int(number), name, file.read_text(encoding="utf-8")))
    return sorted(steps, key=lambda step: step.version)


def migrate(session: Session) -> None:
    """Bring the schema to this version of the code, within one transaction.

    Others who do the same wait for it. Raises ConfigurationError for a database of a newer version
    or of another program.
    """
    session.execute("SELECT pg_advisory_xact_lock(?)", (_LOCK,))
    applied = _applied(session)
    steps = migrations()
    newest = steps[-1].version
    if applied and max(applied) > newest:
        raise ConfigurationError(
            f"the database was written by a newer version of the service (schema {max(applied)},"
            f" this version knows {newest})",
            field=URL_FIELD,
            hint="run that version or a later one, or restore an older backup",
        )
    for step in steps:
        if step.version not in applied:
            _run(session.raw, step.script)
            session.execute(
                "INSERT INTO schema_migrations (version, name) VALUES (?, ?)",
                (step.version, step.name),
            )


def require_newest(session: Session) -> None:
    """Raise ConfigurationError when the schema is not the one of this version of the code."""
    newest = migrations()[-1].version
    found = max(_recorded(session), default=0)
    if found != newest:
        raise ConfigurationError(
            f"the database has the schema {found}, this version moves the schema {newest}"
            if found
            else "the database holds no bank",
            field=URL_FIELD,
            hint="let a service of this version serve it first"
            if found
            else "correct the URL of the database",
        )


def require_walls(session: Session) -> None:
    """Raise ConfigurationError when row-level security does not hold for who is connected."""
    if not session.execute("SELECT row_security_active('memories')").get:
        raise ConfigurationError(
            "the user of the database may see every tenant's rows, whatever its policies say",
            field=URL_FIELD,
            hint="name a user in the URL that is no superuser and has not the attribute BYPASSRLS",
        )


def _applied(session: Session) -> set[int]:
    if not _is_made(session):
        _refuse_foreign(session)
        _run(
            session.raw,
            "CREATE TABLE schema_migrations (version integer PRIMARY KEY, name text NOT NULL,"
            " applied_at timestamptz NOT NULL DEFAULT now())",
        )
    return _recorded(session)


def _is_made(session: Session) -> bool:
    return session.execute("SELECT to_regclass('schema_migrations')::text").get is not None


def _recorded(session: Session) -> set[int]:
    if not _is_made(session):
        return set()
    return {version for (version,) in session.execute("SELECT version FROM schema_migrations")}


def _refuse_foreign(session: Session) -> None:
    if session.execute(
        "SELECT 1 FROM pg_catalog.pg_tables WHERE schemaname = current_schema() LIMIT 1"
    ).fetchone():
        raise ConfigurationError(
            "the database belongs to another program",
            field=URL_FIELD,
            hint="make an empty one for this bank, and name that in the URL",
        )


def _run(connection: psycopg.Connection[tuple[object, ...]], script: str) -> None:
    """Run a script of several statements, as simple queries take them."""
    connection.execute(script.encode())
