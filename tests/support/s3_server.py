"""A real S3 server on the loopback interface, which checks keys and policies."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
from botocore.config import Config  # type: ignore[import-untyped]

from e2e.cluster.apiserver import free_ports
from e2e.cluster.pki import Authority

_UNCHECKED = 4
"""Requests before keys are checked: those that make the user, its right, its key and a bucket."""
_START_SECONDS = 60


def _policy(*actions: str) -> str:
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


_RIGHTS_ALONE = _policy("iam:*")
_EVERYTHING = _policy("s3:*", "iam:*")


@dataclass
class S3:
    """A running server with a bucket and a user who may do everything."""

    process: subprocess.Popen[bytes]
    url: str
    authority: Path | None
    """The certificate by which it is known; None without TLS."""
    key: str = ""
    secret: str = ""
    bucket: str = "agents-backups"

    def client(self, service: str = "s3") -> Any:
        """Return a client with the user's key."""
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=self.key or "nobody",
            aws_secret_access_key=self.secret or "nothing",
            verify=False if self.authority is None else str(self.authority),
            config=Config(connect_timeout=5, read_timeout=10, proxies={}),
        )

    def settings(self, folder: Path) -> dict[str, Any]:
        """Return the section `backup.s3` of a configuration; its files are made in a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "id").write_text(self.key + "\n")
        (folder / "secret").write_text(self.secret)
        section: dict[str, Any] = {
            "bucket": self.bucket,
            "endpoint": self.url,
            "access_key_id_file": str(folder / "id"),
            "secret_access_key_file": str(folder / "secret"),
        }
        if self.authority is not None:
            section["ca_file"] = str(self.authority)
        return section

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Take connections and answer none."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def allow(self, everything: bool) -> None:
        """Give the user every right, or none in buckets."""
        policy = _EVERYTHING if everything else _RIGHTS_ALONE
        self.client("iam").put_user_policy(UserName="bank", PolicyName="all", PolicyDocument=policy)

    def _set_up(self) -> None:
        iam = self.client("iam")
        iam.create_user(UserName="bank")
        self.allow(True)
        made = iam.create_access_key(UserName="bank")["AccessKey"]
        self.client().create_bucket(Bucket=self.bucket)
        self.key, self.secret = made["AccessKeyId"], made["SecretAccessKey"]


def without_aws() -> dict[str, str]:
    """Return the environment without what machines set up for AWS have in it."""
    return {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}


@contextmanager
def s3_server(folder: Path, *, tls: bool = False) -> Iterator[S3]:
    """Run a server until the block ends; with TLS, by a certificate of an authority of its own."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
    folder.mkdir(parents=True, exist_ok=True)
    authority = folder / "authority.crt" if tls else None
    if authority is not None:
        issuer = Authority("backups")
        authority.write_bytes(issuer.pair.certificate)
        issuer.issue("s3", hosts=["127.0.0.1"]).write(folder, "s3")
        command += ["--ssl-cert", str(folder / "s3.crt"), "--ssl-key", str(folder / "s3.key")]
    with (folder / "s3.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603  # a fixed argument list
            command,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=without_aws() | {"INITIAL_NO_AUTH_ACTION_COUNT": str(_UNCHECKED)},
        )
    scheme = "https" if tls else "http"
    server = S3(process, f"{scheme}://127.0.0.1:{port}", authority)
    try:
        _wait_until_listening(process, port)
        server._set_up()
        yield server
    finally:
        process.kill()
        process.wait()


def _wait_until_listening(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("the S3 server did not start; its log is in s3.log")
