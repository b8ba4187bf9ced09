"""Memories over REST."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx

from tests.support.service import service

FULL = {
    "content": "We deploy with Helm 4.\n\tSince May.",
    "title": "Deployment",
    "type": "decision",
    "project": "shop",
    "session": "2026-05-04",
    "tags": ["ops", "helm"],
    "metadata": {"ticket": 17, "nested": {"ratio": 0.5, "none": None, "list": [True, "ä"]}},
    "importance": 0.9,
    "occurred_at": "2026-05-04T10:00:00+02:00",
}


async def stored(client: httpx.AsyncClient, **fields: object) -> dict[str, object]:
    answer = await client.post("/v1/memories", json={"content": "The build needs Go", **fields})
    assert answer.status_code == 201, answer.text
    memory: dict[str, object] = answer.json()
    return memory


async def found(client: httpx.AsyncClient, query: str, **fields: object) -> list[str]:
    answer = await client.post("/v1/search", json={"query": query, **fields})
    assert answer.status_code == 200, answer.text
    return [result["memory"]["id"] for result in answer.json()["results"]]


async def test_a_stored_memory_comes_back_whole(admin: httpx.AsyncClient) -> None:
    before = datetime.now(UTC)
    created = await admin.post("/v1/memories", json=FULL)
    assert created.status_code == 201
    memory = created.json()
    assert memory.pop("deduplicated_of") is None
    assert memory.pop("findings") == []
    assert memory == FULL | {
        "id": memory["id"],
        "occurred_at": "2026-05-04T08:00:00Z",
        "created_at": memory["created_at"],
        "updated_at": memory["created_at"],
        "details": {},
        "state": "live",
        "state_changed_at": None,
        "pinned": False,
        "legal_hold": False,
        "valid_from": None,
        "valid_to": None,
        "supersedes": None,
        "superseded_by": None,
        "origin": "direct_user",
        "trust": 1.0,
        "revision": 1,
        "accessed_at": None,
        "access_count": 0,
    }
    assert before <= datetime.fromisoformat(memory["created_at"]) <= datetime.now(UTC)
    assert created.headers["location"] == f"/v1/memories/{memory['id']}"
    assert (await admin.get(created.headers["location"])).json() == memory


async def test_a_memory_needs_nothing_but_its_content(admin: httpx.AsyncClient) -> None:
    memory = await stored(admin)
    assert memory["type"] == "note"
    assert memory["importance"] == 0.5
    assert (memory["tags"], memory["metadata"], memory["title"]) == ([], {}, None)


async def test_a_memory_is_found_by_the_search_that_follows_its_creation(
    admin: httpx.AsyncClient,
) -> None:
    for number in range(5):
        memory = await stored(admin, content=f"The parcel number {number} is in the cellar")
        assert memory["id"] in await found(admin, f"where is parcel {number}")


async def test_a_title_counts_for_finding(admin: httpx.AsyncClient) -> None:
    await stored(admin, content="It is red.")
    memory = await stored(admin, content="It is blue.", title="Colour of the bicycle")
    assert (await found(admin, "bicycle colour"))[0] == memory["id"]


async def test_a_search_tells_the_score_best_first(admin: httpx.AsyncClient) -> None:
    await stored(admin, content="Cats sleep in the sun")
    await stored(admin, content="The invoice is due in March")
    answer = await admin.post("/v1/search", json={"query": "when is the invoice due"})
    scores = [result["score"] for result in answer.json()["results"]]
    assert scores == sorted(scores, reverse=True)
    assert answer.json()["results"][0]["memory"]["content"] == "The invoice is due in March"


async def test_a_search_keeps_to_its_filters(admin: httpx.AsyncClient) -> None:
    here = await stored(admin, project="a", session="s", type="fact", tags=["x", "y"])
    await stored(admin, project="b", session="t", type="note", tags=["x"])
    for where in (
        {"project": "a"},
        {"session": "s"},
        {"types": ["fact", "decision"]},
        {"tags": ["x", "y"]},
    ):
        assert await found(admin, "what does the build need", **where) == [here["id"]]
    now = datetime.now(UTC)
    assert await found(admin, "build", created_after=(now + timedelta(hours=1)).isoformat()) == []
    assert await found(admin, "build", created_before=(now - timedelta(hours=1)).isoformat()) == []
    assert len(await found(admin, "build", limit=1)) == 1


async def test_a_deleted_memory_is_gone_everywhere(admin: httpx.AsyncClient) -> None:
    memory = await stored(admin)
    path = f"/v1/memories/{memory['id']}"
    deleted = await admin.delete(path)
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert (await admin.get(path)).status_code == 404
    assert (await admin.delete(path)).status_code == 404
    assert await found(admin, "what does the build need") == []
    assert (await admin.get("/v1/memories")).json()["total"] == 0


async def test_a_change_keeps_what_was_not_sent(admin: httpx.AsyncClient) -> None:
    memory = (await admin.post("/v1/memories", json=FULL)).json()
    changed = await admin.patch(f"/v1/memories/{memory['id']}", json={"tags": ["new"]})
    assert changed.status_code == 200
    del memory["deduplicated_of"]
    assert changed.json() == memory | {
        "tags": ["new"],
        "revision": 2,
        "updated_at": changed.json()["updated_at"],
    }
    before, after = (
        datetime.fromisoformat(each["updated_at"]) for each in (memory, changed.json())
    )
    assert before < after
    shown = (await admin.get(f"/v1/memories/{memory['id']}")).json()
    assert shown | {"findings": []} == changed.json()


async def test_null_empties_a_field(admin: httpx.AsyncClient) -> None:
    memory = (await admin.post("/v1/memories", json=FULL)).json()
    empty = dict.fromkeys(("title", "project", "session", "occurred_at"))
    changed = await admin.patch(f"/v1/memories/{memory['id']}", json=empty)
    assert changed.json().items() >= empty.items()
    assert await found(admin, "helm", project="shop") == []


async def test_a_changed_content_is_found_by_its_new_words_only(admin: httpx.AsyncClient) -> None:
    memory = await stored(admin, content="zebra")
    other = await stored(admin, content="giraffe")
    await admin.patch(f"/v1/memories/{memory['id']}", json={"content": "walrus"})
    assert (await found(admin, "walrus"))[0] == memory["id"]
    assert (await found(admin, "giraffe"))[0] == other["id"]


async def test_a_change_of_nothing_is_refused(admin: httpx.AsyncClient) -> None:
    memory = await stored(admin)
    answer = await admin.patch(f"/v1/memories/{memory['id']}", json={})
    assert answer.status_code == 422
    assert answer.json()["error"]["hint"] == "send at least one field"


async def test_a_list_is_complete_newest_first_and_says_its_total(
    admin: httpx.AsyncClient,
) -> None:
    ids = [(await stored(admin, content=f"number {number}"))["id"] for number in range(7)]
    listed: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await admin.get("/v1/memories", params={"limit": 3, **cursor})).json()
        assert page["total"] == 7
        listed += [memory["id"] for memory in page["memories"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert listed == ids[::-1]


async def test_a_list_keeps_to_its_filters(admin: httpx.AsyncClient) -> None:
    here = await stored(admin, project="a", session="s", type="fact", tags=["x", "y"])
    await stored(admin, project="b", session="t", type="note", tags=["x"])
    for query in ("project=a", "session=s", "type=fact&type=decision", "tag=x&tag=y"):
        page = (await admin.get(f"/v1/memories?{query}")).json()
        assert [memory["id"] for memory in page["memories"]] == [here["id"]]
        assert page["total"] == 1


async def test_a_made_up_cursor_is_refused(admin: httpx.AsyncClient) -> None:
    answer = await admin.get("/v1/memories", params={"cursor": "AAAA"})
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "invalid_cursor"
    assert answer.json()["error"]["field"] == "cursor"


async def test_memories_are_there_after_a_restart(tmp_path: Path) -> None:
    async with service(tmp_path) as first, first.client(first.admin_key) as client:
        memory = await stored(client)
    async with service(tmp_path) as second, second.client(second.admin_key) as client:
        assert await found(client, "what does the build need") == [memory["id"]]
