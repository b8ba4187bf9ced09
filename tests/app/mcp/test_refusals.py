"""MCP to whoever makes a mistake: explained to the model, or refused as the client's error."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.app.mcp.test_endpoint import ACCEPT, CALL, MODES, Mode, agent, post, text_of
from tests.support.service import Service, service

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bank(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """One for all: what is refused leaves nothing behind."""
    async with service(tmp_path_factory.mktemp("refusals")) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def admin(bank: Service) -> AsyncIterator[httpx.AsyncClient]:
    async with bank.client(bank.admin_key) as client:
        yield client


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("remember", {}, "content is required"),
        ("remember", {"content": "x", "colour": "red"}, "colour is not a known field"),
        ("remember", {"content": "a\x00b"}, "U+0000"),
        ("remember", {"content": "x", "metadata": {"a": 2**70}}, "64 bits"),
        ("recall", {"query": "x", "limit": "5"}, "limit should be a valid integer"),
        ("recall", {"query": "x" * 4001}, "at most 4000 characters"),
        ("forget", {"id": "nope"}, "there is no memory with this id"),
    ],
)
async def test_a_mistake_in_a_call_is_explained_to_the_model(
    bank: Service, mode: Mode, name: str, arguments: dict[str, Any], said: str
) -> None:
    async with agent(bank, bank.admin_key, mode) as client:
        result = await client.call_tool(name, arguments)
    assert result.is_error
    assert said in text_of(result)


async def test_a_wrong_key_is_challenged(bank: Service) -> None:
    async with bank.client("mb_" + "x" * 43) as client:
        answer = await post(client, CALL)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer ")
    assert answer.json()["error"]["code"] == "unauthenticated"


async def test_another_host_or_origin_is_refused(admin: httpx.AsyncClient) -> None:
    assert (await post(admin, CALL, Host="evil.example")).status_code == 421
    assert (await post(admin, CALL, Origin="https://evil.example")).status_code == 403
    assert (await post(admin, CALL, Origin="null")).status_code == 403
    assert (await post(admin, CALL, Origin="http://localhost:3000")).status_code == 200


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT"])
async def test_only_post_is_served(admin: httpx.AsyncClient, method: str) -> None:
    answer = await admin.request(
        method, "/mcp", headers={**ACCEPT, "Content-Type": "application/json"}
    )
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"
    assert answer.json()["error"]["code"] == "method_not_allowed"


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"\xff\xfe",
        b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"importance": NaN}}',
        b'"\\ud800"',
        b"[" * 100_000,
        b"1" * 5_000,
    ],
)
async def test_what_is_no_json_is_a_parse_error(admin: httpx.AsyncClient, body: bytes) -> None:
    headers = {**ACCEPT, "Content-Type": "application/json"}
    answer = await admin.post("/mcp", content=body, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == -32700


@pytest.mark.parametrize("version", ["2025-11-25", "2026-07-28"])
@pytest.mark.parametrize(
    "message",
    [
        None,
        [],
        [CALL],
        7,
        "text",
        {},
        {"jsonrpc": "1.0", "id": 1, "method": "tools/list"},
        {"jsonrpc": "2.0", "id": 1},
        {"jsonrpc": "2.0", "id": 1, "method": 5},
        {"jsonrpc": "2.0", "id": 1, "method": "no/such"},
        {"jsonrpc": "2.0", "id": 1, "method": "tools/call"},
        {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": []},
        {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": 7}},
        {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "no-such"}},
        {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/call",
            "params": {"name": "recall", "arguments": "text"},
        },
    ],
)
async def test_a_malformed_message_is_the_clients_error(
    admin: httpx.AsyncClient, version: str, message: Any
) -> None:
    answer = await post(admin, message, **{"MCP-Protocol-Version": version})
    assert answer.status_code in (200, 400, 404), answer.text
    assert "error" in answer.json()
