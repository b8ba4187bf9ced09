"""Commands about what agents work with, on a server and on a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .conftest import Run

pytestmark = pytest.mark.slow


@pytest.fixture(params=["server", "folder"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    if request.param == "server":
        remote: list[str] = request.getfixturevalue("remote")
        return remote
    return ["--data", str(tmp_path / "bank")]


def made(run: Run, *arguments: str) -> str:
    code, out, complaint = run(*arguments)
    assert code == 0, complaint
    return out.strip()


def listed(run: Run, *arguments: str) -> list[dict[str, Any]]:
    code, out, complaint = run(*arguments, "--output", "json")
    assert code == 0, complaint
    found: list[dict[str, Any]] = json.loads(out)["memories"]
    return found


def test_a_session_is_started_logged_and_ended(run: Run, where: list[str]) -> None:
    made(run, "project", "init", "shop", "--path", "/src", *where)
    [project] = listed(run, "project", "list", "--path", "/src", *where)
    assert project["project"] == "shop"
    session = made(run, "session", "start", "Mend it", "--project", "shop", *where)
    entry = made(run, "session", "log", session, "It is the clock", "--kind", "issue", *where)
    assert [each["id"] for each in listed(run, "session", "log", session, *where)] == [entry]
    assert "It is the clock" in made(run, "session", "log", session, *where)
    assert listed(run, "session", "log", session, "--kind", "info", *where) == []
    assert made(run, "session", "pause", session, *where) == f"{session} is paused"
    assert "paused" in made(run, "session", "list", "--status", "paused", *where)
    made(run, "session", "resume", session, *where)
    ended = made(run, "session", "complete", session, "--outcome", "Mended", *where)
    assert ended == f"{session} is completed"
    assert "Mended" in made(run, "session", "get", session, *where)
    code, _, complaint = run("session", "abort", session, *where)
    assert (code, "the session is completed" in complaint) == (1, True)


def test_what_is_written_is_kept_and_listed(run: Run, where: list[str]) -> None:
    for kind, options, filters in (
        ("note", ["--session", "s1"], ["--session", "s1"]),
        ("decision", ["--rationale", "why", "--option", "a", "--option", "b"], []),
        (
            "capsule",
            ["--for", "bob", "--expires-at", "2999-01-01T00:00:00Z"],
            ["--audience", "bob"],
        ),
        ("capsule", ["--expires-at", "2024-01-01T00:00:00Z"], ["--include-expired"]),
        ("event", ["--kind", "deploy", "--payload", '{"at": 7}'], ["--kind", "deploy"]),
    ):
        thing = made(run, kind, "add", f"One {kind}", "--project", kind, *options, *where)
        shown = listed(run, kind, "list", "--project", kind, *filters, *where)[0]
        assert (shown["id"], shown["content"]) == (thing, f"One {kind}")
        assert f"One {kind}" in made(run, kind, "get", thing, *where)
    code, _, complaint = run("event", "add", "x", "--payload", "{", *where)
    assert (code, "payload is not JSON" in complaint) == (2, True)


def test_tasks_are_kept_moved_ordered_and_reported_on(run: Run, where: list[str]) -> None:
    dig = made(run, "task", "add", "Dig", "--project", "garden", "--priority", "high", *where)
    plant = made(run, "task", "add", "Plant", "--depends-on", dig, "--parent", dig, *where)
    code, _, complaint = run("task", "start", plant, *where)
    assert (code, f"{dig} (Dig)" in complaint) == (1, True)
    assert dig in made(run, "task", "depend", plant, dig, *where)
    code, _, complaint = run("task", "depend", dig, plant, *where)
    assert (code, f"{dig} (Dig) -> {plant} (Plant) -> {dig} (Dig)" in complaint) == (1, True)
    assert made(run, "task", "start", dig, *where) == f"{dig} is in_progress"
    assert made(run, "task", "block", dig, "--reason", "Rain", *where) == f"{dig} is blocked"
    blocked = listed(run, "task", "list", "--blocked", "--parent", dig, *where)
    assert [each["id"] for each in blocked] == [plant]
    made(run, "task", "unblock", dig, *where)
    ended = made(run, "task", "complete", dig, "--outcome", "A hole", "--force", *where)
    assert ended == f"{dig} is done"
    assert "A hole" in made(run, "task", "get", dig, *where)
    assert "done" in made(run, "task", "list", "--project", "garden", "--no-open", *where)
    assert "by_status" in made(run, "task", "statistics", "--project", "garden", *where)
    assert "project garden" in made(run, "task", "efficiency", "--days", "1", *where)
    order = made(run, "edge", "order", "--root", plant, *where)
    assert order.index(dig) < order.index(plant)
    assert made(run, "task", "depend", plant, dig, "--remove", *where) == "free"
    made(run, "edge", "add", plant, dig, "--type", "references", *where)
    assert "references" in made(run, "edge", "list", plant, "--direction", "out", *where)
    assert dig in made(run, "edge", "traverse", plant, "--depth", "1", *where)
    assert made(run, "edge", "remove", plant, dig, *where) == "removed"
    assert made(run, "edge", "list", plant, *where) == "no edges"
    made(run, "task", "reopen", dig, *where)
    assert made(run, "task", "cancel", plant, *where) == f"{plant} is cancelled"


def test_an_episode_is_told_ended_and_learned_from(run: Run, where: list[str]) -> None:
    for outcome in ["success", "failure"] * 4:
        episode = made(run, "episode", "start", "Ship it", "--task-type", "release", *where)
        for tool in ("stage", "ship") if outcome == "success" else ("ship", "stage"):
            assert made(run, "episode", "step", episode, tool, *where) == "queued"
        ended = made(run, "episode", "complete", episode, "--outcome", outcome, *where)
        assert ended == f"{episode} is completed"
    assert "stage" in made(run, "episode", "steps", episode, *where)
    assert len(listed(run, "episode", "list", "--outcome", "failure", *where)) == 4
    said = made(run, "pattern", "recommend", "Ship", "--task-type", "release", *where)
    assert "stage -> ship" in said
    found = json.loads(made(run, "pattern", "list", "--output", "json", *where))
    pattern = found["patterns"][0]["id"]
    assert "stage" in made(run, "pattern", "get", pattern, *where)
    assert made(run, "pattern", "feedback", pattern, episode, "helped", *where).endswith(episode)
    assert "archived" in made(run, "pattern", "learn", *where)


def test_an_episode_is_gone_on_with(run: Run, where: list[str]) -> None:
    episode = made(run, "episode", "start", "Ship it", *where)
    error = ("--error", "NotStaged", "--latency-ms", "5", "--wait")
    assert made(run, "episode", "step", episode, "ship", *error, *where) == "persisted"
    place = made(run, "episode", "checkpoint", episode, "Lunch", "--left", "stage", *where)
    assert "NotStaged" in made(run, "episode", "pack", episode, place, *where)
    new = made(run, "episode", "resume", episode, place, *where)
    assert made(run, "episode", "abandon", episode, *where) == f"{episode} is abandoned"
    assert [each["id"] for each in listed(run, "episode", "list", "--status", "open", *where)] == [
        new
    ]


def test_work_is_handed_off_in_words_or_in_parts(run: Run, where: list[str]) -> None:
    code, _, complaint = run("handoff", "last", *where)
    assert (code, "nothing was handed off here yet" in complaint) == (3, True)
    code, _, complaint = run("handoff", "add", "--with-whom", "ann", *where)
    assert (code, "send content, or one of" in complaint) == (2, True)
    first = made(run, "handoff", "add", "It is mended", "--with-whom", "ann", *where)
    options = ("--remember", "Tell Bob", "--with-whom", "ann", "--significance", "0.9")
    second = made(run, "handoff", "add", *options, *where)
    assert "Remember: Tell Bob" in made(run, "handoff", "last", "--with-whom", "ann", *where)
    thread = made(run, "handoff", "thread", *where)
    assert thread.index(first) < thread.index(second)
    assert "the newest 1 of 2" in made(run, "handoff", "thread", "--limit", "1", *where)
    significant = listed(run, "handoff", "list", "--min-significance", "0.5", *where)
    assert [each["id"] for each in significant] == [second]
    secret = made(run, "handoff", "add", "Hush", "--sensitivity", "secret", *where)
    assert secret not in made(run, "handoff", "thread", *where)
    shown = listed(run, "handoff", "list", "--include-sensitive", *where)
    assert shown[0]["id"] == secret


def test_a_change_is_proposed_decided_and_taken_back(run: Run, where: list[str]) -> None:
    memory = made(run, "note", "add", "The heron lives here", *where)
    propose = ("edit", "propose", memory, "--reason", "It moved")
    edit = made(run, *propose, "--content", "The heron lives there", *where)
    assert made(run, "note", "get", memory, *where).count("lives here") == 1
    listed_edits = made(run, "edit", "list", "--status", "pending", *where)
    assert edit in listed_edits
    assert made(run, "edit", "approve", edit, *where) == f"{edit} is approved"
    assert "lives there" in made(run, "note", "get", memory, *where)
    comment = ("--comment", "It came back")
    assert made(run, "edit", "roll-back", edit, *comment, *where) == f"{edit} is rolled back"
    assert "lives here" in made(run, "note", "get", memory, *where)
    other = made(run, *propose, "--patch", '{"tags": ["bird"]}', *where)
    assert made(run, "edit", "reject", other, *where) == f"{other} is rejected"
    assert "bird" in made(run, "edit", "get", other, *where)
    code, _, complaint = run("edit", "approve", other, *where)
    assert (code, "rejected" in complaint) == (1, True)
    code, _, complaint = run("edit", "propose", memory, "--reason", "x", "--patch", "{", *where)
    assert (code, "patch is not JSON" in complaint) == (2, True)
