"""Schemathesis over the whole OpenAPI and over the tools of MCP.

Valid and invalid requests, among them such that name what is there: no 5xx, and no answer that the
document does not promise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import assume, given
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core import NOT_SET
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.app.fuzz.runner import Runner, effort, mcp, running
from tests.support.service import BASE_URL

CHECKS = [
    not_a_server_error,
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
]
LEFT_OUT = {
    "GET /ready",  # 503 is what it is for
    "POST /v1/import",  # JSON Lines, which no schema describes: see test_transfer.py
}
MODES = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]
SHARDS = 4


@dataclass
class Bank:
    """A service that holds something, and what its requests may name."""

    runner: Runner
    memories: list[str]
    operations: dict[str, Any]
    tools: dict[str, dict[str, Any]]

    def parameters(self, path: str) -> st.SearchStrategy[dict[str, Any] | None]:
        """Draw values for the path that are there, or none for the schema's own ones."""
        if "{name}" in path:
            return st.none() | st.just({"name": "default"})
        if "{id}" not in path:
            return st.none()
        one = st.sampled_from(self.memories)
        names = {"id", "target"} if "{target}" in path else {"id"}
        return st.none() | st.fixed_dictionaries(dict.fromkeys(names, one))


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bank]:
    with running(tmp_path_factory.mktemp("openapi")) as runner:
        yield fill(runner)


def fill(runner: Runner) -> Bank:
    key = runner.bank.admin_key
    memories = []
    for number in range(5):
        body = {
            "content": f"note {number}",
            "title": "a note",
            "tags": ["one", "two"],
            "metadata": {"n": number},
            "type": "fact",
            "details": {"confidence": 0.5},
        }
        memories.append(runner.send(key, "POST", "/v1/memories", json=body).json()["id"])
    runner.send(key, "DELETE", f"/v1/memories/{memories[0]}")
    document = runner.send(key, "GET", "/openapi.json").json()
    listed = mcp(runner, key, "tools/list", {})["result"]["tools"]
    tools = {tool["name"]: tool for tool in listed}
    return Bank(runner, memories, operations(document), tools)


def operations(document: dict[str, Any]) -> dict[str, Any]:
    """Return what a document names, by method and path; fails for what cannot be understood."""
    found: dict[str, Any] = {}
    for each in schemathesis.openapi.from_dict(document).get_all_operations():
        assert isinstance(each, Ok), each.err()
        found[each.ok().label] = each.ok()
    return found


@pytest.mark.slow
@pytest.mark.parametrize("shard", range(SHARDS))
def test_every_answer_is_one_that_the_document_promises(bank: Bank, shard: int) -> None:
    assert bank.operations.keys() >= LEFT_OUT
    for label in sorted(bank.operations.keys() - LEFT_OUT)[shard::SHARDS]:
        fuzz(bank, bank.operations[label])


def fuzz(bank: Bank, operation: Any) -> None:
    """Try one operation with what its schema allows, and with what it does not."""

    @effort(10)
    @given(data=st.data())
    def attempt(data: st.DataObject) -> None:
        mode = data.draw(st.sampled_from(modes(operation)))
        named = data.draw(bank.parameters(operation.path))
        case = data.draw(operation.as_strategy(generation_mode=mode, path_parameters=named))
        options = case.as_transport_kwargs(base_url=BASE_URL)
        method, url = options.pop("method"), options.pop("url")
        headers = {
            name: value
            for name, value in dict(options.pop("headers", None) or {}).items()
            if name.lower() not in ("authorization", "x-api-key", "host", "user-agent")
        }
        kept = {name: options[name] for name in ("params", "json") if options.get(name) is not None}
        answer = bank.runner.send(bank.runner.bank.admin_key, method, url, headers=headers, **kept)
        case.validate_response(answer, checks=CHECKS)
        assert_documented(operation, answer)

    attempt()


def modes(operation: Any) -> list[GenerationMode]:
    """Return what can be drawn: a request without parameters and body cannot be wrong."""
    asked = operation.definition.raw
    has_parts = any(each["in"] != "header" for each in asked.get("parameters", []))
    return MODES if has_parts or "requestBody" in asked else MODES[:1]


def assert_documented(operation: Any, answer: httpx.Response) -> None:
    """`default` stands for errors alone, and every error is the envelope."""
    if answer.status_code < 400:
        assert str(answer.status_code) in operation.definition.raw["responses"]
    else:
        assert set(answer.json()) == {"error"}, answer.text


@pytest.mark.slow
def test_every_tool_answers_by_its_schemas_or_says_what_is_wrong(bank: Bank) -> None:
    assert len(bank.tools) >= 5
    for operation in operations(as_openapi(bank.tools)).values():
        fuzz_tool(bank, operation)


def as_openapi(tools: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Describe tools as operations, so that Schemathesis draws arguments and checks results."""
    paths = {}
    for name, tool in tools.items():
        arguments = {"application/json": {"schema": tool["inputSchema"]}}
        result = {"application/json": {"schema": tool["outputSchema"]}}
        paths[f"/{name}"] = {
            "post": {
                "requestBody": {"required": True, "content": arguments},
                "responses": {"200": {"description": "The result.", "content": result}},
            }
        }
    return {"openapi": "3.1.0", "info": {"title": "tools", "version": "1"}, "paths": paths}


def fuzz_tool(bank: Bank, operation: Any) -> None:
    """Call one tool with arguments that its schema allows, and with others."""
    tool = operation.path.removeprefix("/")

    @effort(20)
    @given(data=st.data())
    def attempt(data: st.DataObject) -> None:
        mode = data.draw(st.sampled_from(MODES))
        case = data.draw(operation.as_strategy(generation_mode=mode))
        arguments = case.body
        assume(not isinstance(arguments, bytes))  # it would be no JSON: see test_fuzz.py
        if isinstance(arguments, dict) and "id" in arguments and data.draw(st.booleans()):
            arguments = arguments | {"id": data.draw(st.sampled_from(bank.memories))}
        params = {"name": tool} if arguments is NOT_SET else {"name": tool, "arguments": arguments}
        shown = mcp(bank.runner, bank.runner.bank.admin_key, "tools/call", params)
        if "error" in shown:
            assert not isinstance(arguments, dict), shown
            assert shown["error"]["code"] != -32603, shown
            return
        result = shown["result"]
        said = "".join(each["text"] for each in result["content"])
        assert "Traceback" not in said
        if result["isError"]:
            assert said
            assert "went wrong in the service" not in said
        else:
            answer = httpx.Response(200, json=result["structuredContent"])
            answer.request, answer.elapsed = httpx.Request("POST", BASE_URL), timedelta()
            case.validate_response(answer, checks=[response_schema_conformance])

    attempt()
