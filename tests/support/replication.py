"""A pod that replicates: prepared, with a real Litestream and rows that somebody writes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw

from e2e.cluster.apiserver import free_ports
from memorybank.backup.asking import Litestream
from memorybank.backup.litestream import SOCKET
from memorybank.backup.prepare import Prepared
from memorybank.configuration import load
from memorybank.errors import BackupUnavailable
from memorybank.server.backups import prepare
from memorybank.settings import Settings
from tests.support.s3_server import without_aws
from tests.support.server_process import resident_mib

UID = "7f3b6c52-0000-4000-8000-000000000001"
_ANSWER_SECONDS = 60.0


class Pod:
    """A volume of its own, which may be lost, and a folder in memory."""

    def __init__(
        self,
        folder: Path,
        destination: Mapping[str, Any],
        *,
        settings: Mapping[str, Any] | None = None,
        **changed: Any,
    ) -> None:
        """`destination` is `{"s3": {...}}` or `{"volume": {...}}`; `settings` are those beside the
        backup, of which the rest are.
        """
        self.folder = folder
        self.data = folder / "data"
        self.run_dir = folder / "run"
        self.data.mkdir(parents=True, exist_ok=True)
        (port,) = free_ports(1)
        backup = {
            "bank": "agents/team-memory", "uid": UID, "run_dir": str(self.run_dir),
            "metrics_port": port, **destination, **changed,
        }  # fmt: skip
        self.config = folder / "config.yaml"
        self.config.write_text(
            json.dumps({"data": str(self.data), "backup": backup, **(settings or {})})
        )
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def settings(self) -> Settings:
        return load(file=self.config, environ={})

    @property
    def database(self) -> Path:
        return self.settings.database_path

    @property
    def socket(self) -> Path:
        return self.run_dir / SOCKET

    def prepare(self) -> Prepared:
        prepare(self.settings)
        return Prepared.load(self.run_dir)

    @property
    def prepared_epoch(self) -> str:
        """The name of the epoch that it replicates to."""
        return Prepared.load(self.run_dir).epoch.name

    def replicate(self, *, wait: bool = True) -> None:
        """Start Litestream; return when it has replicated what there is."""
        backup = self.settings.backup
        assert backup is not None
        environ = without_aws()
        if backup.s3 is not None and backup.s3.ca_file is not None:
            environ["SSL_CERT_FILE"] = str(backup.s3.ca_file)
        with (self.folder / "litestream.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  # a fixed argument list
                [
                    sys.executable, "-m", "memorybank", "backup", "replicate",
                    "--run-dir", self.run_dir,
                ],
                stdout=log, stderr=subprocess.STDOUT, env=environ, start_new_session=True,
            )  # fmt: skip
        if wait:
            self.wait_until_synced()

    def resident_mib(self) -> float:
        """Return the resident memory of Litestream and of what runs it."""
        return sum(map(resident_mib, self.pids()))

    def pids(self) -> list[int]:
        """Return who replicates: what runs Litestream, and Litestream unless it is held."""
        assert self._process is not None
        own = self._process.pid
        children = Path(f"/proc/{own}/task/{own}/children").read_text().split()
        return [own, *map(int, children)]

    def wait_until_synced(self) -> None:
        deadline = time.monotonic() + _ANSWER_SECONDS
        while True:
            try:
                Litestream(self.socket, self.database).sync(_ANSWER_SECONDS)
            except BackupUnavailable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            else:
                return

    def kill(self) -> None:
        """End Litestream as a lost node does."""
        if self._process is not None:
            group = self._process.pid
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
            self._process.wait()
            self._process = None
            while _is_alive(group):
                time.sleep(0.005)

    def stop(self) -> None:
        """End Litestream in order."""
        assert self._process is not None
        self._process.terminate()
        assert self._process.wait(60) == 0
        self._process = None

    def wait(self) -> int:
        """Return what Litestream ended with, once it has."""
        assert self._process is not None
        return self._process.wait(60)

    def share_volume_of(self, other: Pod) -> None:
        """Be on the same node as another one."""
        self.take_data_of(other.data)

    def take_data_of(self, folder: Path) -> None:
        """Be where another one was."""
        content = json.loads(self.config.read_text())
        self.config.write_text(json.dumps(content | {"data": str(folder)}))
        self.data = folder

    def lose_volume(self) -> None:
        for each in sorted(self.data.rglob("*"), reverse=True):
            each.unlink() if not each.is_dir() else each.rmdir()

    @contextmanager
    def writing(self) -> Iterator[apsw.Connection]:
        """Open the database as the service does, checkpoints left to Litestream."""
        connection = apsw.Connection(str(self.database))
        try:
            connection.set_busy_timeout(5_000)
            connection.pragma("journal_mode", "wal")
            connection.wal_autocheckpoint(0)
            connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            connection.execute("CREATE TABLE IF NOT EXISTS told (number INTEGER, at REAL, filler)")
            yield connection
        finally:
            connection.close()

    def rows(self) -> list[int]:
        """Return what is in the database, which must be whole."""
        with self.writing() as connection:
            assert connection.pragma("integrity_check") == "ok"
            return [number for (number,) in connection.execute("SELECT number FROM told")]


def _is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def write(connection: apsw.Connection, number: int) -> None:
    connection.execute("INSERT INTO told VALUES (?, ?, randomblob(1000))", (number, time.time()))
