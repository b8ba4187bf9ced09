"""What holds for memories holds for each kind: export and import, encryption, forgetting, walls."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memorybank.domain.memory import MemoryType
from tests.app.http.test_encryption import a_ring, encrypted, files_of
from tests.app.http.test_life import refusal
from tests.app.http.test_tenants import key_of, make_tenant
from tests.app.http.test_transfer import exported, imported, lines, sealed
from tests.app.http.test_work import THINGS, kept
from tests.support.details_strategies import details_of
from tests.support.service import Service, service

pytestmark = pytest.mark.slow

# An edit is stored by its own routes and by imports alone: see _EDITS.
_KINDS = st.sampled_from([kind for kind in MemoryType if kind is not MemoryType.EDIT])
_MEMORIES = st.lists(
    _KINDS.flatmap(lambda kind: st.tuples(st.just(kind), details_of(kind))),
    min_size=1,
    max_size=6,
)


_WORDS = st.text(
    st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=20
)
# Which memory, what it is to say, what is decided in which order.
_EDITS = st.lists(
    st.tuples(
        st.integers(0, 5),
        _WORDS,
        st.sampled_from([(), ("reject",), ("approve",), ("approve", "roll-back")]),
    ),
    max_size=4,
)
_LINKS = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 5), st.sampled_from(["supports", "related_to"])),
    max_size=4,
)
_COUNTS = st.none() | st.integers(0, 2**53 - 1)
_STEPS = st.fixed_dictionaries(
    {"tool": st.sampled_from(["edit", "test", "push"])},
    optional={
        "action": _WORDS,
        "error": _WORDS,
        "latency_ms": _COUNTS,
        "tokens": _COUNTS,
        "observation": _WORDS,
    },
)
_EPISODES = st.lists(st.lists(_STEPS, max_size=4), max_size=2)


def told(file: bytes) -> list[dict[str, Any]]:
    """Return what a file says of memories, their history, links and steps, whosever they are."""
    return [whosever(line) for line in lines(file) if line["kind"] in _TOLD]


_TOLD = ("memory", "revision", "link", "step")


def whosever(line: dict[str, Any]) -> dict[str, Any]:
    if "memory" in line:
        return {**line, "memory": {**line["memory"], "tenant": None}}
    return {**line, "tenant": None}


async def posted(client: httpx.AsyncClient, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = await client.post(path, json=body)
    assert answer.status_code < 300, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


@settings(max_examples=25, suppress_health_check=list(HealthCheck), deadline=None)
@given(given_memories=_MEMORIES, edits=_EDITS, links=_LINKS, episodes=_EPISODES)
async def test_every_kind_goes_from_one_tenant_to_another_whole(
    bank: Service,
    given_memories: list[tuple[MemoryType, dict[str, Any]]],
    edits: list[tuple[int, str, tuple[str, ...]]],
    links: list[tuple[int, int, str]],
    episodes: list[list[dict[str, Any]]],
) -> None:
    async with bank.client(bank.admin_key) as admin:
        names = [f"{way}-{uuid.uuid4().hex}" for way in ("from", "to")]
        for name in names:
            await make_tenant(admin, name)
        keys = [await key_of(admin, name) for name in names]
        async with bank.client(keys[0]) as source, bank.client(keys[1]) as target:
            ids: list[str] = []
            for kind, details in given_memories:
                body = {"content": "x", "type": kind, "details": details, "deduplicate": False}
                stored = await posted(source, "/v1/memories", body)
                assert stored["type"] == kind
                ids.append(stored["id"])
            proposals = []
            for which, says, decisions in edits:
                body = {"memory": ids[which % len(ids)], "patch": {"title": says}, "reason": says}
                proposals.append(await posted(source, "/v1/edits", body))
                for decision in decisions if which < len(ids) else ():
                    path = f"/v1/edits/{proposals[-1]['id']}/{decision}"
                    answer = await source.post(path)
                    assert answer.status_code in (200, 409), answer.text
            for one, two, link in links:
                if one % len(ids) != two % len(ids):
                    path = f"/v1/memories/{ids[one % len(ids)]}/links"
                    await posted(source, path, {"target": ids[two % len(ids)], "type": link})
            for steps in episodes:
                episode = await posted(source, "/v1/episodes", {"content": "Mend it"})
                if steps:
                    path = f"/v1/episodes/{episode['id']}/steps"
                    await posted(source, path, {"steps": steps})
            file = await exported(source)
            made = len(ids) + len(proposals) + len(episodes)
            report = await imported(target, file)
            assert (report["added"], report["refused"]) == (made, 0)
            assert told(await exported(target)) == told(file)
            assert report["steps"] == sum(map(len, episodes))
            again = await imported(source, await exported(target))
            went = sum(report[each] for each in ("added", "history", "links", "steps"))
            assert (again["unchanged"], again["kept"]) == (went, 0)
        for name in names:
            path = f"/v1/admin/tenants/{name}"
            assert (await admin.delete(path, params={"with_data": True})).status_code < 300


async def test_what_is_stored_is_counted_by_its_type(bank: Service) -> None:
    async with bank.client(bank.admin_key) as admin:
        await kept(admin, "handoffs", learned="The clock was off")
        note = await kept(admin, "notes", content="The heron lives here")
        await posted(admin, "/v1/memories", {"content": "The heron lives here", "type": "note"})
        successor = {"memory": {"content": "The heron lives there"}}
        await posted(admin, f"/v1/memories/{note}/supersede", successor)
        await posted(admin, "/v1/edits", {"memory": note, "patch": {"title": "x"}, "reason": "y"})
    shown = (await bank.telemetry.exposition(bank.engine.store, bank.engine.index)).decode()
    counted = [line for line in shown.splitlines() if "memories_stored_total{" in line]
    assert sorted(counted) == [
        'memorybank_memories_stored_total{type="edit"} 1.0',
        'memorybank_memories_stored_total{type="handoff"} 1.0',
        'memorybank_memories_stored_total{type="note"} 2.0',
    ]


async def test_a_session_comes_along_with_its_state_its_log_and_its_history(
    admin: httpx.AsyncClient, tmp_path: Path
) -> None:
    session = await kept(admin, "sessions", title="Mend it")
    await admin.post(f"/v1/sessions/{session}/log", json={"content": "Mended"})
    await admin.post(f"/v1/sessions/{session}/pause")
    await admin.post(f"/v1/sessions/{session}/complete", json={"outcome": "It works"})
    file = await exported(admin)
    async with service(tmp_path / "other") as other, other.client(other.admin_key) as client:
        await imported(client, file)
        assert told(await exported(client)) == told(file)
        assert (await client.get(f"/v1/sessions/{session}/log")).json()["total"] == 1
        late = await client.post(f"/v1/sessions/{session}/log", json={"content": "Late"})
        await refusal(late, 409)


async def test_a_line_with_details_that_are_none_of_its_type_is_refused(
    admin: httpx.AsyncClient,
) -> None:
    session = await kept(admin, "sessions", title="Mend it")
    await admin.post(f"/v1/sessions/{session}/pause")
    rows = lines(await exported(admin))[:-1]
    for row in rows:
        if row["kind"] in ("memory", "revision"):
            row["memory"]["details"]["status"] = "asleep"
    report = await imported(admin, sealed(rows), existing="replace")
    assert report["refused"] == 2
    assert {each["field"] for each in report["problems"]} == {"memory.details.status"}


async def test_no_text_of_any_kind_is_in_a_file_of_an_encrypted_bank(tmp_path: Path) -> None:
    folder = tmp_path / "bank"
    async with (
        service(folder, **encrypted(tmp_path, a_ring())) as bank,
        bank.client(bank.admin_key) as admin,
    ):
        session = await kept(admin, "sessions", title="Quuxsession", description="Quuxgoal")
        path = f"/v1/sessions/{session}"
        entry = {"content": "Quuxentry", "payload": {"Quuxkey": "Quuxvalue"}}
        assert (await admin.post(f"{path}/log", json=entry)).status_code == 201
        await admin.post(f"{path}/complete", json={"outcome": "Quuxoutcome"})
        await kept(admin, "decisions", content="Quuxwhat", rationale="Quuxwhy")
        capsule = await kept(admin, "capsules", content="Quuxword", audience=["Quuxreader"])
        task = await kept(admin, "tasks", title="Quuxtask", assignee="Quuxworker")
        other = await kept(admin, "tasks", title="Quuxother", depends_on=[task])
        await admin.post(f"/v1/tasks/{task}/block", json={"reason": "Quuxreason"})
        for query, wanted_ids in (
            ({"assignee": "Quuxworker"}, [task]),
            ({"blocked": True}, [other, task]),
            ({"blocked": False}, []),
        ):
            found = (await admin.get("/v1/tasks", params=query)).json()["memories"]
            assert [each["id"] for each in found] == wanted_ids
        await kept(admin, "handoffs", learned="Quuxlesson", with_whom="Quuxfriend")
        last = await admin.get("/v1/handoffs/last", params={"with_whom": "Quuxfriend"})
        assert last.json()["content"] == "Learned: Quuxlesson"
        for_reader = await admin.get("/v1/capsules", params={"audience": "Quuxreader"})
        assert [each["id"] for each in for_reader.json()["memories"]] == [capsule]
        for status, wanted in (("completed", 1), ("active", 0)):
            listed = await admin.get("/v1/sessions", params={"status": status})
            assert listed.json()["total"] == wanted
        while_running = files_of(folder)
    for files in (while_running, files_of(folder)):
        assert [name for name, data in files.items() if b"Quux" in data] == []


@pytest.mark.parametrize("kind", THINGS)
async def test_one_tenant_knows_nothing_of_the_things_of_another(bank: Service, kind: str) -> None:
    async with bank.client(bank.admin_key) as admin:
        thing = await kept(admin, kind, **THINGS[kind])
        await make_tenant(admin, "acme")
        key = await key_of(admin, "acme")
    async with bank.client(key) as stranger:
        assert (await stranger.get(f"/v1/{kind}")).json()["total"] == 0
        assert (await stranger.get(f"/v1/{kind}/{thing}")).status_code == 404
        assert (await stranger.post(f"/v1/{kind}", json=THINGS[kind])).status_code == 201
        if kind == "sessions":
            path = f"/v1/sessions/{thing}"
            assert (await stranger.post(f"{path}/pause")).status_code == 404
            entry = await stranger.post(f"{path}/log", json={"content": "x"})
            assert entry.status_code == 404


@pytest.mark.parametrize("kind", THINGS)
async def test_what_a_thing_holds_is_looked_at_by_the_write_gate(
    admin: httpx.AsyncClient, kind: str
) -> None:
    secret = "AKIA" + "QWERTYUIOPASDFGH"  # looks like a key of AWS
    field = dict.fromkeys(("projects", "sessions", "tasks"), "description").get(kind, "content")
    body = THINGS[kind] | {field: f"The key is {secret}, keep it"}
    answer = await admin.post(f"/v1/{kind}", json=body)
    assert answer.status_code == 201, answer.text
    assert secret not in answer.text
    assert answer.json()["findings"][0]["check"] == "secret"
