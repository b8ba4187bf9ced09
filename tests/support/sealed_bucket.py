"""A real server of S3 (MinIO), built from its Go module, which encrypts by keys of its own and by
those of requests.
"""

from __future__ import annotations

import secrets
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]
from typing_extensions import override

from e2e.cluster import binaries
from e2e.cluster.pki import Authority
from tests.support.object_server import ObjectServer

KMS_KEY = "memories"
"""The one key that the server has itself."""


def new_key() -> str:
    """Return a key of a customer's, as it is in a file."""
    return b64encode(secrets.token_bytes(32)).decode()


class SealedBucket(ObjectServer):
    """A MinIO with one bucket."""

    scheme = "https"

    @override
    def settings(
        self, folder: Path, *, customer_key: str = "", kms_key: str = ""
    ) -> dict[str, Any]:
        """As every server's, with the key that objects are encrypted by."""
        section = super().settings(folder) | {"ca_file": str(self._authority)}
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

    @override
    def _program(self) -> tuple[list[str | Path], dict[str, str]]:
        certificates = self.folder / "certificates"
        certificates.mkdir(parents=True, exist_ok=True)
        if not self._authority.exists():
            issuer = Authority("backups")
            issuer.issue("public", hosts=["127.0.0.1"]).write(certificates, "public")
            (certificates / "public.key").rename(certificates / "private.key")
            (self.folder / "kms").write_text(f"{KMS_KEY}:{new_key()}")
            self._authority.write_bytes(issuer.pair.certificate)
        command: list[str | Path] = [
            binaries.ensure("minio"), "server", "--quiet", "--certs-dir", certificates,
            "--address", f"127.0.0.1:{self.port}", self.folder / "objects",
        ]  # fmt: skip
        return command, {
            "HOME": str(self.folder),
            "MINIO_ROOT_USER": self.access_key,
            "MINIO_ROOT_PASSWORD": self.secret_key,
            "MINIO_KMS_SECRET_KEY": (self.folder / "kms").read_text(),
            "MINIO_BROWSER": "off",
        }

    @override
    def _has_bucket(self) -> bool:
        try:
            self.client().create_bucket(Bucket=self.bucket)
        except ClientError as error:
            return bool(error.response["Error"]["Code"] == "BucketAlreadyOwnedByYou")
        except BotoCoreError:
            return False
        return True

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
