"""A service that follows the backups of another bank."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx

from tests.support.replication import UID, Pod
from tests.support.server_process import Server, serving

Answer = TypeVar("Answer")

TINY = {"MEMORY_BANK_EMBEDDING__PROVIDER": "builtin-tiny"}
PATIENCE_SECONDS = 90.0
KEY = "mb_" + "p" * 43
"""The admin key of each primary: it is in the database, so the standby knows it."""


@contextmanager
def primary(pod: Pod, **environ: str) -> Iterator[Server]:
    """Serve a bank and replicate it, each epoch of it with the same key."""
    pod.prepare()
    pod.replicate(wait=False)
    try:
        with serving(
            pod.data, "--config", str(pod.config), key=KEY, environ=TINY | environ
        ) as server:
            yield server
            server.stop()
    finally:
        pod.kill()


class Standby:
    """A data folder, and the settings to follow a bank in it."""

    def __init__(self, folder: Path, destination: Mapping[str, Any], **changed: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.data = folder / "data"
        self.config = folder / "config.yaml"
        follow = {
            "bank": "agents/team-memory", "uid": UID, "poll_seconds": 0.2,
            **destination, **changed,
        }  # fmt: skip
        self.config.write_text(json.dumps({"follow": follow}))

    @contextmanager
    def serving(self, *, key: str | None = "", **environ: str) -> Iterator[Server]:
        """Serve it; with no key of its own."""
        arguments = ("--config", str(self.config))
        with serving(self.data, *arguments, key=key, environ=TINY | environ) as server:
            server.key = key or KEY
            yield server


def eventually(ask: Callable[[], Answer], meets: Callable[[Answer], bool]) -> Answer:
    """Ask until an answer is as it has to become."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        answer = ask()
        if meets(answer):
            return answer
        assert time.monotonic() < deadline, answer
        time.sleep(0.05)


def followed(server: Server) -> dict[str, Any]:
    """Return what /ready says of the bank that is followed."""
    told: dict[str, Any] = httpx.get(f"{server.url}/ready", timeout=60).json()["follow"]
    return told


def contents(client: httpx.Client, query: str) -> list[str]:
    """Return what a search finds."""
    answer = client.post("/v1/search", json={"query": query})
    assert answer.is_success, answer.text
    return [each["memory"]["content"] for each in answer.json()["results"]]


def store(client: httpx.Client, content: str) -> str:
    """Store a memory; return its id."""
    answer = client.post("/v1/memories", json={"content": content})
    assert answer.status_code == 201, answer.text
    name: str = answer.json()["id"]
    return name
