"""Every route and every tool with every scope: what the OpenAPI document says is what holds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from memorybank.http.app import BANK_ONLY
from memorybank.http.middleware import SECURITY_HEADERS
from scripts.reference import api_page
from tests.app.http.test_refusals import problem
from tests.app.http.test_tenants import key_of, make_tenant
from tests.support.service import Service, service

pytestmark = pytest.mark.slow

SCOPES = ["read", "write", "delete", "admin"]
NAMED = {"id": "x", "target": "y", "on": "y", "name": "acme", "checkpoint": "z"}

BODIES: dict[str, Any] = {
    "memories_create": {"content": "x"},
    "memories_create_batch": {"memories": [{"content": "x"}]},
    "memories_update": {"title": "x"},
    "search_search": {"query": "x"},
    "search_context": {"query": "x"},
    "search_suggest": {"query": "x"},
    "life_supersede": {"memory": {"content": "x"}},
    "life_rollback": {"revision": 1},
    "life_link": {"target": "y"},
    "keys_create": {"name": "x", "role": "readonly"},
    "keys_manage": {"keys": []},
    "tenants_create": {"name": "beta"},
    "projects_create": {"name": "x"},
    "sessions_start": {"title": "x"},
    "sessions_log": {"content": "x"},
    "sessions_complete": {"outcome": "x"},
    "tasks_create": {"title": "x"},
    "tasks_depend": {"on": "y"},
    "edges_add": {"source": "x", "target": "y"},
    "edits_propose": {"memory": "x", "patch": {"title": "y"}, "reason": "z"},
    "episodes_add_steps": {"steps": [{"tool": "x"}]},
    "episodes_complete": {"outcome": "success"},
    "episodes_checkpoint": {"reason": "x"},
    "episodes_feedback": {"pattern": "x", "effect": "helped"},
    "search_recommend": {"text": "x"},
    **{
        f"{kind}_create": {"content": "x"}
        for kind in ("notes", "decisions", "capsules", "events", "episodes", "handoffs")
    },
}
"""What the operations need whose body has required fields: wrong ones are refused before keys."""

Operations = dict[tuple[str, str], dict[str, Any]]


@pytest.fixture
async def bank(tmp_path: Path) -> AsyncIterator[Service]:
    roles = {f"only-{scope}": [scope] for scope in SCOPES}
    async with service(tmp_path, auth={"roles": roles}) as running:
        yield running


async def operations(client: httpx.AsyncClient) -> Operations:
    document = (await client.get("/openapi.json")).json()
    return {
        (method.upper(), path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


async def ask(
    client: httpx.AsyncClient, method: str, path: str, operation: dict[str, Any]
) -> httpx.Response:
    for name, value in NAMED.items():
        path = path.replace(f"{{{name}}}", value)
    if path == "/v1/import":
        lines = {"Content-Type": "application/x-ndjson"}
        return await client.request(method, path, content=b"{}", headers=lines)
    if "requestBody" in operation:
        body = BODIES.get(operation["operationId"], {})
        return await client.request(method, path, json=body)
    needed = {
        each["name"]: "x"
        for each in operation.get("parameters", ())
        if each["in"] == "query" and each["required"]
    }
    return await client.request(method, path, params=needed)


def scope_of(operation: dict[str, Any]) -> str | None:
    """Return what the document says; the same for each way to send a key."""
    if not operation["security"]:
        return None
    assert [list(way) for way in operation["security"]] == [["bearer"], ["header"]]
    ((scope,),) = {tuple(scopes) for way in operation["security"] for scopes in way.values()}
    return str(scope)


@pytest.mark.parametrize("scope", SCOPES)
async def test_a_key_may_do_what_the_document_says_and_nothing_else(
    bank: Service, scope: str
) -> None:
    async with bank.client(bank.admin_key) as admin:
        await make_tenant(admin, "acme")
    key = await bank.key(f"only-{scope}")
    async with bank.client(key) as client:
        for (method, path), operation in (await operations(client)).items():
            answer = await ask(client, method, path, operation)
            if scope_of(operation) in (None, f"memory:{scope}"):
                assert answer.status_code not in (401, 403), f"{method} {path}: {answer.text}"
            else:
                problem(answer, 403, "forbidden")
                assert f'scope="{scope_of(operation)}"' in answer.headers["www-authenticate"]


async def test_what_is_about_the_whole_bank_is_closed_to_admins_of_a_tenant(bank: Service) -> None:
    async with bank.client(bank.admin_key) as admin:
        await make_tenant(admin, "acme")
        key = await key_of(admin, "acme")
        listed = await operations(admin)
    assert any(BANK_ONLY in operation for operation in listed.values())
    async with bank.client(key) as client:
        for (method, path), operation in listed.items():
            answer = await ask(client, method, path, operation)
            if operation.get(BANK_ONLY):
                problem(answer, 403, "forbidden")
            else:
                assert answer.status_code not in (401, 403), f"{method} {path}: {answer.text}"


async def test_without_a_key_only_open_operations_answer(bank: Service) -> None:
    async with bank.client() as client:
        for (method, path), operation in (await operations(client)).items():
            answer = await ask(client, method, path, operation)
            if scope_of(operation) is None:
                assert answer.status_code == 200
            else:
                assert answer.status_code in (401, 429)  # the latter after many without a key


@pytest.mark.parametrize("scope", SCOPES)
async def test_a_key_is_shown_the_tools_that_it_may_call_and_calls_no_other(
    bank: Service, scope: str
) -> None:
    async def said(key: str, method: str, params: dict[str, Any]) -> httpx.Response:
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        accept = {"Accept": "application/json, text/event-stream"}
        async with bank.client(key) as client:
            return await client.post("/mcp", json=message, headers=accept)

    async def tools(key: str) -> set[str]:
        listed = (await said(key, "tools/list", {})).json()
        return {tool["name"] for tool in listed["result"]["tools"]}

    key = await bank.key(f"only-{scope}")
    everything, shown = await tools(bank.admin_key), await tools(key)
    assert shown < everything
    for name in everything:
        answer = await said(key, "tools/call", {"name": name, "arguments": {}})
        if name in shown:
            assert answer.status_code == 200
        else:
            problem(answer, 403, "forbidden")


async def test_every_answer_carries_the_security_headers(bank: Service) -> None:
    async with bank.client(bank.admin_key) as admin, bank.client() as nobody:
        answers = [
            await ask(client, method, path, operation)
            for client in (nobody, admin)
            for (method, path), operation in (await operations(admin)).items()
        ]
        answers += [
            await admin.get("/nothing"),
            await admin.put("/v1/memories"),
            await admin.options("/v1/search"),
            await admin.get("/v1/memories", headers={"Host": "evil.example"}),
            await admin.get("/v1/memories", headers={"X-Large": "x" * 70_000}),
            await admin.post("/v1/search", content=b"{", headers={"Content-Type": "text/plain"}),
            await admin.post("/v1/search", json={"query": "x" * 2_000_000}),
            await admin.post("/mcp", content=b"{", headers={"Content-Type": "application/json"}),
        ]
    statuses = {answer.status_code for answer in answers}
    assert statuses >= {200, 201, 400, 401, 404, 405, 413, 415, 421, 422, 431}
    for answer in answers:
        for name, value in SECURITY_HEADERS.items():
            assert answer.headers[name] == value, answer.url


async def test_the_reference_describes_every_route_that_is_served(admin: httpx.AsyncClient) -> None:
    served = (await admin.get("/openapi.json")).json()
    assert api_page.openapi()["paths"].keys() == served["paths"].keys()
