"""A real server of S3 (MinIO) on the cluster, which encrypts by keys of its own and of others."""

from __future__ import annotations

import secrets
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.exceptions import ClientError  # type: ignore[import-untyped]

from e2e import servers
from e2e.cluster.pki import Authority
from e2e.namespaces import restricted_namespace
from e2e.stack import Stack
from tests.support.sealed_bucket import KMS_KEY, new_key

MANIFEST = Path(__file__).parent / "manifest.yaml"
NAME, PORT, BUCKET = "sealed", 9000, "agents"


@dataclass
class SealedStore:
    """The server, and who may use it."""

    stack: Stack
    namespace: str
    folder: Path
    """For the certificate of the authority that vouches for the server."""
    access_key: str = "agents"
    secret_key: str = field(default_factory=lambda: secrets.token_hex(20), repr=False)

    @property
    def host(self) -> str:
        """Its name, for pods."""
        return f"{NAME}.{self.namespace}.svc"

    @property
    def endpoint(self) -> str:
        """Its URL, for pods."""
        return f"https://{self.host}:{PORT}"

    @property
    def authority(self) -> str:
        """The certificate of who vouches for it."""
        return (self.folder / "authority.crt").read_text()

    @contextmanager
    def client(self) -> Iterator[Any]:
        """A client of S3 that may do everything, by a port of this machine."""
        with self.stack.port_forward(f"deployment/{NAME}", PORT, self.namespace) as port:
            yield boto3.client(
                "s3",
                endpoint_url=f"https://127.0.0.1:{port}",
                region_name="us-east-1",
                aws_access_key_id=self.access_key,
                aws_secret_access_key=self.secret_key,
                verify=str(self.folder / "authority.crt"),
                config=Config(
                    connect_timeout=5, read_timeout=10, proxies={}, retries={"max_attempts": 2}
                ),
            )

    def secret(self, name: str, namespace: str, **values: str) -> None:
        """Write a Secret."""
        data = {key: b64encode(value.encode()).decode() for key, value in values.items()}
        metadata = {"name": name, "namespace": namespace}
        self.stack.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data})


@contextmanager
def sealed_store(stack: Stack, folder: Path) -> Iterator[SealedStore]:
    """Run it with an empty bucket until the block ends; its objects are gone with its pod."""
    image = servers.load_built(stack, "minio")
    with restricted_namespace(stack, "sealed") as namespace:
        made = SealedStore(stack, namespace, folder)
        issuer = Authority("backups")
        pair = issuer.issue(NAME, hosts=[made.host, "127.0.0.1"])
        (folder / "authority.crt").write_bytes(issuer.pair.certificate)
        made.secret(
            "sealed-certificates", namespace,
            **{"public.crt": pair.certificate.decode(), "private.key": pair.key.decode()},
        )  # fmt: skip
        made.secret(
            NAME, namespace,
            MINIO_ROOT_USER=made.access_key, MINIO_ROOT_PASSWORD=made.secret_key,
            MINIO_KMS_SECRET_KEY=f"{KMS_KEY}:{new_key()}",
        )  # fmt: skip
        words = {"NAMESPACE": namespace, "IMAGE": image, "PORT": str(PORT)}
        stack.kubectl("apply", "-f", "-", stdin=servers.filled(MANIFEST, **words))
        stack.kubectl("-n", namespace, "rollout", "status", f"deployment/{NAME}", "--timeout=300s")
        with made.client() as client:
            client.create_bucket(Bucket=BUCKET)
        yield made


def kept(client: Any) -> list[str]:
    """Return the names of the bucket's objects."""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    return [each["Key"] for page in pages for each in page.get("Contents", ())]


def opened_without_its_key(client: Any) -> list[str]:
    """Return the objects of the bucket that whoever reads it may read."""
    found = []
    for path in kept(client):
        try:
            client.get_object(Bucket=BUCKET, Key=path)
        except ClientError as error:
            if "form of Server Side Encryption" not in str(error):
                raise
        else:
            found.append(path)
    return found
