"""A real PgBouncer in transaction mode, before a server of tests.support.postgres."""

from __future__ import annotations

import atexit
import fcntl
import os
import signal
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psycopg

from e2e.cluster import packages
from tests.support import postgres

POOL = 3
"""Connections per database to the server: fewer than one store opens to PgBouncer."""
_PORT = 6432
_START_SECONDS = 60.0


@dataclass(frozen=True)
class Bouncer:
    """A running PgBouncer, on a socket beside the server's."""

    folder: Path
    process: subprocess.Popen[bytes]

    def url(self, database: str) -> str:
        """Return the address of one of the server's databases."""
        user = f"{postgres.OWNER}:{postgres.PASSWORD}"
        return f"postgresql://{user}@/{database}?host={self.folder}&port={_PORT}"


@cache
def bouncer() -> Bouncer:
    """Return the PgBouncer of this process's server, started when it is first asked for."""
    started = start(postgres.server())
    atexit.register(stop, started)
    return started


def start(server: postgres.Server) -> Bouncer:
    """Start a PgBouncer before a server, whose databases have the same names there."""
    _install()
    folder = server.folder / "bouncer"
    folder.mkdir(exist_ok=True)
    (folder / "users").write_text(f'"{postgres.OWNER}" "{postgres.PASSWORD}"\n')
    (folder / "pgbouncer.ini").write_text(
        f"""\
[databases]
* = host={server.folder}

[pgbouncer]
pool_mode = transaction
default_pool_size = {POOL}
max_client_conn = 500
query_wait_timeout = 10
listen_port = {_PORT}
unix_socket_dir = {folder}
auth_type = scram-sha-256
auth_file = users
logfile = log
server_login_retry = 1
"""
    )
    if os.getuid() == 0:
        os.chown(folder, postgres.NOBODY, postgres.NOBODY)
    process = subprocess.Popen(
        ["/usr/sbin/pgbouncer", "--quiet", "pgbouncer.ini"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **postgres.as_nobody(folder),
    )  # fmt: skip
    started = Bouncer(folder, process)
    url = started.url("postgres")
    postgres.until_it_answers(process, lambda: psycopg.connect(url).close())
    return started


def stop(running: Bouncer) -> None:
    """Let it end at once, which closes all connections."""
    with suppress(ProcessLookupError):
        running.process.send_signal(signal.SIGTERM)
    running.process.wait(_START_SECONDS)


def _install() -> None:
    """Install the package, one of the processes that run tests after the other."""
    with (Path(tempfile.gettempdir()) / "memorybank-pgbouncer.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        packages.ensure({"/usr/sbin/pgbouncer": "pgbouncer"}, purpose="a test behind PgBouncer")
