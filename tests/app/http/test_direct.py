"""What is answered without the framework is answered as the framework would."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

from memorybank.auth.principal import Principal
from memorybank.configuration import load
from memorybank.http.direct import DirectRoutes
from memorybank.server import app as server_app
from tests.support.service import BASE_URL, Service

pytestmark = pytest.mark.slow

_BODIES: list[Any] = [
    {"query": "where is the key"},
    {"query": "key", "limit": 2, "types": ["note"], "tags": ["a"], "project": "p"},
    {"query": "key", "created_after": "2020-01-01T00:00:00Z"},
    {"query": "key", "created_after": "yesterday"},
    {"query": "key", "limit": "2"},
    {"query": "key", "limit": 0, "types": ["nonsense"]},
    {"query": ""},
    {"query": "key", "surprise": 1},
    [],
    "key",
    7,
]
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)
_names = st.sampled_from(["query", "limit", "types", "tags", "project", "created_after", "other"])


@pytest.fixture
async def framework(
    bank: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the same service without its direct routes."""
    monkeypatch.setattr(server_app, "DirectRoutes", lambda app, _endpoints: app)
    settings = load(overrides={"data": str(tmp_path)}, environ={})
    bare = await server_app.build_application(bank.engine, settings, bank.telemetry)
    headers = {"Authorization": f"Bearer {bank.admin_key}"}
    transport = httpx.ASGITransport(bare.asgi)
    async with httpx.AsyncClient(transport=transport, base_url=BASE_URL, headers=headers) as client:
        yield client


async def alike(
    direct: httpx.AsyncClient,
    framework: httpx.AsyncClient,
    body: bytes,
    path: str = "/v1/search",
) -> None:
    answers = [
        await client.post(
            path,
            content=body,
            headers={"Content-Type": "application/json", "X-Request-Id": "same"},
        )
        for client in (direct, framework)
    ]
    ours, theirs = answers
    assert (ours.status_code, ours.json()) == (theirs.status_code, theirs.json())
    assert dict(ours.headers) == dict(theirs.headers)
    assert ours.status_code < 500


@pytest.mark.parametrize("body", [*(json.dumps(body) for body in _BODIES), "", "{", "NaN"])
async def test_a_search_is_answered_alike_with_and_without_the_framework(
    admin: httpx.AsyncClient, framework: httpx.AsyncClient, body: str
) -> None:
    await admin.post("/v1/memories", json={"content": "The key is under the mat.", "tags": ["a"]})
    await alike(admin, framework, body.encode())


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(_names, _json, min_size=1, max_size=4))
async def test_any_body_is_answered_alike(
    admin: httpx.AsyncClient, framework: httpx.AsyncClient, body: dict[str, Any]
) -> None:
    await alike(admin, framework, json.dumps(body).encode())


@pytest.mark.parametrize(
    "body",
    [
        b'{"content": "The key is under the mat.", "tags": ["a"]}',
        b'{"content": "The key is under the mat.", "surprise": 1}',
        b'{"content": "x", "importance": 7, "tags": 1}',
        b'{"content": ""}',
        b'{"content": "x", "type": "decision", "details": {"nonsense": 1}}',
        b"[]",
        b"{",
    ],
)
async def test_a_memory_that_is_there_or_refused_is_answered_alike(
    admin: httpx.AsyncClient, framework: httpx.AsyncClient, body: bytes
) -> None:
    await admin.post("/v1/memories", json={"content": "The key is under the mat.", "tags": ["a"]})
    await alike(admin, framework, body, "/v1/memories")


async def test_a_new_memory_is_answered_alike(
    admin: httpx.AsyncClient, framework: httpx.AsyncClient
) -> None:
    answers = [
        await client.post("/v1/memories", json={"content": f"It is in {where} drawer."})
        for client, where in ((admin, "this"), (framework, "that"))
    ]
    for answer in answers:
        assert answer.status_code == 201
        assert answer.headers["Location"] == f"/v1/memories/{answer.json()['id']}"
    ours, theirs = answers
    assert ours.headers.keys() == theirs.headers.keys()
    assert list(ours.json()) == list(theirs.json())
    own = {"id", "content", "created_at", "updated_at"}
    same = [{name: v for name, v in each.json().items() if name not in own} for each in answers]
    assert same[0] == same[1]


async def test_a_request_that_is_named_is_stored_once(admin: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "one"}
    body = {"content": "Only once.", "deduplicate": False}
    first, second = [await admin.post("/v1/memories", json=body, headers=headers) for _ in range(2)]
    assert first.json()["id"] == second.json()["id"]
    assert second.headers["Idempotency-Replayed"] == "true"


@pytest.mark.parametrize(("body", "field"), [("{}", "query"), ("null", None)])
async def test_an_empty_body_is_told_what_it_lacks(
    admin: httpx.AsyncClient, body: str, field: str | None
) -> None:
    # The framework takes both for no body at all, and says less.
    headers = {"Content-Type": "application/json"}
    answer = await admin.post("/v1/search", content=body, headers=headers)
    assert answer.status_code == 422
    assert answer.json()["error"].get("field") == field


async def test_a_direct_search_counts_under_its_route(
    bank: Service, admin: httpx.AsyncClient
) -> None:
    await admin.post("/v1/search", json={"query": "key"})
    figures = await bank.telemetry.exposition(bank.engine.store, bank.engine.index)
    assert b'route="/v1/search",status="200"' in figures


def test_an_endpoint_that_needs_the_framework_is_refused() -> None:
    async def endpoint(caller: Principal, body: BaseModel, header: str) -> BaseModel:
        raise NotImplementedError(caller, body, header)

    async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
        raise NotImplementedError(scope, receive, send)

    with pytest.raises(TypeError, match="/v1/x"):
        DirectRoutes(nothing, {"/v1/x": (endpoint, 200)})
