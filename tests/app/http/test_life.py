"""What becomes of memories, through HTTP: once only, states, history, succession, links."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from memorybank.services.adding import CANARY_PROJECT
from tests.support.service import Service

pytestmark = pytest.mark.slow

FRIDAY = "Deploys are frozen on Fridays"


@pytest.fixture
async def developer(bank: Service) -> AsyncIterator[httpx.AsyncClient]:
    async with bank.client(await bank.key("developer")) as client:
        yield client


async def stored(client: httpx.AsyncClient, content: str = FRIDAY, **fields: Any) -> str:
    answer = await client.post("/v1/memories", json={"content": content, **fields})
    assert answer.status_code == 201, answer.text
    memory_id: str = answer.json()["id"]
    return memory_id


async def found(client: httpx.AsyncClient, query: str = FRIDAY, **fields: Any) -> list[str]:
    answer = await client.post("/v1/search", json={"query": query, **fields})
    assert answer.status_code == 200, answer.text
    return [result["memory"]["id"] for result in answer.json()["results"]]


async def listed(client: httpx.AsyncClient, query: str = "") -> tuple[list[str], int]:
    page = (await client.get(f"/v1/memories?{query}")).json()
    return [memory["id"] for memory in page["memories"]], page["total"]


async def refusal(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    return f"{error.get('field')}: {error['message']}; {error.get('hint')}"


# Once only


async def test_a_repeated_request_is_answered_as_before_and_stores_nothing(
    admin: httpx.AsyncClient,
) -> None:
    once = {"Idempotency-Key": "first"}
    body = {"content": FRIDAY, "deduplicate": False}
    first = await admin.post("/v1/memories", json=body, headers=once)
    await admin.patch(f"/v1/memories/{first.json()['id']}", json={"content": "changed since"})
    again = await admin.post("/v1/memories", json=body, headers=once)
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert (await listed(admin))[1] == 1


async def test_an_idempotency_key_is_for_one_request_of_one_api_key(
    admin: httpx.AsyncClient, developer: httpx.AsyncClient
) -> None:
    once = {"Idempotency-Key": "first"}
    await admin.post("/v1/memories", json={"content": FRIDAY}, headers=once)
    other = await admin.post("/v1/memories", json={"content": "other"}, headers=once)
    assert "used for another request; use a new key" in await refusal(other, 422)
    mine = await developer.post("/v1/memories", json={"content": "other"}, headers=once)
    assert mine.status_code == 201


async def test_requests_with_one_key_at_the_same_time_store_one_memory(
    admin: httpx.AsyncClient,
) -> None:
    body = {"content": FRIDAY, "deduplicate": False}
    answers = await asyncio.gather(
        *(
            admin.post("/v1/memories", json=body, headers={"Idempotency-Key": "k"})
            for _ in range(10)
        )
    )
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert (await listed(admin))[1] == 1


async def test_a_refused_request_can_be_corrected_under_its_key(admin: httpx.AsyncClient) -> None:
    once = {"Idempotency-Key": "k"}
    wrong = {"content": "x", "type": "decision", "details": {"reason": "y"}}
    assert (await admin.post("/v1/memories", json=wrong, headers=once)).status_code == 422
    right = {"content": "x", "type": "decision", "details": {"rationale": "y"}}
    assert (await admin.post("/v1/memories", json=right, headers=once)).status_code == 201


async def test_a_purged_memory_is_not_stored_again_by_its_key(admin: httpx.AsyncClient) -> None:
    once = {"Idempotency-Key": "k"}
    first = await admin.post("/v1/memories", json={"content": FRIDAY}, headers=once)
    await admin.delete(f"/v1/memories/{first.json()['id']}?purge=true")
    again = await admin.post("/v1/memories", json={"content": FRIDAY}, headers=once)
    assert "is purged" in await refusal(again, 409)


@pytest.mark.parametrize(
    "same",
    [
        FRIDAY,
        "deploys are  frozen on fridays!",
        "The deploys are frozen on Fridays.",
        f"{FRIDAY}\n",
    ],
)
async def test_what_is_there_already_is_answered_instead(
    admin: httpx.AsyncClient, same: str
) -> None:
    memory_id = await stored(admin, tags=["ops"])
    answer = await admin.post("/v1/memories", json={"content": same})
    assert answer.status_code == 200
    assert answer.json()["deduplicated_of"] == answer.json()["id"] == memory_id
    assert (await listed(admin))[1] == 1


@pytest.mark.parametrize(
    "other",
    [
        {"content": "Deploys are frozen on Mondays"},
        {"content": "Deploys are not frozen on Fridays"},
        {"content": FRIDAY, "project": "shop"},
        {"content": FRIDAY, "type": "fact"},
        {"content": FRIDAY, "tags": ["ops"]},
        {"content": FRIDAY, "session": "s"},
        {"content": FRIDAY, "metadata": {"by": "Ada"}},
        {"content": FRIDAY, "occurred_at": "2026-03-01T12:00:00Z"},
        {"content": FRIDAY, "pinned": True},
        {"content": FRIDAY, "deduplicate": False},
        {"content": FRIDAY, "title": "Frozen"},
    ],
)
async def test_what_says_more_or_something_else_is_stored(
    admin: httpx.AsyncClient, other: dict[str, Any]
) -> None:
    await stored(admin)
    assert (await admin.post("/v1/memories", json=other)).status_code == 201


async def test_what_is_in_the_trash_or_holds_no_more_keeps_nothing_out(
    admin: httpx.AsyncClient,
) -> None:
    gone = await stored(admin)
    await admin.delete(f"/v1/memories/{gone}")
    past = await stored(admin)
    ended = {"valid_to": (datetime.now(UTC) - timedelta(days=1)).isoformat()}
    await admin.patch(f"/v1/memories/{past}", json=ended)
    assert await stored(admin) not in (gone, past)


async def test_the_same_words_at_the_same_time_are_stored_once(admin: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(
        *(admin.post("/v1/memories", json={"content": FRIDAY}) for _ in range(10))
    )
    assert sorted(answer.status_code for answer in answers) == [200] * 9 + [201]
    assert (await listed(admin))[1] == 1


async def test_a_batch_tells_of_each_memory_in_order(admin: httpx.AsyncClient) -> None:
    known = await stored(admin)
    batch = [
        {"content": "The invoice is due in March"},
        {"content": FRIDAY},
        {"content": ""},
        {"content": "x", "type": "decision", "details": {"reason": "y"}},
        "no object",
        {"content": "the invoice is due in march"},
    ]
    answer = await admin.post("/v1/memories:batch", json={"memories": batch})
    assert answer.status_code == 200
    body = answer.json()
    assert (body["stored"], body["deduplicated"], body["refused"]) == (1, 2, 3)
    new, same, *wrong, repeated = body["results"]
    assert same["deduplicated_of"] == same["id"] == known
    assert repeated["deduplicated_of"] == repeated["id"] == new["id"]
    assert [each["error"]["field"] for each in wrong] == [
        "memories.2.content",
        "memories.3.details.reason",
        "memories.4",
    ]
    assert set((await listed(admin))[0]) == {known, new["id"]}
    assert (await found(admin, "when is the invoice due"))[0] == new["id"]


async def test_a_repeated_batch_is_answered_as_before(admin: httpx.AsyncClient) -> None:
    body = {"memories": [{"content": "one"}, {"content": ""}, {"content": "two"}]}
    once = {"Idempotency-Key": "batch"}
    first = await admin.post("/v1/memories:batch", json=body, headers=once)
    again = await admin.post("/v1/memories:batch", json=body, headers=once)
    assert again.json() == first.json()
    assert again.headers["idempotency-replayed"] == "true"
    assert (await listed(admin))[1] == 2


async def test_a_batch_has_its_limits(admin: httpx.AsyncClient) -> None:
    many = [{"content": f"{number}"} for number in range(1001)]
    wrong: list[dict[str, Any]] = [{"memories": []}, {"memories": many}, {}]
    for body in wrong:
        answer = await admin.post("/v1/memories:batch", json=body)
        assert (await refusal(answer, 422)).startswith("memories: ")
    answer = await admin.post("/v1/memories:batch", json={"memories": many[:1000]})
    assert answer.json()["stored"] == 1000


# Typed fields


async def test_the_fields_of_a_type_are_kept_and_count_for_finding(
    admin: httpx.AsyncClient,
) -> None:
    details = {
        "rationale": "One file is easy to back up.",
        "options": ["PostgreSQL", "LMDB"],
        "outcome": "no regrets",
    }
    memory_id = await stored(admin, "We chose SQLite", type="decision", details=details)
    await stored(admin, "We chose oak", type="decision")
    assert (await admin.get(f"/v1/memories/{memory_id}")).json()["details"] == details
    assert (await found(admin, "LMDB backup"))[0] == memory_id


@pytest.mark.parametrize(
    ("kind", "details", "field"),
    [
        ("decision", {"solution": "x"}, "details.solution"),
        ("note", {"rationale": "x"}, "details.rationale"),
        ("emotion", {"emotional_weight": 1.5}, "details.emotional_weight"),
        ("emotion", {"emotional_weight": "1"}, "details.emotional_weight"),
        ("task", {"status": "later"}, "details.status"),
        ("task", {"due_at": "tomorrow"}, "details.due_at"),
        ("error_solution", {"stack_trace": "x" * 20_001}, "details.stack_trace"),
        ("pattern", [], "details"),
    ],
)
async def test_a_field_that_its_type_does_not_have_is_refused(
    admin: httpx.AsyncClient, kind: str, details: object, field: str
) -> None:
    body = {"content": "x", "type": kind, "details": details}
    assert (await refusal(await admin.post("/v1/memories", json=body), 422)).startswith(f"{field}:")


async def test_another_type_needs_other_fields(admin: httpx.AsyncClient) -> None:
    memory_id = await stored(admin, type="decision", details={"rationale": "x"})
    path = f"/v1/memories/{memory_id}"
    answer = await admin.patch(path, json={"type": "pattern"})
    assert "the fields of pattern: pattern_type" in await refusal(answer, 422)
    changed = await admin.patch(path, json={"type": "pattern", "details": {"language": "Go"}})
    assert changed.json()["details"] == {"language": "Go"}


# Where it comes from


async def test_the_service_says_where_a_memory_comes_from(
    admin: httpx.AsyncClient, developer: httpx.AsyncClient
) -> None:
    by_admin = (await admin.post("/v1/memories", json={"content": "a"})).json()
    by_program = (await developer.post("/v1/memories", json={"content": "b"})).json()
    web = {"content": "c", "origin": "tool_external"}
    quoted = (await developer.post("/v1/memories", json=web)).json()
    assert [(m["origin"], m["trust"]) for m in (by_admin, by_program, quoted)] == [
        ("direct_user", 1.0),
        ("agent", 0.8),
        ("tool_external", 0.2),
    ]
    boast = await developer.post("/v1/memories", json={"content": "d", "origin": "direct_user"})
    assert (await refusal(boast, 422)).startswith("origin: ")
    assert (await listed(admin, "origin=tool_external")) == ([quoted["id"]], 1)


async def test_a_change_never_makes_a_memory_more_trusted(
    admin: httpx.AsyncClient, developer: httpx.AsyncClient
) -> None:
    mine = await stored(admin, "The vault is in the cellar")
    tagged = await developer.patch(f"/v1/memories/{mine}", json={"tags": ["x"]})
    assert tagged.json()["origin"] == "direct_user"
    reworded = await developer.patch(f"/v1/memories/{mine}", json={"content": "It is upstairs"})
    assert (reworded.json()["origin"], reworded.json()["trust"]) == ("agent", 0.8)
    again = await admin.patch(f"/v1/memories/{mine}", json={"content": "It is in the cellar"})
    assert again.json()["trust"] == 0.8


# States


async def test_the_trash_is_seen_by_nobody_until_it_is_restored(admin: httpx.AsyncClient) -> None:
    memory_id = await stored(admin)
    path = f"/v1/memories/{memory_id}"
    assert (await admin.delete(path)).status_code == 204
    assert await found(admin, include_archived=True) == []
    assert await listed(admin) == ([], 0)
    assert await listed(admin, "state=trash") == ([memory_id], 1)
    for method, sub in (("GET", ""), ("DELETE", ""), ("POST", "/pin"), ("GET", "/history")):
        assert (await admin.request(method, path + sub)).status_code == 404
    assert (await admin.patch(path, json={"tags": []})).status_code == 404
    shown = (await admin.get(f"{path}?include_trash=true")).json()
    assert (shown["state"], shown["state_changed_at"] is not None) == ("trash", True)
    assert (await admin.post(f"{path}/restore")).json()["state"] == "live"
    assert await found(admin) == [memory_id]


async def test_a_purge_leaves_nothing(admin: httpx.AsyncClient) -> None:
    for in_trash in (False, True):
        path = f"/v1/memories/{await stored(admin)}"
        if in_trash:
            await admin.delete(path)
        assert (await admin.delete(f"{path}?purge=true")).status_code == 204
        assert (await admin.post(f"{path}/restore")).status_code == 404
        assert await listed(admin, "state=live&state=archived&state=trash") == ([], 0)


async def test_archived_memories_are_found_when_asked_for(admin: httpx.AsyncClient) -> None:
    memory_id = await stored(admin)
    answer = await admin.post(f"/v1/memories/{memory_id}/archive")
    assert answer.json()["state"] == "archived"
    assert await found(admin) == []
    assert await found(admin, include_archived=True) == [memory_id]
    assert await listed(admin, "state=archived") == ([memory_id], 1)
    assert (await admin.get(f"/v1/memories/{memory_id}")).status_code == 200


async def test_a_memory_on_legal_hold_is_deleted_by_nobody(
    admin: httpx.AsyncClient, developer: httpx.AsyncClient
) -> None:
    path = f"/v1/memories/{await stored(admin)}"
    assert (await developer.post(f"{path}/hold")).status_code == 403
    assert (await admin.post(f"{path}/hold")).json()["legal_hold"] is True
    for query in ("", "?purge=true"):
        assert "legal hold" in await refusal(await admin.delete(path + query), 409)
    assert (await admin.post(f"{path}/release")).json()["legal_hold"] is False
    assert (await admin.delete(path)).status_code == 204


async def test_pins_are_set_and_listed(admin: httpx.AsyncClient) -> None:
    memory_id = await stored(admin)
    await stored(admin, "other")
    path = f"/v1/memories/{memory_id}"
    assert (await admin.post(f"{path}/pin")).json()["pinned"] is True
    assert await listed(admin, "pinned=true") == ([memory_id], 1)
    assert (await admin.post(f"{path}/unpin")).json()["pinned"] is False
    assert await listed(admin, "pinned=true") == ([], 0)


async def test_probes_leave_nothing_behind_whatever_their_version(
    admin: httpx.AsyncClient,
) -> None:
    first = await stored(admin, project=CANARY_PROJECT)
    second = await stored(admin, project=CANARY_PROJECT)
    assert (await admin.delete(f"/v1/memories/{first}")).status_code == 204
    assert (await admin.delete(f"/v1/memories/{second}?purge=true")).status_code == 204
    assert await listed(admin, "state=live&state=archived&state=trash") == ([], 0)


async def test_what_a_probe_stores_is_found_by_who_names_its_project_alone(
    admin: httpx.AsyncClient,
) -> None:
    probe = await stored(admin, "The crane was repaired", project=CANARY_PROJECT)
    mine = await stored(admin, "The crane in the harbour is yellow")
    where = "crane repaired"
    assert await found(admin, where) == [mine]
    assert await found(admin, where, limit=1) == [mine], "it takes nobody's place"
    assert await found(admin, where, project=CANARY_PROJECT) == [probe]
    similar = (await admin.get(f"/v1/memories/{mine}/similar")).json()["results"]
    assert [each["memory"]["id"] for each in similar] == []


# Succession


async def test_a_superseded_memory_holds_in_the_past_only(admin: httpx.AsyncClient) -> None:
    old = await stored(admin, "The office is in Lund", valid_from="2024-01-01T00:00:00Z")
    body = {"memory": {"content": "The office is in Malmö", "valid_from": "2026-01-01T00:00:00Z"}}
    answer = await admin.post(f"/v1/memories/{old}/supersede", json=body)
    assert answer.status_code == 201
    new = answer.json()
    assert new["supersedes"] == old
    before = (await admin.get(f"/v1/memories/{old}")).json()
    assert (before["superseded_by"], before["valid_to"]) == (new["id"], "2026-01-01T00:00:00Z")
    where = "where is the office"
    assert await found(admin, where) == [new["id"]]
    assert await found(admin, where, as_of="2025-06-01T00:00:00Z") == [old]
    assert await found(admin, where, as_of="2023-06-01T00:00:00Z") == []
    assert await found(admin, where, as_of="2026-01-01T00:00:00Z") == [new["id"]]
    assert (await listed(admin))[1] == 2
    again = await admin.post(f"/v1/memories/{old}/supersede", json=body)
    assert f"{new['id']} has taken its place" in await refusal(again, 409)


async def test_a_memory_that_is_there_can_take_the_place(admin: httpx.AsyncClient) -> None:
    old, new = await stored(admin, "It is red"), await stored(admin, "It is blue")
    answer = await admin.post(f"/v1/memories/{old}/supersede", json={"by": new})
    assert (answer.status_code, answer.json()["supersedes"]) == (200, old)
    assert await found(admin, "what colour is it") == [new]
    third = await stored(admin, "It is green")
    answer = await admin.post(f"/v1/memories/{third}/supersede", json={"by": new})
    assert answer.status_code == 409


async def test_a_succession_must_make_sense(admin: httpx.AsyncClient) -> None:
    old = await stored(admin, valid_from="2026-01-01T00:00:00Z")
    path = f"/v1/memories/{old}/supersede"
    wrong: list[tuple[dict[str, Any], int]] = [
        ({}, 422),
        ({"by": old}, 422),
        ({"by": "unknown"}, 404),
        ({"by": "x", "memory": {"content": "y"}}, 422),
        ({"memory": {"content": "y", "valid_from": "2025-01-01T00:00:00Z"}}, 422),
        ({"memory": {"content": "y", "valid_to": "2025-06-01T00:00:00Z"}}, 422),
    ]
    for body, status in wrong:
        answer = await admin.post(path, json=body)
        assert answer.status_code == status, (body, answer.text)
    assert (await listed(admin))[1] == 1


# History


async def test_every_change_of_what_it_says_can_be_seen_and_undone(
    admin: httpx.AsyncClient,
) -> None:
    memory_id = await stored(admin, "one", tags=["a"])
    path = f"/v1/memories/{memory_id}"
    await admin.patch(path, json={"content": "two"})
    await admin.patch(path, json={"tags": ["b"], "title": "T"})
    history = (await admin.get(f"{path}/history")).json()
    assert (history["current"], history["total"], history["next_before"]) == (3, 2, None)
    said = [(r["revision"], r["action"], r["memory"]["content"]) for r in history["revisions"]]
    assert said == [(2, "update", "two"), (1, "update", "one")]
    back = (await admin.post(f"{path}/rollback", json={"revision": 1})).json()
    assert (back["content"], back["tags"], back["title"], back["revision"]) == (
        "one", ["a"], None, 4,
    )  # fmt: skip
    assert (await found(admin, "one"))[0] == memory_id
    assert (await admin.get(f"{path}/history")).json()["total"] == 3


async def test_history_comes_in_pages(admin: httpx.AsyncClient) -> None:
    path = f"/v1/memories/{await stored(admin, 'text 0')}"
    for number in range(1, 6):
        await admin.patch(path, json={"content": f"text {number}"})
    seen: list[int] = []
    before: dict[str, int] = {}
    while True:
        page = (await admin.get(f"{path}/history", params={"limit": 2, **before})).json()
        seen += [revision["revision"] for revision in page["revisions"]]
        if page["next_before"] is None:
            break
        before = {"before": page["next_before"]}
    assert seen == [5, 4, 3, 2, 1]


async def test_a_rollback_to_nowhere_is_refused(admin: httpx.AsyncClient) -> None:
    path = f"/v1/memories/{await stored(admin)}/rollback"
    assert "no revision 7" in await refusal(await admin.post(path, json={"revision": 7}), 404)
    assert "is at revision 1" in await refusal(await admin.post(path, json={"revision": 1}), 409)


# Links


async def test_links_are_made_listed_and_removed(admin: httpx.AsyncClient) -> None:
    cause, effect = await stored(admin, "cause"), await stored(admin, "effect")
    body = {"target": cause, "type": "depends_on"}
    path = f"/v1/memories/{effect}/links"
    assert (await admin.post(path, json=body)).status_code == 201
    assert (await admin.post(path, json=body)).status_code == 200
    assert (await admin.post(path, json={"target": cause})).json()["type"] == "related_to"
    for memory_id in (cause, effect):
        links = (await admin.get(f"/v1/memories/{memory_id}/links")).json()["links"]
        assert [(each["source"], each["target"], each["type"]) for each in links] == [
            (effect, cause, "depends_on"),
            (effect, cause, "related_to"),
        ]
    assert (await admin.delete(f"{path}/{cause}?type=depends_on")).status_code == 204
    assert (await admin.delete(f"{path}/{cause}?type=depends_on")).status_code == 404
    assert (await admin.delete(f"{path}/{cause}")).status_code == 204
    assert (await admin.get(path)).json() == {"links": []}


async def test_links_go_with_their_memories(admin: httpx.AsyncClient) -> None:
    one, two = await stored(admin, "one"), await stored(admin, "two")
    path = f"/v1/memories/{one}/links"
    await admin.post(path, json={"target": two})
    await admin.delete(f"/v1/memories/{two}")
    assert (await admin.get(path)).json() == {"links": []}
    await admin.post(f"/v1/memories/{two}/restore")
    assert len((await admin.get(path)).json()["links"]) == 1
    await admin.delete(f"/v1/memories/{two}?purge=true")
    assert (await admin.get(path)).json() == {"links": []}


@pytest.mark.parametrize("target", ["itself", "unknown"])
async def test_a_link_needs_two_memories(admin: httpx.AsyncClient, target: str) -> None:
    one = await stored(admin)
    body = {"target": one if target == "itself" else target}
    answer = await admin.post(f"/v1/memories/{one}/links", json=body)
    assert (await refusal(answer, 422 if target == "itself" else 404)).startswith("target: ")


# Use


async def test_finding_and_reading_count_without_a_write_each(
    bank: Service, admin: httpx.AsyncClient
) -> None:
    used, unused = await stored(admin, "cats sleep"), await stored(admin, "invoice in March")
    before = await bank.engine.store.stats()
    for _ in range(3):
        await found(admin, "cats sleep", limit=1)
    await admin.get(f"/v1/memories/{used}")
    assert (await admin.get(f"/v1/memories/{used}")).json()["access_count"] == 0
    await bank.services.memories.touches.flush()
    memories = {m["id"]: m for m in (await admin.get("/v1/memories")).json()["memories"]}
    assert memories[used]["access_count"] == 5
    assert memories[used]["accessed_at"] is not None
    assert memories[unused]["access_count"] == 0
    assert (await bank.engine.store.stats()).seq == before.seq
