"""The audit log over REST: who did what, in the same transaction; usage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from memorybank.__main__ import main
from tests.app.http.test_refusals import problem
from tests.app.http.test_tenants import key_of, make_tenant
from tests.support.service import Service, service

pytestmark = pytest.mark.slow

AUDIT = "/v1/admin/audit"
SECRET = "the launch code is 8675309"


async def records(admin: httpx.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    answer = await admin.get(AUDIT, params={"limit": 200} | query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["records"]
    return found


async def test_every_write_is_recorded_with_who_and_what_and_no_content(
    bank: Service, admin: httpx.AsyncClient
) -> None:
    body = {"content": SECRET, "title": "launch", "tags": ["rocket"], "metadata": {"pad": "39A"}}
    made = await admin.post("/v1/memories", json=body, headers={"X-Request-Id": "req-1"})
    memory_id = made.json()["id"]
    await admin.patch(f"/v1/memories/{memory_id}", json={"title": "liftoff"})
    await admin.delete(f"/v1/memories/{memory_id}")
    await admin.delete(f"/v1/memories/{memory_id}")  # there is none any more: nothing happened
    told = await records(admin)
    assert [each["action"] for each in told] == [
        *("memory.move", "memory.update", "memory.create", "key.bootstrap"),
    ]
    assert {each["target"] for each in told[:3]} == {memory_id}
    assert told[2]["request_id"] == "req-1"
    (bootstrap,) = (await admin.get("/v1/admin/keys")).json()["keys"]
    assert {each["actor"] for each in told[:3]} == {f"default/{bootstrap['id']}"}
    assert told[0]["details"] == {"state": "trash"}
    assert told[3]["actor"] == "system"
    whole = json.dumps(told)
    for word in ("8675309", "launch", "rocket", "39A", "liftoff", bank.admin_key):
        assert word not in whole


async def test_what_an_mcp_tool_writes_is_recorded_too(bank: Service) -> None:
    async with bank.client(bank.admin_key) as client:
        call = {"name": "remember", "arguments": {"content": SECRET}}
        for version in ("2025-11-25", "2026-07-28"):
            await client.post(
                "/mcp",
                json={"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call},
                headers={
                    "Accept": "application/json, text/event-stream",
                    "MCP-Protocol-Version": version,
                },
            )
        actions = await records(client, action="memory.create")
        assert actions
        assert all(each["actor"].startswith("default/") for each in actions)


async def test_keys_and_tenants_are_recorded_where_they_belong(
    bank: Service, admin: httpx.AsyncClient
) -> None:
    await make_tenant(admin, "acme", max_memories=7)
    token = await key_of(admin, "acme")
    assert [each["action"] for each in await records(admin)][:1] == ["tenant.create"]
    theirs = await records(admin, tenant="acme")
    assert [(each["action"], each["details"]) for each in theirs] == [
        ("key.create", {"role": "admin"})
    ]
    async with bank.client(token) as acme:
        assert await records(acme) == theirs
        problem(await acme.get(AUDIT, params={"tenant": "default"}), 403, "forbidden")
        export = await acme.get(f"{AUDIT}/export", params={"tenant": "default"})
        problem(export, 403, "forbidden")
    await admin.delete("/v1/admin/tenants/acme", params={"with_data": "true"})
    (deleted,) = await records(admin, action="tenant.delete")
    assert deleted["details"] == {"records": 1, "last_hash": theirs[0]["hash"]}
    problem(await admin.get(AUDIT, params={"tenant": "acme"}), 404, "not_found")


@pytest.mark.parametrize("path", [AUDIT, f"{AUDIT}/export", "/v1/admin/usage", "/v1/admin/keys"])
async def test_what_is_asked_of_a_tenant_that_is_not_there_is_not_found(
    admin: httpx.AsyncClient, path: str
) -> None:
    refused = problem(await admin.get(path, params={"tenant": "acme"}), 404, "not_found")
    assert refused["field"] == "tenant"
    await make_tenant(admin, "acme")
    assert (await admin.get(path, params={"tenant": "acme"})).status_code == 200


async def test_the_log_is_read_page_by_page(admin: httpx.AsyncClient) -> None:
    for number in range(5):
        await admin.post("/v1/memories", json={"content": f"fact {number}"})
    seen: list[int] = []
    query: dict[str, Any] = {"limit": 2, "action": "memory.create"}
    while True:
        page = (await admin.get(AUDIT, params=query)).json()
        assert page["total"] == 5
        seen += [each["seq"] for each in page["records"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert seen == [6, 5, 4, 3, 2]
    problem(await admin.get(AUDIT, params={"cursor": "x"}), 422, "invalid_cursor")


async def test_refusals_are_summed_up_and_reads_noted_when_asked_for(tmp_path: Path) -> None:
    events = ["admin", "auth", "read"]
    async with service(tmp_path, audit={"events": events}) as bank:
        reader = await bank.key("readonly")
        async with bank.client(reader) as client:
            for _ in range(3):
                await client.post("/v1/memories", json={"content": "x"})
            await client.get("/v1/memories")
        async with bank.client("mb_" + "x" * 43) as stranger:
            await stranger.get("/v1/memories")
    async with service(tmp_path, audit={"events": events}) as bank:
        async with bank.client(bank.admin_key) as admin:
            told = await records(admin)
        refused = {
            (each["actor"].split("/")[0], each["target"], each["details"]["times"])
            for each in told
            if each["action"] == "access.refused"
        }
        assert refused == {("default", "POST /v1/memories", 3), ("unknown", "127.0.0.1", 1)}
        assert [e["target"] for e in told if e["action"] == "read"] == ["GET /v1/memories"]


async def test_what_is_switched_off_is_not_recorded(tmp_path: Path) -> None:
    async with (
        service(tmp_path, audit={"enabled": False}) as bank,
        bank.client(bank.admin_key) as admin,
    ):
        await admin.post("/v1/memories", json={"content": "x"})
        assert await records(admin) == []


async def test_an_export_is_verified_and_every_change_of_it_shows(
    bank: Service,
    admin: httpx.AsyncClient,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for number in range(6):
        await admin.post("/v1/memories", json={"content": f"fact {number}"})
    export = await admin.get(f"{AUDIT}/export")
    assert export.headers["content-type"] == "application/jsonl"
    lines = export.text.splitlines()
    assert len(lines) == 8
    head = json.loads(lines[0])

    def verify(lines: list[str], *options: str) -> tuple[int, str]:
        file = tmp_path / "log.jsonl"
        file.write_text("\n".join(lines) + "\n")
        code = main(["audit", "verify", str(file), *options])
        return code, capsys.readouterr().out

    assert verify(lines)[0] == 0
    assert verify(lines, "--head", f"{head['seq']}:{head['hash']}")[0] == 0
    assert verify(lines, "--head", f"3:{'0' * 64}")[0] == 1
    changed = json.loads(lines[4]) | {"actor": "default/somebody-else"}
    tampered = {
        "4 was changed": [*lines[:4], json.dumps(changed), *lines[5:]],
        "record 3 is missing": [*lines[:3], *lines[4:]],
        "4 is missing: record 5": [*lines[:4], lines[5], lines[4], *lines[6:]],
        "7 to 7 are missing": lines[:-1],
        "line 5 is no record": [*lines[:4], "{}", *lines[5:]],
    }
    for said, forged in tampered.items():
        code, out = verify(forged)
        assert code == 1
        assert said in out, out


async def test_usage_counts_requests_by_endpoint_and_survives_a_restart(tmp_path: Path) -> None:
    async with service(tmp_path) as bank, bank.client(bank.admin_key) as admin:
        for _ in range(3):
            await admin.get("/v1/memories")
        await admin.get("/v1/memories/nothing")
    async with service(tmp_path) as bank, bank.client(bank.admin_key) as admin:
        usage = (await admin.get("/v1/admin/usage")).json()
        counted = {each["endpoint"]: each for each in usage["endpoints"]}
        assert counted["GET /v1/memories"]["requests"] == 3
        missing = counted["GET /v1/memories/{id}"]
        assert (missing["requests"], missing["refused"], missing["failed"]) == (1, 1, 0)
        assert usage["requests"] == 4
        days = {"first_day": "2020-01-02", "last_day": "2020-01-01"}
        answer = await admin.get("/v1/admin/usage", params=days)
        assert problem(answer, 422, "invalid_request")["field"] == "first_day"
        answer = await admin.get("/v1/admin/usage", params={"last_day": "0001-01-02"})
        assert answer.json()["first_day"] == "0001-01-01"
        past = {"first_day": "2020-01-01", "last_day": "2020-01-02"}
        assert (await admin.get("/v1/admin/usage", params=past)).json()["endpoints"] == []
