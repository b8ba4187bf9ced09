"""Commands about memories, tenants, keys and whole files, on a server and on a folder."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import apsw
import pytest
import yaml

from memorybank.configuration import SECRETS
from memorybank.settings import Settings
from tests.support.server_process import Server

from .conftest import Run

pytestmark = pytest.mark.slow

LIGHT = """
import sys
from memorybank.__main__ import main
code = main(["memory", "list", "--url", "http://127.0.0.1:9", "--key", "k"])
heavy = {"apsw", "fastapi", "httpx", "mcp", "numpy", "onnxruntime", "pydantic", "yaml"}
print(code, sorted(heavy & set(sys.modules)))
"""


def ids(run: Run, *arguments: str) -> list[str]:
    return [each["id"] for each in answer(run, "memory", "list", *arguments)["memories"]]


def answer(run: Run, *arguments: str) -> Any:
    code, out, complaint = run(*arguments, "--output", "json")
    assert code == 0, complaint
    return json.loads(out)


def test_a_memory_is_added_shown_changed_listed_and_deleted(run: Run, remote: list[str]) -> None:
    added = run("memory", "add", "The kettle leaks.", "--title", "T", "--project", "k1", *remote)[1]
    name = added.strip()
    assert "The kettle leaks." in run("memory", "get", name, *remote)[1]
    code, shown, _ = run("memory", "update", name, "--clear", "title", "--tag", "home", *remote)
    assert (code, "title" in shown, "home" in shown) == (0, False, True)
    listed = run("memory", "list", "--project", "k1", *remote)[1]
    assert listed.startswith("ID ")
    assert "The kettle leaks." in listed
    run("memory", "update", name, "--content", "The kettle is mended.", *remote)
    history = run("memory", "history", name, *remote)[1]
    assert "The kettle leaks." in history
    for action in ("archive", "restore", "pin", "unpin"):
        assert run("memory", action, name, *remote)[:2] == (0, f"{name}\n")
    assert run("memory", "delete", name, *remote)[:2] == (0, f"{name}\n")
    assert run("memory", "list", "--project", "k1", *remote)[1] == "no memories\n"
    code, _, complaint = run("memory", "get", name, *remote)
    assert (code, "no memory with this id" in complaint) == (3, True)


def test_a_list_goes_over_pages_and_tells_what_it_leaves_out(run: Run, tmp_path: Path) -> None:
    data = ["--data", str(tmp_path / "bank")]
    for number in range(3):
        run("store", f"memory {number}", *data)
    listed = run("memory", "list", "--limit", "2", *data)[1]
    assert listed.endswith("2 of 3; --limit shows more\n")
    assert len(ids(run, "--limit", "500", *data)) == 3


def test_yaml_holds_what_json_holds(run: Run, remote: list[str]) -> None:
    name = run("store", "Ünïcode: - #", "--project", "y1", *remote)[1].strip()
    shown = yaml.safe_load(run("memory", "get", name, "--output", "yaml", *remote)[1])
    told = answer(run, "memory", "get", name, *remote)
    for each in (shown, told):  # that it was shown is counted meanwhile
        del each["accessed_at"], each["access_count"]
    assert shown == told


def test_tenants_and_keys_are_administered(run: Run, remote: list[str]) -> None:
    assert run("tenants", "create", "shop", "--max-memories", "5", *remote)[0] == 0
    assert answer(run, "tenants", "get", "shop", *remote)["max_memories"] == 5
    assert run("tenants", "update", "shop", "--clear", "max_memories", *remote)[0] == 0
    key = run("keys", "create", "ci", "--role", "admin", "--tenant", "shop", *remote)[1].strip()
    assert key.startswith("mb_")
    theirs = [*remote[:2], "--key", key]
    assert run("store", "of the shop", *theirs)[0] == 0
    assert answer(run, "tenants", "stats", "shop", *remote)["memories"] == 1
    assert "shop" in run("tenants", "list", *remote)[1]
    code, _, complaint = run("tenants", "list", *[*remote[:2], "--key", "mb_" + "x" * 43])
    assert (code, "unknown" in complaint) == (4, True)
    [found] = [
        each
        for each in answer(run, "keys", "list", "--tenant", "shop", *remote)["keys"]
        if each["name"] == "ci"
    ]
    newer = run("keys", "rotate", found["id"], "--overlap-seconds", "0", *remote)[1].strip()
    assert newer.startswith("mb_")
    assert run("search", "x", *theirs)[0] == 4
    code, _, complaint = run("tenants", "delete", "shop", *remote)
    assert (code, "1 memories" in complaint) == (1, True)
    assert run("tenants", "delete", "shop", "--with-data", *remote)[0] == 0
    assert run("tenants", "get", "shop", *remote)[0] == 3


@pytest.mark.parametrize("name", ["bank.jsonl", "bank.jsonl.gz"])
def test_a_bank_moves_from_a_server_to_a_folder(
    run: Run, remote: list[str], tmp_path: Path, name: str
) -> None:
    run("store", "The boiler is in the cellar.", *remote)
    file, data = tmp_path / name, ["--data", str(tmp_path / "bank")]
    counts = answer(run, "export", str(file), *remote)["counts"]
    total = counts["memory"]  # with the trash
    assert total >= len(ids(run, "--limit", "1000", *remote)) > 0
    assert [each.name for each in tmp_path.iterdir() if each.is_file()] == [name]
    first = answer(run, "import", str(file), *data)
    assert (first["added"], first["embedded"], first["refused"]) == (total, 0, 0)
    again = answer(run, "import", str(file), *data)
    assert (again["added"], again["unchanged"]) == (0, total + counts.get("revision", 0))
    assert ids(run, "--limit", "1000", *data) == ids(run, "--limit", "1000", *remote)
    assert "cellar" in run("search", "Where is the heating?", *data)[1]


def test_a_long_file_goes_in_parts_that_keep_their_line_numbers(run: Run, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    run("store", "one", "--data", str(source))
    file = tmp_path / "bank.jsonl"
    run("export", str(file), "--data", str(source))
    header, *others, memory, _end = file.read_bytes().splitlines(keepends=True)
    rows = [header, *others]
    for number in range(2_300):
        wanted = json.loads(memory)
        wanted["memory"]["id"] = f"made-{number}"
        if number == 2_100:
            wanted["memory"]["content"] = ""
        rows.append(json.dumps(wanted).encode() + b"\n")
    import hashlib

    digest = hashlib.sha256(b"".join(rows)).hexdigest()
    end = {"kind": "end", "lines": len(rows) + 1, "counts": {}, "sha256": digest}
    file.write_bytes(b"".join(rows) + json.dumps(end).encode() + b"\n")
    code, out, _ = run("import", str(file), "--data", str(target), "--output", "json")
    report = json.loads(out)
    assert (code, report["added"], report["refused"]) == (1, 2_299, 1)
    assert report["problems"][0]["line"] == len(others) + 1 + 2_100 + 1


def test_files_that_are_cut_or_changed_are_refused_before_anything_is_changed(
    run: Run, remote: list[str], tmp_path: Path
) -> None:
    run("store", "the price is 100", "--project", "cut", *remote)
    whole, packed = tmp_path / "whole.jsonl", tmp_path / "whole.jsonl.gz"
    run("export", str(whole), *remote)
    run("export", str(packed), *remote)
    broken = tmp_path / "broken"
    data = ["--data", str(tmp_path / "bank")]
    for content, said in (
        (whole.read_bytes()[:-30], "no end line"),
        (whole.read_bytes().replace(b"price is 100", b"price is 900"), "not those that"),
        (packed.read_bytes()[:-20], "cut or is damaged"),
        (gzip.compress(b""), "no end line"),
        (b"", "no end line"),
        (os.urandom(100), "no end line"),
    ):
        broken.write_bytes(content)
        code, _, complaint = run("import", str(broken), *data)
        assert (code, said in complaint) == (2, True), complaint
    assert not (tmp_path / "bank").exists()
    code, _, complaint = run("import", str(tmp_path / "none"), *data)
    assert (code, "cannot be read" in complaint) == (2, True)


def test_an_export_leaves_nothing_by_half(run: Run, remote: list[str], tmp_path: Path) -> None:
    code, _, complaint = run("export", str(tmp_path / "no" / "x.jsonl"), *remote)
    assert (code, "cannot be written" in complaint) == (2, True)
    assert run("export", str(tmp_path / "x"), "--url", remote[1])[0] == 4
    assert list(tmp_path.iterdir()) == []


def test_an_export_leaves_events_out_when_it_is_told_to(run: Run, tmp_path: Path) -> None:
    data, file = ["--data", str(tmp_path / "bank")], str(tmp_path / "bank.jsonl")
    run("memory", "add", "The boiler started.", "--type", "event", *data)
    run("memory", "add", "The boiler is in the cellar.", *data)
    assert answer(run, "export", file, *data)["counts"]["memory"] == 2
    assert answer(run, "export", file, "--no-events", *data)["counts"]["memory"] == 1


def test_an_export_to_standard_output_is_the_file(
    run: Run, remote: list[str], tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "memorybank", "export", "-", *remote]
    done = subprocess.run(command, capture_output=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1])["kind"] == "end"
    assert b"memories exported" in done.stderr


def test_health_tells_what_the_bank_holds(run: Run, remote: list[str]) -> None:
    code, out, _ = run("health", "--verbose", *remote)
    assert code == 0
    assert re.search(r"schema_version +\d", out)
    status = answer(run, "health", "--verbose", *remote)["status_of_the_bank"]
    assert status["store"]["counts"]["memories"] >= 0
    assert status["store"]["disk_free_bytes"] > 0
    assert status["index"]["lag"] == 0
    assert run("health", "--verbose", *remote[:2])[0] == 4


def test_a_sound_database_is_said_to_be_sound(run: Run, remote: list[str]) -> None:
    code, out, _ = run("check", *remote)
    assert (code, out.startswith("the database is sound")) == (0, True), out


def test_a_damaged_database_is_told(run: Run, tmp_path: Path) -> None:
    data = tmp_path / "bank"
    run("store", "something", "--data", str(data))
    connection = apsw.Connection(str(data / "memory_bank.db"))
    connection.execute("PRAGMA writable_schema = 1")
    connection.execute("PRAGMA foreign_keys = 0")
    connection.execute("INSERT INTO vectors VALUES (999999, 1, x'00')")
    connection.close()
    code, out, _ = run("check", "--data", str(data))
    assert (code, "DAMAGED" in out, "refers to nothing" in out) == (1, True, True)


def test_a_backup_of_a_bank_under_load_is_whole(
    run: Run, server: Server, remote: list[str], tmp_path: Path
) -> None:
    folder, file = server.folder.with_name("bank"), tmp_path / "copy" / "memory_bank.db"
    file.parent.mkdir()
    stop = threading.Event()

    def write() -> None:
        with server.client() as client:
            while not stop.is_set():
                client.post("/v1/memories", json={"content": "x" * 500, "project": "load"})

    writer = threading.Thread(target=write)
    writer.start()
    try:
        code, out, complaint = run("backup", "copy", str(file), "--data", str(folder))
    finally:
        stop.set()
        writer.join()
    assert (code, "bytes, checked" in out) == (0, True), complaint
    assert [each.name for each in file.parent.iterdir()] == ["memory_bank.db"]
    assert run("check", "--data", str(file.parent))[0] == 0
    code, _, complaint = run("backup", "copy", str(file), "--data", str(folder))
    assert (code, "there already" in complaint) == (2, True)
    code, _, complaint = run(
        "backup", "copy", str(tmp_path / "y"), "--data", str(tmp_path / "none")
    )
    assert (code, "no database" in complaint) == (2, True)


def test_migrate_tells_the_schema(run: Run, tmp_path: Path) -> None:
    data = ["--data", str(tmp_path / "bank")]
    run("store", "something", *data)
    code, out, _ = run("migrate", *data)
    assert (code, "up to date" in out) == (0, True)
    assert answer(run, "migrate", "--dry-run", *data)["changed"] is False


def test_what_asks_a_server_loads_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=True)
    assert done.stdout == "5 []\n"


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_knows_every_command(run: Run, shell: str) -> None:
    code, out, _ = run("completion", shell)
    assert code == 0
    for word in ("memory", "tenants", "--no-embeddings", "validate"):
        assert word in out


def test_init_makes_a_bank_of_ones_own_once(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "bank"
    code, out, _ = run("init", "--data", str(folder))
    assert (code, "memorybank serve" in out) == (0, True)
    assert (folder / "admin.key").stat().st_mode & 0o777 == 0o600
    assert run("config", "validate", "--config", str(folder / "config.yaml"))[0] == 0
    key = (folder / "admin.key").read_text()
    code, _, complaint = run("init", "--data", str(folder))
    assert (code, "there already" in complaint) == (2, True)
    assert (folder / "admin.key").read_text() == key
    assert key.strip() not in out


def test_the_written_configuration_says_what_holds_without_it(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    assert run("config", "init", str(file))[0] == 0
    assert yaml.safe_load(file.read_text()) is None
    text = re.sub(r"^# ", "", file.read_text(), flags=re.MULTILINE)
    settings = yaml.safe_load(text)
    assert set(settings) == set(Settings.model_fields) - SECRETS
    file.write_text(text)
    code, _, complaint = run("config", "validate", "--config", str(file))
    assert code == 0, complaint


def test_show_says_where_each_value_comes_from_and_hides_secrets(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("logging: {level: error, format: json}\n")
    secret = "mb_" + "s" * 43
    monkeypatch.setenv("MEMORY_BANK_LOGGING__LEVEL", "warning")
    monkeypatch.setenv("MEMORY_BANK_ADMIN_KEY", secret)
    monkeypatch.setenv("MEMORY_BANK_CONFIG", str(file))
    code, out, _ = run("config", "show", "--output", "json")
    assert (code, secret in out) == (0, False)
    found = {
        each["setting"]: (each["value"], each["source"]) for each in json.loads(out)["settings"]
    }
    assert found["logging.level"] == ("warning", "the environment")
    assert found["logging.format"] == ("json", str(file))
    assert found["server.port"] == (8080, "default")
    assert found["admin_key"] == ("(set, not shown)", "the environment")
