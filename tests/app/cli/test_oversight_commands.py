"""Forgetting, the audit log and usage, on a server and on a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import apsw
import pytest

from tests.support.server_process import Server

from .conftest import Run

pytestmark = pytest.mark.slow


def answer(run: Run, *arguments: str) -> Any:
    code, out, complaint = run(*arguments, "--output", "json")
    assert code == 0, complaint
    return json.loads(out)


def live(run: Run, *arguments: str) -> list[str]:
    # Not `memory get`: that is a use, which keeps a memory.
    return [each["id"] for each in answer(run, "memory", "list", *arguments)["memories"]]


def test_a_run_is_looked_at_done_listed_and_undone(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "bank"
    data = ["--data", str(folder)]
    name = run("store", "of no use", "--importance", "0", *data)[1].strip()
    connection = apsw.Connection(str(folder / "memory_bank.db"))
    years = 10 * 365 * 86_400 * 1_000_000  # microseconds
    connection.execute(
        "UPDATE memories SET created_at = created_at - ?1, updated_at = updated_at - ?1", (years,)
    )
    connection.close()
    assert run("forget", "runs", *data)[1] == "no run has changed anything\n"
    code, out, _ = run("forget", "run", "--dry-run", *data)
    assert (code, out.startswith("would be forgotten: 1 archived")) == (0, True), out
    assert name in out
    assert live(run, *data) == [name]
    forecasts = answer(run, "forget", "preview", "--days", "2", "--days", "3", *data)["forecasts"]
    assert [(each["days"], each["archived"]) for each in forecasts] == [(2, 1), (3, 1)]
    code, out, _ = run("forget", "run", *data)
    assert (code, out.startswith("forgotten: 1 archived")) == (0, True), out
    assert live(run, *data) == []
    [done] = answer(run, "forget", "runs", *data)["runs"]
    assert f"memorybank forget undo {done['id']} " in out
    assert done["id"] in run("forget", "runs", *data)[1]
    assert run("forget", "undo", done["id"], *data)[:2] == (0, "1 memories restored\n")
    assert live(run, *data) == [name]
    code, _, complaint = run("forget", "undo", done["id"], *data)
    assert (code, "undone already" in complaint) == (1, True)


def test_a_server_tells_its_schedule_and_what_is_ahead(run: Run, remote: list[str]) -> None:
    assert answer(run, "forget", "status", *remote)["enabled"] is False
    assert "grace_days" in run("forget", "status", *remote)[1]
    code, out, _ = run("forget", "preview", *remote)
    assert (code, out.startswith("DAYS "), "switched off" in out) == (0, True, True)
    assert run("forget", "run", *remote)[:2] == (0, "nothing to forget\n")
    code, _, complaint = run("forget", "undo", "a/b", *remote)
    assert (code, "no" in complaint) == (3, True)


def test_the_audit_log_is_listed_by_what_is_asked_for(run: Run, remote: list[str]) -> None:
    names = [run("store", f"audited {each}", *remote)[1].strip() for each in range(3)]
    narrow = ["audit", "list", "--action", "memory.create", *remote]
    newest, second = answer(run, *narrow, "--limit", "2")["records"]
    assert [newest["target"], second["target"]] == [names[2], names[1]]
    code, out, _ = run(*narrow, "--limit", "1")
    assert (code, names[2] in out, "; --limit shows more" in out) == (0, True, True)
    assert len(answer(run, *narrow, "--actor", newest["actor"])["records"]) >= 3
    assert run(*narrow, "--actor", "default/nobody")[1] == "no records\n"


def test_a_log_longer_than_a_page_is_read_over_pages(
    run: Run, server: Server, remote: list[str]
) -> None:
    with server.client() as client:
        for each in range(205):
            stored = client.post("/v1/memories", json={"content": f"one of many: {each}"})
            assert stored.status_code == 201
    narrow = ["audit", "list", "--action", "memory.create", "--limit", "203", *remote]
    records = answer(run, *narrow)["records"]
    assert len({each["seq"] for each in records}) == len(records) == 203


def test_an_exported_log_is_verified(run: Run, remote: list[str], tmp_path: Path) -> None:
    name = run("store", "exported", *remote)[1].strip()
    file = tmp_path / "audit.jsonl"
    code, out, _ = run("audit", "export", str(file), *remote)
    assert (code, f"audit verify {file}" in out) == (0, True), out
    assert name in file.read_text()
    assert run("audit", "verify", str(file))[0] == 0
    assert answer(run, "audit", "export", str(file), *remote)["records"] > 0
    assert run("audit", "export", "-", *remote)[1].startswith('{"')
    nobody = str(tmp_path / "nobody.jsonl")
    code, _, complaint = run("audit", "export", nobody, "--tenant", "nobody", *remote)
    assert code != 0
    assert "there is no tenant of this name" in complaint
    assert not Path(nobody).exists()
    missing = str(tmp_path / "no/audit.jsonl")
    code, _, complaint = run("audit", "export", missing, *remote)
    assert (code, missing in complaint) == (2, True), complaint


def test_usage_counts_requests_by_endpoint(run: Run, remote: list[str]) -> None:
    run("store", "counted", *remote)
    code, out, _ = run("usage", *remote)
    assert (code, " requests from " in out) == (0, True), out
    counts = answer(run, "usage", "--first-day", "2026-03-01", "--last-day", "2026-03-02", *remote)
    assert (counts["first_day"], counts["requests"], counts["endpoints"]) == ("2026-03-01", 0, [])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["forget", "preview", "--days", "-1"], "days"),
        (["forget", "runs", "--limit", "0"], "limit should be greater"),
        (["audit", "list", "--limit", "0"], "limit should be greater"),
        (["audit", "list", "--tenant", "No Name"], "tenant"),
        (["usage", "--first-day", "yesterday"], "first_day"),
    ],
)
def test_what_cannot_be_is_explained(
    run: Run, remote: list[str], arguments: list[str], said: str
) -> None:
    code, _, complaint = run(*arguments, *remote)
    assert (code, said in complaint) == (2, True), complaint


@pytest.mark.parametrize("arguments", [["forget", "run"], ["audit", "list"], ["usage"]])
def test_who_only_reads_neither_forgets_nor_oversees(
    run: Run, remote: list[str], arguments: list[str]
) -> None:
    key = run("keys", "create", "reader", "--role", "readonly", *remote)[1].strip()
    theirs = [*remote[:2], "--key", key]
    assert run(*arguments, *theirs)[0] == 4
    assert run("forget", "run", "--dry-run", *theirs)[0] == 0


def test_memories_are_made_few_and_many_again(run: Run, tmp_path: Path) -> None:
    data = ["--data", str(tmp_path / "bank")]
    for text in ("one two three four five six seven eight", "one two three four five six seven"):
        run("store", text, *data)
    assert run("consolidate", "runs", *data)[1] == "no job has run\n"
    code, out, _ = run("consolidate", "run", "--job", "merge_duplicates", "--dry-run", *data)
    assert (code, out.splitlines()[0]) == (0, "would be done:")
    report = answer(run, "consolidate", "run", "--job", "merge_duplicates", *data)
    [done] = report["runs"]
    assert (done["job"], done["status"], done["examined"]) == ("merge_duplicates", "done", 2)
    assert done["id"] in run("consolidate", "runs", *data)[1]
    code, out, _ = run("consolidate", "undo", done["id"], *data)
    assert (code, out) == (0, f"{done['archived']} memories are as they were\n")
    assert run("consolidate", "undo", done["id"], *data)[0] == 1
    assert "merge_duplicates" in run("consolidate", "jobs", *data)[1]
