"""Probes, and the headers of every answer."""

from __future__ import annotations

import logging
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from memorybank.domain.consolidation.rules import Job, RunStatus
from memorybank.domain.search import Hit
from memorybank.errors import EmbedderUnavailable, StoreUnavailable
from memorybank.ports import ConsolidationRun
from memorybank.services.selftest import INTERNAL_TENANT
from memorybank.stores.sqlite import care
from memorybank.stores.sqlite.connection import migrations
from tests.support.service import Service, service

pytestmark = pytest.mark.slow

STEPS = ["embedder", "store", "search", "delete"]


def statuses(answer: httpx.Response) -> dict[str, str]:
    return {check["name"]: check["status"] for check in answer.json()["checks"]}


async def test_liveness_needs_no_key_and_no_known_host(bank: Service) -> None:
    async with bank.client() as client:
        health, live = [
            await client.get(path, headers={"Host": "10.244.0.7:8080"})
            for path in ("/health", "/live")
        ]
    assert (health.status_code, live.status_code) == (200, 200)
    assert health.json()["status"] == "healthy"
    assert datetime.fromisoformat(health.json()["timestamp"]) <= datetime.now(UTC)
    assert 0 <= health.json()["uptime"] < 60
    assert live.json()["status"] == "alive"
    assert live.json()["pid"] == os.getpid()
    assert live.json()["memory"]["rss"] > 2**20
    assert live.json()["cpu"]["user"] > 0


async def test_ready_proves_every_step(tmp_path: Path) -> None:
    async with service(tmp_path, revision="abc123") as bank, bank.client() as client:
        answer = await client.get("/ready", headers={"Host": "10.244.0.7:8080"})
    assert answer.status_code == 200
    assert answer.json()["status"] == "ready"
    assert answer.json()["revision"] == "abc123"
    assert answer.json()["version"]
    assert answer.json()["schema_version"] == migrations()[-1].version
    disk, free = answer.json()["disk"], shutil.disk_usage(tmp_path).free
    assert 0 < disk["free_bytes"] < disk["total_bytes"]
    assert disk["free_bytes"] == pytest.approx(free, rel=0.1)
    assert statuses(answer) == dict.fromkeys(STEPS, "ok")


async def test_a_service_that_is_not_ready_still_says_how_full_its_disk_is(
    bank: Service, admin: httpx.AsyncClient
) -> None:
    bank.application.readiness.drain()
    answer = await admin.get("/ready")
    assert answer.status_code == 503
    assert answer.json()["disk"]["total_bytes"] > 0


async def test_a_disk_that_does_not_answer_holds_nobody_up(
    bank: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(_folder: Path) -> None:
        raise OSError("stale file handle")

    monkeypatch.setattr(care, "disk_of", gone)
    async with bank.client() as client:
        answer = await client.get("/ready")
    assert answer.status_code == 200
    assert answer.json()["disk"] is None


async def test_a_job_that_failed_is_told_and_keeps_nobody_from_being_ready(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    run = ConsolidationRun(
        "run-1", "default", Job.MERGE_DUPLICATES, "schedule", now, RunStatus.FAILED,
        ended_at=now, error="no model",
    )  # fmt: skip
    async with service(tmp_path, consolidation={"enabled": True}) as bank:
        await bank.engine.store.consolidation.keep_run(run, at=now)
        async with bank.client() as client:
            answer = await client.get("/ready")
    assert (answer.status_code, answer.json()["status"]) == (200, "ready")
    assert statuses(answer) == dict.fromkeys(STEPS, "ok") | {"consolidation": "degraded"}
    assert answer.json()["checks"][-1]["message"].endswith("failed when it ran last: no model")


async def test_nobody_sees_the_canary(
    bank: Service, admin: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    search = bank.engine.index.search

    async def look_around(tenant: str, *arguments: Any, **options: Any) -> list[Hit]:
        if tenant == INTERNAL_TENANT and not seen:
            seen.append((await admin.get("/v1/memories")).json()["total"])
            found = await admin.post("/v1/search", json={"query": "lighthouse keeper cats"})
            seen.append(len(found.json()["results"]))
        return await search(tenant, *arguments, **options)

    monkeypatch.setattr(bank.engine.index, "search", look_around)
    async with bank.client() as client:
        assert (await client.get("/ready")).status_code == 200
    assert seen == [0, 0]
    assert (await bank.engine.store.stats()).memories == 0


async def test_a_bank_whose_embedder_is_down_takes_and_finds_memories_and_is_ready(
    bank: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def down(_texts: object) -> None:
        raise EmbedderUnavailable("the embedding service does not answer")

    monkeypatch.setattr(bank.engine.embedder, "embed", down)
    async with bank.client() as client:
        answer = await client.get("/ready")
    assert answer.status_code == 200
    assert statuses(answer) == {
        "embedder": "degraded",
        "store": "ok",
        "search": "ok",
        "delete": "ok",
    }
    assert "does not answer" in answer.json()["checks"][0]["message"]


@pytest.mark.parametrize(
    ("part", "method", "error", "failed"),
    [
        ("embedder", "embed", ZeroDivisionError("inside"), "embedder"),
        ("store", "add", StoreUnavailable("the disk is full"), "store"),
        ("index", "search", ZeroDivisionError("inside"), "search"),
        ("store", "delete", StoreUnavailable("the disk is gone"), "delete"),
    ],
)
async def test_a_broken_part_is_named(
    bank: Service,
    monkeypatch: pytest.MonkeyPatch,
    part: str,
    method: str,
    error: Exception,
    failed: str,
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(getattr(bank.engine, part), method, broken)
    async with bank.client() as client:
        answer = await client.get("/ready")
        assert (await client.get("/live")).status_code == 200
    assert answer.status_code == 503
    assert answer.json()["status"] == "not_ready"
    expected = ["ok"] * STEPS.index(failed) + ["failed"]
    expected += ["skipped"] * (len(STEPS) - len(expected))
    assert list(statuses(answer).values()) == expected
    message = answer.json()["checks"][STEPS.index(failed)]["message"]
    assert message == (
        str(error)
        if not isinstance(error, ZeroDivisionError)
        else "failed unexpectedly; the log says more"
    )


async def test_draining_is_unready_and_still_serves(
    bank: Service, admin: httpx.AsyncClient
) -> None:
    bank.application.readiness.drain()
    answer = await admin.get("/ready")
    assert answer.status_code == 503
    assert statuses(answer) == {"lifecycle": "failed"}
    assert (await admin.post("/v1/memories", json={"content": "x"})).status_code == 201


async def test_no_key_is_of_the_internal_tenant(bank: Service, admin: httpx.AsyncClient) -> None:
    await bank.key("admin")
    assert await bank.engine.store.access.list_keys(INTERNAL_TENANT) == []


async def test_every_answer_carries_an_id_and_safe_headers(admin: httpx.AsyncClient) -> None:
    first, second = await admin.get("/health"), await admin.get("/health")
    assert first.headers["x-request-id"] != second.headers["x-request-id"]
    given = await admin.get("/v1/memories", headers={"X-Request-Id": "trace-1.a_b"})
    assert given.headers["x-request-id"] == "trace-1.a_b"
    for bad in ("a b", "x" * 65, "é", "a\tb"):
        answer = await admin.get("/health", headers=[(b"X-Request-Id", bad.encode())])
        assert answer.headers["x-request-id"] != bad
    assert given.headers["cache-control"] == "no-store"
    assert given.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in given.headers["content-security-policy"]


async def test_a_request_is_one_line_without_content_or_key(
    bank: Service, admin: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "memorybank"):
        await admin.post("/v1/memories", json={"content": "a secret wish"})
        await admin.get("/v1/memories/a-private-id")
        await admin.get("/health")
    lines = [record for record in caplog.records if record.message == "request"]
    assert [record.levelname for record in lines] == ["INFO", "INFO", "DEBUG"]
    details = [record.details for record in lines]  # type: ignore[attr-defined]
    assert [line["route"] for line in details] == [
        "/v1/memories",
        "/v1/memories/{id}",
        "/health",
    ]
    assert [line["status"] for line in details] == [201, 404, 200]
    everything = f"{caplog.text} {details}"
    for secret in ("a secret wish", bank.admin_key, "a-private-id"):
        assert secret not in everything
