"""What an agent gets through the Service: MCP by the official client, and clear refusals."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from e2e.bank import Bank


@asynccontextmanager
async def mcp_client(bank: Bank, key: str) -> AsyncIterator[Client]:
    with bank.stack.port_forward(f"service/{bank.name}", 8080, bank.namespace) as port:
        headers = {"Authorization": f"Bearer {key}", "Host": bank.host}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=30, trust_env=False) as http,
            Client(
                streamable_http_client(f"http://127.0.0.1:{port}/mcp", http_client=http)
            ) as memory,
        ):
            yield memory


async def test_the_official_mcp_client_lists_and_calls_the_tools(shared_bank: Bank) -> None:
    async with mcp_client(shared_bank, shared_bank.key()) as memory:
        tools = {tool.name: tool for tool in (await memory.list_tools()).tools}
        assert {"remember", "recall", "forget"} <= tools.keys()
        assert tools["recall"].annotations is not None
        assert tools["recall"].annotations.read_only_hint

        stored = await memory.call_tool("remember", {"content": "The office cat is called Ada."})
        assert stored.structured_content is not None
        found = await memory.call_tool("recall", {"query": "What is the name of our pet?"})
        assert found.structured_content is not None
        memories = [result["memory"] for result in found.structured_content["results"]]
        assert memories[0]["content"] == "The office cat is called Ada."
        forgotten = await memory.call_tool("forget", {"id": memories[0]["id"]})
        assert not forgotten.is_error
    assert shared_bank.recall("What is the name of our pet?") == []


@pytest.mark.parametrize("path", ["/v1/memories", "/mcp"])
def test_a_wrong_key_is_refused_with_a_challenge(shared_bank: Bank, path: str) -> None:
    with shared_bank.http("mb_" + "x" * 43) as client:
        answer = call(client, path)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("path", ["/v1/memories", "/mcp"])
def test_a_role_without_the_right_is_refused(shared_bank: Bank, path: str) -> None:
    with shared_bank.http() as admin:
        made = admin.post("/v1/admin/keys", json={"name": "reader", "role": "readonly"})
        made.raise_for_status()
    with shared_bank.http(made.json()["key"]) as reader:
        assert reader.get("/v1/memories").status_code == 200
        assert call(reader, path).status_code == 403


@pytest.mark.parametrize("path", ["/v1/memories", "/mcp"])
def test_a_wrong_host_is_misdirected(shared_bank: Bank, path: str) -> None:
    with shared_bank.http(host="evil.example") as client:
        assert call(client, path).status_code == 421


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (b"{not json", "application/json", {400}),
        (b'{"content": 5}', "application/json", {400, 422}),
        (b'{"content": "x", "colour": "red"}', "application/json", {400, 422}),
        (b'{"content": "bell \\u0007"}', "application/json", {400, 422}),
        (b'{"content": "' + b"x" * 5_000_000 + b'"}', "application/json", {413}),
        (b"content=x", "application/x-www-form-urlencoded", {415}),
        (b"[" * 100_000, "application/json", {400, 422}),
    ],
)
def test_wrong_requests_get_the_envelope(
    shared_bank: Bank, body: bytes, content_type: str, expected: set[int]
) -> None:
    with shared_bank.http() as client:
        answer = client.post("/v1/memories", content=body, headers={"Content-Type": content_type})
    assert answer.status_code in expected
    assert answer.json()["error"].keys() >= {"code", "message"}


def test_a_huge_query_is_refused(shared_bank: Bank) -> None:
    with shared_bank.http() as client:
        answer = client.post("/v1/search", json={"query": "x" * 10_000_000})
    assert answer.status_code == 413
    assert answer.json()["error"].keys() >= {"code", "message"}


def call(client: httpx.Client, path: str) -> httpx.Response:
    """A request that stores something, in the way of the path."""
    if path != "/mcp":
        return client.post(path, json={"content": "never stored"})
    return client.post(
        path,
        headers={"Accept": "application/json, text/event-stream"},
        json={
            "jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": {"name": "remember", "arguments": {"content": "never stored"}},
        },
    )  # fmt: skip
