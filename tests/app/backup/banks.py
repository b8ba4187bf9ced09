"""Pods of real banks: what is stored, and what commands say of their backups."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from memorybank.__main__ import main
from memorybank.cli.local import local_bank
from tests.support.replication import UID, Pod

TINY = {"embedding": {"provider": "builtin-tiny"}}
BANK = f"agents/team-memory/{UID}"


class OnServer(Pod):
    """A pod of a bank in PostgreSQL, which has no volume."""

    def __init__(
        self, folder: Path, destination: Mapping[str, Any], url: str, **changed: Any
    ) -> None:
        """`changed` is what else the backup has."""
        super().__init__(folder, destination)
        address = folder / "url"
        address.write_text(url)
        backup = {"bank": "agents/team-memory", "uid": UID, **destination, **changed}
        self.settle({"engine": "postgres", "url_file": str(address)}, backup)

    def settle(self, database: Mapping[str, Any], backup: Mapping[str, Any]) -> None:
        """Write the configuration anew."""
        content = {"data": str(self.data), "database": database, "backup": backup, **TINY}
        self.config.write_text(json.dumps(content))

    def begin(self) -> int:
        """Do what an init container does; return its exit code."""
        return main(["backup", "prepare", "--config", str(self.config)])


def stored(pod: Pod, *texts: str) -> None:
    """Let a pod live: prepared, written to, replicated, gone."""
    pod.prepare()
    store(pod, texts)
    pod.replicate()
    pod.kill()


def store(pod: Pod, texts: Iterable[str]) -> None:
    """Store memories, while nobody serves the bank."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEMORY_BANK_CONFIG", str(pod.config))
        with local_bank(pod.data) as bank:
            for each in texts:
                bank.request("POST", "/v1/memories", body={"content": each}).value(bank.name)


def contents(pod: Pod, data: Path) -> set[str]:
    """Return what is stored in a data folder, as the pod's settings open it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEMORY_BANK_CONFIG", str(pod.config))
        with local_bank(data) as bank:
            listed = bank.request("GET", "/v1/memories", query={"limit": 200}).value(bank.name)
    return {each["content"] for each in listed["memories"]}


def run(
    pod: Pod, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, dict[str, Any]]:
    """Run `memorybank backup`; return its exit code and its report."""
    log = pod.folder / "termination"
    log.touch()
    capsys.readouterr()
    command = ["backup", *arguments, "--config", str(pod.config)]
    with pytest.MonkeyPatch.context() as patch:
        # The log would go on to the standard error of this test, which ends with it.
        patch.setattr("memorybank.logs.configure", lambda *_: None)
        code = main([*command, "--termination-log", str(log)])
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    report: dict[str, Any] = json.loads(log.read_bytes())
    assert json.loads(said.out) == report, "both are told the same"
    assert (report["result"] == "ok") == (code == 0) == (report["error"] is None)
    return code, report


def objects(pod: Pod) -> dict[str, bytes]:
    """Return all that is at the destination, by path from the bank's own place."""
    backup = pod.settings.backup
    assert backup is not None
    if backup.volume is not None:
        own = backup.volume.path / BANK
        return {
            str(file.relative_to(own)): file.read_bytes()
            for file in own.rglob("*")
            if file.is_file()
        }
    client, bucket, own_path = _bucket(pod)
    found = client.list_objects_v2(Bucket=bucket, Prefix=f"{own_path}/").get("Contents", [])
    return {
        each["Key"].removeprefix(f"{own_path}/"): client.get_object(Bucket=bucket, Key=each["Key"])[
            "Body"
        ].read()
        for each in found
    }


def put(pod: Pod, path: str, content: bytes | None) -> None:
    """Write an object anew, or remove it."""
    backup = pod.settings.backup
    assert backup is not None
    if backup.volume is not None:
        file = backup.volume.path / BANK / path
        if content is None:
            file.unlink()
        else:
            file.write_bytes(content)
        return
    client, bucket, own_path = _bucket(pod)
    key = f"{own_path}/{path}"
    if content is None:
        client.delete_object(Bucket=bucket, Key=key)
    else:
        client.put_object(Bucket=bucket, Key=key, Body=content)


def _bucket(pod: Pod) -> tuple[Any, str, str]:
    import boto3  # type: ignore[import-untyped]

    backup = pod.settings.backup
    assert backup is not None
    s3 = backup.s3
    assert s3 is not None
    assert s3.access_key_id_file is not None
    assert s3.secret_access_key_file is not None
    client = boto3.client(
        "s3",
        endpoint_url=str(s3.endpoint),
        region_name=s3.region,
        aws_access_key_id=s3.access_key_id_file.read_text().strip(),
        aws_secret_access_key=s3.secret_access_key_file.read_text().strip(),
    )
    return client, s3.bucket, f"{s3.path}/{BANK}"
