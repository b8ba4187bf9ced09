"""Wrong requests: always the envelope, always the right 4xx, never a 5xx."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from memorybank.schemas import fields
from tests.support.service import Service, service

pytestmark = pytest.mark.asyncio(loop_scope="module")

JSON = {"Content-Type": "application/json"}
DEEP: Any = 0
for _ in range(20):
    DEEP = {"deeper": DEEP}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bank(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """One for all: what is refused leaves nothing behind."""
    async with service(tmp_path_factory.mktemp("refusals")) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def admin(bank: Service) -> AsyncIterator[httpx.AsyncClient]:
    async with bank.client(bank.admin_key) as client:
        yield client


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, str]:
    """Return the error of an answer that must be an envelope."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    body = answer.json()
    assert set(body) == {"error"}
    assert set(body["error"]) <= {"code", "message", "field", "hint"}
    assert body["error"]["code"] == code
    assert body["error"]["message"]
    error: dict[str, str] = body["error"]
    return error


@pytest.mark.parametrize(
    ("body", "field", "cure"),
    [
        ({}, "content", "add it"),
        ({"content": ""}, "content", "send some text"),
        ({"content": " \n\t "}, "content", "send some text"),
        ({"content": None}, "content", "send a JSON string"),
        ({"content": 5}, "content", "send a JSON string"),
        ({"content": ["x"]}, "content", "send a JSON string"),
        ({"content": "x" * (fields.MAX_CONTENT + 1)}, "content", "shorten it to 100000"),
        ({"content": "a\x00b"}, "content", "remove that character"),
        ({"content": "a\x1b[31m"}, "content", "remove that character"),
        ({"content": "a\x7f"}, "content", "remove that character"),
        ({"content": "x", "colour": "red"}, "colour", "remove it"),
        ({"content": "x", "id": "mine"}, "id", "remove it"),
        ({"content": "x", "tenant": "other"}, "tenant", "remove it"),
        ({"content": "x", "title": ""}, "title", "send some text"),
        ({"content": "x", "title": "two\nlines"}, "title", "remove that character"),
        ({"content": "x", "title": "x" * 301}, "title", "shorten it to 300"),
        ({"content": "x", "type": "poem"}, "type", None),
        ({"content": "x", "project": "x" * 201}, "project", "shorten it to 200"),
        ({"content": "x", "session": 7}, "session", "send a JSON string"),
        ({"content": "x", "tags": "ops"}, "tags", "send a JSON array"),
        ({"content": "x", "tags": ["ok", 5]}, "tags.1", "send a JSON string"),
        ({"content": "x", "tags": ["x" * 101]}, "tags.0", "shorten it to 100"),
        ({"content": "x", "tags": [str(n) for n in range(33)]}, "tags", "send at most 32"),
        ({"content": "x", "metadata": "text"}, "metadata", "send a JSON object"),
        ({"content": "x", "metadata": {"a": "x" * 17_000}}, "metadata", "keep a reference"),
        ({"content": "x", "metadata": DEEP}, "metadata", "flatten"),
        ({"content": "x", "metadata": {"n": 2**64}}, "metadata", "send it as a text"),
        ({"content": "x", "metadata": {"a\x00": 1}}, "metadata", "remove that character"),
        ({"content": "x", "importance": 1.5}, "importance", None),
        ({"content": "x", "importance": "0.5"}, "importance", "without quotes"),
        ({"content": "x", "importance": True}, "importance", "without quotes"),
        ({"content": "x", "occurred_at": "yesterday"}, "occurred_at", "2026-03-01T12:00:00Z"),
        ({"content": "x", "occurred_at": "2026-03-01T12:00:00"}, "occurred_at", "offset"),
        ({"content": "x", "occurred_at": 1_700_000_000}, "occurred_at", "2026-03-01T12:00:00Z"),
        ({"content": "x", "occurred_at": "0001-01-01T00:00:00+14:00"}, "occurred_at", None),
        ([], None, "send a JSON object"),
        ("text", None, "send a JSON object"),
        (None, None, "send a JSON object"),
    ],
)
async def test_a_wrong_field_is_named_with_its_cure(
    admin: httpx.AsyncClient, body: Any, field: str | None, cure: str | None
) -> None:
    answer = (
        await admin.request("POST", "/v1/memories", json=body)
        if body is not None
        else (await admin.post("/v1/memories", content=b"null", headers=JSON))
    )
    error = problem(answer, 422, "invalid_request")
    assert error.get("field") == field
    if cure is None:
        assert "should be" in error["message"]
    else:
        assert cure in error["hint"]
    assert (await admin.get("/v1/memories")).json()["total"] == 0


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "query"),
        ({"query": ""}, "query"),
        ({"query": "x" * 4_001}, "query"),
        ({"query": "a\x00"}, "query"),
        ({"query": "x", "limit": 0}, "limit"),
        ({"query": "x", "limit": 201}, "limit"),
        ({"query": "x", "limit": "10"}, "limit"),
        ({"query": "x", "limit": 1.5}, "limit"),
        ({"query": "x", "limit": 10**30}, "limit"),
        ({"query": "x", "types": ["poem"]}, "types.0"),
        ({"query": "x", "tags": [""]}, "tags.0"),
        ({"query": "x", "created_after": "now"}, "created_after"),
        ({"query": "x", "type": "note"}, "type"),
    ],
)
async def test_a_wrong_search_is_refused(
    admin: httpx.AsyncClient, body: dict[str, Any], field: str
) -> None:
    answer = await admin.post("/v1/search", json=body)
    assert problem(answer, 422, "invalid_request")["field"] == field


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=ten", "limit"),
        ("limit=", "limit"),
        ("page=2", "page"),
        ("type=poem", "type.0"),
        ("project=%00", "project"),
        ("cursor=" + "x" * 201, "cursor"),
    ],
)
async def test_a_wrong_list_query_is_refused(
    admin: httpx.AsyncClient, query: str, field: str
) -> None:
    answer = await admin.get(f"/v1/memories?{query}")
    assert problem(answer, 422, "invalid_request")["field"] == field


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"{'content': 'x'}",
        b'{"content": "x"} trailing',
        b'{"content": NaN}',
        b'{"content": "x", "importance": Infinity}',
        b'{"content": "\xff"}',
        b'{"content": "\\ud800"}',
        b"[" * 200_000,
        b'{"content": "x", "metadata": {"n": ' + b"9" * 5_000 + b"}}",
    ],
)
async def test_what_is_no_json_is_refused(admin: httpx.AsyncClient, body: bytes) -> None:
    for path in ("/v1/memories", "/v1/search"):
        answer = await admin.post(path, content=body, headers=JSON)
        assert problem(answer, 400, "invalid_json")["hint"]


async def test_a_body_that_is_empty_is_said_to_be_missing(admin: httpx.AsyncClient) -> None:
    for path in ("/v1/memories", "/v1/search"):
        refused = problem(await admin.post(path), 422, "invalid_request")
        assert (refused["message"], refused["hint"]) == ("the body is required", "add it")


async def test_a_list_that_is_too_short_is_told_how_long_it_must_be(
    admin: httpx.AsyncClient,
) -> None:
    answer = await admin.post("/v1/capsules", json={"content": "x", "audience": []})
    refused = problem(answer, 422, "invalid_request")
    told = "audience should have at least 1 item, not 0"
    assert (refused["message"], refused["hint"]) == (told, "send at least 1")


async def test_the_first_problems_of_a_body_are_all_told(admin: httpx.AsyncClient) -> None:
    answer = await admin.post("/v1/memories", json={"text": "x", "tag": "y"})
    told = "content is required; text is not a known field; tag is not a known field"
    assert problem(answer, 422, "invalid_request")["message"] == told
    answer = await admin.post("/v1/memories", json=dict.fromkeys("abcd", 1))
    assert problem(answer, 422, "invalid_request")["message"].endswith("field; and 2 more")


async def test_a_repeated_name_counts_once_by_its_last_value(admin: httpx.AsyncClient) -> None:
    body = b'{"content": "first", "content": "last"}'
    answer = await admin.post("/v1/memories", content=body, headers=JSON)
    assert answer.json()["content"] == "last"


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", "", "multipart/form"],
)
async def test_another_content_type_is_refused(admin: httpx.AsyncClient, content_type: str) -> None:
    headers = {"Content-Type": content_type}
    answer = await admin.post("/v1/memories", content=b'{"content": "x"}', headers=headers)
    assert "application/json" in problem(answer, 415, "unsupported_media_type")["hint"]


async def test_the_content_type_may_name_a_charset(admin: httpx.AsyncClient) -> None:
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    answer = await admin.post("/v1/memories", content=b'{"content": "x"}', headers=headers)
    assert answer.status_code == 201


async def test_a_body_that_says_it_is_too_large_is_not_read(admin: httpx.AsyncClient) -> None:
    answer = await admin.post("/v1/search", json={"query": "x" * 10_000_000})
    assert "1048576 bytes" in problem(answer, 413, "body_too_large")["hint"]


async def test_a_body_that_hides_its_size_is_read_up_to_the_limit(
    admin: httpx.AsyncClient,
) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 65_536
            yield b" " * 65_536

    answer = await admin.post("/v1/search", content=endless(), headers=JSON)
    problem(answer, 413, "body_too_large")
    assert sent <= 1_048_576 + 2 * 65_536


async def test_too_long_an_address_is_refused(admin: httpx.AsyncClient) -> None:
    answer = await admin.get("/v1/memories", params={"project": "x" * 60_000})
    assert "POST /v1/search" in problem(answer, 414, "uri_too_long")["hint"]


async def test_too_large_headers_are_refused(admin: httpx.AsyncClient) -> None:
    answer = await admin.get("/v1/memories", headers={"X-Large": "x" * 70_000})
    problem(answer, 431, "headers_too_large")


@pytest.mark.parametrize("path", ["/nothing", "/v1", "/v1/memorie", "/v1/memories/", "/v1/a%2Fb"])
async def test_an_unknown_path_is_not_found(admin: httpx.AsyncClient, path: str) -> None:
    problem(await admin.get(path), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v1/memories", "GET, POST"),
        ("PUT", "/v1/memories/x", "GET, PATCH, DELETE"),
        ("GET", "/v1/search", "POST"),
        ("OPTIONS", "/v1/search", "POST"),
        ("POST", "/ready", "GET"),
        ("GET", "/mcp", "POST"),
    ],
)
async def test_a_wrong_method_is_told_the_right_ones(
    admin: httpx.AsyncClient, method: str, path: str, allowed: str
) -> None:
    answer = await admin.request(method, path, headers=JSON)
    assert allowed in problem(answer, 405, "method_not_allowed")["hint"]
    assert answer.headers["allow"] == allowed


@pytest.mark.parametrize(
    "memory_id", ["x", "01a1fc2a-7468-776f-a009-4651d38932d6", "%00", "%F0%9F%A7%A0", "a" * 5_000]
)
@pytest.mark.parametrize("method", ["GET", "DELETE", "PATCH"])
async def test_an_unknown_memory_is_not_found(
    admin: httpx.AsyncClient, method: str, memory_id: str
) -> None:
    body = {"json": {"title": "x"}} if method == "PATCH" else {}
    answer = await admin.request(method, f"/v1/memories/{memory_id}", **body)  # type: ignore[arg-type]
    assert problem(answer, 404, "not_found")["field"] == "id"


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "10.1.2.3", ""])
async def test_another_host_is_refused(admin: httpx.AsyncClient, host: str) -> None:
    answer = await admin.get("/v1/memories", headers={"Host": host})
    assert "security.allowed_hosts" in problem(answer, 421, "misdirected_request")["hint"]


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:8080", "[::1]:80"])
async def test_loopback_is_always_a_right_host(admin: httpx.AsyncClient, host: str) -> None:
    assert (await admin.get("/v1/memories", headers={"Host": host})).status_code == 200


async def test_a_foreign_web_page_is_refused(admin: httpx.AsyncClient) -> None:
    answer = await admin.get("/v1/memories", headers={"Origin": "https://evil.example"})
    problem(answer, 403, "forbidden_origin")


async def test_an_unexpected_error_shows_its_request_id_and_nothing_else(
    bank: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a detail of the inside")

    monkeypatch.setattr(bank.engine.store, "get_many", broken)
    monkeypatch.setattr(bank.engine.store, "get", broken)
    async with bank.client(bank.admin_key) as client:
        answer = await client.get("/v1/memories/x", headers={"X-Request-Id": "find-me"})
    error = problem(answer, 500, "internal")
    assert answer.headers["x-request-id"] == "find-me"
    assert "find-me" in error["hint"]
    assert "detail" not in answer.text
    assert "ZeroDivisionError" in caplog.text
