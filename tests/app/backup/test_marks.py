"""What a bank that serves is asked for, and what a drill makes of it, with real processes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.app.backup.banks import TINY, run
from tests.app.backup.conftest import MakePod
from tests.app.backup.test_replicated_bank import is_fresh, served, told
from tests.support.replication import Pod
from tests.support.s3_server import S3
from tests.support.server_process import Server, serving

pytestmark = pytest.mark.slow


@pytest.fixture
def pod(make_pod: MakePod, destination: dict[str, Any]) -> Pod:
    return make_pod(destination, settings=TINY)


@pytest.fixture
def server(pod: Pod) -> Iterator[Server]:
    with served(pod) as server:
        told(server, is_fresh)
        yield server


def asked(pod: Pod, server: Server) -> list[str]:
    """Return how a drill asks a bank."""
    file = pod.folder / "key"
    file.write_text(f"{server.key}\n")
    return ["--url", server.url, "--token-file", str(file)]


def test_a_mark_tells_what_has_arrived(pod: Pod, server: Server) -> None:
    with server.client() as client:
        before = client.post("/v1/backup/mark", json={}).json()
        stored = client.post("/v1/memories", json={"content": "The ferry leaves at noon"}).json()
        mark = client.post("/v1/backup/mark", json={}).json()
        assert mark["memories"] == before["memories"] + 1
        assert mark["change"] > before["change"]
        assert mark["txid"] > before["txid"], "it has arrived"
        assert datetime.fromisoformat(mark["changed_at"]) == datetime.fromisoformat(
            stored["updated_at"]
        )
        assert mark["epoch"] == client.get("/ready").json()["backup"]["epoch"]
        assert client.post("/v1/backup/mark", json={"sync": False}).json()["txid"] is None
        key = client.post("/v1/admin/keys", json={"name": "agent", "role": "developer"}).json()[
            "key"
        ]
        weak = {"Authorization": f"Bearer {key}"}
        assert client.post("/v1/backup/mark", json={}, headers=weak).status_code == 403


def test_what_is_taken_has_all_that_the_bank_had(
    pod: Pod, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    with server.client() as client:
        for number in range(20):
            client.post("/v1/memories", json={"content": f"The ferry number {number} leaves"})
        code, report = run(pod, capsys, "take", "live", *asked(pod, server))
        assert (code, report["memories"], report["data_loss_seconds"]) == (0, 20, 0.0)
        assert report["source"]["memories"] == 20
        assert report["epoch"] == report["source"]["epoch"]
        assert client.get("/ready").json()["status"] == "ready"
        assert server.key not in (pod.folder / "termination").read_text()


def test_a_drill_measures_what_would_be_lost(
    pod: Pod, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    with server.client() as client:

        def stored(text: str) -> datetime:
            memory = client.post("/v1/memories", json={"content": text}).json()
            return datetime.fromisoformat(memory["updated_at"])

        kept = stored("The ferry leaves at noon")
        assert client.post("/v1/backup/mark", json={}).status_code == 200
        assert run(pod, capsys, "verify", *asked(pod, server))[1]["data_loss_seconds"] == 0.0
        pod.kill()  # from now on nothing arrives
        lost = stored("The ferry leaves at one")
        code, report = run(pod, capsys, "verify", *asked(pod, server))
        assert code == 0
        seconds = (lost - kept).total_seconds()
        assert report["data_loss_seconds"] == pytest.approx(seconds, abs=0.001)
        assert (report["memories"], report["source"]["memories"]) == (1, 2)
        code, refused = run(pod, capsys, "take", "late", *asked(pod, server))
        assert (code, refused["error"]["code"]) == (5, "backup_unavailable")


def test_a_bank_that_cannot_be_asked_keeps_nobody_from_taking(
    pod: Pod, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    with server.client() as client:
        client.post("/v1/memories", json={"content": "The ferry leaves at noon"})
        assert client.post("/v1/backup/mark", json={}).status_code == 200
    server.stop()
    pod.stop()
    code, report = run(pod, capsys, "take", "broken", *asked(pod, server))
    assert (code, report["source"], report["memories"]) == (0, None, 1)
    nowhere = ["--url", server.url, "--token-file", str(pod.folder / "none")]
    assert run(pod, capsys, "take", "unreadable", *nowhere)[0] == 2


def test_a_bank_is_waited_for_whose_word_is_asked_for(
    pod: Pod, server: Server, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as one whose pod is on its way back, with another key than before."""
    key = pod.folder / "key"
    key.write_text("mb_of-before\n")
    asked_in_vain = []

    def comes_back(seconds: float) -> None:
        asked_in_vain.append(seconds)
        key.write_text(f"{server.key}\n")

    monkeypatch.setattr("memorybank.cli.backup.time.sleep", comes_back)
    where = ["--url", server.url, "--token-file", str(key)]
    code, report = run(pod, capsys, "take", "awaited", *where, "--wait", "600")
    assert (code, report["data_loss_seconds"], len(asked_in_vain)) == (0, 0.0, 1)
    key.write_text("mb_of-before\n")
    code, report = run(pod, capsys, "take", "not-awaited", *where)
    assert (code, report["data_loss_seconds"], len(asked_in_vain)) == (0, None, 1)


def test_a_mark_of_what_does_not_arrive_is_refused(
    make_pod: MakePod, s3: S3, tmp_path: Path
) -> None:
    pod = make_pod({"s3": s3.settings(tmp_path / "secrets")}, settings=TINY)
    with served(pod) as server, server.client() as client:
        told(server, is_fresh)
        with s3.silent():
            client.post("/v1/memories", json={"content": "The ferry leaves at noon"})
            refused = client.post("/v1/backup/mark", json={})
            assert refused.status_code == 503, refused.text
            assert refused.json()["error"]["code"] == "backup_unavailable"
            assert client.post("/v1/backup/mark", json={"sync": False}).status_code == 200


def test_a_bank_without_backups_has_no_mark(tmp_path: Path) -> None:
    with serving(tmp_path / "bank") as server, server.client() as client:
        refused = client.post("/v1/backup/mark", json={})
        assert refused.status_code == 409
        assert "spec.backup" in refused.json()["error"]["hint"]
        assert httpx.post(f"{server.url}/v1/backup/mark", json={}).status_code == 401
