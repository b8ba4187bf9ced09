"""What scripts after common deployment guides call."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.app.http.test_forgetting import SETTINGS, old
from tests.app.http.test_refusals import problem
from tests.app.http.test_tenants import key_of, make_tenant
from tests.support.service import Service, service

pytestmark = pytest.mark.slow


async def test_memory_stats_count_what_the_tenant_of_the_key_holds(bank: Service) -> None:
    before = datetime.now(UTC) - timedelta(seconds=5)
    async with bank.client(bank.admin_key) as admin:
        empty = (await admin.get("/memory_stats")).json()
        assert (empty["total_memories"], empty["avg_importance"]) == (0, None)
        assert (empty["oldest_memory"], empty["newest_memory"]) == (None, None)
        for importance in (0.2, 0.4):
            memory = {"content": f"{importance}", "importance": importance}
            await admin.post("/v1/memories", json=memory)
        await make_tenant(admin, "acme")
        key = await key_of(admin, "acme")
        stats = (await admin.get("/memory_stats")).json()
    assert stats["tenant_id"] == "default"
    assert stats["total_memories"] == 2
    assert round(stats["avg_importance"], 6) == 0.3
    assert before < datetime.fromisoformat(stats["oldest_memory"])
    assert stats["oldest_memory"] <= stats["newest_memory"]
    assert stats["embedding_provider"] == bank.engine.embedder.model
    async with bank.client(key) as other:
        theirs = (await other.get("/memory_stats")).json()
    assert (theirs["tenant_id"], theirs["total_memories"]) == ("acme", 0)


async def test_the_forgetting_curve_is_run_and_its_next_run_is_shown(tmp_path: Path) -> None:
    async with service(tmp_path, forgetting=SETTINGS) as bank:
        await old(bank, "old", days=100)
        async with bank.client(bank.admin_key) as admin:
            told = (await admin.get("/scheduler_status")).json()
            job = told["jobs"][0]
            assert (told["status"], told["scheduler_state"]) == ("running", 1)
            assert job["trigger"] == "interval[12:00:00]"
            assert datetime.fromisoformat(job["next_run"]) > datetime.now(UTC)
            done = (await admin.post("/run_forgetting_curve")).json()
            assert done["status"] == "forgetting curve applied"
            assert (done["archived"], done["trashed"], done["purged"]) == (1, 0, 0)
            [listed] = (await admin.get("/v1/forgetting/runs")).json()["runs"]
            assert (await admin.get("/memory_stats")).json()["total_memories"] == 0
    assert listed["started_at"] == done["timestamp"]


async def test_a_schedule_that_is_switched_off_is_stopped(tmp_path: Path) -> None:
    async with (
        service(tmp_path, forgetting={"enabled": False}) as bank,
        bank.client(bank.admin_key) as admin,
    ):
        told = (await admin.get("/scheduler_status")).json()
    assert (told["status"], told["scheduler_state"]) == ("stopped", 0)
    assert told["jobs"][0]["next_run"] is None


async def test_metrics_of_a_tenant_are_json_for_its_keys_alone(bank: Service) -> None:
    async with bank.client(bank.admin_key) as admin:
        await admin.post("/v1/memories", json={"content": "x", "type": "decision"})
        found = (await admin.get("/metrics?tenant_id=default")).json()
        stats = (await admin.get("/v1/stats")).json()
        problem(await admin.get("/metrics?tenant_id=acme"), 403, "forbidden")
    assert found.pop("tenant_id") == "default"
    assert datetime.fromisoformat(found.pop("timestamp")) <= datetime.now(UTC)
    assert found == stats
    assert found["by_type"] == {"decision": 1}


async def test_prometheus_finds_nothing_on_the_service_s_port_unless_it_is_told_to(
    bank: Service,
) -> None:
    async with bank.client(bank.admin_key) as admin:
        error = problem(await admin.get("/metrics"), 404, "not_found")
    assert "server.metrics_on_port" in error["hint"]
    assert "tenant_id=default" in error["hint"]


async def test_prometheus_text_on_the_service_s_port_is_for_administrators_of_the_bank(
    tmp_path: Path,
) -> None:
    async with service(tmp_path, server={"metrics_on_port": True}) as bank:
        async with bank.client(bank.admin_key) as admin:
            await make_tenant(admin, "acme")
            key = await key_of(admin, "acme")
            answer = await admin.get("/metrics")
            families = {each.name for each in text_string_to_metric_families(answer.text)}
            assert (await admin.get("/metrics?tenant_id=default")).json()["total"] == 0
        assert answer.headers["content-type"].startswith("text/plain")
        assert "memorybank_memories" in families
        for other in (key, await bank.key("readonly")):
            async with bank.client(other) as client:
                problem(await client.get("/metrics"), 403, "forbidden")


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("&include_events=true", {"The lift halted.", "The lift is out of order."}),
        ("", {"The lift halted.", "The lift is out of order."}),
        ("&include_events=false", {"The lift is out of order."}),
    ],
)
async def test_everything_is_exported_with_events_or_without_and_imported_again(
    bank: Service, tmp_path: Path, asked: str, expected: set[str]
) -> None:
    async with bank.client(bank.admin_key) as admin:
        ids = []
        for kind, content in (("event", "The lift halts."), ("note", "The lift is out of order.")):
            stored = await admin.post("/v1/memories", json={"content": content, "type": kind})
            ids.append(stored.json()["id"])
        event, note = ids
        edge = await admin.post(f"/v1/memories/{note}/links", json={"target": event})
        assert edge.status_code < 300, edge.text
        await admin.patch(f"/v1/memories/{event}", json={"content": "The lift halted."})
        answer = await admin.get(f"/api/v1/export/all?tenant_id=default{asked}")
    assert answer.headers["content-type"] == "application/x-ndjson"
    async with (
        service(tmp_path / "other") as other,
        other.client(other.admin_key) as client,
    ):
        lines = {"Content-Type": "application/x-ndjson"}
        report = await client.post("/v1/import", content=answer.content, headers=lines)
        assert report.status_code == 200, report.text
        memories = (await client.get("/v1/memories")).json()["memories"]
    assert {each["content"] for each in memories} == expected


async def test_an_export_of_another_tenant_or_of_a_wrong_parameter_is_refused(
    bank: Service,
) -> None:
    async with bank.client(bank.admin_key) as admin:
        problem(await admin.get("/api/v1/export/all?tenant_id=acme"), 403, "forbidden")
        wrong = await admin.get("/api/v1/export/all?include_event=true")
        assert problem(wrong, 422, "invalid_request")["field"] == "include_event"
