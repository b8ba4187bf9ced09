"""Projects, notes, decisions, capsules and events over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.app.http.test_life import refusal
from tests.app.http.test_sessions import ids

pytestmark = pytest.mark.slow

HOUR = timedelta(hours=1)

THINGS: dict[str, dict[str, Any]] = {
    "projects": {"name": "shop", "description": "A wombat shop", "path": "/src", "language": "Go"},
    "sessions": {"title": "Mend the wombat", "description": "It is broken", "project": "shop"},
    "notes": {"content": "The wombat sleeps", "title": "Sleep"},
    "decisions": {"content": "Feed the wombat", "rationale": "hunger", "options": ["wait"]},
    "capsules": {"content": "Mind the wombat", "audience": ["bob"], "subject": "pets"},
    "handoffs": {"content": "The wombat is fed", "remember": "Water", "significance": 0.9},
    "events": {"content": "The wombat woke", "kind": "waking", "payload": {"at": "dawn"}},
    "tasks": {"title": "Wake the wombat", "description": "Gently", "priority": "high"},
}
"""One of each kind, by its route."""


async def kept(client: httpx.AsyncClient, kind: str, /, **fields: Any) -> str:
    answer = await client.post(f"/v1/{kind}", json=fields)
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"/v1/memories/{answer.json()['id']}"
    thing: str = answer.json()["id"]
    return thing


@pytest.mark.parametrize("kind", THINGS)
async def test_a_thing_is_a_memory_with_all_that_this_means(
    admin: httpx.AsyncClient, kind: str
) -> None:
    thing = await kept(admin, kind, **THINGS[kind], tags=["t"], metadata={"a": 1}, importance=0.9)
    shown = (await admin.get(f"/v1/{kind}/{thing}")).json()
    memory = (await admin.get(f"/v1/memories/{thing}")).json()
    volatile = ("accessed_at", "access_count")
    assert {**shown, **dict.fromkeys(volatile)} == {**memory, **dict.fromkeys(volatile)}
    assert (shown["tags"], shown["metadata"], shown["importance"]) == (["t"], {"a": 1}, 0.9)
    assert shown["type"] == kind.removesuffix("s")
    assert await ids(admin, f"/v1/{kind}", tag="t") == [thing]
    found = (await admin.post("/v1/search", json={"query": "wombat"})).json()["results"]
    assert [each["memory"]["id"] for each in found] == [thing]
    assert (await admin.post(f"/v1/memories/{thing}/pin")).json()["pinned"]
    assert (await admin.delete(f"/v1/memories/{thing}")).status_code == 204
    assert await ids(admin, f"/v1/{kind}") == []
    assert (await admin.get(f"/v1/{kind}/{thing}")).status_code == 404


@pytest.mark.parametrize("kind", THINGS)
async def test_a_request_that_is_repeated_under_its_name_makes_one_thing(
    admin: httpx.AsyncClient, kind: str
) -> None:
    once = {"Idempotency-Key": "again"}
    path = f"/v1/{kind}"
    one = await admin.post(path, json=THINGS[kind], headers=once)
    two = await admin.post(path, json=THINGS[kind], headers=once)
    assert one.json()["id"] == two.json()["id"]
    assert len(await ids(admin, path)) == 1


@pytest.mark.parametrize(
    ("kind", "again"),
    [
        ("projects", False),
        ("sessions", True),
        ("notes", False),
        ("decisions", False),
        ("capsules", False),
        ("events", True),
        ("tasks", True),
        ("handoffs", True),
    ],
)
async def test_the_same_again_is_another_one_where_it_happened_again(
    admin: httpx.AsyncClient, kind: str, again: bool
) -> None:
    first = await kept(admin, kind, **THINGS[kind])
    answer = await admin.post(f"/v1/{kind}", json=THINGS[kind])
    assert answer.status_code == (201 if again else 200)
    assert (answer.json()["id"] != first) is again
    assert answer.json()["deduplicated_of"] == (None if again else first)


async def test_there_is_one_project_of_a_name(admin: httpx.AsyncClient) -> None:
    shop = await kept(admin, "projects", name="shop", path="/a")
    answer = await admin.post("/v1/projects", json={"name": "shop", "path": "/b"})
    assert (answer.status_code, answer.json()["details"]) == (200, {"path": "/a"})
    till = await kept(admin, "projects", name="till", path="/b")
    assert await ids(admin, "/v1/projects") == [till, shop]
    assert await ids(admin, "/v1/projects", project="shop") == [shop]
    assert await ids(admin, "/v1/projects", path="/b") == [till]
    renamed = await admin.patch(f"/v1/memories/{shop}", json={"project": "mall"})
    assert (await refusal(renamed, 422)).startswith("project: ")
    described = await admin.patch(f"/v1/memories/{shop}", json={"content": "It sells."})
    assert described.json()["content"] == "It sells."
    await admin.delete(f"/v1/memories/{shop}")
    assert await kept(admin, "projects", name="shop") != shop


async def test_a_capsule_is_for_its_audience_until_it_expires(admin: httpx.AsyncClient) -> None:
    now = datetime.now(UTC)
    later, past = (now + HOUR).isoformat(), (now - HOUR).isoformat()
    for_all = await kept(admin, "capsules", content="The heron is ill", expires_at=later)
    for_bob = await kept(admin, "capsules", content="Feed the heron", audience=["bob", "amy"])
    for_eve = await kept(admin, "capsules", content="The heron is gone", audience=["eve"])
    expired = await kept(admin, "capsules", content="The heron is here", expires_at=past)
    path = "/v1/capsules"
    assert await ids(admin, path) == [for_eve, for_bob, for_all]
    assert await ids(admin, path, audience="bob") == [for_bob, for_all]
    assert await ids(admin, path, audience="nobody") == [for_all]
    assert await ids(admin, path, audience="bo") == [for_all]
    everything = [expired, for_eve, for_bob, for_all]
    assert await ids(admin, path, include_expired=True) == everything
    found = (await admin.post("/v1/search", json={"query": "heron"})).json()["results"]
    assert {each["memory"]["id"] for each in found} == set(everything) - {expired}


async def test_a_list_of_what_holds_now_goes_on_while_time_passes(admin: httpx.AsyncClient) -> None:
    later = (datetime.now(UTC) + HOUR).isoformat()
    made = [
        await kept(admin, "capsules", content=f"Heron {number}", expires_at=later)
        for number in range(3)
    ]
    seen, cursor = [], None
    for _ in made:
        params = {"limit": 1, **({} if cursor is None else {"cursor": cursor})}
        page = (await admin.get("/v1/capsules", params=params)).raise_for_status().json()
        seen += [each["id"] for each in page["memories"]]
        cursor = page["next_cursor"]
    assert (seen, cursor) == (made[::-1], None)
    first = (await admin.get("/v1/capsules", params={"limit": 1})).json()["next_cursor"]
    for other in ({"include_expired": True}, {"audience": "bob"}):
        answer = await admin.get("/v1/capsules", params={"limit": 1, "cursor": first, **other})
        assert answer.json()["error"]["field"] == "cursor"


async def test_events_are_listed_by_kind_and_session(admin: httpx.AsyncClient) -> None:
    deploy = await kept(admin, "events", content="Deployed", kind="deploy", session="s1")
    other = await kept(admin, "events", content="Deployed", kind='de"ploy\\', session="s2")
    await kept(admin, "events", content="Deployed")
    assert await ids(admin, "/v1/events", kind="deploy") == [deploy]
    assert await ids(admin, "/v1/events", kind='de"ploy\\') == [other]
    assert await ids(admin, "/v1/events", session="s2") == [other]


@pytest.mark.parametrize("kind", ["notes", "decisions"])
async def test_what_is_written_is_listed_by_project_and_session(
    admin: httpx.AsyncClient, kind: str
) -> None:
    mine = await kept(admin, kind, content="x", project="shop", session="s1")
    await kept(admin, kind, content="y", project="till", session="s2")
    assert await ids(admin, f"/v1/{kind}", project="shop") == [mine]
    assert await ids(admin, f"/v1/{kind}", session="s1") == [mine]


@pytest.mark.parametrize(
    ("kind", "wrong", "field"),
    [
        ("projects", {"name": "a\nb"}, "name"),
        ("sessions", {"title": " "}, "title"),
        ("notes", {"content": "x", "rationale": "y"}, "rationale"),
        ("decisions", {"content": "x", "options": "y"}, "options"),
        ("capsules", {"content": "x", "audience": []}, "audience"),
        ("capsules", {"content": "x", "expires_at": "soon"}, "expires_at"),
        ("events", {"content": "x", "payload": [1]}, "payload"),
        ("events", {"content": "x", "origin": "nobody"}, "origin"),
    ],
)
async def test_what_is_wrong_is_named(
    admin: httpx.AsyncClient, kind: str, wrong: dict[str, Any], field: str
) -> None:
    answer = await admin.post(f"/v1/{kind}", json=wrong)
    assert (await refusal(answer, 422)).startswith(f"{field}")
