"""A bank as in its pod, and who writes into it."""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.bucket import BucketServer
from tests.support.replication import Pod
from tests.support.server_process import Server, serving

SEED = 20_261_122
CLIENTS = 8
_LOOK_SECONDS = 0.05


@dataclass
class Written:
    """What clients were told of what they stored."""

    at: dict[str, float] = field(default_factory=dict)
    """When each memory was acknowledged, by this process's steady clock."""


class Bank(Pod):
    """A pod with the service in it."""

    def __init__(self, folder: Path, bucket: BucketServer, name: str, **options: Any) -> None:
        """`name` tells the bank from others in the bucket; `options` go into `backup`."""
        uid = str(uuid.uuid5(uuid.NAMESPACE_URL, name))
        super().__init__(folder, {"s3": bucket.settings(folder)}, uid=uid, **options)
        self.prepared_seconds = 0.0

    @contextmanager
    def running(self) -> Iterator[Server]:
        """Prepare it and run it until the block ends, at the end of which it is killed."""
        began = time.monotonic()
        self.prepare()
        self.prepared_seconds = time.monotonic() - began
        self.replicate(wait=False)
        try:
            with serving(self.data, "--config", str(self.config)) as server:
                yield server
        finally:
            self.kill()

    def lose(self) -> None:
        """Lose the volume and the rest of the pod."""
        shutil.rmtree(self.data)
        shutil.rmtree(self.run_dir)
        self.data.mkdir()


async def store(server: Server, written: Written, seconds: float) -> None:
    """Store memories from one client for so long."""
    until = time.monotonic() + seconds
    async with server.async_client() as client:
        while time.monotonic() < until:
            answer = await client.post(
                "/v1/memories", json={"content": f"At {time.monotonic_ns()}."}
            )
            answer.raise_for_status()
            written.at[answer.json()["id"]] = time.monotonic()


def until(holds: Callable[[], bool], seconds: float = 300) -> None:
    """Return when something holds. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(_LOOK_SECONDS)
