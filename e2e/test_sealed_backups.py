"""Backups that a real server of S3 encrypts, by a key of its own and by one of the bank's owner."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError  # type: ignore[import-untyped]

from memorybank.backup.care import Care
from memorybank.backup.chain import Origin
from memorybank.backup.destination import Destination
from memorybank.backup.objects import Objects
from memorybank.backup.points import Points
from memorybank.errors import BackupUnavailable
from memorybank.server.destinations import backup_of, place_of
from tests.support.replication import Pod, write
from tests.support.sealed_bucket import KMS_KEY, SealedBucket, new_key, sealed_bucket

pytestmark = pytest.mark.full


@pytest.fixture
def operator_log_has_no_traceback() -> None:
    """There is no operator: these tests need the server, and no cluster."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SealedBucket]:
    """A server with a bucket."""
    with sealed_bucket(tmp_path_factory.mktemp("sealed")) as made:
        yield made


@pytest.fixture
def pods(tmp_path: Path) -> Iterator[list[Pod]]:
    """Pods that end with the test."""
    made: list[Pod] = []
    yield made
    for each in made:
        each.kill()


def pod(pods: list[Pod], folder: Path, s3: dict[str, Any]) -> Pod:
    pods.append(Pod(folder / f"pod-{len(pods)}", {"s3": s3}))
    return pods[-1]


def fill(filled: Pod, count: int) -> None:
    """Let it write so many rows, which arrive, and be lost."""
    with filled.writing() as connection:
        filled.replicate()
        for number in range(count):
            write(connection, number)
        filled.wait_until_synced()
    filled.kill()


@pytest.mark.parametrize("kind", ["customer_key", "kms_key"])
def test_every_object_is_encrypted_and_comes_back(
    server: SealedBucket, pods: list[Pod], tmp_path: Path, kind: str
) -> None:
    key = new_key() if kind == "customer_key" else KMS_KEY
    s3 = server.settings(tmp_path / "secrets", **{kind: key}) | {"path": kind}
    first = pod(pods, tmp_path, s3)
    assert first.prepare().recorded
    fill(first, 50)
    second = pod(pods, tmp_path, s3)
    assert second.prepare().epoch.origin is Origin.BACKUP
    assert second.rows() == list(range(50))
    paths = [each for each in server.paths() if each.startswith(kind)]
    assert [each for each in paths if "/epochs/" in each]
    assert [each for each in paths if each.endswith(".ltx")]
    client = server.client()
    for path in paths:
        if kind == "kms_key":
            told = client.head_object(Bucket=server.bucket, Key=path)
            assert told["ServerSideEncryption"] == "aws:kms"
            assert told["SSEKMSKeyId"].endswith(f":{KMS_KEY}")
        else:
            with pytest.raises(ClientError, match="400"):
                client.head_object(Bucket=server.bucket, Key=path)
            with pytest.raises(ClientError, match="form of Server Side Encryption"):
                client.get_object(Bucket=server.bucket, Key=path)


@pytest.mark.parametrize("kind", ["customer_key", "kms_key"])
def test_what_is_sent_in_parts_is_encrypted(
    server: SealedBucket, pods: list[Pod], tmp_path: Path, kind: str
) -> None:
    key = new_key() if kind == "customer_key" else KMS_KEY
    s3 = server.settings(tmp_path / "secrets", **{kind: key}) | {"path": f"parts/{kind}"}
    place = place_of(backup_of(pod(pods, tmp_path, s3).settings))
    file = tmp_path / "large"
    file.write_bytes(os.urandom(20 * 1024 * 1024))

    async def brought() -> bytes:
        await Objects(place).upload("point", file)
        assert await Objects(place).head("point", 5) == file.read_bytes()[:5]
        return b"".join([each async for each in Objects(place).pieces("point", most=1_048_576)])

    assert asyncio.run(brought()) == file.read_bytes()
    [path] = [each for each in server.paths() if each.startswith(f"parts/{kind}/")]
    if kind == "kms_key":
        told = server.client().head_object(Bucket=server.bucket, Key=path)
        assert told["ServerSideEncryption"] == "aws:kms"
    else:
        with pytest.raises(ClientError, match="form of Server Side Encryption"):
            server.client().get_object(Bucket=server.bucket, Key=path)


@pytest.mark.parametrize(
    ("written", "read", "words"),
    [
        ("first", "second", "encrypted by a customer key which is not the one that is named"),
        ("first", "", "encrypted by a customer key which is not the one that is named: name that"),
        ("", "first", "not encrypted by a customer key, and one is named: name another path"),
    ],
)
def test_another_key_is_told_by_a_pod_that_restores_and_by_one_that_has_its_volume(
    server: SealedBucket, pods: list[Pod], tmp_path: Path, written: str, read: str, words: str
) -> None:
    keys = {"first": new_key(), "second": new_key(), "": ""}

    def s3(which: str) -> dict[str, Any]:
        folder = tmp_path / f"secrets-{which}"
        path = f"other/{written}-{read}"
        return server.settings(folder, customer_key=keys[which]) | {"path": path}

    first = pod(pods, tmp_path, s3(written))
    first.prepare()
    fill(first, 10)
    other = pod(pods, tmp_path, s3(read))
    with pytest.raises(BackupUnavailable) as caught:
        other.prepare()
    assert words in caught.value.message
    assert not [each for each in keys.values() if each and each in str(caught.value)]
    assert not other.database.exists()

    # With its volume a bank goes on, and does not take that for well.
    other.share_volume_of(first)
    prepared = other.prepare()
    assert not prepared.recorded
    place = place_of(backup_of(other.settings))
    care = Care(
        Destination(place), Points(place), prepared, other.database, keep=timedelta(days=30)
    )
    with pytest.raises(BackupUnavailable) as caught:
        asyncio.run(care.record())
    assert words in caught.value.message
    back = pod(pods, tmp_path, s3(written))
    assert back.prepare().epoch.origin is Origin.BACKUP
    assert back.rows() == list(range(10))


def test_a_key_that_the_server_does_not_have_is_told(
    server: SealedBucket, pods: list[Pod], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.support.replication._ANSWER_SECONDS", 15.0)
    s3 = server.settings(tmp_path / "secrets", kms_key="another") | {"path": "no-key"}
    with pytest.raises(BackupUnavailable, match="key of the server's key management does not"):
        pod(pods, tmp_path, s3).prepare()
    known = server.settings(tmp_path / "secrets", kms_key=KMS_KEY) | {"path": "no-key"}
    first = pod(pods, tmp_path, known)
    first.prepare()
    fill(first, 5)
    # What is there is read without naming a key; nothing more arrives.
    other = pod(pods, tmp_path, s3)
    other.share_volume_of(first)
    assert not other.prepare().recorded
    with other.writing() as connection:
        write(connection, 5)
        other.replicate(wait=False)
        with pytest.raises(BackupUnavailable, match="key of the server's key management does not"):
            other.wait_until_synced()
