"""Recovery points and verification, with real banks, a real Litestream, a folder and S3."""

from __future__ import annotations

import asyncio
import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from memorybank.__main__ import main
from memorybank.backup.chain import Origin
from memorybank.server.backups import points_of
from tests.app.backup.banks import BANK, TINY, contents, objects, run, store, stored
from tests.app.backup.conftest import MakePod
from tests.support.replication import Pod

pytestmark = pytest.mark.slow

Said = pytest.CaptureFixture[str]
_TEXTS = ("The harbour opens at six", "Deliveries come by the north gate", "Lamps burn on oil")


@pytest.fixture
def bank(make_pod: MakePod, destination: dict[str, Any]) -> Pod:
    """A bank of three memories that was replicated, and is gone."""
    pod = make_pod(destination, settings=TINY)
    stored(pod, *_TEXTS)
    return pod


def checks_of(report: dict[str, Any]) -> dict[str, bool]:
    return {each["name"]: each["ok"] for each in report["checks"]}


def test_a_point_is_a_checked_copy_by_itself(bank: Pod, capsys: Said, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    before = objects(bank)
    code, report = run(bank, capsys, "take", "before-upgrade", "--scratch", str(scratch))
    assert code == 0
    assert (report["operation"], report["name"], report["bank"]) == (
        "take",
        "before-upgrade",
        BANK,
    )
    assert (report["memories"], report["tenants"], report["schema_version"]) == (3, 1, 11)
    assert report["source"] is None
    assert report["data_loss_seconds"] is None
    assert report["expires_at"] is None
    assert report["ready_seconds"] >= report["restore_seconds"] > 0
    assert checks_of(report) == dict.fromkeys(("integrity", "counts", "keys", "recall"), True)
    assert int(report["txid"], 16) > 0
    assert not list(scratch.iterdir()), "nothing of the copy is left"
    assert not bank.database.with_name("memory_bank.db-litestream").exists()

    added = {path: content for path, content in objects(bank).items() if path not in before}
    record = json.loads(added.pop("points/before-upgrade.json"))
    [(path, content)] = added.items()
    assert path == record["object"]
    assert hashlib.sha256(content).hexdigest() == report["sha256"] == record["sha256"]
    assert len(content) == report["bytes"] == record["bytes"]

    for each in before:  # the epochs are gone, and the point is not
        assert each.startswith(("epochs/", "0"))
    restored = tmp_path / "restored" / "memory_bank.db"
    command = ["backup", "restore", str(restored), "--point", "before-upgrade"]
    assert main([*command, "--config", str(bank.config)]) == 0
    assert restored.read_bytes() == content
    assert contents(bank, restored.parent) == set(_TEXTS)


def test_a_point_is_listed_and_removed(bank: Pod, capsys: Said) -> None:
    run(bank, capsys, "take", "one", "--expire-hours", "5")
    run(bank, capsys, "take", "two")
    command = ["backup", "points", "--config", str(bank.config), "--output", "json"]
    assert main(command) == 0
    newest, first = json.loads(capsys.readouterr().out)
    assert (newest["name"], first["name"]) == ("two", "one")
    assert newest["expires_at"] is None
    expires, taken = (datetime.fromisoformat(first[each]) for each in ("expires_at", "taken_at"))
    assert expires - taken == timedelta(hours=5)

    assert main(["backup", "remove", "two", "--config", str(bank.config)]) == 0
    assert main(["backup", "remove", "two", "--config", str(bank.config)]) == 3
    assert [each for each in objects(bank) if each.startswith("points/two")] == []
    assert run(bank, capsys, "verify", "--point", "two")[0] == 3
    assert run(bank, capsys, "verify", "--point", "one")[0] == 0


def test_who_asks_again_finds_the_same_point(bank: Pod, capsys: Said) -> None:
    _, first = run(bank, capsys, "take", "daily", "--id", "job-1")
    code, again = run(bank, capsys, "take", "daily", "--id", "job-1")
    assert (code, again["already"], again["sha256"]) == (0, True, first["sha256"])
    assert again["taken_at"] == first["taken_at"]
    for other in (["--id", "job-2"], []):
        code, refused = run(bank, capsys, "take", "daily", *other)
        assert (code, refused["error"]["code"]) == (2, "invalid_request")
    assert len([each for each in objects(bank) if each.startswith("points/")]) == 2


def test_what_has_no_record_is_no_point_and_goes_when_it_is_old(bank: Pod, tmp_path: Path) -> None:
    file = tmp_path / "copy"
    file.write_bytes(b"copied")
    points = points_of(bank.settings)
    asyncio.run(points.upload("interrupted", file))
    assert asyncio.run(points.all()) == []
    asyncio.run(points.tidy(datetime.now(UTC)))
    assert any(each.startswith("points/") for each in objects(bank)), "it may still be at it"
    asyncio.run(points.tidy(datetime.now(UTC) + timedelta(days=2)))
    assert not any(each.startswith("points/") for each in objects(bank))


def test_what_an_upload_left_in_a_folder_goes_when_it_is_old(
    make_pod: MakePod, tmp_path: Path, capsys: Said
) -> None:
    pod = make_pod({"volume": {"path": str(tmp_path / "backups")}}, settings=TINY)
    stored(pod, *_TEXTS)
    run(pod, capsys, "take", "whole")
    part = tmp_path / "backups" / BANK / "points" / "broken-off" / "0a" / "memory_bank.db#1"
    part.parent.mkdir(parents=True)
    part.touch()
    points = points_of(pod.settings)
    asyncio.run(points.tidy(datetime.now(UTC)))
    assert part.exists(), "it may still be at it"
    asyncio.run(points.tidy(datetime.now(UTC) + timedelta(days=2)))
    assert not part.exists()
    assert run(pod, capsys, "verify", "--point", "whole")[0] == 0


def test_what_is_taken_of_a_bank_that_cannot_be_decrypted_is_no_point(
    make_pod: MakePod, destination: dict[str, Any], capsys: Said, tmp_path: Path
) -> None:
    """Every page is whole, and the key is the right one."""
    ring = tmp_path / "ring"
    ring.write_text(json.dumps({"active": "k1", "keys": {"k1": "A" * 43 + "="}}))
    encrypted = {"encryption": {"enabled": True, "key_ring_file": str(ring)}}
    pod = make_pod(destination, settings=TINY | encrypted)
    pod.prepare()
    store(pod, _TEXTS)
    with pod.writing() as connection:
        connection.execute("UPDATE memories SET content = 'AAAA' || substr(content, 5)")
    pod.replicate()
    pod.kill()
    for command in (["verify"], ["take", "one"]):
        code, report = run(pod, capsys, *command)
        assert (code, checks_of(report)["recall"]) == (6, False)
        assert "cannot be decrypted" in report["error"]["message"]
    assert not any(each.startswith("points/") for each in objects(pod))


def test_what_has_expired_is_removed(bank: Pod, capsys: Said) -> None:
    run(bank, capsys, "take", "short", "--expire-hours", "2")
    run(bank, capsys, "take", "long", "--expire-hours", "40")
    run(bank, capsys, "take", "kept")
    points = points_of(bank.settings)
    now = datetime.now(UTC)
    assert asyncio.run(points.tidy(now + timedelta(hours=1))) == []
    assert asyncio.run(points.tidy(now + timedelta(hours=3))) == ["short"]
    assert [each.name for each in asyncio.run(points.all())] == ["kept", "long"]


def test_a_new_bank_begins_with_a_point(
    bank: Pod, make_pod: MakePod, destination: dict[str, Any], capsys: Said
) -> None:
    run(bank, capsys, "take", "seed")
    stored(bank, "Written after the point was taken")
    named = {"bank": "agents/team-memory", "point": "seed"}
    other = make_pod(
        destination, settings=TINY, bank="agents/rehearsal", uid="another", restore=named
    )
    began = other.prepare()
    assert began.epoch.origin is Origin.RESTORED
    assert (began.epoch.source or "").endswith("at the recovery point seed")
    assert contents(other, other.data) == set(_TEXTS)


def test_any_state_is_verified_and_none_is_changed(bank: Pod, capsys: Said) -> None:
    run(bank, capsys, "take", "one")
    first = run(bank, capsys, "verify")[1]["epoch"]
    middle = datetime.now(UTC)
    stored(bank, "A second incarnation wrote this")
    before = objects(bank)
    assert run(bank, capsys, "verify")[1]["memories"] == 4
    for arguments in (
        ["--at", middle.isoformat()],
        ["--epoch", first],
        ["--point", "one"],
    ):
        code, report = run(bank, capsys, "verify", *arguments)
        assert (code, report["memories"]) == (0, 3), arguments
        assert all(checks_of(report).values())
        assert len(checks_of(report)) == 4
    assert objects(bank) == before
    assert run(bank, capsys, "verify", "--point", "one", "--epoch", first)[0] == 2
    assert run(bank, capsys, "verify", "--epoch", "00000009-00000000")[0] == 3


def test_points_of_an_encrypted_bank_hold_no_clear_text(
    make_pod: MakePod, destination: dict[str, Any], capsys: Said, tmp_path: Path
) -> None:
    ring, wrong = tmp_path / "ring", tmp_path / "wrong"
    ring.write_text(json.dumps({"active": "k1", "keys": {"k1": "A" * 43 + "="}}))
    wrong.write_text(json.dumps({"active": "k1", "keys": {"k1": "B" * 42 + "A="}}))
    encrypted = {"enabled": True, "key_ring_file": str(ring)}
    pod = make_pod(destination, settings=TINY | {"encryption": encrypted})
    stored(pod, *_TEXTS)
    _, report = run(pod, capsys, "take", "sealed")
    assert report["key_ids"] == ["k1"]
    assert all(checks_of(report).values())
    for path, content in objects(pod).items():
        for text in ("harbour", "Deliveries", "Lamps"):
            assert text.encode() not in content, path

    settings = json.loads(pod.config.read_text())
    for changed in ({"enabled": True, "key_ring_file": str(wrong)}, {"enabled": False}):
        pod.config.write_text(json.dumps(settings | {"encryption": changed}))
        for arguments in (["verify"], ["verify", "--point", "sealed"], ["take", "another"]):
            code, refused = run(pod, capsys, *arguments)
            assert (code, checks_of(refused)["keys"]) == (2, False)
            assert "recall" not in checks_of(refused)
    assert "points/another.json" not in objects(pod)


def test_a_scratch_that_is_too_small_says_what_it_takes(
    bank: Pod, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(bank, capsys, "take", "one")
    usage = type("Usage", (), {"free": 1})
    monkeypatch.setattr("memorybank.backup.restoring.shutil.disk_usage", lambda _folder: usage)
    for arguments in (["verify"], ["verify", "--point", "one"], ["take", "two"]):
        code, report = run(bank, capsys, *arguments)
        assert code == 5
        assert "it takes 1 MiB in" in report["error"]["message"]
    assert run(bank, capsys, "verify", "--scratch", "/nowhere")[0] == 2


def test_a_bank_without_memories_is_taken_as_well(
    make_pod: MakePod, destination: dict[str, Any], capsys: Said
) -> None:
    pod = make_pod(destination, settings=TINY)
    stored(pod)
    code, report = run(pod, capsys, "take", "empty")
    assert (code, report["memories"]) == (0, 0)
    assert all(checks_of(report).values())


def test_a_bank_that_was_never_replicated_has_nothing_to_take(
    make_pod: MakePod, destination: dict[str, Any], capsys: Said
) -> None:
    pod = make_pod(destination, settings=TINY)
    pod.prepare()
    store(pod, _TEXTS)
    for arguments in (["take", "one"], ["verify"]):
        assert run(pod, capsys, *arguments)[0] == 3
    pod.config.write_text("{}")
    assert run(pod, capsys, "verify")[0] == 2
