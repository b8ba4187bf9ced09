"""Consolidation through HTTP: what the routes show, take and refuse."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.app.http.test_encryption import a_ring, encrypted, files_of
from tests.support.service import Service, service

LONG = "the gate of the shop asks the time server in Lund once a minute for its clock"
SHORT = "gate of the shop asks the time server in Lund once a minute for clock"
RUNS = "/v1/consolidation/runs"
MERGE: dict[str, Any] = {"jobs": ["merge_duplicates"]}


@pytest.fixture
async def tidy(tmp_path: Path) -> AsyncIterator[Service]:
    async with service(tmp_path, consolidation={"similarity": 0.8}) as bank:
        yield bank


async def two(admin: httpx.AsyncClient) -> list[str]:
    made = [await admin.post("/v1/memories", json={"content": each}) for each in (LONG, SHORT)]
    return [each.json()["id"] for each in made]


async def test_a_run_is_foreseen_done_listed_shown_and_undone(tidy: Service) -> None:
    async with tidy.client(tidy.admin_key) as admin:
        kept, short = await two(admin)
        told = (await admin.post(RUNS, json={**MERGE, "dry_run": True})).json()
        assert (told["dry_run"], told["steps"]) == (True, [{"kept": kept, "archived": [short]}])
        assert (await admin.get(RUNS)).json() == {"runs": []}
        [done] = (await admin.post(RUNS, json=MERGE)).json()["runs"]
        assert (done["status"], done["kept"], done["archived"]) == ("done", 1, 1)
        assert (await admin.get(f"{RUNS}/{done['id']}")).json() == done
        assert (await admin.get(f"{RUNS}?job=merge_duplicates")).json()["runs"] == [done]
        assert (await admin.get(f"{RUNS}?job=archive_decisions")).json()["runs"] == []
        [listed] = (await admin.get("/v1/memories?state=archived")).json()["memories"]
        assert listed["id"] == short
        undone = (await admin.post(f"{RUNS}/{done['id']}/undo")).json()
        assert undone == {"id": done["id"], "status": "undone", "restored": 1, "left": 0}
        assert (await admin.post(f"{RUNS}/{done['id']}/undo")).status_code == 409
        assert (await admin.get("/v1/memories")).json()["total"] == 2
        text = (await tidy.telemetry.exposition(tidy.engine.store, tidy.engine.index)).decode()
    assert 'memorybank_consolidation_runs_total{job="merge_duplicates",result="done"} 1.0' in text
    assert 'memorybank_consolidation_archived_total{job="merge_duplicates"} 1.0' in text


async def test_all_jobs_run_when_none_is_named_and_each_once(tidy: Service) -> None:
    async with tidy.client(tidy.admin_key) as admin:
        runs = (await admin.post(RUNS, json={})).json()["runs"]
        assert [run["job"] for run in runs] == [
            "compress_handoffs", "archive_decisions", "merge_duplicates",
        ]  # fmt: skip
        body = {"jobs": ["archive_decisions", "archive_decisions"]}
        assert len((await admin.post(RUNS, json=body)).json()["runs"]) == 1
        jobs = (await admin.get("/v1/consolidation/jobs")).json()
        assert (jobs["enabled"], jobs["schedule"]) == (False, "30 3 * * *")
        assert [job["next_run"] for job in jobs["jobs"]] == [None] * 3
        assert jobs["jobs"][0]["last_run"]["status"] == "done"
        status = (await admin.get("/scheduler_status")).json()
        assert [job["id"] for job in status["jobs"]][1:] == [
            "compress_handoffs_job", "archive_decisions_job", "merge_duplicates_job",
        ]  # fmt: skip
        assert status["jobs"][1]["last_result"] == "done"


async def test_what_is_wrong_is_named(tidy: Service) -> None:
    async with tidy.client(tidy.admin_key) as admin:
        refused = await admin.post(RUNS, json={"jobs": ["sleep"]})
        assert (refused.status_code, refused.json()["error"]["field"]) == (422, "jobs.0")
        assert (await admin.post(RUNS, json={"jobs": []})).status_code == 422
        for path in (f"{RUNS}/unknown", f"{RUNS}?limit=0"):
            assert (await admin.get(path)).status_code in (404, 422)
        assert (await admin.post(f"{RUNS}/unknown/undo")).status_code == 404


async def test_readers_may_look_but_not_run(tidy: Service) -> None:
    async with tidy.client(await tidy.key("readonly")) as reader:
        assert (await reader.post(RUNS, json={"dry_run": True})).status_code == 200
        assert (await reader.post(RUNS, json={})).status_code == 403
        assert (await reader.post(f"{RUNS}/x/undo")).status_code == 403


async def test_an_encrypted_bank_is_consolidated_and_says_nothing_in_clear(tmp_path: Path) -> None:
    settings = {"consolidation": {"similarity": 0.8}, **encrypted(tmp_path, a_ring())}
    folder = tmp_path / "bank"
    async with service(folder, **settings) as bank, bank.client(bank.admin_key) as admin:
        kept, short = await two(admin)
        await admin.patch(f"/v1/memories/{short}", json={"tags": ["Quuxtag"]})
        [done] = (await admin.post(RUNS, json=MERGE)).json()["runs"]
        assert (done["status"], done["archived"]) == ("done", 1)
        whole = (await admin.get(f"/v1/memories/{kept}")).json()
        assert (whole["content"], whole["tags"]) == (LONG, ["Quuxtag"])
        clear = [name for name, data in files_of(folder).items() if b"Lund" in data]
        clear += [name for name, data in files_of(folder).items() if b"Quux" in data]
        assert clear == []
    async with service(folder, **settings) as bank, bank.client(bank.admin_key) as admin:
        undone = await admin.post(f"{RUNS}/{done['id']}/undo")
        assert (undone.json()["restored"], undone.json()["left"]) == (2, 0)
        assert (await admin.get(f"/v1/memories/{kept}")).json()["tags"] == []
        assert (await admin.get(f"/v1/memories/{short}")).json()["state"] == "live"
