"""A real server of S3 (versitygw), built from its Go module: its buckets are folders, its objects
files.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from typing_extensions import override

from e2e.cluster import binaries
from tests.support.object_server import ObjectServer


class BucketServer(ObjectServer):
    """A versitygw with one bucket."""

    scheme = "http"

    @override
    def _program(self) -> tuple[list[str | Path], dict[str, str]]:
        (self.folder / self.bucket).mkdir(parents=True, exist_ok=True)
        command: list[str | Path] = [
            binaries.ensure("versitygw"), "--quiet", "--port", f"127.0.0.1:{self.port}",
            "--health", "/healthz", "posix", self.folder,
        ]  # fmt: skip
        return command, {"ROOT_ACCESS_KEY": self.access_key, "ROOT_SECRET_KEY": self.secret_key}

    @override
    def _has_bucket(self) -> bool:
        try:
            return httpx.get(f"{self.endpoint}/healthz").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False


@contextmanager
def bucket_server(folder: Path) -> Iterator[BucketServer]:
    """Serve a folder until the block ends."""
    server = BucketServer(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
