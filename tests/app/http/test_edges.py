"""Edges over HTTP: adding, walking, orders, and who sees them."""

from __future__ import annotations

import itertools
from typing import Any

import httpx
import pytest

from tests.app.http.test_life import refusal
from tests.app.http.test_tenants import key_of, make_tenant
from tests.app.http.test_transfer import exported, imported, lines, sealed
from tests.app.http.test_work import kept
from tests.support.service import Service

pytestmark = pytest.mark.slow


async def notes(client: httpx.AsyncClient, count: int, **more: Any) -> list[str]:
    return [
        await kept(client, "notes", content=f"Note {place}", title=f"N{place}", **more)
        for place in range(count)
    ]


async def edge(
    client: httpx.AsyncClient, source: str, target: str, kind: str = "depends_on"
) -> httpx.Response:
    body = {"source": source, "target": target, "type": kind}
    return await client.post("/v1/edges", json=body)


async def test_edges_are_added_listed_and_removed(admin: httpx.AsyncClient) -> None:
    a, b, c = await notes(admin, 3)
    assert (await edge(admin, a, b)).status_code == 201
    assert (await edge(admin, a, b)).status_code == 200
    await edge(admin, a, b, "references")
    await edge(admin, c, a, "supports")

    async def listed(**query: Any) -> list[tuple[str, str, str]]:
        found = (await admin.get("/v1/edges", params={"memory": a, **query})).json()["edges"]
        return [(each["source"], each["target"], each["type"]) for each in found]

    everything = [(a, b, "depends_on"), (a, b, "references"), (c, a, "supports")]
    assert await listed() == everything
    assert await listed(direction="in") == everything[2:]
    assert await listed(type=["references", "supports"]) == everything[1:]
    links = (await admin.get(f"/v1/memories/{a}/links")).json()["links"]
    assert len(links) == 3
    which = {"source": a, "target": b}
    assert (await admin.delete("/v1/edges", params=which | {"type": "follows"})).status_code == 404
    assert (await admin.delete("/v1/edges", params=which)).status_code == 204
    assert await listed() == everything[2:]
    assert (await refusal(await edge(admin, a, "nobody"), 404)).startswith("target: ")
    await refusal(await admin.get("/v1/edges", params={"memory": "nobody"}), 404)


async def test_a_walk_tells_what_edges_lead_to_by_the_shortest_path(
    admin: httpx.AsyncClient,
) -> None:
    ids = await notes(admin, 8)
    for one, other in itertools.pairwise(ids):
        await edge(admin, one, other, "references")
    await edge(admin, ids[0], ids[3], "supports")
    await edge(admin, ids[7], ids[0], "references")  # a circle is fine where nothing is ordered

    async def walk(start: str, **query: Any) -> dict[str, Any]:
        answer = await admin.get("/v1/edges/traverse", params={"memory": start, **query})
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    far = await walk(ids[0], depth=5, direction="out")
    assert {each["id"]: each["depth"] for each in far["nodes"]} == {
        ids[1]: 1, ids[3]: 1, ids[2]: 2, ids[4]: 2, ids[5]: 3, ids[6]: 4, ids[7]: 5
    }  # fmt: skip
    last = far["nodes"][-1]
    assert last["path"] == [ids[0], *ids[3:]]
    assert (last["by"]["source"], last["title"], far["complete"]) == (ids[6], "N7", True)
    one_type = await walk(ids[0], depth=2, direction="out", type="references")
    assert [each["id"] for each in one_type["nodes"]] == [ids[1], ids[2]]
    back = await walk(ids[0], depth=1, direction="in")
    assert [each["id"] for each in back["nodes"]] == [ids[7]]
    both = await walk(ids[0], depth=1)
    assert {each["id"] for each in both["nodes"]} == {ids[1], ids[3], ids[7]}
    few = await walk(ids[0], depth=5, limit=2)
    assert (len(few["nodes"]), few["complete"]) == (2, False)
    deep = await admin.get("/v1/edges/traverse", params={"memory": ids[0], "depth": 6})
    assert (await refusal(deep, 422)).startswith("depth: ")


async def test_a_cycle_is_told_before_it_is_made(admin: httpx.AsyncClient) -> None:
    a, b = await notes(admin, 2)
    await edge(admin, a, b, "follows")

    async def closes(source: str, target: str, kind: str) -> tuple[bool, list[str]]:
        query = {"source": source, "target": target, "type": kind}
        told = (await admin.get("/v1/edges/cycle", params=query)).json()
        return told["closes"], [each["id"] for each in told["path"]]

    assert await closes(b, a, "follows") == (True, [b, a, b])
    assert await closes(b, a, "related_to") == (False, [])
    assert await closes(a, b, "follows") == (False, [])
    assert await closes(a, a, "follows") == (True, [a, a])
    said = await refusal(await edge(admin, b, a, "follows"), 409)
    assert f"{b} (N1) -> {a} (N0) -> {b} (N1)" in said


async def test_what_depends_on_what_is_put_in_order(admin: httpx.AsyncClient) -> None:
    roof, walls, ground, door = await notes(admin, 4, project="house")
    await edge(admin, roof, walls)
    await edge(admin, ground, walls, "blocks")
    await edge(admin, door, walls)

    async def order(**query: str) -> list[str]:
        answer = await admin.get("/v1/edges/order", params=query)
        assert answer.status_code == 200, answer.text
        return [each["id"] for each in answer.json()["order"]]

    assert await order(root=roof) == [ground, walls, roof]
    assert await order(root=ground) == [ground]
    assert await order(project="house") == [ground, walls, roof, door]
    assert await order(project="elsewhere") == []
    await admin.delete(f"/v1/memories/{walls}")
    assert await order(root=roof) == [roof, ground]  # nothing is left between them
    for query in ({}, {"root": roof, "project": "house"}):
        answer = await admin.get("/v1/edges/order", params=query)
        assert "one of root and project is required" in await refusal(answer, 422)


async def test_a_cycle_that_was_imported_is_told_where_an_order_is_asked_for(
    admin: httpx.AsyncClient,
) -> None:
    a, b = await notes(admin, 2)
    await edge(admin, a, b, "related_to")
    await edge(admin, b, a, "related_to")
    rows = lines(await exported(admin))[:-1]
    for row in rows:
        if row["kind"] == "link":
            row["type"] = "depends_on"
    report = await imported(admin, sealed(rows))
    assert report["links"] == 2
    answer = await admin.get("/v1/edges/order", params={"root": a})
    assert f"{a} (N0) -> {b} (N1) -> {a} (N0) is a cycle" in await refusal(answer, 409)


async def test_edges_of_another_tenant_are_not_there(bank: Service) -> None:
    async with bank.client(bank.admin_key) as admin:
        a, b = await notes(admin, 2)
        await edge(admin, a, b)
        await make_tenant(admin, "acme")
        key = await key_of(admin, "acme")
    async with bank.client(key) as stranger:
        [own] = await notes(stranger, 1)
        for source, target in ((a, b), (own, a), (a, own)):
            assert (await edge(stranger, source, target)).status_code == 404
            query = {"source": source, "target": target}
            assert (await stranger.get("/v1/edges/cycle", params=query)).status_code == 404
        for path, query in (
            ("", {"memory": a}),
            ("/traverse", {"memory": a}),
            ("/order", {"root": a}),
        ):
            answer = await stranger.get(f"/v1/edges{path}", params=query)
            assert answer.status_code == 404
