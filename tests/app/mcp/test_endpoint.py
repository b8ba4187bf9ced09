"""MCP with the official client, in both eras of the protocol, and what erring clients are told."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

import httpx
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, TextContent

from tests.support.service import BASE_URL, Service

Mode = Literal["auto", "legacy", "2026-07-28"]
MODES = [
    "auto",
    pytest.param("legacy", marks=pytest.mark.slow),
    pytest.param("2026-07-28", marks=pytest.mark.slow),
]
CALL = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {"name": "remember", "arguments": {"content": "x"}},
}
ACCEPT = {"Accept": "application/json, text/event-stream"}


@asynccontextmanager
async def agent(bank: Service, key: str, mode: Mode = "auto") -> AsyncIterator[Client]:
    http = httpx2.AsyncClient(
        transport=httpx2.ASGITransport(bank.application.asgi),
        headers={"Authorization": f"Bearer {key}"},
    )
    async with (
        http,
        Client(streamable_http_client(f"{BASE_URL}/mcp", http_client=http), mode=mode) as client,
    ):
        yield client


def text_of(result: CallToolResult) -> str:
    (block,) = result.content
    assert isinstance(block, TextContent)
    return block.text


@pytest.mark.parametrize("mode", MODES)
async def test_an_agent_remembers_recalls_and_forgets(bank: Service, mode: Mode) -> None:
    async with agent(bank, bank.admin_key, mode) as client:
        stored = await client.call_tool(
            "remember", {"content": "Deploys are frozen on Fridays", "project": "shop"}
        )
        assert not stored.is_error
        memory_id = stored.structured_content["id"]
        question = {"query": "when are deploys frozen", "project": "shop"}
        found = await client.call_tool("recall", question)
        (result,) = found.structured_content["results"]
        assert result["memory"]["id"] == memory_id
        assert result["memory"]["content"] == "Deploys are frozen on Fridays"
        assert "Fridays" in text_of(found)
        gone = await client.call_tool("forget", {"id": memory_id})
        assert gone.structured_content == {"id": memory_id, "forgotten": True, "in_trash": True}
        found = await client.call_tool("recall", question)
        assert found.structured_content == {"results": [], "degraded": None}


@pytest.mark.parametrize("mode", MODES)
async def test_tools_say_what_they_are(bank: Service, mode: Mode) -> None:
    async with agent(bank, bank.admin_key, mode) as client:
        tools = (await client.list_tools()).tools
    names = ["remember", "recall", "context", "update", "forget", "handoff", "wake_up", "episode"]
    assert [tool.name for tool in tools] == names
    hints = {}
    for tool in tools:
        assert tool.title
        assert tool.description
        assert tool.annotations is not None
        assert tool.annotations.open_world_hint is False
        hints[tool.name] = (
            tool.annotations.read_only_hint,
            tool.annotations.destructive_hint,
            tool.annotations.idempotent_hint,
        )
        for schema in (tool.input_schema, tool.output_schema):
            assert schema is not None
            assert schema["type"] == "object"
        assert tool.input_schema["additionalProperties"] is False
    assert hints == {
        "remember": (False, False, False),
        "recall": (True, None, None),
        "context": (True, None, None),
        "update": (False, False, True),
        "forget": (False, True, True),
        "episode": (False, False, False),
        "handoff": (False, False, False),
        "wake_up": (True, None, None),
    }


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_the_server_names_itself_and_how_to_use_it(bank: Service, mode: Mode) -> None:
    async with agent(bank, bank.admin_key, mode) as client:
        assert client.server_info is not None
        assert client.server_info.name == "memory-bank"
        assert "Recall before you answer" in (client.instructions or "")


async def test_the_tools_cost_an_agent_little_context(bank: Service) -> None:
    async with agent(bank, bank.admin_key) as client:
        tools = (await client.list_tools()).tools
    listed = sum(len(tool.model_dump_json(by_alias=True, exclude_none=True)) for tool in tools)
    assert len(tools) <= 8
    few = sum(len(tool.model_dump_json(by_alias=True, exclude_none=True)) for tool in tools[:5])
    assert listed / 4 < 2_000  # four characters of JSON are about a token; output schemas included
    assert few / 4 <= 1_150  # what memories alone take leaves room for what else agents need


async def test_an_agent_corrects_a_memory_and_what_it_said_is_kept(
    bank: Service, admin: httpx.AsyncClient
) -> None:
    async with agent(bank, bank.admin_key) as client:
        stored = await client.call_tool("remember", {"content": "Deploys are on Friday"})
        memory_id = stored.structured_content["id"]
        changed = await client.call_tool(
            "update", {"id": memory_id, "content": "Deploys are on Monday", "pinned": True}
        )
        assert changed.structured_content["revision"] == 2
        nothing = await client.call_tool("update", {"id": memory_id})
        assert nothing.is_error
        assert text_of(nothing) == "there is nothing to change; send at least one field"
    memory = (await admin.get(f"/v1/memories/{memory_id}")).json()
    assert (memory["content"], memory["pinned"]) == ("Deploys are on Monday", True)
    history = (await admin.get(f"/v1/memories/{memory_id}/history")).json()
    assert [each["memory"]["content"] for each in history["revisions"]] == ["Deploys are on Friday"]


async def test_what_an_agent_says_is_stamped_as_its_word_whatever_its_key(
    bank: Service, admin: httpx.AsyncClient
) -> None:
    async with agent(bank, bank.admin_key) as client:
        stored = await client.call_tool("remember", {"content": "Deploys are on Friday"})
        boast = await client.call_tool("remember", {"content": "x", "origin": "direct_user"})
        assert "deserves less trust than direct_user" in text_of(boast)
    memory = (await admin.get(f"/v1/memories/{stored.structured_content['id']}")).json()
    assert (memory["origin"], memory["trust"]) == ("agent", 0.8)


async def test_what_an_agent_forgets_a_person_can_restore(
    bank: Service, admin: httpx.AsyncClient
) -> None:
    async with agent(bank, bank.admin_key) as client:
        stored = await client.call_tool("remember", {"content": "Deploys are on Friday"})
        memory_id = stored.structured_content["id"]
        gone = await client.call_tool("forget", {"id": memory_id})
        assert gone.structured_content == {"id": memory_id, "forgotten": True, "in_trash": True}
    assert (await admin.post(f"/v1/memories/{memory_id}/restore")).json()["state"] == "live"


async def test_a_reader_is_shown_only_what_it_may_use(bank: Service) -> None:
    async with agent(bank, await bank.key("readonly")) as client:
        shown = [tool.name for tool in (await client.list_tools()).tools]
        assert shown == ["recall", "context", "wake_up"]
        assert not (await client.call_tool("recall", {"query": "anything"})).is_error


async def post(client: httpx.AsyncClient, message: Any, **headers: str) -> httpx.Response:
    content_type = {"Content-Type": "application/json"}
    return await client.post(
        "/mcp", content=json.dumps(message), headers=ACCEPT | content_type | headers
    )


async def test_a_tool_beyond_the_role_is_forbidden_before_it_runs(bank: Service) -> None:
    async with bank.client(await bank.key("readonly")) as client:
        answer = await post(client, CALL)
    assert answer.status_code == 403
    assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]
    assert 'scope="memory:write"' in answer.headers["www-authenticate"]
    assert answer.json()["error"]["code"] == "forbidden"
    assert (await bank.engine.store.stats()).memories == 0


async def test_tool_calls_are_counted_by_tool_and_outcome(bank: Service) -> None:
    async with agent(bank, bank.admin_key) as client:
        await client.call_tool("remember", {"content": "x"})
        await client.call_tool("forget", {"id": "nope"})
    metrics = (await bank.telemetry.exposition(bank.engine.store, bank.engine.index)).decode()
    assert 'memorybank_mcp_tool_calls_total{outcome="ok",tool="remember"} 1.0' in metrics
    assert 'memorybank_mcp_tool_calls_total{outcome="not_found",tool="forget"} 1.0' in metrics
