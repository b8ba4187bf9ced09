"""Two places, of which one is to have what the other has, and the process that sees to it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from memorybank.backup.copies import Copied, Told
from memorybank.backup.objects import Folder
from memorybank.backup.sides import Side
from tests.support.replication import UID, Pod
from tests.support.s3_server import S3, without_aws

OLD, NEW = "00000001-aaaaaaaa", "00000002-bbbbbbbb"
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
KEEP = timedelta(days=30)
OWN = f"agents/team-memory/{UID}"
PATIENCE_SECONDS = 120.0


def file(epoch: str, level: int, first: int, last: int) -> str:
    return f"{epoch}/{level:04x}/{first:016x}-{last:016x}.ltx"


def put(place: Folder, *paths: str, content: bytes = b"something") -> None:
    for each in paths:
        target = place.path / Side(place, "").own(each)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


def paths_at(place: Folder) -> set[str]:
    return set(asyncio.run(Side(place, "").contents()))


def copies(tmp_path: Path) -> dict[str, Any]:
    return {
        "copies": [{"name": "far-away", "volume": {"path": str(tmp_path / "copy")}}],
        "copy_seconds": 1,
    }


def two_places(kinds: Iterable[str], s3: Callable[[], S3], tmp_path: Path) -> list[dict[str, Any]]:
    return [
        {"s3": s3().settings(tmp_path / "secrets") | {"path": name}}
        if kind == "s3"
        else {"volume": {"path": str(tmp_path / name)}}
        for kind, name in zip(kinds, ("first", "copy"), strict=True)
    ]


class mirroring:  # noqa: N801  # a context
    """The process that copies, beside a pod."""

    def __init__(self, pod: Pod) -> None:
        self._pod = pod

    def __enter__(self) -> subprocess.Popen[bytes]:
        arguments = ["-m", "memorybank", "backup", "mirror", "--config", str(self._pod.config)]
        self._process = subprocess.Popen(  # noqa: S603  # a fixed argument list
            [sys.executable, *arguments], env=without_aws()
        )
        return self._process

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait()


def seen(pod: Pod) -> Copied:
    told = Told.load(pod.run_dir)
    return Copied(name="far-away") if told is None else told.copies[0]


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)
