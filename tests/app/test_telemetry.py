"""Metrics: named as Prometheus wants it, with few labels, honest when the store is down."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from memorybank.errors import StoreUnavailable
from memorybank.ports import StoreStats
from memorybank.server.metrics import MetricsApp
from tests.repo.checkout import ROOT
from tests.support.service import Service


async def scrape(bank: Service) -> str:
    return (await bank.telemetry.exposition(bank.engine.store, bank.engine.index)).decode()


async def value(bank: Service, sample: str) -> float:
    """Return the value of one sample, written as Prometheus writes it."""
    lines = [line for line in (await scrape(bank)).splitlines() if line.startswith(f"{sample} ")]
    (line,) = lines
    return float(line.rsplit(" ", 1)[1])


async def test_requests_are_counted_by_route_template(
    bank: Service, admin: httpx.AsyncClient
) -> None:
    for number in range(3):
        await admin.get(f"/v1/memories/{number}")
    await admin.get("/nowhere/at/all")
    requests = "memorybank_http_requests_total"
    route = 'method="GET",route="/v1/memories/{id}",status="404"'
    assert await value(bank, f"{requests}{{{route}}}") == 3
    assert await value(bank, f'{requests}{{method="GET",route="unmatched",status="404"}}') == 1
    assert await value(bank, "memorybank_http_requests_in_flight") == 0
    text = await scrape(bank)
    assert "/v1/memories/0" not in text
    assert "nowhere" not in text


async def test_mcp_is_a_route_like_others(bank: Service, admin: httpx.AsyncClient) -> None:
    listing = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    headers = {"Accept": "application/json, text/event-stream"}
    status = (await admin.post("/mcp", json=listing, headers=headers)).status_code
    await admin.get("/mcp")
    requests = "memorybank_http_requests_total"
    assert await value(bank, f'{requests}{{method="POST",route="/mcp",status="{status}"}}') == 1
    assert await value(bank, f'{requests}{{method="GET",route="/mcp",status="405"}}') == 1


async def test_steps_and_the_lag_are_measured(bank: Service, admin: httpx.AsyncClient) -> None:
    await admin.post("/v1/memories", json={"content": "x"})
    assert await value(bank, "memorybank_memories") == 1
    assert await value(bank, "memorybank_index_lag_changes") == 1
    await admin.post("/v1/search", json={"query": "x"})
    assert await value(bank, "memorybank_index_lag_changes") == 0
    steps = "memorybank_step_duration_seconds_count"
    assert await value(bank, f'{steps}{{step="embed"}}') == 2
    assert await value(bank, f'{steps}{{step="store_add"}}') == 1
    assert await value(bank, f'{steps}{{step="index_search"}}') == 1


async def test_requests_that_wait_for_a_backend_are_counted(
    bank: Service, admin: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, waiting = asyncio.Event(), asyncio.Barrier(3)
    store_many = bank.engine.store.add_many

    async def slow(items: Any) -> int:
        await waiting.wait()
        await go_on.wait()
        return await store_many(items)

    monkeypatch.setattr(bank.engine.store, "add_many", slow)
    requests = [
        asyncio.create_task(admin.post("/v1/memories", json={"content": text}))
        for text in ("one", "other")
    ]
    await waiting.wait()
    assert await value(bank, 'memorybank_steps_in_progress{step="store_add"}') == 2
    go_on.set()
    assert {(await request).status_code for request in requests} == {201}
    assert await value(bank, 'memorybank_steps_in_progress{step="store_add"}') == 0


async def test_a_failed_step_is_counted(
    bank: Service, admin: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> int:
        raise StoreUnavailable("the disk is full", hint="free some space")

    monkeypatch.setattr(bank.engine.store, "add_many", broken)
    answer = await admin.post("/v1/memories", json={"content": "x"})
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert answer.json()["error"]["code"] == "store_unavailable"
    assert await value(bank, 'memorybank_step_failures_total{step="store_add"}') == 1


async def test_metrics_are_there_when_the_store_is_not(
    bank: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken() -> StoreStats:
        raise StoreUnavailable("gone")

    monkeypatch.setattr(bank.engine.store, "stats", broken)
    assert "memorybank_memories NaN" in await scrape(bank)


async def test_names_units_and_labels_follow_the_conventions(
    bank: Service, admin: httpx.AsyncClient
) -> None:
    await admin.post("/v1/memories", json={"content": "x"})
    families = list(text_string_to_metric_families(await scrape(bank)))
    assert len(families) > 8
    for family in families:
        assert family.documentation
        assert family.name.startswith(("memorybank_", "memory_bank_", "process_")) or any(
            name.startswith(family.name) for name in (*UNPREFIXED, "active_connections")
        )
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        assert labels <= {
            *("route", "method", "status", "step", "tool", "outcome", "tenant", "file", "source"),
            *("job", "result", "type"),
        } | ({"version", "revision"} if family.name == "memorybank_build_info" else set())
        if family.type == "histogram":
            assert family.name.endswith("_seconds")
        if family.type == "counter" and family.name.startswith("memorybank_"):
            assert all(sample.name.endswith("_total") for sample in family.samples)


async def test_metrics_have_one_path_of_their_own(bank: Service, admin: httpx.AsyncClient) -> None:
    app = MetricsApp(bank.telemetry, bank.engine.store, bank.engine.index)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://10.0.0.7:9090") as client:
        found = await client.get("/metrics")
        assert found.status_code == 200
        assert found.headers["content-type"].startswith("text/plain; version=")
        assert (await client.get("/")).status_code == 404
        assert (await client.post("/metrics")).status_code == 405
    assert (await admin.get("/metrics")).status_code == 404


UNPREFIXED = (
    "http_requests_total",
    "http_request_duration_seconds_bucket",
    "memory_usage_bytes",
    "cpu_usage_seconds",
)
"""As one guide has them; it also names `active_connections`, which is 0 while none is."""

GUIDES = (
    "memory_bank_cpu_usage_seconds_total",
    "memory_bank_memory_usage_bytes",
    "memory_bank_memory_total_bytes",
    "memory_bank_requests_total",
    "memory_bank_request_duration_seconds_bucket",
    "memory_bank_database_operations_total",
    "memory_bank_database_connections_active",
    "memory_bank_embeddings_generated_total",
    "memory_bank_embedding_duration_seconds_bucket",
    *UNPREFIXED,
)

BETTER = {
    "memory.retrieval.latency_ms": 'memorybank_step_duration_seconds_count{step="index_search"}',
    "memory.cache.hit_rate": 'memorybank_embedding_texts_total{source="model"}',
    "memory.pool.active_connections": "memorybank_database_connections",
    "memory.pool.utilization": "memorybank_database_connections",
    "memory.pool.checkout_wait_ms": 'memorybank_step_duration_seconds_count{step="store_add"}',
}
"""What a guide names as Prometheus cannot, and what says the same here. Those of episodes and
patterns come with them."""


async def test_every_metric_that_the_guides_name_is_there_and_moves(
    bank: Service, admin: httpx.AsyncClient
) -> None:
    await admin.post("/v1/memories", json={"content": "x"})
    text = await scrape(bank)
    for name in GUIDES:
        values = [
            float(line.rsplit(" ", 1)[1])
            for line in text.splitlines()
            if line.startswith((f"{name} ", f"{name}{{"))
        ]
        assert max(values, default=0) > 0, name
    assert await value(bank, "active_connections") == 0


async def test_what_a_guide_names_as_prometheus_cannot_is_there_by_a_better_name(
    bank: Service, admin: httpx.AsyncClient
) -> None:
    await admin.post("/v1/memories", json={"content": "x"})
    await admin.post("/v1/search", json={"query": "y"})
    bank.telemetry.embedded(hits=1, misses=2)  # as the engine's cache of vectors does
    page = (ROOT / "docs/service/observability.md").read_text()
    for theirs, ours in BETTER.items():
        assert await value(bank, ours) > 0
        assert f"`{theirs}`" in page
        assert ours.partition("{")[0].removesuffix("_count") in page


async def test_tenants_are_counted_by_name_up_to_a_number(
    bank: Service, admin: httpx.AsyncClient
) -> None:
    await admin.get("/v1/memories")
    await admin.get("/v1/memories/none")
    asked = "memorybank_tenant_requests_total"
    assert await value(bank, f'{asked}{{outcome="ok",tenant="default"}}') == 1
    assert await value(bank, f'{asked}{{outcome="refused",tenant="default"}}') == 1
    for number in range(300):
        bank.telemetry.tenant_asked(f"tenant-{number}", status=200)
    series = [line for line in (await scrape(bank)).splitlines() if line.startswith(f"{asked}{{")]
    assert len(series) <= 102
    assert await value(bank, f'{asked}{{outcome="ok",tenant="(others)"}}') == 201


async def test_the_size_of_the_store_is_told(bank: Service) -> None:
    assert await value(bank, 'memorybank_database_bytes{file="database"}') > 0
    free = await value(bank, "memorybank_disk_free_bytes")
    assert 0 < free <= await value(bank, "memorybank_disk_total_bytes")
    assert await value(bank, "memorybank_database_connections") >= 4
    assert await value(bank, "memorybank_schema_version") >= 4
