"""PostgreSQL's failures in the service's own words.

What the server says may quote values of the statement, which are contents: only its code is told,
and where it concerns the connection, in our words.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from memorybank.errors import ConfigurationError, StoreUnavailable

_PRIVILEGES = (
    "the database refuses this to the user of the service",
    "let the user own the database, or a schema of its own",
)
_PASSWORD = (
    "the database does not accept user or password",
    "correct the URL of the database; it is read anew for each connection",
)
_WALL = (
    "the database refused a row of another tenant than the request's",
    "nothing was changed; report this: the service should not have tried",
)
_UNREACHED = (
    "the database server cannot be reached",
    "see that it runs and that the network lets the service through",
)
_CAUSES: dict[str, tuple[str, str]] = {
    # By SQLSTATE, or its class: https://www.postgresql.org/docs/16/errcodes-appendix.html
    "08": _UNREACHED,  # in the words of a PgBouncer
    "28": _PASSWORD,
    "3D000": (
        "the database server has no database of this name",
        "make it, or correct the URL of the database",
    ),
    "42501": _PRIVILEGES,
    "25006": (
        "the database can only be read",
        "name the primary server in the URL of the database, not a replica",
    ),
    "53100": (
        "the disk of the database is full",
        "free some space or enlarge it; nothing that was acknowledged is lost",
    ),
    "53300": (
        "the database has no connection left",
        "raise its max_connections, lower database.readers, or put a PgBouncer before it",
    ),
    "53": ("the database lacks memory or disk", "look at the server's log"),
    "57014": (
        "the database took too long to answer",
        "try again; if it stays so, see what else keeps the server busy",
    ),
    "55P03": ("another writer keeps the database locked", "try again in a few seconds"),
    "57": ("the database server is starting or stopping", "try again in a few seconds"),
    "58": ("the database server cannot read or write its disk", "look at the server's log"),
    "XX": ("the database is damaged", "look at the server's log; restore it from a backup"),
}
_SETTINGS_AT_FAULT = ("28", "3D000", "42501", "25006")
"""Causes that no retry cures: they stop the start instead of being tried again."""


URL_FIELD = "database.url_file"
"""The setting by which a database is named."""


def unavailable(error: psycopg.Error) -> StoreUnavailable:
    """Return what to tell a caller whose request met this error."""
    message, hint = _cause(error)
    return StoreUnavailable(message, hint=hint)


@contextmanager
def translated() -> Iterator[None]:
    """Turn PostgreSQL's errors into StoreUnavailable."""
    try:
        yield
    except psycopg.Error as error:
        raise unavailable(error) from None


@contextmanager
def translated_at_start() -> Iterator[None]:
    """Turn PostgreSQL's errors at the start into ConfigurationError or StoreUnavailable."""
    try:
        yield
    except psycopg.ProgrammingError as error:
        if error.sqlstate is None:  # of the driver: it could not read the URL, and may quote it
            raise ConfigurationError(
                "the URL of the database cannot be read",
                field=URL_FIELD,
                hint="write postgresql://user:password@host:5432/name",
            ) from None
        raise _at_start(error) from None
    except psycopg.Error as error:
        raise _at_start(error) from None


def _at_start(error: psycopg.Error) -> ConfigurationError | StoreUnavailable:
    message, hint = _cause(error)
    at_fault = (_code(error) or "").startswith(_SETTINGS_AT_FAULT)
    kind = ConfigurationError if at_fault else StoreUnavailable
    return kind(message, field=URL_FIELD, hint=hint)


def _cause(error: psycopg.Error) -> tuple[str, str]:
    code = _code(error)
    if code is None:
        return _UNREACHED
    if error.diag.source_function == "ExecWithCheckOptions":
        return _WALL
    for known in (code, code[:2]):
        if known in _CAUSES:
            return _CAUSES[known]
    return f"the database failed with the code {code}", "look at the server's log"


def _code(error: psycopg.Error) -> str | None:
    """Return the SQLSTATE. While connecting, the driver knows the server's words only."""
    if error.sqlstate is not None:
        return error.sqlstate
    said = str(error)
    for words, code in (
        ("authentication failed", "28P01"),
        ("no password supplied", "28P01"),
        ("no pg_hba.conf entry", "28000"),
        ('role "', "28000"),
        ("no such user", "28000"),  # as PgBouncer says it
        ('database "', "3D000"),
        ("no such database", "3D000"),
        ("too many c", "53300"),
        ("remaining connection slots", "53300"),
        ("no more connections allowed", "53300"),
        ("is starting up", "57P03"),
        ("is shutting down", "57P03"),
    ):
        if words in said:
            return code
    return None
