"""The embedding service goes away while agents write and ask, and comes back."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.embedding_server import MODEL, embedding_process
from tests.support.server_process import serving, until_ready

_CLIENTS = 4
_ADDS = 12
_KILLED_AFTER = 4


@pytest.mark.slow
async def test_an_embedder_killed_under_load_costs_no_memory(tmp_path: Path) -> None:
    with embedding_process() as embedder:
        config = tmp_path / "config.yaml"
        config.write_text(
            f"embedding:\n  provider: ollama\n  model: {MODEL}\n  retries: 1\n"
            f"  breaker_failures: 2\n  breaker_seconds: 0.5\n  ollama: {{url: '{embedder.url}'}}\n"
        )
        with serving(tmp_path / "bank", "--config", str(config)) as server:
            async with server.async_client() as client:
                assert await degraded(client, "is anything here?") is None
                added: list[int] = []
                marks: list[str | None] = []

                async def agent(name: int) -> None:
                    for number in range(_ADDS):
                        text = f"Agent {name} noticed thing number {number}."
                        answer = await client.post("/v1/memories", json={"content": text})
                        added.append(answer.status_code)
                        if (name, number) == (0, _KILLED_AFTER):
                            await asyncio.to_thread(embedder.kill)
                        marks.append(await degraded(client, f"thing {number} of agent {name}?"))

                await asyncio.gather(*(agent(name) for name in range(_CLIENTS)))
                assert added == [201] * _CLIENTS * _ADDS
                assert None in marks
                assert "the embedding service" in str(marks[-1])
                await until_ready(client)
                status = await embedding(client)
                assert status["memories"] == _CLIENTS * _ADDS
                assert status["pending"] > 0
                by_words = await client.post(
                    "/v1/search", json={"query": "agent 3 thing number 11"}
                )
                assert by_words.json()["results"][0]["memory"]["content"] == (
                    "Agent 3 noticed thing number 11."
                )
                await asyncio.to_thread(embedder.start)
                async with asyncio.timeout(300):
                    while (await embedding(client))["pending"]:  # noqa: ASYNC110  # nothing tells
                        await asyncio.sleep(0.1)
                assert (await embedding(client))["embedded"] == _CLIENTS * _ADDS
                assert await degraded(client, "a question that nobody asked before") is None


async def degraded(client: httpx.AsyncClient, query: str) -> str | None:
    """Search, which must work; return why it could not use the meaning of the query."""
    answer = await client.post("/v1/search", json={"query": query})
    assert answer.status_code == 200
    why: str | None = answer.json()["degraded"]
    return why


async def embedding(client: httpx.AsyncClient) -> dict[str, Any]:
    status: dict[str, Any] = (await client.get("/v1/admin/embedding")).json()
    return status
