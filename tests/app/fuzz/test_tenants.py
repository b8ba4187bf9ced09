"""Two tenants: whatever a key of one asks, it never sees or changes what belongs to the other.

The requests go to every operation that the service's own OpenAPI document names, and to every MCP
tool, with the other tenant's ids, names, cursors and keys of repeated requests as values. What the
other tenant remembers is made of words that are never sent by the one that asks.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.app.fuzz.runner import Runner, effort, mcp, running

_OF_USE = {"last_used_at", "access_count", "accessed_at", "seq"}
"""Columns that the victim's own reads may change."""

_OWN_BOOKS = {"usage", "audit", "audit_chains", "deletions"}
"""Tables that note what happens. Who is in the audit log as an actor is checked apart."""


@dataclass
class Stage:
    """A service with an attacker and a victim, and what the attacker knows of the victim."""

    runner: Runner
    folder: Path
    attacker: str
    victim: str
    secrets: list[str]
    """Words of the victim's memories."""
    known: list[str]
    """Ids, names and cursors of the victim."""
    operations: list[tuple[str, str, dict[str, Any]]]
    tools: list[str]


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "encrypted"])
def stage(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("tenants")
    settings: dict[str, Any] = {}
    if request.param:
        ring = folder / "ring.json"
        key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
        ring.write_text(json.dumps({"active": "k1", "keys": {"k1": key}}))
        settings = {"encryption": {"enabled": True, "key_ring_file": str(ring)}}
    with running(folder / "bank", **settings) as runner:
        yield set_up(runner, folder / "bank")


def set_up(runner: Runner, folder: Path) -> Stage:
    admin = runner.bank.admin_key

    def ask(key: str, method: str, path: str, body: Any = None, **options: Any) -> Any:
        answer = runner.send(
            key, method, path, **({} if body is None else {"json": body}), **options
        )
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None

    keys: dict[str, str] = {}
    known: list[str] = ["victim"]
    for tenant in ("attacker", "victim"):
        ask(admin, "POST", "/v1/admin/tenants", {"name": tenant})
        new = {"name": f"{tenant}-key", "role": "admin", "tenant": tenant}
        made = ask(admin, "POST", "/v1/admin/keys", new)
        keys[tenant] = made["key"]
        if tenant == "victim":
            known.append(made["id"])
    words = [f"zq{secrets.token_hex(8)}" for _ in range(12)]
    ids = []
    for number, word in enumerate(words):
        body = {
            "content": f"{word} the launch is on day {number}",
            "title": f"about {word}",
            "tags": ["launch", f"tag{word}"],
            "metadata": {"note": word},
            "project": "shared",
            "session": "shared",
        }
        once = {"headers": {"Idempotency-Key": f"once-{number}"}}
        ids.append(ask(keys["victim"], "POST", "/v1/memories", body, **once)["id"])
    ask(keys["victim"], "PATCH", f"/v1/memories/{ids[0]}", {"content": f"{words[0]} changed"})
    ask(keys["victim"], "DELETE", f"/v1/memories/{ids[1]}")
    page = ask(keys["victim"], "GET", "/v1/memories?limit=2")
    audit = ask(keys["victim"], "GET", "/v1/admin/audit?limit=2")
    known += [*ids, page["next_cursor"], audit["next_cursor"], "once-0"]
    for number in range(3):
        body = {"content": f"the launch of the attacker {number}", "project": "shared"}
        ask(keys["attacker"], "POST", "/v1/memories", body)
    document = ask(admin, "GET", "/openapi.json")
    operations = [
        (method.upper(), path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if path.startswith("/v1")
    ]
    listed = mcp(runner, keys["attacker"], "tools/list", {})
    tools = [tool["name"] for tool in listed["result"]["tools"]]
    return Stage(runner, folder, keys["attacker"], keys["victim"], words, known, operations, tools)


def belongings(folder: Path) -> dict[str, list[Any]]:
    """Return every row of the victim, but what only notes its use."""
    with closing(apsw.Connection(str(folder / "memory_bank.db"))) as connection:
        tables = connection.execute(
            "SELECT DISTINCT t.name FROM sqlite_schema t, pragma_table_info(t.name) c"
            " WHERE t.type = 'table' AND c.name = 'tenant' ORDER BY t.name"
        ).fetchall()
        found: dict[str, list[Any]] = {}
        for (table,) in tables:
            if table in _OWN_BOOKS:
                continue
            columns = [
                f'"{name}"'
                for (name,) in connection.execute("SELECT name FROM pragma_table_info(?)", (table,))
                if name not in _OF_USE
            ]
            rows = connection.execute(
                f'SELECT {", ".join(columns)} FROM "{table}"'  # noqa: S608  # of the schema
                " WHERE tenant = 'victim' ORDER BY 1, 2, 3"
            )
            found[str(table)] = list(rows)
        actors = connection.execute("SELECT DISTINCT actor FROM audit WHERE tenant = 'victim'")
        found["actors"] = sorted(actors)
    return found


def values(stage: Stage) -> st.SearchStrategy[Any]:
    """Values that a request may hold: mostly what belongs to the victim."""
    return (
        st.sampled_from(stage.known)
        | st.sampled_from(["launch", "the launch is on", "shared", "trash", "archived", "admin"])
        | st.sampled_from(["note", "attacker", "2020-01-01T00:00:00Z", "*", "%", "' OR 1=1 --"])
        | st.sampled_from([None, True, False, 0, 1, 200])
        | st.text(max_size=5)
    )


def body_of(stage: Stage, data: st.DataObject) -> Any:
    """Draw a body with the fields of every request that there is."""
    one = values(stage)
    nested = (
        one | st.lists(one, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), one, max_size=3)
    )
    fields = st.dictionaries(st.sampled_from(FIELDS), nested, max_size=6)
    return data.draw(fields | st.fixed_dictionaries({"memories": st.lists(fields, max_size=2)}))


FIELDS = [
    *("id", "ids", "content", "title", "query", "limit", "cursor", "project", "session", "tags"),
    *("tags_any", "types", "type", "metadata", "name", "role", "tenant", "with_data", "key", "by"),
    *("overlap_seconds", "expires_at", "max_memories", "target", "source", "revision", "mode"),
    *("supersedes", "include_archived", "as_of", "memory_id", "explain", "importance", "details"),
    *("memories", "pinned", "legal_hold", "kind"),
]


def assert_harmless(stage: Stage, sent: str, answer: str, before: dict[str, list[Any]]) -> None:
    for word in stage.secrets:
        assert word not in answer
    for each in stage.known:
        if len(each) > 20:  # ids and cursors, not names that anybody may use
            assert each in sent or each not in answer
    assert belongings(stage.folder) == before


@pytest.mark.slow
def test_no_request_of_one_tenant_sees_or_changes_what_is_the_others(stage: Stage) -> None:
    before = belongings(stage.folder)

    @effort(150)
    @given(data=st.data())
    def attempt(data: st.DataObject) -> None:
        method, template, operation = data.draw(st.sampled_from(stage.operations))
        one = values(stage)
        path = template
        query: dict[str, Any] = {}
        for parameter in operation.get("parameters", []):
            if parameter["in"] == "path":
                value = str(data.draw(st.sampled_from(stage.known)))
                path = path.replace(f"{{{parameter['name']}}}", value)
            elif parameter["in"] == "query" and data.draw(st.booleans()):
                query[parameter["name"]] = data.draw(one)
        headers = data.draw(
            st.fixed_dictionaries(
                {},
                optional={
                    "X-Tenant-ID": st.sampled_from(["victim", "attacker"]),
                    "Idempotency-Key": st.sampled_from(["once-0", "once-1"]),
                },
            )
        )
        options: dict[str, Any] = {"headers": headers, "params": query}
        if path == "/v1/import":
            line = json.dumps(body_of(stage, data))
            options["content"] = f'{line}\n{{"kind": "memory", "tenant": "victim"}}\n'
            headers["Content-Type"] = "application/x-ndjson"
        elif "requestBody" in operation:
            options["json"] = body_of(stage, data)
        answer = stage.runner.send(stage.attacker, method, path, **options)
        assert answer.status_code < 500, answer.text
        assert_harmless(stage, f"{path}{query}{options}", answer.text, before)

    attempt()


@pytest.mark.slow
def test_no_tool_of_one_tenant_sees_or_changes_what_is_the_others(stage: Stage) -> None:
    before = belongings(stage.folder)

    @effort(40)
    @given(data=st.data())
    def attempt(data: st.DataObject) -> None:
        tool = data.draw(st.sampled_from(stage.tools))
        arguments = body_of(stage, data)
        shown = mcp(
            stage.runner, stage.attacker, "tools/call", {"name": tool, "arguments": arguments}
        )
        assert_harmless(stage, json.dumps(arguments), json.dumps(shown), before)

    attempt()


def test_the_victim_still_finds_everything(stage: Stage) -> None:
    listed = stage.runner.send(stage.victim, "GET", "/v1/memories", params={"limit": 200}).json()
    assert listed["total"] == 11
    found = stage.runner.send(
        stage.victim, "POST", "/v1/search", json={"query": "launch", "limit": 50}
    )
    for word in stage.secrets[2:]:
        assert word in found.text
    body = {"query": stage.secrets[3], "limit": 50}  # even by the very word
    foreign = stage.runner.send(stage.attacker, "POST", "/v1/search", json=body)
    assert foreign.status_code == 200
    assert not any(word in foreign.text for word in stage.secrets)
