"""Forgetting through HTTP: what the routes show, take and refuse."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from memorybank.services.steady import now_utc
from tests.support.memory_samples import a_memory, a_vector
from tests.support.service import Service, service

SETTINGS: dict[str, Any] = {
    "enabled": True,
    "interval_hours": 12,
    "grace_days": 5,
    "half_life_days": {"note": 10},
}


@pytest.fixture
async def forgetful(tmp_path: Path) -> AsyncIterator[Service]:
    async with service(tmp_path, forgetting=SETTINGS) as bank:
        yield bank


async def old(bank: Service, content: str, *, days: int) -> str:
    then = now_utc() - timedelta(days=days)
    memory = a_memory(content, tenant="default", created_at=then, updated_at=then)
    await bank.engine.store.add(memory, a_vector(dimensions=64))
    return memory.id


async def test_a_run_is_seen_done_listed_and_undone(forgetful: Service) -> None:
    weak = await old(forgetful, "old", days=100)
    await old(forgetful, "fresh", days=1)
    async with forgetful.client(forgetful.admin_key) as admin:
        told = (await admin.post("/v1/forgetting/run", json={"dry_run": True})).json()
        assert (told["dry_run"], told["archived"]) == (True, 1)
        assert told["steps"] == [{"id": weak, "step": "archive"}]
        done = (await admin.post("/v1/forgetting/run", json={})).json()
        assert (done["dry_run"], done["archived"], done["steps"]) == (False, 1, told["steps"])
        [listed] = (await admin.get("/v1/forgetting/runs")).json()["runs"]
        assert (listed["id"], listed["undone_at"]) == (done["id"], None)
        archived = (await admin.get("/v1/memories?state=archived")).json()
        assert [memory["id"] for memory in archived["memories"]] == [weak]
        undo = f"/v1/forgetting/runs/{done['id']}/undo"
        assert (await admin.post(undo)).json() == {"restored": 1}
        assert (await admin.post(undo)).status_code == 409
        assert (await admin.post("/v1/forgetting/runs/unknown/undo")).status_code == 404
        assert (await admin.get("/v1/memories")).json()["total"] == 2


async def test_the_schedule_says_how_and_when(forgetful: Service) -> None:
    async with forgetful.client(await forgetful.key("readonly")) as reader:
        schedule = (await reader.get("/v1/forgetting")).json()
    assert schedule.items() >= {
        "enabled": True, "dry_run": False, "interval_hours": 12, "grace_days": 5, "threshold": 0.1,
        "running": False,
    }.items()  # fmt: skip
    assert schedule["half_life_days"]["note"] == 10
    assert schedule["half_life_days"]["decision"] == 365
    assert schedule["next_run"] > schedule["last_run"]


async def test_a_preview_shows_each_day(forgetful: Service) -> None:
    await old(forgetful, "old", days=100)
    async with forgetful.client(forgetful.admin_key) as admin:
        body = (await admin.get("/v1/forgetting/preview")).json()
        assert [(f["days"], f["archived"], f["trash"], f["purged"]) for f in body["forecasts"]] == [
            (1, 1, 0, 0), (7, 0, 1, 0), (30, 0, 0, 1),
        ]  # fmt: skip
        answer = await admin.get("/v1/forgetting/preview?days=2&days=x")
        assert answer.status_code == 422
        assert answer.json()["error"]["field"] == "days.1"


async def test_the_trash_is_emptied_and_counted(admin: httpx.AsyncClient) -> None:
    for number in range(3):
        made = await admin.post("/v1/memories", json={"content": f"number {number}"})
        if number:
            await admin.delete(f"/v1/memories/{made.json()['id']}")
    stats = (await admin.get("/v1/stats")).json()
    assert (stats["total"], stats["by_state"]) == (1, {"live": 1, "archived": 0, "trash": 2})
    assert (stats["average_importance"], stats["embedding_model"]) == (0.5, "words-64")
    assert (await admin.delete("/v1/trash")).json() == {"purged": 2}
    assert (await admin.get("/v1/memories?state=trash")).json()["total"] == 0


async def test_readers_may_look_but_not_run(bank: Service) -> None:
    async with bank.client(await bank.key("readonly")) as reader:
        assert (await reader.post("/v1/forgetting/run", json={"dry_run": True})).status_code == 200
        assert (await reader.post("/v1/forgetting/run", json={})).status_code == 403
        assert (await reader.delete("/v1/trash")).status_code == 403
