"""The command line, against a real server and on a data folder."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from memorybank.auth import tokens
from memorybank.cli import bank
from tests.support.server_process import Server

from .conftest import Run

COMMANDS = (
    *("init", "serve", "store", "search", "memory", "export", "import", "health", "tenants"),
    *(
        "keys",
        "forget",
        "consolidate",
        "audit",
        "usage",
        "check",
        "backup",
        "migrate",
        "config",
        "model",
    ),
    *("completion", "version"),
)


def test_a_memory_is_stored_and_found_through_a_server(run: Run, remote: list[str]) -> None:
    fact = "Deploys to production are frozen every Friday afternoon."
    code, stored, _ = run("store", fact, "--project", "shop", "--tag", "a", "--tag", "b", *remote)
    assert code == 0
    question = "When should we not release new versions?"
    code, found, _ = run("search", question, "--project", "shop", *remote)
    assert code == 0
    assert stored.strip() in found
    assert fact in found


def test_json_output_is_what_the_interface_answers(run: Run, remote: list[str]) -> None:
    arguments = ["--type", "fact", "--metadata", '{"a": 1}', "--importance", "0.9"]
    arguments += ["--title", "T", "--session", "s", "--occurred-at", "2026-03-01T12:00:00Z"]
    _, stored, _ = run(
        "store", "Water boils at 100 degrees", *arguments, "--output", "json", *remote
    )
    memory: dict[str, Any] = json.loads(stored)
    assert (memory["type"], memory["metadata"], memory["importance"]) == ("fact", {"a": 1}, 0.9)
    _, found, _ = run("search", "boiling", "--session", "s", "--output", "json", *remote)
    assert (memory.pop("deduplicated_of"), memory.pop("findings")) == (None, [])
    assert json.loads(found)["results"][0]["memory"] == memory


def test_content_may_come_from_standard_input(
    run: Run, remote: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("piped in\n"))
    code, stored, _ = run("store", "-", "--output", "json", *remote)
    assert code == 0
    assert json.loads(stored)["content"] == "piped in\n"


def test_the_environment_names_the_bank(
    run: Run, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "key"
    file.write_text(f"{server.key}\n")
    monkeypatch.setenv("MEMORY_BANK_URL", server.url)
    monkeypatch.setenv("MEMORY_BANK_KEY_FILE", str(file))
    assert run("search", "anything")[0] == 0
    monkeypatch.delenv("MEMORY_BANK_KEY_FILE")
    monkeypatch.setenv("MEMORY_BANK_KEY", server.key)
    assert run("search", "anything")[0] == 0


def test_beside_its_server_the_servers_own_key_is_used_and_sent_nowhere_else(
    run: Run, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    file.write_text(server.key)
    monkeypatch.setenv("MEMORY_BANK_ADMIN_KEY_FILE", str(file))
    monkeypatch.setattr(bank, "DEFAULT_URL", server.url)
    assert run("search", "anything")[0] == 0
    code, _, said = run("search", "anything", "--url", server.url)
    assert code == 4
    assert "MEMORY_BANK_KEY_FILE" in said


def test_health_tells_every_check(run: Run, remote: list[str]) -> None:
    code, out, _ = run("health", *remote[:2])
    assert code == 0
    assert out.startswith("ready (version ")
    assert all(f"ok      {step}" in out for step in ("embedder", "store", "search", "delete"))
    code, out, _ = run("health", "--output", "json", *remote[:2])
    assert json.loads(out)["status"] == "ready"


def test_a_folder_without_server_is_opened_directly(run: Run, tmp_path: Path) -> None:
    data = ["--data", str(tmp_path / "bank")]
    code, stored, _ = run("store", "The spare key is under the flower pot.", *data)
    assert code == 0
    code, found, _ = run("search", "How do I get in when I am locked out?", *data)
    assert code == 0
    assert stored.strip() in found
    assert run("health", *data)[0] == 0
    assert run("search", "flower", "--project", "none", *data)[1] == "nothing found\n"


def test_a_folder_that_a_server_holds_is_refused(run: Run, server: Server) -> None:
    folder = server.folder.with_name("bank")
    code, _, complaint = run("search", "x", "--data", str(folder))
    assert code == 2
    assert f"in use by process {server.process.pid}" in complaint
    assert "URL" in complaint


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["store", "x", "--metadata", "{"], 2, "metadata is not JSON"),
        (["store", "x", "--importance", "much"], 2, "invalid float"),
        (["store", "x", "--type", "poem"], 2, "invalid choice"),
        (["search", "x", "--data", "d", "--url", "u"], 2, "not allowed with"),
        (["search"], 2, "required"),
        (["sing"], 2, "invalid choice"),
        ([], 2, "required"),
    ],
)
def test_wrong_arguments_are_explained(
    run: Run, arguments: list[str], code: int, said: str
) -> None:
    assert run(*arguments)[0] == code
    assert said in run(*arguments)[2]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["store", "x", "--metadata", "[]"], "metadata should be"),
        (["store", ""], "content"),
        (["store", "x", "--importance", "7"], "importance should be less than"),
        (["store", "x", "--occurred-at", "noon"], "2026-03-01T12:00:00Z"),
        (["search", "x", "--limit", "0"], "limit should be greater"),
        (["memory", "update", "x"], "nothing to change"),
        (["keys", "create", "ci", "--role", "king"], "role"),
        (["tenants", "create", "No Name"], "name"),
    ],
)
def test_wrong_input_is_explained_by_the_bank(
    run: Run, remote: list[str], arguments: list[str], said: str
) -> None:
    code, _, complaint = run(*arguments, *remote)
    assert (code, said in complaint) == (2, True), complaint


def test_a_wrong_key_is_explained(run: Run, server: Server) -> None:
    for key in (tokens.generate(), "not-a-key"):
        code, _, complaint = run("search", "x", "--url", server.url, "--key", key)
        assert code == 4
        assert "unknown, expired or revoked" in complaint
        assert key not in complaint
    assert "an API key is required" in run("search", "x", "--url", server.url)[2]


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9", "http://no.such.host.invalid", "nonsense", "ftp://x", "http://["]
)
def test_a_server_that_is_not_there_is_explained(run: Run, url: str) -> None:
    code, _, complaint = run("search", "x", "--url", url, "--key", "k")
    assert code in (2, 5)
    assert "URL" in complaint or "--url" in complaint


def test_another_kind_of_server_is_recognised(run: Run, server: Server) -> None:
    metrics = server.metrics_url.removesuffix("/metrics")
    code, _, complaint = run("health", "--url", metrics)
    assert code == 5
    assert "not as a memory bank does" in complaint


def test_version(run: Run) -> None:
    assert run("version") == (0, "0.1.0\n", "")
    assert json.loads(run("version", "--output", "json")[1]) == {"version": "0.1.0"}


def test_help_names_every_command(run: Run) -> None:
    code, out, _ = run("--help")
    assert code == 0
    for command in COMMANDS:
        assert re.search(rf"\n    {command}\b", out)
        assert run(command, "--help")[0] == 0
