"""Tenants over REST: who makes them, what limits them, and that nothing of them is left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import apsw
import httpx
import pytest

from tests.app.http.test_refusals import problem
from tests.support.service import Service, service

pytestmark = pytest.mark.slow

TENANTS = "/v1/admin/tenants"
KEYS = "/v1/admin/keys"


async def make_tenant(admin: httpx.AsyncClient, name: str, **limits: Any) -> dict[str, Any]:
    answer = await admin.post(TENANTS, json={"name": name, **limits})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def key_of(admin: httpx.AsyncClient, tenant: str, role: str = "admin") -> str:
    answer = await admin.post(KEYS, json={"name": role, "role": role, "tenant": tenant})
    assert answer.status_code == 201, answer.text
    token: str = answer.json()["key"]
    return token


async def test_a_tenant_is_made_shown_and_listed(admin: httpx.AsyncClient) -> None:
    made = await make_tenant(admin, "acme", max_memories=5)
    assert (made["max_memories"], made["memories"]) == (5, 0)
    assert (await admin.get(f"{TENANTS}/acme")).json() == made
    listing = (await admin.get(TENANTS)).json()
    assert [tenant["name"] for tenant in listing["tenants"]] == ["acme", "default"]
    assert listing["total"] == 2
    problem(await admin.post(TENANTS, json={"name": "acme"}), 409, "conflict")


async def test_tenants_are_listed_page_by_page(admin: httpx.AsyncClient) -> None:
    for number in range(5):
        await make_tenant(admin, f"t{number}")
    seen: list[str] = []
    cursor: str | None = None
    while True:
        query = {"limit": "2"} | ({} if cursor is None else {"cursor": cursor})
        page = (await admin.get(TENANTS, params=query)).json()
        assert page["total"] == 6
        seen += [tenant["name"] for tenant in page["tenants"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == ["default", "t0", "t1", "t2", "t3", "t4"]
    problem(await admin.get(TENANTS, params={"cursor": "é"}), 422, "invalid_cursor")


@pytest.mark.parametrize("name", ["", "Acme", "_selftest", "a b", "-a", "a" * 64, "a/b", "a\n"])
async def test_a_wrong_name_is_refused(admin: httpx.AsyncClient, name: str) -> None:
    answer = await admin.post(TENANTS, json={"name": name})
    assert problem(answer, 422, "invalid_request")["field"] == "name"


async def test_an_admin_of_a_tenant_administers_that_tenant_only(
    bank: Service, admin: httpx.AsyncClient
) -> None:
    for name in ("acme", "beta"):
        await make_tenant(admin, name)
    theirs = (await admin.post(KEYS, json={"name": "x", "role": "readonly"})).json()
    async with bank.client(await key_of(admin, "acme")) as acme:
        assert [t["name"] for t in (await acme.get(TENANTS)).json()["tenants"]] == ["acme"]
        assert (await acme.get(f"{TENANTS}/acme/stats")).json()["keys"] == 1
        assert (await acme.get(KEYS, params={"tenant": "acme"})).status_code == 200
        own = await acme.post(KEYS, json={"name": "own", "role": "readonly", "tenant": "acme"})
        assert own.json()["tenant"] == "acme"
        calls: list[tuple[str, str, Any]] = [
            ("POST", TENANTS, {"name": "new"}),
            ("GET", f"{TENANTS}/beta", None),
            ("GET", f"{TENANTS}/nothing", None),
            ("GET", f"{TENANTS}/beta/stats", None),
            ("PATCH", f"{TENANTS}/acme", {"max_memories": None}),
            ("DELETE", f"{TENANTS}/acme?with_data=true", None),
            ("GET", f"{KEYS}?tenant=beta", None),
            ("POST", KEYS, {"name": "x", "role": "readonly", "tenant": "beta"}),
        ]
        for method, path, body in calls:
            options: dict[str, Any] = {} if body is None else {"json": body}
            problem(await acme.request(method, path, **options), 403, "forbidden")
        problem(await acme.delete(f"{KEYS}/{theirs['id']}"), 404, "not_found")
        rotation = await acme.post(f"{KEYS}/{theirs['id']}/rotate", json={})
        problem(rotation, 404, "not_found")


async def test_a_named_tenant_is_compared_and_never_obeyed(
    bank: Service, admin: httpx.AsyncClient
) -> None:
    await make_tenant(admin, "acme")
    async with bank.client(await key_of(admin, "acme", "developer")) as acme:
        for client, own, other in ((acme, "acme", "default"), (admin, "default", "acme")):
            answer = await client.get("/v1/memories", headers={"X-Tenant-ID": other})
            assert problem(answer, 403, "forbidden")["field"] == "tenant"
            answer = await client.get("/v1/memories", headers={"X-Tenant-ID": own})
            assert answer.status_code == 200


async def test_a_quota_of_memories_holds_until_it_is_raised(
    bank: Service, admin: httpx.AsyncClient
) -> None:
    await make_tenant(admin, "acme", max_memories=2)
    async with bank.client(await key_of(admin, "acme", "developer")) as acme:
        made = [await acme.post("/v1/memories", json={"content": f"fact {n}"}) for n in range(3)]
        assert [answer.status_code for answer in made] == [201, 201, 409]
        problem(made[2], 409, "quota_exceeded")
        path = f"/v1/memories/{made[0].json()['id']}"
        assert (await acme.delete(path)).status_code == 204
        in_trash = await acme.post("/v1/memories", json={"content": "fact 4"})
        assert "purge some" in problem(in_trash, 409, "quota_exceeded")["hint"]
        assert (await acme.delete(f"{path}?purge=true")).status_code == 204
        again = await acme.post("/v1/memories", json={"content": "fact 4"})
        assert again.status_code == 201
        assert (await admin.get(f"{TENANTS}/acme")).json()["memories"] == 2
        changed = await admin.patch(f"{TENANTS}/acme", json={"max_memories": None})
        assert changed.json()["max_memories"] is None
        assert (await acme.post("/v1/memories", json={"content": "fact 5"})).status_code == 201


async def test_a_tenant_with_data_is_not_deleted_by_accident(
    bank: Service, admin: httpx.AsyncClient
) -> None:
    await make_tenant(admin, "acme")
    async with bank.client(await key_of(admin, "acme", "developer")) as acme:
        await acme.post("/v1/memories", json={"content": "the cat is called Ada"})
        refusal = problem(await admin.delete(f"{TENANTS}/acme"), 409, "conflict")
        assert "1 memories and 1 valid keys" in refusal["message"]
        assert (await acme.get("/v1/memories")).json()["total"] == 1


async def test_a_deleted_tenant_leaves_nothing_and_its_name_is_free(
    bank: Service, admin: httpx.AsyncClient, tmp_path: Path
) -> None:
    await make_tenant(admin, "acme")
    await admin.post("/v1/memories", json={"content": "the dog is called Bo"})
    token = await key_of(admin, "acme", "developer")
    async with bank.client(token) as acme:
        for number in range(3):
            await acme.post("/v1/memories", json={"content": f"the cat is called Ada {number}"})
        deleted = await admin.delete(f"{TENANTS}/acme", params={"with_data": "true"})
        assert deleted.status_code == 204, deleted.text
        problem(await acme.get("/v1/memories"), 401, "unauthenticated")
        problem(await admin.get(f"{TENANTS}/acme"), 404, "not_found")
        connection = apsw.Connection(str(tmp_path / "memory_bank.db"))
        for table, tenants in rows_by_tenant(connection).items():
            assert table == "deletions" or "acme" not in tenants
        connection.close()
        await make_tenant(admin, "acme")
        problem(await acme.get("/v1/memories"), 401, "unauthenticated")
    async with bank.client(await key_of(admin, "acme", "readonly")) as newcomer:
        assert (await newcomer.get("/v1/memories")).json()["total"] == 0
        found = await newcomer.post("/v1/search", json={"query": "what is the cat called"})
        assert found.json()["results"] == []
    found = await admin.post("/v1/search", json={"query": "what is the dog called"})
    assert len(found.json()["results"]) == 1


def rows_by_tenant(connection: apsw.Connection) -> dict[str, set[str]]:
    """Return the tenants that each table with a column of that name mentions."""
    tables = connection.execute(
        "SELECT t.name FROM sqlite_schema t, pragma_table_info(t.name) c"
        " WHERE t.type = 'table' AND c.name = 'tenant'"
    ).fetchall()
    mentioned: dict[str, set[str]] = {}
    for (table,) in tables:
        found = connection.execute(f'SELECT tenant FROM "{table}"')  # noqa: S608  # of the schema
        mentioned[str(table)] = {str(tenant) for (tenant,) in found}
    return mentioned


async def test_a_deletion_that_a_crash_cut_short_is_finished_by_the_next_start(
    tmp_path: Path,
) -> None:
    async with service(tmp_path) as bank, bank.client(bank.admin_key) as admin:
        await make_tenant(admin, "acme")
        token = await key_of(admin, "acme", "developer")
        async with bank.client(token) as acme:
            await acme.post("/v1/memories", json={"content": "the cat is called Ada"})
        await bank.engine.store.access.begin_deletion("acme")
    async with service(tmp_path) as bank, bank.client(bank.admin_key) as admin:
        async with bank.client(token) as acme:
            problem(await acme.get("/v1/memories"), 401, "unauthenticated")
        await bank.engine.store.access.finish_deletions()
        assert (await bank.engine.store.stats()).memories == 0
        assert await bank.engine.store.access.list_keys("acme") == []
        await make_tenant(admin, "acme")


async def test_the_default_tenant_stays(admin: httpx.AsyncClient) -> None:
    answer = await admin.delete(f"{TENANTS}/default", params={"with_data": "true"})
    problem(answer, 409, "conflict")


async def test_stats_count_what_a_tenant_holds(admin: httpx.AsyncClient) -> None:
    for kind, project in (("fact", "red"), ("fact", None), ("code", "red")):
        body = {"content": f"{kind} {project}", "type": kind, "project": project}
        assert (await admin.post("/v1/memories", json=body)).status_code == 201
    stats = (await admin.get(f"{TENANTS}/default/stats")).json()
    assert (stats["memories"], stats["projects"], stats["sessions"]) == (3, 1, 0)
    assert stats["by_type"] == {"code": 1, "fact": 2}
    assert stats["oldest"] < stats["newest"]
