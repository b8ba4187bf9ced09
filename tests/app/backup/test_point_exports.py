"""The export beside a recovery point, with real banks, a folder and S3."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from memorybank.__main__ import main
from memorybank.cli.local import local_bank
from tests.app.backup.banks import TINY, contents, objects, put, run, store, stored
from tests.app.backup.conftest import MakePod
from tests.support.replication import Pod

pytestmark = pytest.mark.slow

Said = pytest.CaptureFixture[str]
_TEXTS = ("The harbour opens at six", "Deliveries come by the north gate", "Lamps burn on oil")
_LATER = "The lighthouse keeper retires in May"


@pytest.fixture
def bank(make_pod: MakePod, destination: dict[str, Any]) -> Pod:
    """A bank of three memories that was replicated, and is gone."""
    pod = make_pod(destination, settings=TINY)
    stored(pod, *_TEXTS)
    return pod


@pytest.fixture
def sealed_bank(make_pod: MakePod, destination: dict[str, Any], tmp_path: Path) -> Pod:
    """The same, encrypted."""
    ring = tmp_path / "ring"
    ring.write_text(_ring("A"))
    encrypted = {"encryption": {"enabled": True, "key_ring_file": str(ring)}}
    pod = make_pod(destination, settings=TINY | encrypted)
    stored(pod, *_TEXTS)
    return pod


def _ring(letter: str) -> str:
    return json.dumps({"active": "k1", "keys": {"k1": letter * 43 + "="}})


def given(pod: Pod, name: str, file: Path) -> int:
    """Run `memorybank backup export`."""
    return main(["backup", "export", name, str(file), "--config", str(pod.config)])


def export_of(pod: Pod, name: str) -> tuple[str, bytes]:
    """Return where the export of a point is, and what."""
    found = objects(pod)
    path = json.loads(found[f"points/{name}.json"])["export"]["object"]
    return path, found[path]


def imported(file: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Return the contents of a new bank that took over a file."""
    monkeypatch.setenv("MEMORY_BANK_EMBEDDING__PROVIDER", "builtin-tiny")
    assert main(["import", str(file), "--data", str(data), "--all-tenants"]) == 0
    with local_bank(data) as bank:
        listed = bank.request("GET", "/v1/memories", query={"limit": 200}).value(bank.name)
    return {each["content"] for each in listed["memories"]}


@pytest.mark.parametrize("name", ["bank.jsonl", "bank.jsonl.gz"])
def test_what_is_beside_a_point_is_what_import_takes(
    bank: Pod, capsys: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    code, report = run(bank, capsys, "take", "nightly", "--export")
    assert code == 0
    _, content = export_of(bank, "nightly")
    record = json.loads(objects(bank)["points/nightly.json"])["export"]
    assert report["export"] == {each: record[each] for each in ("memories", "bytes", "sha256")}
    assert record["sha256"] == hashlib.sha256(content).hexdigest()
    assert (report["export"]["memories"], report["export"]["bytes"]) == (3, len(content))
    store(bank, [_LATER])
    file = tmp_path / name
    assert given(bank, "nightly", file) == 0
    plain = content if name.endswith(".gz") else gzip.decompress(content)
    assert file.read_bytes() == plain
    assert imported(file, tmp_path / "new", monkeypatch) == set(_TEXTS), "as it was then"
    assert given(bank, "nightly", file) == 1, "nothing is overwritten"
    capsys.readouterr()
    command = ["backup", "export", "nightly", "-", "--config", str(bank.config)]
    assert main(command) == 0
    assert capsys.readouterr().out.encode() == gzip.decompress(content)
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".")] == []


def test_it_is_told_again_checked_and_removed_with_the_point(bank: Pod, capsys: Said) -> None:
    _, first = run(bank, capsys, "take", "nightly", "--export", "--id", "job-1")
    code, again = run(bank, capsys, "take", "nightly", "--export", "--id", "job-1")
    assert (code, again["already"], again["export"]) == (0, True, first["export"])
    assert run(bank, capsys, "verify", "--point", "nightly")[0] == 0
    assert main(["backup", "remove", "nightly", "--config", str(bank.config)]) == 0
    assert not any(each.startswith("points/") for each in objects(bank))


def test_a_point_has_none_unless_it_is_asked_for(bank: Pod, capsys: Said, tmp_path: Path) -> None:
    _, report = run(bank, capsys, "take", "plain")
    assert report["export"] is None
    assert len([each for each in objects(bank) if each.startswith("points/plain/")]) == 1
    assert given(bank, "plain", tmp_path / "file") == 3
    assert "--export" in capsys.readouterr().err
    assert given(bank, "none", tmp_path / "file") == 3


@pytest.mark.parametrize("damage", ["flipped", "cut", "missing"])
def test_a_damaged_one_is_noticed_and_not_given_back(
    bank: Pod, capsys: Said, tmp_path: Path, damage: str
) -> None:
    run(bank, capsys, "take", "nightly", "--export")
    path, content = export_of(bank, "nightly")
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    put(bank, path, {"flipped": flipped, "cut": content[:-1], "missing": None}[damage])
    code, report = run(bank, capsys, "verify", "--point", "nightly")
    assert (code, report["error"]["code"]) == (6, "backup_damaged"), report["error"]
    assert "the export of the recovery point nightly" in report["error"]["message"]
    file = tmp_path / "bank.jsonl"
    assert given(bank, "nightly", file) == 6
    assert not file.exists()


def test_of_an_encrypted_bank_nothing_can_be_read_without_the_ring(
    sealed_bank: Pod,
    capsys: Said,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run(sealed_bank, capsys, "take", "nightly", "--export")
    path, content = export_of(sealed_bank, "nightly")
    for where, each in objects(sealed_bank).items():
        assert not any(text.encode() in each for text in _TEXTS), where
    with pytest.raises(gzip.BadGzipFile):
        gzip.decompress(content)
    file = tmp_path / "bank.jsonl"
    assert given(sealed_bank, "nightly", file) == 0
    assert imported(file, tmp_path / "new", monkeypatch) == set(_TEXTS)
    file.unlink()
    ring = sealed_bank.settings.encryption.key_ring_file
    assert ring is not None
    ring.write_text(_ring("B"))
    assert given(sealed_bank, "nightly", file) == 2
    assert "k1" in capsys.readouterr().err
    assert not file.exists()
    assert path.endswith(".sealed")


def test_its_memories_are_those_of_the_point(bank: Pod, capsys: Said, tmp_path: Path) -> None:
    """Also when the bank is gone."""
    run(bank, capsys, "take", "nightly", "--export")
    restored = tmp_path / "restored" / "memory_bank.db"
    command = ["backup", "restore", str(restored), "--point", "nightly"]
    assert main([*command, "--config", str(bank.config)]) == 0
    lines = gzip.decompress(export_of(bank, "nightly")[1]).splitlines()
    texts = {
        each["memory"]["content"] for each in map(json.loads, lines) if each["kind"] == "memory"
    }
    assert texts == contents(bank, restored.parent) == set(_TEXTS)
