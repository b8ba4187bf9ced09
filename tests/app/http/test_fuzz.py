"""Whatever a client sends, the service answers, and never with a 5xx."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support.service import service

pytestmark = pytest.mark.slow

NAMES = ["content", "title", "type", "tags", "metadata", "importance", "occurred_at", "query"]
NAMES += ["tenant", "expires_at", "overlap_seconds", "max_memories", "burst"]
NAMES += ["limit", "project", "session", "types", "created_after", "name", "role", "other"]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**40), 10**40)
    | st.floats()
    | st.text()
    | st.sampled_from(["note", "admin", "2026-03-01T12:00:00Z", "9999-12-31T23:59:59-23:59"])
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)
FIELDS = st.dictionaries(st.sampled_from(NAMES), JSON, max_size=6)
BODIES = (FIELDS | JSON).map(lambda value: json.dumps(value).encode()) | st.binary(max_size=200)
PATHS = st.sampled_from(
    [
        *("/v1/memories", "/v1/memories/x", "/v1/search", "/v1/admin/keys", "/v1/admin/keys/x"),
        *("/v1/admin/keys/x/rotate", "/v1/admin/tenants", "/v1/admin/tenants/x", "/mcp"),
    ]
)
METHODS = st.sampled_from(["GET", "POST", "PATCH", "DELETE", "PUT", "HEAD", "OPTIONS"])
QUERIES = st.dictionaries(
    st.sampled_from(["limit", "cursor", "project", "session", "type", "tag", "x"]),
    st.text(max_size=30) | st.integers(),
    max_size=3,
)
TOOL_CALLS = st.fixed_dictionaries(
    {
        "jsonrpc": st.just("2.0"),
        "id": st.integers(0, 9) | st.text(max_size=3),
        "method": st.sampled_from(["tools/call", "tools/list", "initialize", "server/discover"]),
    },
    optional={
        "params": st.fixed_dictionaries(
            {"name": st.sampled_from(["remember", "recall", "forget", "other"])},
            optional={"arguments": FIELDS},
        )
        | JSON
    },
)
Send = Callable[..., httpx.Response]
MANY = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def send(tmp_path: Path) -> Iterator[Send]:
    """Return a function that sends one request to one service, run after run."""
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        bank = runner.run(stack.enter_async_context(service(tmp_path)))
        client = runner.run(stack.enter_async_context(bank.client(bank.admin_key)))

        def request(method: str, path: str, **options: Any) -> httpx.Response:
            return runner.run(client.request(method, path, **options))

        yield request
        runner.run(stack.aclose())


@MANY
@given(method=METHODS, path=PATHS, query=QUERIES, body=BODIES)
@example(method="GET", path="/v1/memories", query={"type": "\x00"}, body=b"")
def test_any_request_gets_an_answer_below_500(
    send: Send, method: str, path: str, query: dict[str, str], body: bytes
) -> None:
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    answer = send(method, path, params=query, content=body, headers=headers)
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400 and method != "HEAD":
        assert "error" in answer.json()


@MANY
@given(message=TOOL_CALLS, version=st.sampled_from(["2025-03-26", "2025-11-25", "2026-07-28", "1"]))
def test_any_mcp_message_gets_an_answer_below_500(
    send: Send, message: dict[str, Any], version: str
) -> None:
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": version,
    }
    answer = send("POST", "/mcp", content=json.dumps(message).encode(), headers=headers)
    assert answer.status_code < 500, answer.text
    if answer.status_code == 200:
        assert answer.json().get("error", {}).get("code") != -32603, answer.text


@MANY
@given(
    memory=st.fixed_dictionaries(
        {"content": st.text(min_size=1).filter(str.strip)},
        optional={
            "title": st.text(min_size=1, max_size=50),
            "tags": st.lists(st.text(min_size=1, max_size=20), max_size=3),
            "metadata": st.dictionaries(st.text(max_size=5), JSON, max_size=3),
            "importance": st.floats(0, 1),
        },
    )
)
def test_what_is_accepted_comes_back_unchanged(send: Send, memory: dict[str, Any]) -> None:
    body = memory | {"deduplicate": False}
    created = send("POST", "/v1/memories", json=body) if _is_json(memory) else None
    if created is None or created.status_code != 201:
        assert created is None or created.status_code in (400, 422)
        return
    shown = send("GET", f"/v1/memories/{created.json()['id']}").json()
    expected = memory | {"tags": list(dict.fromkeys(memory.get("tags", [])))}
    assert {name: shown[name] for name in expected} == expected


def _is_json(value: object) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return True
