"""Episodes over HTTP: from the task over the steps to the outcome, and on from a checkpoint."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.app.http.test_encryption import a_ring, encrypted, files_of
from tests.app.http.test_every_kind import told
from tests.app.http.test_life import refusal
from tests.app.http.test_sessions import ids
from tests.app.http.test_tenants import key_of, make_tenant
from tests.app.http.test_transfer import exported, imported, lines
from tests.app.http.test_work import kept
from tests.support.service import Service, service

pytestmark = pytest.mark.slow

TASK = {"content": "Mend the login", "task_type": "debugging", "language": "go"}


async def did(client: httpx.AsyncClient, episode: str, *tools: str, **query: Any) -> dict[str, Any]:
    steps = [{"tool": each} for each in tools]
    path = f"/v1/episodes/{episode}/steps"
    answer = await client.post(path, json={"steps": steps}, params=query)
    assert answer.status_code in (201, 202), answer.text
    told: dict[str, Any] = answer.json()
    return told


async def steps_of(client: httpx.AsyncClient, episode: str) -> list[dict[str, Any]]:
    answer = await client.get(f"/v1/episodes/{episode}/steps", params={"limit": 200})
    assert answer.status_code == 200, answer.text
    steps: list[dict[str, Any]] = answer.json()["steps"]
    return steps


def told_of_steps(file: bytes) -> list[dict[str, Any]]:
    return [line for line in lines(file) if line["kind"] == "step"]


async def end(
    client: httpx.AsyncClient, episode: str, verb: str = "complete", **body: Any
) -> httpx.Response:
    if verb == "complete":
        body = {"outcome": "success"} | body
    return await client.post(f"/v1/episodes/{episode}/{verb}", json=body)


async def test_an_episode_goes_from_its_task_over_steps_to_its_outcome(
    admin: httpx.AsyncClient,
) -> None:
    episode = await kept(admin, "episodes", **TASK)
    assert await did(admin, episode, "grep", "edit") == {
        "status": "queued",
        "accepted": 2,
        "numbers": [],
        "findings": [],
    }
    receipt = await did(admin, episode, "test", wait=True)
    assert (receipt["status"], receipt["numbers"]) == ("persisted", [3])
    assert [(each["number"], each["tool"]) for each in await steps_of(admin, episode)] == [
        *((1, "grep"), (2, "edit"), (3, "test")),
    ]
    ended = await end(admin, episode, reward=0.9, reflection="Look at the clock", verdict="good")
    assert ended.status_code == 200, ended.text
    details = ended.json()["details"]
    assert (details["status"], details["outcome"], details["reward"]) == (
        *("completed", "success", 0.9),
    )
    again = await end(admin, episode, reward=0.9)
    assert (again.status_code, again.json()["revision"]) == (200, ended.json()["revision"])
    await refusal(await end(admin, episode, outcome="failure"), 409)
    await refusal(await end(admin, episode, "abandon"), 409)
    late = await admin.post(f"/v1/episodes/{episode}/steps", json={"steps": [{"tool": "ls"}]})
    await refusal(late, 409)
    found = (await admin.post("/v1/search", json={"query": "clock"})).json()["results"]
    assert [each["memory"]["id"] for each in found] == [episode]


async def test_episodes_are_listed_by_where_they_stand_and_how_they_ended(
    admin: httpx.AsyncClient,
) -> None:
    open_, good, bad, left = [
        await kept(admin, "episodes", **TASK | {"content": f"Task {number}"}) for number in range(4)
    ]
    await end(admin, good)
    await end(admin, bad, outcome="failure")
    await end(admin, left, "abandon")
    for query, expected in (
        ({"status": "open"}, [open_]),
        ({"status": "completed"}, [bad, good]),
        ({"status": "abandoned"}, [left]),
        ({"outcome": "failure"}, [bad]),
        ({"task_type": "testing"}, []),
    ):
        assert await ids(admin, "/v1/episodes", **query) == expected


async def test_where_an_episode_stands_is_changed_by_its_routes_alone(
    admin: httpx.AsyncClient,
) -> None:
    episode = await kept(admin, "episodes", **TASK)
    for field, value in (("status", "completed"), ("outcome", "success"), ("reward", 1.0)):
        answer = await admin.patch(f"/v1/memories/{episode}", json={"details": {field: value}})
        assert (await refusal(answer, 422)).startswith(f"details.{field}")
    await end(admin, episode, outcome="failure")
    path = f"/v1/memories/{episode}"
    corrected = await admin.patch(path, json={"details": {"reflection": "Sleep more"}})
    assert corrected.json()["details"]["outcome"] == "failure"
    reopened = await admin.post(f"{path}/rollback", json={"revision": 1})
    assert reopened.json()["details"]["status"] == "open"
    await did(admin, episode, "ls")


async def test_steps_are_written_when_enough_wait_and_when_time_is_up(tmp_path: Path) -> None:
    often = {"batch_steps": 4, "batch_seconds": 0.01}
    async with service(tmp_path, episodes=often) as bank, bank.client(bank.admin_key) as client:
        episode = await kept(client, "episodes", **TASK)
        full = await did(client, episode, *["ls"] * 4)
        assert (full["status"], full["numbers"]) == ("persisted", [1, 2, 3, 4])
        assert (await did(client, episode, "pwd"))["status"] == "queued"
        store = bank.engine.store.episodes
        async with asyncio.timeout(10):
            while await store.last_step("default", episode) < 5:
                await bank.engine.store.stats()


async def test_a_hundred_steps_are_a_batch_unless_the_settings_say_otherwise(
    admin: httpx.AsyncClient,
) -> None:
    episode = await kept(admin, "episodes", **TASK)
    first = await did(admin, episode, *["ls"] * 99)
    full = await did(admin, episode, "cd")
    assert (first["status"], full["status"]) == ("queued", "persisted")
    assert full["numbers"] == [100]


async def test_a_stop_of_the_service_loses_no_step(tmp_path: Path) -> None:
    async with service(tmp_path) as bank, bank.client(bank.admin_key) as client:
        episode = await kept(client, "episodes", **TASK)
        assert (await did(client, episode, "ls"))["status"] == "queued"
    async with service(tmp_path) as bank, bank.client(bank.admin_key) as client:
        assert [each["tool"] for each in await steps_of(client, episode)] == ["ls"]


async def test_a_step_that_is_sent_again_under_its_number_is_one_step(
    admin: httpx.AsyncClient,
) -> None:
    episode = await kept(admin, "episodes", **TASK)
    path = f"/v1/episodes/{episode}/steps"
    for _ in range(2):
        answer = await admin.post(path, json={"steps": [{"number": 1, "tool": "ls"}]})
        assert answer.json()["numbers"] == [1]
    other = await admin.post(path, json={"steps": [{"number": 1, "tool": "rm"}]})
    assert (await refusal(other, 409)).startswith("steps.number")
    assert len(await steps_of(admin, episode)) == 1


async def test_a_step_that_cannot_be_is_refused_by_its_field(admin: httpx.AsyncClient) -> None:
    episode = await kept(admin, "episodes", **TASK)
    path = f"/v1/episodes/{episode}/steps"
    for step, field in (
        ({"tool": ""}, "steps.0.tool"),
        ({"tool": "x", "result": "maybe"}, "steps.0.result"),
        ({"tool": "x", "number": 0}, "steps.0.number"),
        ({"tool": "x", "result": "ok", "error": "E"}, "steps.error"),
    ):
        answer = await admin.post(path, json={"steps": [step]})
        assert (await refusal(answer, 422)).startswith(field)
    error = await admin.post(path, json={"steps": [{"tool": "x", "error": "E"}]})
    assert error.status_code == 202
    assert (await steps_of(admin, episode))[0]["result"] == "error"


async def test_a_secret_in_a_step_is_not_kept(admin: httpx.AsyncClient) -> None:
    secret = "AKIA" + "QWERTYUIOPASDFGH"  # looks like a key of AWS
    episode = await kept(admin, "episodes", **TASK)
    body = {"steps": [{"tool": "env", "observation": f"The key is {secret}"}]}
    answer = await admin.post(f"/v1/episodes/{episode}/steps", json=body)
    assert answer.json()["findings"][0]["check"] == "secret"
    assert secret not in str(await steps_of(admin, episode))


async def test_somebody_else_goes_on_from_a_checkpoint(admin: httpx.AsyncClient) -> None:
    episode = await kept(admin, "episodes", **TASK, project="shop", tags=["auth"])
    steps = [{"tool": "grep", "action": "find the clock"}, {"tool": "test", "error": "TooEarly"}]
    await admin.post(f"/v1/episodes/{episode}/steps", json={"steps": steps})
    body = {
        "reason": "Lunch",
        "note": "It is the clock",
        "left": ["mend it"],
        "artifacts": ["x.go"],
    }
    path = f"/v1/episodes/{episode}/checkpoints"
    made = await admin.post(path, json={**body, "handoff": True})
    assert made.status_code == 201, made.text
    await did(admin, episode, "eat")
    pack = (await admin.get(f"{path}/{made.json()['id']}/pack")).json()
    assert pack == made.json()["pack"]
    assert (pack["goal"], pack["steps"], pack["left"]) == ("Mend the login", 2, ["mend it"])
    assert pack["done"] == ["1. grep: find the clock", "2. test -> TooEarly"]
    assert pack["failed"] == ["TooEarly (step 2, test)"]
    handoff = (await admin.get(f"/v1/memories/{made.json()['handoff']}")).json()
    assert (handoff["type"], handoff["content"]) == ("handoff", pack["text"])
    assert (handoff["project"], handoff["details"]) == ("shop", {"episode": episode})
    await end(admin, episode, "abandon")
    resumed = await admin.post(f"{path}/{made.json()['id']}/resume")
    assert resumed.status_code == 201, resumed.text
    new, details = resumed.json()["episode"], resumed.json()["episode"]["details"]
    assert (new["content"], new["project"], new["tags"]) == ("Mend the login", "shop", ["auth"])
    assert (details["status"], details["task_type"]) == ("open", "debugging")
    assert details["resumed_from"] == {"episode": episode, "checkpoint": made.json()["id"]}
    assert resumed.json()["pack"] == pack
    await refusal(await admin.get(f"{path}/unknown/pack"), 404)
    await refusal(await admin.post(path, json=body), 409)


async def test_an_episode_comes_along_with_its_steps(bank: Service, tmp_path: Path) -> None:
    async with bank.client(bank.admin_key) as admin:
        await make_tenant(admin, "acme")
        key = await key_of(admin, "acme")
        episode = await kept(admin, "episodes", **TASK)
        body = {"tool": "x", "error": "E", "latency_ms": 3, "tokens": 0, "observation": "ü\nü"}
        await admin.post(f"/v1/episodes/{episode}/steps", json={"steps": [body, {"tool": "y"}]})
        await admin.post(f"/v1/episodes/{episode}/checkpoints", json={"reason": "Lunch"})
        await end(admin, episode)
        file = await exported(admin)
        known = await steps_of(admin, episode)
        async with bank.client(key) as other:
            report = await imported(other, file)
            assert (report["steps"], report["refused"]) == (2, 0)
            assert await steps_of(other, episode) == known
            assert told(await exported(other)) == told(file)
            again = await imported(admin, await exported(other))
            assert (again["steps"], again["added"], again["refused"]) == (0, 0, 0)
    async with (
        service(tmp_path / "other", **encrypted(tmp_path, a_ring())) as sealed_bank,
        sealed_bank.client(sealed_bank.admin_key) as client,
    ):
        await imported(client, file)
        assert await steps_of(client, episode) == known
        assert told_of_steps(await exported(client)) == told_of_steps(file)


async def test_no_text_of_a_step_is_in_a_file_of_an_encrypted_bank(tmp_path: Path) -> None:
    folder = tmp_path / "bank"
    async with (
        service(folder, **encrypted(tmp_path, a_ring())) as bank,
        bank.client(bank.admin_key) as admin,
    ):
        episode = await kept(admin, "episodes", **TASK)
        step = {name: f"Quux{name}" for name in ("tool", "action", "error", "observation")}
        path = f"/v1/episodes/{episode}/steps"
        await admin.post(path, json={"steps": [step]}, params={"wait": True})
        assert (await steps_of(admin, episode))[0]["tool"] == "Quuxtool"
        while_running = files_of(folder)
    for files in (while_running, files_of(folder)):
        assert [name for name, data in files.items() if b"Quux" in data] == []


async def test_one_tenant_knows_nothing_of_the_episodes_of_another(bank: Service) -> None:
    async with bank.client(bank.admin_key) as admin:
        episode = await kept(admin, "episodes", **TASK)
        path = f"/v1/episodes/{episode}"
        made = await admin.post(f"{path}/checkpoints", json={"reason": "Lunch"})
        place = f"{path}/checkpoints/{made.json()['id']}"
        await make_tenant(admin, "acme")
        key = await key_of(admin, "acme")
    async with bank.client(key) as stranger:
        assert await ids(stranger, "/v1/episodes") == []
        for answer in (
            await stranger.get(path),
            await stranger.get(f"{path}/steps"),
            await stranger.post(f"{path}/steps", json={"steps": [{"tool": "x"}]}),
            await end(stranger, episode),
            await end(stranger, episode, "abandon"),
            await stranger.post(f"{path}/checkpoints", json={"reason": "x"}),
            await stranger.get(f"{place}/pack"),
            await stranger.post(f"{place}/resume"),
        ):
            await refusal(answer, 404)
