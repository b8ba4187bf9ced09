"""A process that is killed within a consolidation run leaves whole steps, which can be undone."""

from __future__ import annotations

import asyncio
import random
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.server_process import ANSWER_SECONDS, serving, until_ready

pytestmark = pytest.mark.slow

PAIRS = 150
RUNS = "/v1/consolidation/runs"
QUICK = {"MEMORY_BANK_SERVER__DRAIN_SECONDS": "0"}


def texts() -> list[str]:
    """Pairs of which the second says a word less than the first, and nothing else in common."""
    dice = random.Random(7)  # noqa: S311  # no secret
    found = []
    for pair in range(PAIRS):
        words = [f"word{pair}x{dice.randrange(1_000)}" for _ in range(12)]
        found += [" ".join([*words, "usually"]), " ".join(words)]
    return found


async def told(client: httpx.AsyncClient) -> dict[str, tuple[str, str, list[str]]]:
    """Return what each memory says, whatever its state."""
    found: dict[str, tuple[str, str, list[str]]] = {}
    for state in ("live", "archived"):
        query: dict[str, Any] = {"state": state, "limit": 200}
        while True:
            page = (await client.get("/v1/memories", params=query)).raise_for_status().json()
            for each in page["memories"]:
                found[each["id"]] = (each["state"], each["content"], each["tags"])
            if page["next_cursor"] is None:
                break
            query["cursor"] = page["next_cursor"]
    return found


async def test_a_run_that_is_killed_is_found_at_the_start_and_undone(tmp_path: Path) -> None:
    with serving(tmp_path / "bank", environ=QUICK) as server:
        async with server.async_client() as client:
            await until_ready(client)
            memories = [{"content": each} for each in texts()]
            for start in range(0, len(memories), 100):
                batch = {"memories": memories[start : start + 100]}
                (await client.post("/v1/memories:batch", json=batch)).raise_for_status()
            before = await told(client)
            assert len(before) == 2 * PAIRS
            asked = asyncio.create_task(client.post(RUNS, json={"jobs": ["merge_duplicates"]}))
            runs: list[dict[str, Any]] = []
            async with asyncio.timeout(ANSWER_SECONDS):
                while not runs or runs[0]["archived"] < 3:
                    runs = (await client.get(RUNS)).json()["runs"]
            [run] = runs
            assert run["status"] == "running"
            server.stop(signal.SIGKILL)
            with pytest.raises(httpx.TransportError):
                await asked
    with serving(tmp_path / "bank", environ=QUICK) as server:
        async with server.async_client() as client:
            await until_ready(client)
            path = f"{RUNS}/{run['id']}"
            async with asyncio.timeout(ANSWER_SECONDS):
                while (found := (await client.get(path)).json())["status"] == "running":
                    pass
            assert found["status"] == "interrupted"
            archived = sum(state == "archived" for state, *_ in (await told(client)).values())
            assert archived == found["archived"] >= 3, "steps are whole"
            undone = (await client.post(f"{path}/undo")).raise_for_status().json()
            assert undone["left"] == 0
            assert await told(client) == before
