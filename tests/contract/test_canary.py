"""The operator's canary and the real memory service: it passes, and leaves nothing behind.

Also what the operators before this one did is done here, on a service of today.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from memorybank.auth import tokens
from memorybank.services.adding import CANARY_PROJECT
from memorybank_operator import canary
from memorybank_operator.canary import CONTENT, PROJECT, NotYetInEffect, Prober, Target
from memorybank_operator.configfiles.in_effect import ADMIN_KEY, configuration_of
from tests.support.server_process import serving

EVERYTHING = "/v1/memories?state=live&state=archived&state=trash"


def test_both_sides_mean_the_same_project() -> None:
    assert PROJECT == CANARY_PROJECT


@pytest.mark.slow
async def test_probes_of_all_versions_pass_and_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for patience in ("CONNECT_SECONDS", "REQUEST_SECONDS", "PROBE_SECONDS"):
        monkeypatch.setattr(canary, patience, 120.0)
    file = tmp_path / "config.yaml"
    file.write_text("logging: {format: json}\n")
    with serving(tmp_path / "bank", "--config", str(file)) as server, server.client() as client:
        target = Target(
            url=server.url, connect_to=server.url, key=server.key, generation=1, revision="",
            configuration=configuration_of(file.read_text(), {}), serving="pod",
        )  # fmt: skip
        for _ in range(2):
            await Prober().probe(target)
        assert client.get(EVERYTHING).json()["total"] == 0
        other = configuration_of(file.read_text(), {ADMIN_KEY: "another"})
        with pytest.raises(NotYetInEffect, match="newest admin_key_file yet"):
            await Prober().probe(replace(target, configuration=other))
        with pytest.raises(NotYetInEffect, match="does not know the admin key yet"):
            await Prober().probe(replace(target, key=tokens.generate()))
        for nonce in ("old", "old"):
            body = {"content": CONTENT.format(nonce=nonce), "project": PROJECT}
            stored = client.post("/v1/memories", json=body)
            assert stored.status_code == 201
            assert client.delete(f"/v1/memories/{stored.json()['id']}").status_code == 204
        assert client.get(EVERYTHING).json()["total"] == 0
