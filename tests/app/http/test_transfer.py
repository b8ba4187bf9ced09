"""Export and import through the REST interface, on the real store."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memorybank.ports import Kept
from memorybank.schemas import transfer
from memorybank.schemas.transfer import MAX_LINE_BYTES
from tests.support.memory_samples import a_memory
from tests.support.service import Service, service
from tests.support.word_embedder import WordEmbedder

pytestmark = pytest.mark.slow

NDJSON = {"Content-Type": "application/x-ndjson"}


@asynccontextmanager
async def another(folder: Path, embedder: Any = None) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        service(folder, embedder=embedder) as running,
        running.client(running.admin_key) as client,
    ):
        yield client


async def store(client: httpx.AsyncClient, *contents: str, **fields: Any) -> list[dict[str, Any]]:
    answers = [
        await client.post("/v1/memories", json={"content": each, **fields}) for each in contents
    ]
    assert all(answer.status_code == 201 for answer in answers)
    return [answer.json() for answer in answers]


async def exported(client: httpx.AsyncClient, **query: Any) -> bytes:
    answer = await client.get("/v1/export", params=query)
    assert answer.status_code == 200, answer.text
    return answer.content


async def imported(client: httpx.AsyncClient, file: bytes, **query: Any) -> dict[str, Any]:
    answer = await client.post("/v1/import", content=file, params=query, headers=NDJSON)
    assert answer.status_code == 200, answer.text
    report: dict[str, Any] = answer.json()
    return report


async def refused(client: httpx.AsyncClient, file: bytes, **query: Any) -> dict[str, Any]:
    answer = await client.post("/v1/import", content=file, params=query, headers=NDJSON)
    assert answer.status_code == 422, answer.text
    error: dict[str, Any] = answer.json()["error"]
    return error


async def listed(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    memories: list[dict[str, Any]] = (
        await client.get("/v1/memories", params={"limit": 200})
    ).json()["memories"]
    return memories


def lines(file: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.splitlines()]


def sealed(rows: list[dict[str, Any]]) -> bytes:
    """Write lines with an end line that fits them."""
    body = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    counts: dict[str, int] = {}
    for row in rows[1:]:
        counts[row["kind"]] = counts.get(row["kind"], 0) + 1
    end = {
        "kind": "end",
        "lines": len(rows) + 1,
        "counts": counts,
        "sha256": hashlib.sha256(body).hexdigest(),
    }
    return body + json.dumps(end).encode() + b"\n"


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("embeddings", [False, True])
async def test_what_one_bank_exports_another_imports_whole(
    admin: httpx.AsyncClient, tmp_path: Path, *, compressed: bool, embeddings: bool
) -> None:
    await store(
        admin,
        "The cat is called Ada.",
        "Ünïcödé 記憶 🧠\nsecond line",
        title="T",
        tags=["a", "b"],
        metadata={"deep": [1, {"x": None}]},
        type="decision",
        occurred_at="2026-03-01T12:00:00.123456Z",
    )
    file = await exported(admin, gzip=compressed, embeddings=embeddings)
    if compressed:
        assert len(lines(gzip.decompress(file))) == 6
    async with another(tmp_path / "other") as other:
        report = await imported(other, file)
        assert (report["added"], report["refused"]) == (2, 0)
        assert report["embedded"] == (0 if embeddings else 2)
        assert await listed(other) == await listed(admin)
        found = (await other.post("/v1/search", json={"query": "name of the cat Ada"})).json()
    assert found["results"][0]["memory"]["content"] == "The cat is called Ada."


async def test_the_end_line_counts_and_hashes_what_comes_before_it(
    admin: httpx.AsyncClient,
) -> None:
    await store(admin, "one", "two", "three")
    file = await exported(admin)
    *_, last = file.splitlines(keepends=True)
    end = json.loads(last)
    assert end["counts"] == {"tenant": 1, "key": 1, "memory": 3}
    assert end["lines"] == len(lines(file))
    assert end["sha256"] == hashlib.sha256(file[: -len(last)]).hexdigest()


async def test_an_export_holds_no_key_and_no_digest(
    bank: Service, admin: httpx.AsyncClient
) -> None:
    key = (await admin.post("/v1/admin/keys", json={"name": "ci", "role": "readonly"})).json()
    file = (await exported(admin)).decode()
    assert '"name":"ci"' in file
    for secret in (bank.admin_key, key["key"]):
        assert secret not in file
        assert hashlib.sha256(secret.encode()).hexdigest() not in file


async def test_the_same_file_twice_changes_nothing(
    admin: httpx.AsyncClient, tmp_path: Path
) -> None:
    await store(admin, *[f"memory {number}" for number in range(300)])
    file = await exported(admin)
    async with (
        service(tmp_path / "other") as running,
        running.client(running.admin_key) as other,
    ):
        assert (await imported(other, file))["added"] == 300
        before = await running.engine.store.stats()
        again = await imported(other, file, existing="replace")
        assert (again["added"], again["unchanged"], again["replaced"]) == (0, 300, 0)
        assert await running.engine.store.stats() == before


async def test_a_cut_file_keeps_what_came_before_and_goes_on_when_sent_again(
    admin: httpx.AsyncClient, tmp_path: Path
) -> None:
    await store(admin, *[f"memory {number}" for number in range(20)])
    file = await exported(admin)
    cut = b"".join(file.splitlines(keepends=True)[:12])
    async with another(tmp_path / "other") as other:
        error = await refused(other, cut)
        assert "cut after line 12; 9 memories" in error["message"]
        assert len(await listed(other)) == 9
        report = await imported(other, file)
        assert (report["unchanged"], report["added"]) == (9, 11)
        assert await listed(other) == await listed(admin)


async def test_a_connection_that_breaks_leaves_whole_batches_and_no_lock(
    admin: httpx.AsyncClient, tmp_path: Path
) -> None:
    await store(admin, *[f"memory {number}" for number in range(20)])
    file = await exported(admin)

    messages = [
        {"type": "http.request", "body": file[: len(file) // 2], "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Any:
        return messages.pop(0)

    async def send(_message: Any) -> None:
        """Nobody is there any more."""

    async with service(tmp_path / "other") as running:
        key = running.admin_key
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v1/import",
            "raw_path": b"/v1/import",
            "query_string": b"",
            "headers": [
                (b"host", b"localhost"),
                (b"authorization", f"Bearer {key}".encode()),
                (b"content-type", b"application/x-ndjson"),
            ],
        }
        await running.application.asgi(scope, receive, send)
        async with running.client(key) as other:
            report = await imported(other, file)
    assert report["added"] + report["unchanged"] == 20


async def test_a_changed_file_is_noticed(admin: httpx.AsyncClient, tmp_path: Path) -> None:
    await store(admin, "the price is 100")
    file = (await exported(admin)).replace(b"price is 100", b"price is 900")
    async with another(tmp_path / "other") as other:
        assert "not those that the end line tells of" in (await refused(other, file))["message"]


async def test_the_compressed_stream_is_checked(admin: httpx.AsyncClient) -> None:
    file = await exported(admin, gzip=True)
    assert "ends too early" in (await refused(admin, file[:-6]))["message"]
    # Behind the header of ten bytes, a block of a type that does not exist.
    assert "damaged" in (await refused(admin, file[:10] + b"\xff" * 40))["message"]


async def test_a_bomb_is_refused_in_bounded_memory(admin: httpx.AsyncClient) -> None:
    bomb = gzip.compress(b"0" * (MAX_LINE_BYTES * 16))
    assert "longer than" in (await refused(admin, bomb))["message"]


async def test_a_memory_that_says_something_else_is_kept_and_told_of(
    admin: httpx.AsyncClient,
) -> None:
    [memory] = await store(admin, "old")
    file = await exported(admin)
    await admin.patch(f"/v1/memories/{memory['id']}", json={"content": "new"})
    report = await imported(admin, file)
    assert (report["kept"], report["problems"][0]["line"]) == (1, 4)
    assert (await listed(admin))[0]["content"] == "new"
    report = await imported(admin, file, existing="replace")
    assert report["replaced"] == 1
    assert (await listed(admin))[0]["content"] == "old"
    found = (await admin.post("/v1/search", json={"query": "old"})).json()
    assert found["results"][0]["memory"]["id"] == memory["id"]


async def test_each_wrong_line_is_refused_with_its_number_and_the_rest_goes_in(
    admin: httpx.AsyncClient, tmp_path: Path
) -> None:
    await store(admin, "good")
    header, _tenant, _key, good, _end = lines(await exported(admin))

    def wrong(**fields: Any) -> dict[str, Any]:
        return good | {"memory": good["memory"] | fields}

    bad: list[dict[str, Any]] = [
        wrong(content=""),
        wrong(importance=7),
        wrong(colour="red"),
        wrong(created_at="yesterday"),
        wrong(tenant="someone-else"),
        good | {"vector": "AAAA"},
        {"kind": "riddle"},
        {"kind": "memory"},
    ]
    async with another(tmp_path / "other") as other:
        report = await imported(other, sealed([header, *bad, good]))
        assert (report["refused"], report["added"]) == (len(bad), 1)
        assert [each["line"] for each in report["problems"]] == list(range(2, 2 + len(bad)))
        assert report["problems"][0]["field"] == "memory.memory.content"
        assert all(each["message"] for each in report["problems"])
        assert len(await listed(other)) == 1


async def test_a_dry_run_tells_and_changes_nothing(
    admin: httpx.AsyncClient, tmp_path: Path
) -> None:
    await store(admin, "one", "two")
    file = await exported(admin)
    async with another(tmp_path / "other") as other:
        report = await imported(other, file, dry_run=True)
        assert (report["dry_run"], report["added"]) == (True, 2)
        assert await listed(other) == []


async def test_a_part_needs_no_end_and_tells_numbers_of_the_whole_file(
    admin: httpx.AsyncClient, tmp_path: Path
) -> None:
    await store(admin, "one", "two")
    rows = (await exported(admin)).splitlines(keepends=True)
    part = rows[0] + rows[4] + b"{}\n"
    async with another(tmp_path / "other") as other:
        report = await imported(other, part, part=True, first_line=5)
        assert (report["added"], report["problems"][0]["line"]) == (1, 6)


async def test_vectors_of_another_model_are_made_anew(
    admin: httpx.AsyncClient, tmp_path: Path
) -> None:
    class OtherWords(WordEmbedder):
        model = "other-words-64"

    await store(admin, "the red house")
    file = await exported(admin)
    async with another(tmp_path / "other", OtherWords()) as other:
        assert (await imported(other, file))["embedded"] == 1


async def test_files_that_are_no_export_are_refused_with_a_cure(admin: httpx.AsyncClient) -> None:
    header = {"kind": "header", "format": "memory-bank", "version": 1, "tenants": ["default"]}
    for file in (b"", b"hello", b"{}", b'{"kind": "end"}', b"\xff\xfe", b"[1]\n", b"\x1f"):
        error = await refused(admin, file)
        assert "not the header" in error["message"]
        assert error["hint"]
    newer = json.dumps(header | {"version": 99}).encode()
    assert "version 99" in (await refused(admin, newer))["message"]
    several = json.dumps(header | {"tenants": ["a", "b"]}).encode()
    assert (await refused(admin, several))["field"] == "all_tenants"
    whole = await exported(admin)
    assert "comes after the end line" in (await refused(admin, whole + whole))["message"]
    two = whole.splitlines(keepends=True)
    assert "second header" in (await refused(admin, two[0] + two[0]))["message"]


async def test_only_administrators_export_and_import(bank: Service) -> None:
    async with bank.client(await bank.key("developer")) as client:
        assert (await client.get("/v1/export")).status_code == 403
        answer = await client.post("/v1/import", content=b"{}", headers=NDJSON)
        assert answer.status_code == 403


async def test_an_administrator_of_a_tenant_gets_and_gives_that_tenant_alone(
    bank: Service, admin: httpx.AsyncClient, tmp_path: Path
) -> None:
    await admin.post("/v1/admin/tenants", json={"name": "acme", "max_memories": 7})
    made = {"name": "a", "role": "admin", "tenant": "acme"}
    key = (await admin.post("/v1/admin/keys", json=made)).json()["key"]
    await store(admin, "of the default tenant")
    async with bank.client(key) as acme:
        await store(acme, "of acme")
        assert (await acme.get("/v1/export", params={"all_tenants": True})).status_code == 403
        own = await exported(acme)
        assert b"of the default tenant" not in own
        # A file of another tenant becomes the caller's: moving between banks needs no same names.
        assert (await imported(acme, await exported(admin)))["added"] == 1
        assert {each["content"] for each in await listed(acme)} == {
            "of acme",
            "of the default tenant",
        }
    whole = await exported(admin, all_tenants=True)
    assert len(await listed(admin)) == 1
    async with another(tmp_path / "other") as other:
        assert (await refused(other, whole))["field"] == "all_tenants"
        assert (await imported(other, whole, all_tenants=True))["added"] == 3
        tenants = (await other.get("/v1/admin/tenants")).json()["tenants"]
    assert {(each["name"], each["memories"], each["max_memories"]) for each in tenants} == {
        ("acme", 2, 7),
        ("default", 1, None),
    }


async def test_memories_of_a_tenant_without_a_line_get_their_tenant(
    admin: httpx.AsyncClient, tmp_path: Path
) -> None:
    await store(admin, "of nobody known")
    rows = lines(await exported(admin))
    header, memory = rows[0], next(row for row in rows if row["kind"] == "memory")
    header["tenants"], memory["memory"]["tenant"] = ["default", "acme"], "acme"
    async with another(tmp_path / "other") as other:
        assert (await imported(other, sealed([header, memory]), all_tenants=True))["added"] == 1
        tenants = (await other.get("/v1/admin/tenants")).json()["tenants"]
        assert {(each["name"], each["memories"]) for each in tenants} >= {("acme", 1)}


async def test_a_quota_refuses_line_by_line(admin: httpx.AsyncClient, bank: Service) -> None:
    await store(admin, "one", "two", "three")
    file = await exported(admin)
    await admin.post("/v1/admin/tenants", json={"name": "small", "max_memories": 2})
    made = {"name": "a", "role": "admin", "tenant": "small"}
    key = (await admin.post("/v1/admin/keys", json=made)).json()["key"]
    async with bank.client(key) as small:
        report = await imported(small, file)
    assert (report["added"], report["refused"]) == (2, 1)
    assert report["problems"][0]["code"] == "quota_exceeded"


async def test_an_export_is_of_one_moment(bank: Service, admin: httpx.AsyncClient) -> None:
    embedder = WordEmbedder()
    items = [a_memory(f"memory {number}", tenant="default") for number in range(1200)]
    vectors = await embedder.embed([each.content for each in items])
    pairs = [Kept(each, vector) for each, vector in zip(items, vectors, strict=True)]
    await bank.engine.store.transfer.put_many(pairs, replace=False)
    async with bank.engine.store.transfer.snapshot("default") as snapshot:
        first = await snapshot.memories(after=0, limit=500)
        for each in items[600:]:
            await bank.engine.store.delete("default", each.id)
        await store(admin, "later")
        rest = await snapshot.memories(after=first[-1].position, limit=5_000)
        assert [each.memory for each in first + rest] == items


async def test_exports_beyond_the_limit_are_told_to_wait(
    bank: Service, admin: httpx.AsyncClient
) -> None:
    async with bank.engine.store.transfer.snapshot(None):
        answers = await asyncio.gather(*(admin.get("/v1/export") for _ in range(12)))
    assert {answer.status_code for answer in answers} <= {200, 503}
    assert (await admin.get("/v1/export")).status_code == 200


def test_every_field_of_a_memory_is_in_the_format() -> None:
    memory = a_memory("x")
    line = json.loads(transfer.MEMORIES.dump_json(memory))
    assert set(line) == set(transfer.MemoryRecord.model_fields)
    read = transfer.LINES.validate_json(json.dumps({"kind": "memory", "memory": line}))
    assert isinstance(read, transfer.MemoryLine)
    assert read.to_memory(None) == memory


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(noise=st.binary(max_size=200), after_header=st.booleans())
async def test_no_bytes_break_an_import(
    admin: httpx.AsyncClient, noise: bytes, *, after_header: bool
) -> None:
    header = {"kind": "header", "format": "memory-bank", "version": 1, "tenants": ["default"]}
    head = json.dumps(header).encode() + b"\n" if after_header else b""
    answer = await admin.post("/v1/import", content=head + noise, headers=NDJSON)
    assert answer.status_code in (200, 422)


async def test_history_state_and_links_come_along(admin: httpx.AsyncClient, tmp_path: Path) -> None:
    one, two, gone = await store(admin, "first words", "the other one", "thrown away")
    path = f"/v1/memories/{one['id']}"
    await admin.patch(path, json={"content": "second words"})
    await admin.patch(path, json={"content": "third words"})
    assert (await admin.post(f"{path}/pin", json={})).status_code == 200
    edge = {"target": two["id"], "type": "supports"}
    assert (await admin.post(f"{path}/links", json=edge)).status_code == 201
    assert (await admin.delete(f"/v1/memories/{gone['id']}")).status_code == 204
    file = await exported(admin)
    assert lines(file)[-1]["counts"] == {
        "tenant": 1,
        "key": 1,
        "memory": 3,
        "revision": 2,
        "link": 1,
    }
    async with another(tmp_path / "other") as other:
        report = await imported(other, file)
        assert (report["history"], report["links"], report["refused"]) == (2, 1, 0)
        for ask in (f"{path}/history", f"{path}/links", path):
            assert _without_use(await other.get(ask)) == _without_use(await admin.get(ask))
        assert await listed(other) == await listed(admin)
        restored = await other.post(f"/v1/memories/{gone['id']}/restore", json={})
        assert restored.json()["content"] == "thrown away"
        again = await imported(other, file)
        assert (again["history"], again["links"], again["added"]) == (0, 0, 0)
        rolled = await other.post(f"{path}/rollback", json={"revision": 1})
        assert rolled.json()["content"] == "first words"


async def test_history_and_links_without_their_memories_are_refused(
    admin: httpx.AsyncClient, tmp_path: Path
) -> None:
    one, two = await store(admin, "first words", "the other one")
    await admin.patch(f"/v1/memories/{one['id']}", json={"content": "second words"})
    edge = {"target": two["id"], "type": "supports"}
    await admin.post(f"/v1/memories/{one['id']}/links", json=edge)
    rows = [each for each in lines(await exported(admin)) if each["kind"] != "end"]
    kept = [each for each in rows if each["kind"] != "memory"]
    async with another(tmp_path / "other") as other:
        report = await imported(other, sealed(kept))
        assert (report["refused"], report["history"], report["links"]) == (2, 0, 0)


def _without_use(answer: httpx.Response) -> Any:
    assert answer.status_code == 200
    value = answer.json()
    return {name: value[name] for name in value if name not in ("accessed_at", "access_count")}
