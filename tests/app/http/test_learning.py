"""What episodes teach, over HTTP: what was planted is found, what misleads is not."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from memorybank.services.work import advising
from tests.app.http.test_episodes import did, end
from tests.app.http.test_life import refusal
from tests.app.http.test_sessions import ids
from tests.app.http.test_tenants import key_of, make_tenant
from tests.app.http.test_transfer import exported, imported
from tests.app.http.test_work import kept
from tests.support.planted import CURE, ERROR, MISLEADING, ORDER, Planted, planted
from tests.support.service import Service

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def nothing_is_written_down_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(advising, "_WRITTEN_AFTER_SECONDS", 3_600.0)


async def lived(client: httpx.AsyncClient, episode: Planted, **end_with: Any) -> str:
    made = await kept(client, "episodes", **episode.task)
    path = f"/v1/episodes/{made}/steps"
    assert (await client.post(path, json={"steps": episode.steps})).status_code == 202
    assert (await end(client, made, outcome=episode.outcome, **end_with)).status_code == 200
    return made


async def patterns(client: httpx.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    answer = await client.get("/v1/patterns", params=query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["patterns"]
    return found


async def advice(client: httpx.AsyncClient, **task: Any) -> dict[str, Any]:
    answer = await client.post("/v1/recommend", json={"text": "What to do", **task})
    assert answer.status_code == 200, answer.text
    said: dict[str, Any] = answer.json()
    return said


async def test_what_was_planted_is_found_and_what_misleads_is_not(admin: httpx.AsyncClient) -> None:
    by_id = {}
    for episode in planted():
        by_id[await lived(admin, episode)] = episode

    # The order comes first of all sequences, and says why.
    best = (await patterns(admin, kind="sequence"))[0]
    assert tuple(best["action"]) == ORDER
    assert best["proven"]
    assert best["lift"] > 1.3
    for name in best["why"]["well"]:
        assert (by_id[name].outcome, by_id[name].task["task_type"]) == ("success", "bugfix")

    # So does the cure, of all that was tried.
    cures = await patterns(admin, kind="cure")
    assert (cures[0]["condition"], tuple(cures[0]["action"])) == ([ERROR], CURE)
    assert [each["proven"] for each in cures] == [True, False, False]

    # What misleads is seen, went well more often than the rest, and is no pattern to follow.
    every = await patterns(admin, limit=100, min_support=1)
    proven = await patterns(admin, limit=100, proven=True)
    assert every[0]["proven"]
    assert not [each for each in proven if MISLEADING in each["action"]]
    assert not [each for each in every[:10] if MISLEADING in each["action"]]
    with_it = [each for each in by_id.values() if {"tool": MISLEADING} in each.steps]
    without = [each for each in by_id.values() if {"tool": MISLEADING} not in each.steps]
    assert _share(with_it) > _share(without) + 0.1

    # Advice says the same, in words that fit.
    said = await advice(admin, text="A wrong sum in the cart", task_type="bugfix", language="go")
    assert tuple(said["sequences"][0]["action"]) == ORDER
    assert all(each["episode"]["type"] == "episode" for each in said["similar"])
    assert "reproduce -> locate -> patch -> verify" in said["playbook"]
    said = await advice(admin, task_type="migration", errors=[ERROR], max_tokens=60)
    assert tuple(said["cures"][0]["action"]) == CURE
    assert len(said["playbook"]) < 200

    # It is written down, once.
    learned = (await admin.post("/v1/heuristics/learn")).json()
    assert learned["added"] >= 2
    assert (await admin.post("/v1/heuristics/learn")).json() == {
        "added": 0,
        "changed": 0,
        "archived": 0,
    }
    listed = (await admin.get("/v1/heuristics")).json()
    assert listed["total"] == learned["added"]
    [heuristic] = [
        each for each in listed["memories"] if each["details"]["pattern"] == cures[0]["id"]
    ]
    assert heuristic["content"] == "On the error LockTimeout: vacuum -> migrate"
    assert heuristic["origin"] == "tool_internal"
    assert heuristic["details"]["confidence"] == pytest.approx(cures[0]["lower"], abs=0.001)
    assert set(heuristic["details"]["evidence"]["episodes"]) <= by_id.keys()


def _share(some: list[Planted]) -> float:
    return sum(each.outcome == "success" for each in some) / len(some)


def a_week() -> list[Planted]:
    """Two ways that are worth the same, as far as one can see."""
    task = {"content": "Ship the release", "task_type": "release"}
    ways = {"first": ["build", "ship"], "second": ["tag", "push"], "third": ["ship", "tag"]}
    return [
        Planted(task, [{"tool": tool} for tool in ways[way]], outcome)
        for way, outcome in [("first", "success"), ("second", "success"), ("third", "failure")] * 8
    ]


async def test_advice_gets_better_with_what_is_said_of_it(admin: httpx.AsyncClient) -> None:
    for episode in a_week():
        await lived(admin, episode)
    first, second = (await advice(admin, task_type="release"))["sequences"]
    tried = [await kept(admin, "episodes", content=f"Try {number}") for number in range(4)]
    for number, made in enumerate(tried):
        for pattern, effect in ((first, "hindered"), (second, "helped")):
            body = {"pattern": pattern["id"], "effect": effect}
            answer = await admin.post(f"/v1/episodes/{made}/feedback", json=body)
            assert answer.status_code == 200, answer.text
        await end(admin, made, "complete", verdict=f"tried {number}")
    [now, *_] = (await advice(admin, task_type="release"))["sequences"]
    assert now["id"] == second["id"]
    assert now["feedback"] == {"helped": 4, "no_effect": 0, "hindered": 0}
    assert now["lower"] > second["lower"]
    shown = (await admin.get(f"/v1/patterns/{first['id']}")).json()
    assert (shown["feedback"]["hindered"], shown["lower"] < first["lower"]) == (4, True)


async def test_what_is_rolled_back_deleted_or_restored_is_unlearned_and_learned_again(
    admin: httpx.AsyncClient,
) -> None:
    for episode in a_week():
        last = await lived(admin, episode)
    before = await patterns(admin)
    await admin.post(f"/v1/memories/{last}/rollback", json={"revision": 1})
    [third] = [each for each in await patterns(admin) if each["action"] == ["ship", "tag"]][:1]
    assert (third["seen"], last in str(third["why"])) == (7, False)
    await end(admin, last, outcome="failure")
    assert await patterns(admin) == before
    await admin.delete(f"/v1/memories/{last}")
    assert last not in str(await patterns(admin))
    await admin.post(f"/v1/memories/{last}/restore")
    assert await patterns(admin) == before
    await admin.delete(f"/v1/memories/{last}", params={"purge": True})
    assert last not in str(await patterns(admin))


async def test_a_heuristic_goes_when_its_witnesses_do(admin: httpx.AsyncClient) -> None:
    made = [await lived(admin, episode) for episode in a_week()]
    assert (await admin.post("/v1/heuristics/learn")).json()["added"] >= 2
    for episode in made[:18]:
        await admin.delete(f"/v1/memories/{episode}")
    done = (await admin.post("/v1/heuristics/learn")).json()
    assert (done["added"], done["archived"] >= 2) == (0, True)
    assert await ids(admin, "/v1/heuristics") == []


async def test_what_is_proven_is_written_down_by_itself(
    admin: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(advising, "_WRITTEN_AFTER_SECONDS", 0.0)
    for episode in a_week():
        await lived(admin, episode)
    async with asyncio.timeout(20):
        while not await ids(admin, "/v1/heuristics"):
            await admin.get("/v1/patterns")


async def test_what_was_learned_comes_along_and_is_nobody_elses(bank: Service) -> None:
    async with bank.client(bank.admin_key) as admin:
        for episode in a_week():
            await lived(admin, episode)
        here, file = await patterns(admin), await exported(admin)
        await make_tenant(admin, "acme")
        key = await key_of(admin, "acme")
        async with bank.client(key) as other:
            assert await patterns(other) == []
            await refusal(await other.get(f"/v1/patterns/{here[0]['id']}"), 404)
            empty = await advice(other)
            assert (empty["similar"], empty["sequences"], empty["playbook"]) == ([], [], "")
            await imported(other, file)
            assert await patterns(other) == here


async def test_nothing_is_said_of_what_no_episode_shows(admin: httpx.AsyncClient) -> None:
    episode = await kept(admin, "episodes", content="Ship it")
    await did(admin, episode, "a", "b")
    body = {"pattern": "sequence-0", "effect": "helped"}
    answer = await admin.post(f"/v1/episodes/{episode}/feedback", json=body)
    assert (await refusal(answer, 404)).startswith("pattern:")
    note = await kept(admin, "notes", content="No episode")
    await end(admin, episode)
    [pattern] = await patterns(admin, min_support=1, kind="sequence")
    body = {"pattern": pattern["id"], "effect": "helped"}
    await refusal(await admin.post(f"/v1/episodes/{note}/feedback", json=body), 404)
