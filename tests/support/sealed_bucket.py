"""A real server of S3 (MinIO), built from its Go module, on the loopback interface, which encrypts
by keys of its own and by those of requests.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

from e2e.cluster import binaries
from e2e.cluster.apiserver import free_ports
from e2e.cluster.pki import Authority

KMS_KEY = "memories"
"""The one key that the server has itself."""
_START_SECONDS = 60
_INTERVAL_SECONDS = 0.05


def new_key() -> str:
    """Return a key of a customer's, as it is in a file."""
    return b64encode(secrets.token_bytes(32)).decode()


@dataclass
class SealedBucket:
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
        return f"https://127.0.0.1:{self.port}"

    def settings(
        self, folder: Path, *, customer_key: str = "", kms_key: str = ""
    ) -> dict[str, Any]:
        """Return the section `backup.s3` of a configuration; its files are made in a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "id").write_text(self.access_key)
        (folder / "secret").write_text(self.secret_key)
        section: dict[str, Any] = {
            "bucket": self.bucket,
            "endpoint": self.endpoint,
            "access_key_id_file": str(folder / "id"),
            "secret_access_key_file": str(folder / "secret"),
            "ca_file": str(self._authority),
        }
        if customer_key:
            (folder / "customer-key").write_text(customer_key + "\n")
            section["customer_key_file"] = str(folder / "customer-key")
        if kms_key:
            section["kms_key_id"] = kms_key
        return section

    def client(self) -> Any:
        """Return a client that may do everything."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            verify=str(self._authority),
            config=Config(
                connect_timeout=5, read_timeout=10, proxies={}, retries={"max_attempts": 0}
            ),
        )

    def paths(self) -> list[str]:
        """Return what is in the bucket."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        return [each["Key"] for page in pages for each in page.get("Contents", ())]

    def start(self) -> None:
        """Serve what is in the folder; return when there is the bucket."""
        certificates = self.folder / "certificates"
        certificates.mkdir(parents=True, exist_ok=True)
        if not self._authority.exists():
            issuer = Authority("backups")
            issuer.issue("public", hosts=["127.0.0.1"]).write(certificates, "public")
            (certificates / "public.key").rename(certificates / "private.key")
            (self.folder / "kms").write_text(f"{KMS_KEY}:{new_key()}")
            self._authority.write_bytes(issuer.pair.certificate)
        environment = {
            "MINIO_ROOT_USER": self.access_key,
            "MINIO_ROOT_PASSWORD": self.secret_key,
            "MINIO_KMS_SECRET_KEY": (self.folder / "kms").read_text(),
            "MINIO_BROWSER": "off",
        }
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  # our own program
                [
                    binaries.ensure("minio"), "server", "--quiet", "--certs-dir", certificates,
                    "--address", f"127.0.0.1:{self.port}", self.folder / "objects",
                ],
                stdout=log, stderr=log,
                env={"PATH": os.environ["PATH"], "HOME": str(self.folder), **environment},
            )  # fmt: skip
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            try:
                self.client().create_bucket(Bucket=self.bucket)
            except (BotoCoreError, ClientError):
                time.sleep(_INTERVAL_SECONDS)
            else:
                return
        raise TimeoutError(f"the server did not start: see {self.folder / 'server.log'}")

    def stop(self) -> None:
        """End it at once; its objects stay."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @property
    def _authority(self) -> Path:
        return self.folder / "authority.crt"


@contextmanager
def sealed_bucket(folder: Path) -> Iterator[SealedBucket]:
    """Serve a folder until the block ends."""
    server = SealedBucket(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
