"""A real server of S3 with one bucket on the loopback interface, whichever program it is."""

from __future__ import annotations

import os
import secrets
import subprocess
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from e2e.cluster.apiserver import free_ports

_START_SECONDS = 60
_INTERVAL_SECONDS = 0.05


@dataclass
class ObjectServer(ABC):
    """A server with one bucket, whose objects are in a folder."""

    folder: Path
    bucket: str = "agents"
    access_key: str = "agents"
    secret_key: str = field(default_factory=lambda: secrets.token_hex(20), repr=False)
    port: int = field(default_factory=lambda: free_ports(1)[0])
    _process: subprocess.Popen[bytes] | None = None

    scheme: ClassVar[str]

    @property
    def endpoint(self) -> str:
        """Its URL."""
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def settings(self, folder: Path) -> dict[str, Any]:
        """Return the section `backup.s3` of a configuration; its files are made in a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "id").write_text(self.access_key)
        (folder / "secret").write_text(self.secret_key)
        return {
            "bucket": self.bucket,
            "endpoint": self.endpoint,
            "access_key_id_file": str(folder / "id"),
            "secret_access_key_file": str(folder / "secret"),
        }

    def start(self) -> None:
        """Serve what is in the folder; return when there is the bucket."""
        command, variables = self._program()
        # Credentials that somebody has in the environment are not this server's.
        environment = {name: value for name, value in os.environ.items() if "AWS" not in name}
        log = self.folder.with_suffix(".log")
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603  # our own program
                command, stdout=output, stderr=output, env=environment | variables
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self._has_bucket():
            if time.monotonic() > deadline:
                raise TimeoutError(f"the server did not start: see {log}")
            time.sleep(_INTERVAL_SECONDS)

    def stop(self) -> None:
        """End it at once; its objects stay."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @abstractmethod
    def _program(self) -> tuple[list[str | Path], dict[str, str]]:
        """Return the command that serves the folder, and the variables that it goes by."""

    @abstractmethod
    def _has_bucket(self) -> bool:
        """Whether the server answers, and has the bucket."""
