"""Keys over REST: who may do what, and how keys come and go."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.app.http.test_refusals import problem
from tests.support.service import Service, service

pytestmark = pytest.mark.slow

WRITE = ("POST", "/v1/memories", {"content": "x"})
READ = ("POST", "/v1/search", {"query": "x"})
LIST = ("GET", "/v1/memories", None)
GET = ("GET", "/v1/memories/x", None)
CHANGE = ("PATCH", "/v1/memories/x", {"title": "x"})
DELETE = ("DELETE", "/v1/memories/x", None)
KEYS = ("GET", "/v1/admin/keys", None)
NEW_KEY = ("POST", "/v1/admin/keys", {"name": "x", "role": "readonly"})
REVOKE = ("DELETE", "/v1/admin/keys/x", None)
Call = tuple[str, str, dict[str, str] | None]
EVERYTHING: list[Call] = [WRITE, READ, LIST, GET, CHANGE, DELETE, KEYS, NEW_KEY, REVOKE]


async def send(client: httpx.AsyncClient, call: Call) -> httpx.Response:
    method, path, body = call
    if body is None:
        return await client.request(method, path)
    return await client.request(method, path, json=body)


@pytest.mark.parametrize("call", EVERYTHING)
async def test_without_a_key_nothing_is_allowed(bank: Service, call: Call) -> None:
    for headers in (
        {},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer mb_" + "x" * 43},
        {"Authorization": "Basic dXNlcjpwYXNz"},
        {"Authorization": f"Bearer {bank.admin_key}x"},
        {"X-API-Key": "mb_short"},
        {"X-API-Key": "mb_" + "é" * 43},
    ):
        async with bank.client() as client:
            client.headers.update(
                [(name.encode(), value.encode()) for name, value in headers.items()]
            )
            answer = await send(client, call)
        problem(answer, 401, "unauthenticated")
        assert answer.headers["www-authenticate"].startswith("Bearer ")


async def test_a_key_in_the_address_is_no_key(bank: Service) -> None:
    async with bank.client() as client:
        for name in ("key", "api_key", "token"):
            answer = await client.get("/v1/memories", params={name: bank.admin_key})
            assert answer.status_code == 401


async def test_both_headers_carry_a_key(bank: Service) -> None:
    async with bank.client() as client:
        for headers in (
            {"Authorization": f"Bearer {bank.admin_key}"},
            {"Authorization": f"bearer   {bank.admin_key}"},
            {"X-API-Key": bank.admin_key},
        ):
            assert (await client.get("/v1/memories", headers=headers)).status_code == 200


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        ("readonly", [READ, LIST, GET]),
        ("developer", [READ, LIST, GET, WRITE, CHANGE, DELETE]),
        ("admin", EVERYTHING),
    ],
)
async def test_a_role_allows_what_it_says(bank: Service, role: str, allowed: list[Call]) -> None:
    async with bank.client(await bank.key(role)) as client:
        for call in EVERYTHING:
            answer = await send(client, call)
            if call in allowed:
                assert answer.status_code < 400 or answer.status_code == 404
            else:
                problem(answer, 403, "forbidden")
                assert "insufficient_scope" in answer.headers["www-authenticate"]


async def test_a_new_key_is_shown_once(admin: httpx.AsyncClient) -> None:
    created = (await admin.post("/v1/admin/keys", json={"name": "ci", "role": "developer"})).json()
    token = created.pop("key")
    assert token.startswith("mb_")
    listing = await admin.get("/v1/admin/keys")
    assert created in listing.json()["keys"]
    assert token not in listing.text
    assert created["scopes"] == ["memory:delete", "memory:read", "memory:write"]


async def test_a_revoked_key_stops_at_once(bank: Service, admin: httpx.AsyncClient) -> None:
    created = (await admin.post("/v1/admin/keys", json={"name": "ci", "role": "readonly"})).json()
    async with bank.client(created["key"]) as client:
        assert (await send(client, LIST)).status_code == 200
        path = f"/v1/admin/keys/{created['id']}"
        assert (await admin.delete(path)).status_code == 204
        problem(await send(client, LIST), 401, "unauthenticated")
        assert (await admin.delete(path)).status_code == 204
    (listed,) = [
        key
        for key in (await admin.get("/v1/admin/keys")).json()["keys"]
        if key["id"] == created["id"]
    ]
    assert listed["revoked_at"] is not None


async def test_the_bootstrap_key_is_not_revoked_here(admin: httpx.AsyncClient) -> None:
    (bootstrap,) = (await admin.get("/v1/admin/keys")).json()["keys"]
    assert bootstrap["bootstrap"] is True
    answer = await admin.delete(f"/v1/admin/keys/{bootstrap['id']}")
    assert "MEMORY_BANK_ADMIN_KEY" in problem(answer, 409, "conflict")["hint"]
    assert (await admin.get("/v1/admin/keys")).status_code == 200


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "x"}, "role"),
        ({"name": "x", "role": "king"}, "role"),
        ({"name": "", "role": "admin"}, "name"),
        ({"name": "a\nb", "role": "admin"}, "name"),
        ({"name": "x", "role": "admin", "tenant": "other"}, "tenant"),
        ({"name": "x", "role": "admin", "key": "mb_mine"}, "key"),
    ],
)
async def test_a_wrong_key_request_is_refused(
    admin: httpx.AsyncClient, body: dict[str, str], field: str
) -> None:
    answer = await admin.post("/v1/admin/keys", json=body)
    assert problem(answer, 422, "invalid_request")["field"] == field


async def test_an_unknown_key_cannot_be_revoked(admin: httpx.AsyncClient) -> None:
    problem(await admin.delete("/v1/admin/keys/nope"), 404, "not_found")


async def test_a_configured_host_is_a_right_one(tmp_path: Path) -> None:
    security = {"allowed_hosts": ["agents", "Agents.Team.svc", "203.0.113.7", "[2001:DB8::7]"]}
    async with (
        service(tmp_path, security=security) as bank,
        bank.client(bank.admin_key) as client,
    ):
        names = ("agents", "agents:8080", "agents.team.svc:8080", "AGENTS", "localhost")
        for host in (*names, "203.0.113.7:80", "[2001:db8::7]", "[2001:db8::7]:8080"):
            assert (await client.get("/v1/memories", headers={"Host": host})).status_code == 200
        for host in ("agents.other.svc", "xagents", "203.0.113.70", "[2001:db8::8]"):
            assert (await client.get("/v1/memories", headers={"Host": host})).status_code == 421
        origin = {"Origin": "https://agents.team.svc"}
        assert (await client.get("/v1/memories", headers=origin)).status_code == 200


async def test_a_star_allows_any_host(tmp_path: Path) -> None:
    async with (
        service(tmp_path, security={"allowed_hosts": ["*"]}) as bank,
        bank.client(bank.admin_key) as client,
    ):
        answer = await client.get("/v1/memories", headers={"Host": "anything.example"})
        assert answer.status_code == 200
