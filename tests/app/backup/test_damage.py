"""Backups that are damaged are noticed, refused, and what can be restored instead is named."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from memorybank.__main__ import main
from memorybank.errors import BackupDamaged
from tests.app.backup.banks import TINY, contents, objects, put, run, stored
from tests.app.backup.conftest import MakePod
from tests.support.replication import Pod

pytestmark = pytest.mark.slow

Said = pytest.CaptureFixture[str]
_FIRST, _SECOND, _THIRD = (
    "The harbour opens at six",
    "Deliveries come by the north gate",
    "Lamps burn on oil",
)
_HARMS = ("flipped", "cut", "gone", "emptied")


@pytest.fixture
def bank(make_pod: MakePod, destination: dict[str, Any], capsys: Said) -> Pod:
    """Two points, and an epoch that is newer than both."""
    pod = make_pod(destination, settings=TINY)
    stored(pod, _FIRST)
    assert run(pod, capsys, "take", "older")[0] == 0
    stored(pod, _SECOND)
    assert run(pod, capsys, "take", "newer")[0] == 0
    stored(pod, _THIRD)
    return pod


def harm(pod: Pod, path: str, how: str) -> None:
    content = bytearray(objects(pod)[path])
    if how == "gone":
        put(pod, path, None)
    elif how == "cut":
        put(pod, path, bytes(content[: len(content) // 2]))
    elif how == "emptied":
        put(pod, path, b"")
    else:
        content[len(content) // 2] ^= 0xFF
        put(pod, path, bytes(content))


def first_of_newest_epoch(pod: Pod) -> str:
    """Return what all else of the epoch builds on."""
    newest = max(each for each in objects(pod) if each.startswith("epochs/"))[7:-5]
    return min(each for each in objects(pod) if each.startswith(f"{newest}/"))


def copy_of(pod: Pod, name: str) -> str:
    path: str = json.loads(objects(pod)[f"points/{name}.json"])["object"]
    return path


def require_refused(pod: Pod, capsys: Said, offered: str, *state: str) -> None:
    """Everybody who restores it refuses it, names what can be restored, and touches nothing."""
    before, there = pod.database.read_bytes(), objects(pod)
    for command in (["verify"], ["rewind", "never"]):
        code, report = run(pod, capsys, *command, *state)
        assert (code, report["error"]["code"]) == (6, "backup_damaged"), report
        assert f"whole is {offered}," in report["error"]["hint"], report
    file = pod.folder / "restored" / "memory_bank.db"
    command = ["backup", "restore", str(file), *state, "--config", str(pod.config)]
    assert main(command) == 6
    assert f"whole is {offered}," in capsys.readouterr().err
    assert [each for each in file.parent.glob("*") if each.is_file()] == []
    assert pod.database.read_bytes() == before
    assert objects(pod) == there


@pytest.mark.parametrize("how", _HARMS)
def test_a_damaged_epoch_is_refused_and_a_point_offered(
    bank: Pod, capsys: Said, how: str, tmp_path: Path
) -> None:
    path = first_of_newest_epoch(bank)
    if how == "gone" and len([each for each in objects(bank) if each.startswith(path[:17])]) == 1:
        harm(bank, path, "emptied")  # one that has nothing is no epoch, and the one before counts
    else:
        harm(bank, path, how)
    require_refused(bank, capsys, "newer")
    bank.lose_volume()
    with pytest.raises(BackupDamaged) as caught:
        bank.prepare()
    assert "whole is newer," in (caught.value.hint or "")
    assert not bank.database.exists()

    # What it says.
    assert run(bank, capsys, "rewind", "repair", "--point", "newer")[0] == 0
    began = bank.prepare()
    assert began.epoch.parent == path[:17]
    assert contents(bank, bank.data) == {_FIRST, _SECOND}


@pytest.mark.parametrize("how", _HARMS)
def test_a_damaged_point_is_refused_and_another_one_offered(
    bank: Pod, make_pod: MakePod, destination: dict[str, Any], capsys: Said, how: str
) -> None:
    harm(bank, copy_of(bank, "newer"), how)
    require_refused(bank, capsys, "older", "--point", "newer")
    begins = {"bank": "agents/team-memory", "point": "newer"}
    other = make_pod(destination, settings=TINY, uid="another", restore=begins)
    with pytest.raises(BackupDamaged) as caught:
        other.prepare()
    assert "whole is older," in (caught.value.hint or "")
    assert not other.database.exists()
    assert run(bank, capsys, "rewind", "repair", "--point", "older")[0] == 0
    assert contents(bank, bank.data) == {_FIRST}


def test_a_damaged_point_is_not_offered_and_without_any_none_is(bank: Pod, capsys: Said) -> None:
    harm(bank, first_of_newest_epoch(bank), "emptied")
    harm(bank, copy_of(bank, "newer"), "flipped")
    require_refused(bank, capsys, "older")
    put(bank, "points/older.json", b"{")
    code, report = run(bank, capsys, "verify")
    assert code == 6
    assert "recovery point" not in report["error"]["hint"]
    assert "went on from" in report["error"]["hint"], "the epoch before is named still"
    code, report = run(bank, capsys, "verify", "--point", "older")
    assert (code, "record of the recovery point older" in report["error"]["message"]) == (6, True)
    assert main(["backup", "points", "--config", str(bank.config)]) == 0
    assert "newer" in capsys.readouterr().out


def test_a_copy_that_is_not_what_its_record_says_is_refused(bank: Pod, capsys: Said) -> None:
    record = json.loads(objects(bank)["points/newer.json"])
    put(bank, "points/newer.json", json.dumps(record | {"memories": 5}).encode())
    code, report = run(bank, capsys, "verify", "--point", "newer")
    assert code == 6
    assert {each["name"]: each["ok"] for each in report["checks"]}["counts"] is False
    assert "whole is older," in report["error"]["hint"]


def test_another_key_ring_is_refused_and_a_point_offered_that_needs_none_of_its_keys(
    make_pod: MakePod, destination: dict[str, Any], capsys: Said, tmp_path: Path
) -> None:
    keys = {"k1": "A" * 43 + "=", "k2": "B" * 42 + "A="}
    ring = tmp_path / "ring"
    ring.write_text(json.dumps({"active": "k1", "keys": {"k1": keys["k1"]}}))
    encrypted = {"encryption": {"enabled": True, "key_ring_file": str(ring)}}
    pod = make_pod(destination, settings=TINY | encrypted)
    stored(pod, _FIRST)
    assert run(pod, capsys, "take", "of-k1")[1]["key_ids"] == ["k1"]
    ring.write_text(json.dumps({"active": "k2", "keys": keys}))
    pod.prepare()
    rewrap(pod)
    pod.replicate()
    pod.kill()
    assert run(pod, capsys, "take", "of-k2")[1]["key_ids"] == ["k2"]

    before = pod.database.read_bytes()
    ring.write_text(json.dumps({"active": "k1", "keys": {"k1": keys["k1"]}}))
    for command in (["verify"], ["rewind", "never"], ["verify", "--point", "of-k2"]):
        code, report = run(pod, capsys, *command)
        assert (code, report["error"]["code"]) == (2, "configuration_error")
        assert "needs the key k2" in report["error"]["message"]
        assert "whole is of-k1," in report["error"]["hint"]
        assert keys["k1"] not in json.dumps(report)
    file = tmp_path / "restored" / "memory_bank.db"
    assert main(["backup", "restore", str(file), "--config", str(pod.config)]) == 2
    assert "whole is of-k1," in capsys.readouterr().err
    assert not file.exists()
    assert pod.database.read_bytes() == before
    assert run(pod, capsys, "rewind", "back", "--point", "of-k1")[0] == 0


def rewrap(pod: Pod) -> None:
    """Do what a start does with a ring that has another active key."""
    from memorybank.configuration import key_ring
    from memorybank.stores.sqlite import SqliteStore

    async def rewrapped() -> None:
        store = await SqliteStore.open(
            pod.database, model="any", ring=key_ring(pod.settings), checkpoints=False
        )
        await store.access.rewrap_keys()
        await store.close()

    asyncio.run(rewrapped())
