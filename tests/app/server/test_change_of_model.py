"""A real server is given another embedding model, and killed while it goes over to it."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.embedding_server import MODEL, embedding_process
from tests.support.server_process import serving

_COUNT = 120


def embedding(bank: httpx.Client) -> dict[str, Any]:
    status: dict[str, Any] = bank.get("/v1/admin/embedding").raise_for_status().json()
    return status


def ask(bank: httpx.Client, query: str) -> tuple[str, str | None]:
    answer = bank.post("/v1/search", json={"query": query, "mode": "vector"}).raise_for_status()
    return answer.json()["results"][0]["memory"]["content"], answer.json()["degraded"]


@pytest.mark.slow
def test_a_change_of_the_model_survives_kills_and_can_be_taken_back(tmp_path: Path) -> None:
    question, fact = "Who looks after the lighthouse?", "The keeper of the lighthouse is Ines."
    with serving(tmp_path / "bank") as server, server.client() as bank:
        texts = [fact, *(f"Invoice {number} was paid in March." for number in range(_COUNT))]
        body = {"memories": [{"content": text} for text in texts]}
        bank.post("/v1/memories:batch", json=body).raise_for_status()
        old = embedding(bank)["model"]
    with embedding_process() as embedder:
        config = tmp_path / "config.yaml"
        config.write_text(
            f"embedding:\n  provider: ollama\n  model: {MODEL}\n"
            f"  ollama: {{url: '{embedder.url}'}}\n"
        )
        arguments = ("--config", str(config))
        for _ in range(2):
            with serving(tmp_path / "bank", *arguments) as server, server.client() as bank:
                assert ask(bank, question) == (fact, None)
                server.stop(signal.SIGKILL)
        with serving(tmp_path / "bank", *arguments) as server, server.client() as bank:
            deadline = time.monotonic() + 300
            while (status := embedding(bank))["model"] == old or status["pending"]:
                assert ask(bank, question) == (fact, None)
                assert time.monotonic() < deadline
            assert [each["state"] for each in status["generations"]] == ["kept", "active"]
            assert ask(bank, question) == (fact, None)
        with serving(tmp_path / "bank", *arguments) as server, server.client() as bank:
            back = bank.post("/v1/admin/embedding/rollback").raise_for_status().json()
            assert back["model"] == old
            assert ask(bank, question) == (fact, None)
            assert embedding(bank)["pending"] == 0
