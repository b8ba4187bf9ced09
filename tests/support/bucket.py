"""A real server of S3 (versitygw), built from its Go module, on the loopback interface: its buckets
are folders, its objects files.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from e2e.cluster import binaries
from e2e.cluster.apiserver import free_ports

_START_SECONDS = 30
_INTERVAL_SECONDS = 0.05


@dataclass
class BucketServer:
    """A server with one bucket."""

    folder: Path
    bucket: str = "agents"
    access_key: str = "agents"
    secret_key: str = field(default_factory=lambda: secrets.token_hex(20), repr=False)
    port: int = field(default_factory=lambda: free_ports(1)[0])
    _process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self.port}"

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
        """Serve what is in the folder; return when it answers."""
        (self.folder / self.bucket).mkdir(parents=True, exist_ok=True)
        environment = {name: value for name, value in os.environ.items() if "AWS" not in name}
        with (self.folder.with_suffix(".log")).open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  # our own program
                [
                    binaries.ensure("versitygw"), "--quiet", "--port", f"127.0.0.1:{self.port}",
                    "--health", "/healthz", "posix", self.folder,
                ],
                stdout=log, stderr=log,
                env=environment
                | {"ROOT_ACCESS_KEY": self.access_key, "ROOT_SECRET_KEY": self.secret_key},
            )  # fmt: skip
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"{self.endpoint}/healthz").status_code == httpx.codes.OK:
                    return
            except httpx.TransportError:
                time.sleep(_INTERVAL_SECONDS)
        raise TimeoutError(f"the server did not start: see {self.folder.with_suffix('.log')}")

    def stop(self) -> None:
        """End it at once; its objects stay."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def bucket_server(folder: Path) -> Iterator[BucketServer]:
    """Serve a folder until the block ends."""
    server = BucketServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()
