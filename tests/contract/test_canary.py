"""The operator's canary and the real memory service: it passes, and leaves nothing behind.

Also what the operators before this one did is done here, on a service of today.
"""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from memorybank.services.adding import CANARY_PROJECT
from memorybank_operator.canary import CONTENT, PROJECT, Prober, Target
from tests.support.server_process import Server, serving

EVERYTHING = "/v1/memories?state=live&state=archived&state=trash"


def test_both_sides_mean_the_same_project() -> None:
    assert PROJECT == CANARY_PROJECT


def client_of(server: Server) -> httpx.Client:
    return httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {server.key}"})


@pytest.mark.slow
async def test_probes_of_all_versions_pass_and_leave_nothing(tmp_path: Path) -> None:
    with serving(tmp_path / "bank") as server, client_of(server) as client:
        target = Target(
            url=server.url, connect_to=server.url, key=server.key, generation=1, revision="",
            serving="pod",
        )  # fmt: skip
        for _ in range(2):
            await Prober().probe(target)
        assert client.get(EVERYTHING).json()["total"] == 0
        for nonce in ("old", "old"):
            body = {"content": CONTENT.format(nonce=nonce), "project": PROJECT}
            stored = client.post("/v1/memories", json=body)
            assert stored.status_code == 201
            assert client.delete(f"/v1/memories/{stored.json()['id']}").status_code == 204
        assert client.get(EVERYTHING).json()["total"] == 0
