"""A bank that is served while it is replicated, with real processes."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.app.backup.conftest import MakePod
from tests.support.replication import Pod
from tests.support.s3_server import S3, without_aws
from tests.support.server_process import Server, serving

pytestmark = pytest.mark.slow

_TINY = {"MEMORY_BANK_EMBEDDING__PROVIDER": "builtin-tiny"}
_PATIENCE_SECONDS = 60.0


@contextmanager
def served(pod: Pod) -> Iterator[Server]:
    pod.prepare()
    pod.replicate(wait=False)
    with serving(pod.data, "--config", str(pod.config), environ=_TINY) as server:
        yield server


def told(server: Server, meets: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Wait for what /ready says of the backups; the bank is ready all the time."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        answer = httpx.get(f"{server.url}/ready", timeout=30)
        assert answer.status_code == 200, answer.text
        backup: dict[str, Any] = answer.json()["backup"]
        if meets(backup):
            return backup
        assert time.monotonic() < deadline, backup
        time.sleep(0.1)


def is_fresh(backup: dict[str, Any]) -> bool:
    return backup["synced_at"] is not None and not backup["problem"]


def metrics(server: Server) -> str:
    return httpx.get(server.metrics_url, timeout=30).text


def test_a_bank_tells_how_fresh_its_backups_are(make_pod: MakePod, tmp_path: Path) -> None:
    pod = make_pod({"volume": {"path": str(tmp_path / "backups")}})
    with served(pod) as server, server.client() as client:
        fresh = told(server, is_fresh)
        assert (fresh["origin"], fresh["parent"], fresh["durability"]) == ("nothing", None, "async")
        assert fresh["problem_since"] is None
        assert 'memorybank_backup_healthy{destination="volume"} 1.0' in metrics(server)
        assert 'memorybank_backup_synced_timestamp_seconds{destination="volume"}' in metrics(server)
        since = told(server, lambda backup: backup["recoverable_from"] is not None)
        begin = datetime.fromisoformat(since["recoverable_from"]).timestamp()
        name = 'memorybank_backup_recoverable_from_timestamp_seconds{destination="volume"} '
        [said] = [each for each in metrics(server).splitlines() if each.startswith(name)]
        assert float(said.removeprefix(name)) == begin
        assert client.post("/v1/memories", json={"content": "still there"}).is_success
        assert server.stop() == 0
    pod.stop()
    pod.lose_volume()
    with served(pod) as server, server.client() as client:
        found = client.post("/v1/search", json={"query": "still there"}).json()
        assert found["results"][0]["memory"]["content"] == "still there"
        again = told(server, is_fresh)
        assert (again["origin"], again["parent"]) == ("backup", fresh["epoch"])
        assert 'memorybank_backup_restore_seconds{destination="volume"}' in metrics(server)


def test_a_bank_whose_backups_were_not_prepared_does_not_start(
    make_pod: MakePod, tmp_path: Path
) -> None:
    pod = make_pod({"volume": {"path": str(tmp_path / "backups")}})
    done = subprocess.run(
        [sys.executable, "-m", "memorybank", "serve", "--config", str(pod.config), "--port", "0"],
        env=without_aws() | _TINY | {"MEMORY_BANK_SERVER__METRICS_PORT": "0"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, "memorybank backup prepare" in done.stderr) == (2, True)


def test_what_was_acknowledged_as_replicated_is_never_lost(
    make_pod: MakePod, s3: S3, tmp_path: Path
) -> None:
    pod = make_pod({"s3": s3.settings(tmp_path / "secrets")}, durability="replicated")
    accepted: list[str] = []
    with served(pod) as server:
        assert told(server, is_fresh)["durability"] == "replicated"
        with server.client() as client:
            for number in range(40):
                answer = client.post("/v1/memories", json={"content": f"the fact number {number}"})
                assert answer.status_code == 201, answer.text
                accepted.append(answer.json()["id"])
            pod.kill()  # at once, as a node is lost
            server.stop(signal.SIGKILL)
    pod.lose_volume()
    with served(pod) as server, server.client() as client:
        for each in accepted:
            assert client.get(f"/v1/memories/{each}").status_code == 200


def test_writes_that_do_not_arrive_are_refused(make_pod: MakePod, s3: S3, tmp_path: Path) -> None:
    pod = make_pod({"s3": s3.settings(tmp_path / "secrets")}, durability="replicated")
    memory, once = {"content": "the lighthouse was painted red"}, {"Idempotency-Key": "painted"}
    with served(pod) as server, server.client() as client:
        told(server, is_fresh)
        before = client.post("/v1/memories", json={"content": "before"})
        with s3.silent():
            refused = client.post("/v1/memories", json=memory, headers=once)
            assert (refused.status_code, refused.json()["error"]["code"]) == (
                503,
                "backup_unavailable",
            )
            assert "is in the database" in refused.json()["error"]["message"]
            assert "Idempotency-Key" in refused.json()["error"]["hint"]
            assert refused.headers["Retry-After"]
            began = time.monotonic()
            again = client.post("/v1/memories", json={"content": "another"})
            assert again.status_code == 503
            assert again.json()["error"]["message"].startswith("nothing is written")
            assert time.monotonic() - began < 3, "no write waits for what is known"
            assert client.get(f"/v1/memories/{before.json()['id']}").status_code == 200
            assert (
                told(server, lambda backup: bool(backup["problem"]))["durability"] == "replicated"
            )
        told(server, is_fresh)
        found = client.post("/v1/memories", json=memory, headers=once)
        assert found.status_code in (200, 201)
        listed = client.get("/v1/memories").json()["memories"]
        assert sorted(each["content"] for each in listed) == ["before", memory["content"]]
