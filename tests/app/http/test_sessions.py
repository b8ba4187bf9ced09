"""Sessions of work over HTTP: where they can go, what is logged in them, who may change what."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.app.http.test_life import refusal

pytestmark = pytest.mark.slow

TO = {
    "active": [],
    "paused": ["pause"],
    "completed": ["complete"],
    "aborted": ["abort"],
}
"""How a session gets there."""


async def started(client: httpx.AsyncClient, title: str = "Mend the login", **more: Any) -> str:
    answer = await client.post("/v1/sessions", json={"title": title, **more})
    assert answer.status_code == 201, answer.text
    session_id: str = answer.json()["id"]
    return session_id


async def move(client: httpx.AsyncClient, session_id: str, verb: str) -> httpx.Response:
    body = {"outcome": "done"} if verb in ("complete", "abort") else None
    return await client.post(f"/v1/sessions/{session_id}/{verb}", json=body)


async def logged(client: httpx.AsyncClient, session_id: str, text: str, **more: Any) -> str:
    answer = await client.post(f"/v1/sessions/{session_id}/log", json={"content": text, **more})
    assert answer.status_code == 201, answer.text
    entry: str = answer.json()["id"]
    return entry


async def ids(client: httpx.AsyncClient, path: str, /, **query: Any) -> list[str]:
    answer = await client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    assert answer.json()["total"] == len(answer.json()["memories"])
    return [each["id"] for each in answer.json()["memories"]]


async def test_a_session_goes_from_its_start_to_its_outcome(admin: httpx.AsyncClient) -> None:
    session_id = await started(admin, project="shop", tags=["auth"])
    session = (await admin.get(f"/v1/sessions/{session_id}")).json()
    assert (session["type"], session["details"]) == ("session", {"status": "active"})
    assert (session["content"], session["project"]) == ("Mend the login", "shop")
    assert (await move(admin, session_id, "pause")).json()["details"]["status"] == "paused"
    assert (await move(admin, session_id, "resume")).json()["details"]["status"] == "active"
    ended = (await move(admin, session_id, "complete")).json()
    assert (ended["details"]["status"], ended["details"]["outcome"]) == ("completed", "done")
    assert ended["details"]["ended_at"] >= ended["created_at"][:19]
    history = (await admin.get(f"/v1/memories/{session_id}/history")).json()
    assert [each["action"] for each in history["revisions"]] == ["complete", "resume", "pause"]


@pytest.mark.parametrize(
    ("status", "verb", "becomes"),
    [
        ("active", "pause", "paused"),
        ("active", "resume", "active"),  # it is: nothing changes
        ("active", "complete", "completed"),
        ("active", "abort", "aborted"),
        ("paused", "pause", "paused"),
        ("paused", "resume", "active"),
        ("paused", "complete", "completed"),
        ("paused", "abort", "aborted"),
        ("completed", "complete", "completed"),
        ("completed", "pause", None),
        ("completed", "resume", None),
        ("completed", "abort", None),
        ("aborted", "abort", "aborted"),
        ("aborted", "pause", None),
        ("aborted", "resume", None),
        ("aborted", "complete", None),
    ],
)
async def test_a_session_goes_only_where_it_can_from_where_it_stands(
    admin: httpx.AsyncClient, status: str, verb: str, becomes: str | None
) -> None:
    session_id = await started(admin)
    for step in TO[status]:
        await move(admin, session_id, step)
    before = (await admin.get(f"/v1/sessions/{session_id}")).json()
    answer = await move(admin, session_id, verb)
    after = (await admin.get(f"/v1/sessions/{session_id}")).json()
    if becomes is None:
        assert f"the session is {status}" in await refusal(answer, 409)
    else:
        assert answer.status_code == 200
        assert after["details"]["status"] == becomes
    unchanged = becomes in (None, status)
    assert (after["revision"] == before["revision"]) is unchanged


async def test_only_a_session_that_is_completed_must_say_what_came_of_it(
    admin: httpx.AsyncClient,
) -> None:
    session_id = await started(admin)
    complete = f"/v1/sessions/{session_id}/complete"
    assert "the body is required" in await refusal(await admin.post(complete), 422)
    assert "outcome is required" in await refusal(await admin.post(complete, json={}), 422)
    aborted = await admin.post(f"/v1/sessions/{session_id}/abort")
    assert aborted.json()["details"]["status"] == "aborted"
    told = await refusal(await admin.post(complete, json={"outcome": "done"}), 409)
    assert "it cannot be completed" in told


async def test_a_log_tells_what_happened_newest_first(admin: httpx.AsyncClient) -> None:
    session_id = await started(admin, project="shop")
    first = await logged(admin, session_id, "The tests fail")
    again = await logged(admin, session_id, "The tests fail")
    third = await logged(
        admin, session_id, "Clock skew", kind="issue", payload={"host": "wallaby"}, tags=["ntp"]
    )
    await logged(admin, await started(admin, "Another"), "Elsewhere")
    path = f"/v1/sessions/{session_id}/log"
    assert await ids(admin, path) == [third, again, first]
    assert await ids(admin, path, tag="ntp") == [third]
    assert await ids(admin, path, kind="issue") == [third]
    assert await ids(admin, path, kind="info") == [again, first]
    page = (await admin.get(path, params={"limit": 2})).json()
    rest = (await admin.get(path, params={"limit": 2, "cursor": page["next_cursor"]})).json()
    assert (page["total"], [each["id"] for each in rest["memories"]]) == (3, [first])
    entry = page["memories"][0]
    assert (entry["type"], entry["session"], entry["project"]) == ("event", session_id, "shop")
    assert entry["details"] == {"kind": "issue", "payload": {"host": "wallaby"}}
    found = (await admin.post("/v1/search", json={"query": "wallaby"})).json()["results"]
    assert found[0]["memory"]["id"] == third


async def test_a_log_is_closed_with_its_session(admin: httpx.AsyncClient) -> None:
    session_id = await started(admin)
    await move(admin, session_id, "pause")
    await logged(admin, session_id, "Waiting for the vendor")
    await move(admin, session_id, "complete")
    answer = await admin.post(f"/v1/sessions/{session_id}/log", json={"content": "Late"})
    assert "its log is closed" in await refusal(answer, 409)
    assert len(await ids(admin, f"/v1/sessions/{session_id}/log")) == 1


async def test_an_entry_that_is_sent_again_is_answered_though_its_session_is_over(
    admin: httpx.AsyncClient,
) -> None:
    session_id = await started(admin)
    path, entry = f"/v1/sessions/{session_id}/log", {"content": "The last thing"}
    once = {"Idempotency-Key": "last"}
    first = await admin.post(path, json=entry, headers=once)
    await move(admin, session_id, "complete")
    again = await admin.post(path, json=entry, headers=once)
    assert (again.status_code, again.json()["id"]) == (201, first.json()["id"])
    other = await admin.post(path, json=entry, headers={"Idempotency-Key": "later"})
    assert "its log is closed" in await refusal(other, 409)


async def test_sessions_are_listed_by_where_they_stand(admin: httpx.AsyncClient) -> None:
    there = {}
    for status, steps in TO.items():
        there[status] = await started(admin, f"One that is {status}", project=status)
        for step in steps:
            await move(admin, there[status], step)
    silent = (await admin.post("/v1/memories", json={"content": "x", "type": "session"})).json()
    for status, session_id in there.items():
        more = [silent["id"]] if status == "active" else []
        assert await ids(admin, "/v1/sessions", status=status) == [*more, session_id]
    assert await ids(admin, "/v1/sessions", project="paused") == [there["paused"]]
    page = (await admin.get("/v1/sessions", params={"status": "active", "limit": 1})).json()
    wrong = {"status": "paused", "limit": 1, "cursor": page["next_cursor"]}
    assert (await admin.get("/v1/sessions", params=wrong)).status_code == 422


async def test_where_a_session_stands_is_not_changed_by_hand(admin: httpx.AsyncClient) -> None:
    session_id = await started(admin)
    path = f"/v1/memories/{session_id}"
    for details in ({"status": "completed"}, {"ended_at": "2026-01-01T00:00:00Z"}):
        said = await refusal(await admin.patch(path, json={"details": details}), 422)
        assert said.startswith(f"details.{next(iter(details))}: ")
        assert "/v1/sessions/{id}/pause" in said
    for kind in ("note", "project"):
        said = await refusal(await admin.patch(path, json={"type": kind, "details": {}}), 422)
        assert said.startswith("type: ")
    note = (await admin.post("/v1/memories", json={"content": "a note"})).json()
    becoming = {"type": "session", "details": {"status": "completed"}}
    answer = await admin.patch(f"/v1/memories/{note['id']}", json=becoming)
    assert (await refusal(answer, 422)).startswith("type: ")
    changed = await admin.patch(path, json={"content": "y", "details": {"outcome": "soon"}})
    assert changed.json()["details"] == {"outcome": "soon", "status": "active"}
    same = await admin.patch(path, json={"details": {"status": "active"}, "tags": ["z"]})
    assert same.json()["details"] == {"status": "active"}


async def test_a_change_of_a_session_can_be_undone(admin: httpx.AsyncClient) -> None:
    session_id = await started(admin)
    await move(admin, session_id, "complete")
    path = f"/v1/memories/{session_id}/rollback"
    undone = (await admin.post(path, json={"revision": 1})).json()
    assert undone["details"] == {"status": "active"}
    await logged(admin, session_id, "It was not over")


async def test_a_memory_of_another_type_is_no_session(admin: httpx.AsyncClient) -> None:
    note = (await admin.post("/v1/notes", json={"content": "a note"})).json()["id"]
    for method, path, body in (
        ("GET", "", None),
        ("GET", "/log", None),
        ("POST", "/log", {"content": "x"}),
        ("POST", "/pause", None),
        ("POST", "/complete", {"outcome": "x"}),
    ):
        answer = await admin.request(method, f"/v1/sessions/{note}{path}", json=body)
        assert "is no session but a note" in await refusal(answer, 404)
        answer = await admin.request(method, f"/v1/sessions/nobody{path}", json=body)
        assert answer.status_code == 404


async def test_a_session_is_audited_by_what_was_done_with_it(admin: httpx.AsyncClient) -> None:
    session_id = await started(admin)
    await move(admin, session_id, "abort")
    answer = await admin.get("/v1/admin/audit", params={"action": "memory.abort"})
    assert [each["target"] for each in answer.json()["records"]] == [session_id]
