"""Tasks over HTTP: where they can go, what they wait for, their parts, reports on them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.app.http.test_life import refusal
from tests.app.http.test_sessions import ids
from tests.support.service import service

pytestmark = pytest.mark.slow

TO = {
    "todo": [],
    "in_progress": ["start"],
    "blocked": ["block"],
    "done": ["complete"],
    "cancelled": ["cancel"],
}
"""How a task gets there."""
BECOMES = {
    "start": {"todo": "in_progress", "in_progress": "in_progress"},
    "block": {"todo": "blocked", "in_progress": "blocked", "blocked": "blocked"},
    "unblock": {"blocked": "todo", "todo": "todo", "in_progress": "in_progress"},
    "complete": {"todo": "done", "in_progress": "done", "done": "done"},
    "cancel": dict.fromkeys(("todo", "in_progress", "blocked", "cancelled"), "cancelled"),
    "reopen": {"done": "todo", "cancelled": "todo", "todo": "todo"},
}
"""Where it stands after each move, by where it stood; it cannot be made from elsewhere."""


async def task(client: httpx.AsyncClient, title: str = "Do it", **more: Any) -> str:
    answer = await client.post("/v1/tasks", json={"title": title, **more})
    assert answer.status_code == 201, answer.text
    task_id: str = answer.json()["id"]
    return task_id


async def move(client: httpx.AsyncClient, task_id: str, verb: str, **body: Any) -> httpx.Response:
    return await client.post(f"/v1/tasks/{task_id}/{verb}", json=body or None)


async def depend(client: httpx.AsyncClient, task_id: str, on: str) -> httpx.Response:
    return await client.post(f"/v1/tasks/{task_id}/dependencies", json={"on": on})


async def status(client: httpx.AsyncClient, task_id: str) -> str:
    told: str = (await client.get(f"/v1/tasks/{task_id}")).json()["details"]["status"]
    return told


@pytest.mark.parametrize("verb", BECOMES)
@pytest.mark.parametrize("stands", TO)
async def test_a_task_goes_only_where_it_can_from_where_it_stands(
    admin: httpx.AsyncClient, stands: str, verb: str
) -> None:
    task_id = await task(admin)
    for step in TO[stands]:
        assert (await move(admin, task_id, step)).status_code == 200
    before = (await admin.get(f"/v1/tasks/{task_id}")).json()
    answer = await move(admin, task_id, verb)
    after = (await admin.get(f"/v1/tasks/{task_id}")).json()
    becomes = BECOMES[verb].get(stands)
    if becomes is None:
        assert f"the task is {stands}" in await refusal(answer, 409)
    else:
        assert answer.status_code == 200, answer.text
        assert after["details"]["status"] == becomes
    assert (after["revision"] == before["revision"]) is (becomes in (None, stands))


async def test_the_words_of_a_move_are_kept_and_each_move_can_be_undone(
    admin: httpx.AsyncClient,
) -> None:
    task_id = await task(admin, "Ship it", project="shop", description="All of it")
    shown = (await admin.get(f"/v1/tasks/{task_id}")).json()
    assert (shown["content"], shown["title"]) == ("All of it", "Ship it")
    await move(admin, task_id, "start")
    blocked = (await move(admin, task_id, "block", reason="No ship")).json()["details"]
    assert blocked["blocked_reason"] == "No ship"
    assert blocked["blocked_since"] >= blocked["started_at"]
    unblocked = (await move(admin, task_id, "unblock")).json()["details"]
    assert (unblocked["status"], unblocked["blocked_seconds"]) == ("in_progress", 0)
    done = (await move(admin, task_id, "complete", outcome="Shipped")).json()["details"]
    assert done["outcome"] == "Shipped"
    history = (await admin.get(f"/v1/memories/{task_id}/history")).json()["revisions"]
    assert [each["action"] for each in history] == ["complete", "unblock", "block", "start"]
    back = await admin.post(f"/v1/memories/{task_id}/rollback", json={"revision": 3})
    assert back.json()["details"]["status"] == "blocked"


async def test_what_a_task_is_governed_by_is_not_changed_by_hand(admin: httpx.AsyncClient) -> None:
    parent = await task(admin)
    task_id = await task(admin, parent=parent)
    path = f"/v1/memories/{task_id}"
    at = "2026-01-01T00:00:00Z"
    for name, value in (
        ("status", "done"),
        ("started_at", at),
        ("ended_at", at),
        ("blocked_since", at),
        ("blocked_seconds", 7),
        ("parent", task_id),
    ):
        said = await refusal(await admin.patch(path, json={"details": {name: value}}), 422)
        assert said.startswith(f"details.{name}: ")
        assert "/v1/tasks/{id}/start" in said
    changed = await admin.patch(path, json={"details": {"priority": "urgent", "due_at": at}})
    assert changed.json()["details"] == {
        "priority": "urgent", "due_at": at, "status": "todo", "parent": parent
    }  # fmt: skip


async def test_a_task_waits_for_what_it_depends_on(admin: httpx.AsyncClient) -> None:
    first = await task(admin, "Dig the hole")
    second = await task(admin, "Plant the tree", depends_on=[first])
    told = (await admin.get(f"/v1/tasks/{second}/dependencies")).json()
    assert told == {
        "depends_on": [{"id": first, "title": "Dig the hole", "status": "todo"}],
        "needed_by": [],
    }
    told = (await admin.get(f"/v1/tasks/{first}/dependencies")).json()
    assert [each["id"] for each in told["needed_by"]] == [second]
    for verb in ("start", "complete"):
        said = await refusal(await move(admin, second, verb), 409)
        assert f"{first} (Dig the hole)" in said
        assert "force" in said
    assert await ids(admin, "/v1/tasks", blocked=True) == [second]
    assert await ids(admin, "/v1/tasks", blocked=False) == [first]
    assert (await move(admin, second, "start", force=True)).status_code == 200
    await move(admin, first, "complete")
    assert (await move(admin, second, "complete")).status_code == 200
    assert await ids(admin, "/v1/tasks", blocked=True) == []
    assert (await depend(admin, second, first)).status_code == 200
    gone = await admin.delete(f"/v1/tasks/{second}/dependencies/{first}")
    assert gone.status_code == 204
    again = await admin.delete(f"/v1/tasks/{second}/dependencies/{first}")
    assert again.status_code == 404


async def test_a_dependency_that_closes_a_cycle_is_refused_with_its_path(
    admin: httpx.AsyncClient,
) -> None:
    names = ("Saw", "Plane", "Glue")
    saw, plane, glue = [await task(admin, name) for name in names]
    assert (await depend(admin, plane, saw)).status_code == 201
    assert (await depend(admin, glue, plane)).status_code == 201
    path = f"{saw} (Saw) -> {glue} (Glue) -> {plane} (Plane) -> {saw} (Saw)"
    assert path in await refusal(await depend(admin, saw, glue), 409)
    link = {"target": glue, "type": "depends_on"}
    assert path in await refusal(await admin.post(f"/v1/memories/{saw}/links", json=link), 409)
    blocks = {"source": glue, "target": saw, "type": "blocks"}
    assert path in await refusal(await admin.post("/v1/edges", json=blocks), 409)
    assert "linked to itself" in await refusal(await depend(admin, saw, saw), 422)
    note = (await admin.post("/v1/notes", json={"content": "a note"})).json()["id"]
    assert "is no task but a note" in await refusal(await depend(admin, saw, note), 422)
    await refusal(await depend(admin, saw, "nobody"), 404)


async def test_of_dependencies_added_at_once_one_that_closes_the_cycle_is_refused(
    admin: httpx.AsyncClient,
) -> None:
    tasks = [await task(admin, f"Task {place}") for place in range(5)]
    ring = list(zip(tasks, [*tasks[1:], tasks[0]], strict=True))
    answers = await asyncio.gather(*(depend(admin, one, other) for one, other in ring))
    assert sorted(answer.status_code for answer in answers) == [201, 201, 201, 201, 409]


async def test_a_task_is_not_over_before_its_parts_are(admin: httpx.AsyncClient) -> None:
    whole = await task(admin, "The house")
    roof = await task(admin, "The roof", parent=whole)
    cellar = await task(admin, "The cellar", parent=whole)
    assert await ids(admin, "/v1/tasks", parent=whole) == [cellar, roof]
    await move(admin, roof, "complete")
    for verb in ("complete", "cancel"):
        said = await refusal(await move(admin, whole, verb), 409)
        assert f"1 of its parts are open: {cellar} (The cellar)" in said
    assert (await move(admin, whole, "complete", force=True)).status_code == 200
    late = await admin.post("/v1/tasks", json={"title": "The door", "parent": whole})
    assert "is done" in await refusal(late, 409)
    assert "reopen that one first" in await refusal(await move(admin, roof, "reopen"), 409)
    await move(admin, whole, "reopen")
    assert (await move(admin, roof, "reopen")).status_code == 200
    nobody = await admin.post("/v1/tasks", json={"title": "x", "parent": "nobody"})
    assert (await refusal(nobody, 404)).startswith("id: ")


async def test_of_a_part_and_the_end_of_the_whole_at_once_one_waits(
    admin: httpx.AsyncClient,
) -> None:
    for _ in range(5):
        whole = await task(admin, "The whole")
        part, end = await asyncio.gather(
            admin.post("/v1/tasks", json={"title": "A part", "parent": whole}),
            move(admin, whole, "complete"),
        )
        assert (part.status_code, end.status_code) in ((201, 409), (409, 200))


async def test_tasks_are_listed_by_what_they_say(admin: httpx.AsyncClient) -> None:
    now = datetime.now(UTC)
    past, soon = (now - timedelta(days=1)).isoformat(), (now + timedelta(days=1)).isoformat()
    late = await task(admin, "Late", due_at=past, priority="high", assignee="ann", project="p")
    next_one = await task(admin, "Next", due_at=soon, assignee="ann", session="s")
    over = await task(admin, "Over", due_at=past)
    await move(admin, over, "complete")
    silent = (await admin.post("/v1/memories", json={"content": "x", "type": "task"})).json()["id"]
    for query, wanted in (
        ({"status": "todo"}, [silent, next_one, late]),
        ({"status": ["done", "cancelled"]}, [over]),
        ({"open": True}, [silent, next_one, late]),
        ({"open": False}, [over]),
        ({"priority": "high"}, [late]),
        ({"assignee": "ann"}, [next_one, late]),
        ({"project": "p"}, [late]),
        ({"session": "s"}, [next_one]),
        ({"due_before": now.isoformat()}, [over, late]),
        ({"due_after": now.isoformat()}, [next_one]),
        ({"overdue": True}, [late]),
        ({"overdue": False}, [silent, over, next_one]),
        ({"overdue": True, "assignee": "bob"}, []),
    ):
        assert await ids(admin, "/v1/tasks", **query) == wanted, query
    counted = (await admin.get("/v1/tasks/statistics")).json()
    assert (counted["total"], counted["overdue"], counted["overdue_ids"]) == (4, 1, [late])
    of_ann = (await admin.get("/v1/tasks/statistics", params={"assignee": "ann"})).json()
    assert (of_ann["total"], of_ann["by_priority"]["high"]) == (2, 1)
    report = (await admin.get("/v1/tasks/efficiency")).json()
    assert (report["overall"]["done"], report["overall"]["on_time"]) == (1, 0.0)
    assert report["overall"]["work_p50"] is None
    assert list(report["by_assignee"]) == ["(none)"]
    none = (await admin.get("/v1/tasks/efficiency", params={"project": "p"})).json()
    assert (none["overall"]["done"], none["overall"]["lead_p95"]) == (0, None)


async def test_overdue_tasks_are_listed_page_by_page(admin: httpx.AsyncClient) -> None:
    late = [await task(admin, f"{place}", due_at="2026-01-01T00:00:00Z") for place in range(3)]
    found: list[str] = []
    cursor: str | None = None
    while True:
        query = {"overdue": True, "limit": 1} | ({"cursor": cursor} if cursor else {})
        answer = await admin.get("/v1/tasks", params=query)
        assert answer.status_code == 200, answer.text
        found += [each["id"] for each in answer.json()["memories"]]
        cursor = answer.json()["next_cursor"]
        if cursor is None:
            break
    assert found == late[::-1]


async def test_a_task_that_is_sent_again_under_its_name_is_answered_with_its_edges(
    admin: httpx.AsyncClient,
) -> None:
    whole, first = await task(admin, "Whole"), await task(admin, "First")
    body = {"title": "Second", "depends_on": [first], "parent": whole}
    once = {"Idempotency-Key": "second"}
    one = await admin.post("/v1/tasks", json=body, headers=once)
    await move(admin, whole, "complete", force=True)
    two = await admin.post("/v1/tasks", json=body, headers=once)
    assert (two.status_code, two.json()["id"]) == (201, one.json()["id"])
    told = (await admin.get(f"/v1/tasks/{one.json()['id']}/dependencies")).json()
    assert [each["id"] for each in told["depends_on"]] == [first]


async def test_what_is_done_with_tasks_and_edges_is_counted(tmp_path: Path) -> None:
    async with (
        service(tmp_path, server={"metrics_on_port": True}) as bank,
        bank.client(bank.admin_key) as admin,
    ):
        one, two = await task(admin), await task(admin)
        await move(admin, one, "start")
        await move(admin, one, "start")
        await depend(admin, one, two)
        await depend(admin, two, one)
        shown = (await admin.get("/metrics")).text
    assert 'memorybank_task_changes_total{change="added"} 2.0' in shown
    assert 'memorybank_task_changes_total{change="start"} 1.0' in shown
    assert 'memorybank_edge_changes_total{change="added"} 1.0' in shown
    assert 'memorybank_edge_changes_total{change="refused"} 1.0' in shown
