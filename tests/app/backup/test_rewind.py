"""A bank that is put back in place, and back again, with real banks and a real Litestream."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import apsw
import pytest

from memorybank.__main__ import main
from memorybank.backup.chain import Origin
from memorybank.backup.rewinds import Rewinds
from memorybank.errors import NotFound
from memorybank.stores.sqlite.care import fold_log
from memorybank.stores.sqlite.lock import DataFolderLock
from tests.app.backup.banks import BANK, TINY, contents, objects, run, store, stored
from tests.app.backup.conftest import MakePod
from tests.support.replication import Pod

pytestmark = pytest.mark.slow

Said = pytest.CaptureFixture[str]
_EARLY = ("The harbour opens at six", "Deliveries come by the north gate")
_LATE = "The harbour was closed for ever"


@pytest.fixture
def moments() -> list[datetime]:
    return []


@pytest.fixture
def bank(make_pod: MakePod, destination: dict[str, Any], moments: list[datetime]) -> Pod:
    """A bank whose second incarnation wrote what nobody wants; nobody serves it."""
    pod = make_pod(destination, settings=TINY)
    stored(pod, *_EARLY)
    moments.append(datetime.now(UTC))
    stored(pod, _LATE)
    return pod


def in_place(pod: Pod) -> set[str]:
    return contents(pod, pod.data)


def lineage(pod: Pod) -> int:
    connection = apsw.Connection(str(pod.database))
    try:
        return int(connection.pragma("user_version"))
    finally:
        connection.close()


def test_a_bank_is_put_back_to_a_moment_and_forward_again(
    bank: Pod, moments: list[datetime], capsys: Said
) -> None:
    [moment] = moments
    before = objects(bank)
    code, report = run(bank, capsys, "rewind", "friday", "--at", moment.isoformat())
    assert (code, report["name"], report["memories"]) == (0, "friday", 2)
    assert report["restore_seconds"] > 0
    assert objects(bank) == before, "what is at the destination stays as it is"
    assert in_place(bank) == set(_EARLY)

    code, again = run(bank, capsys, "rewind", "friday", "--at", moment.isoformat())
    assert (code, again["already"]) == (0, True)
    assert {**again, "already": False} == report

    code, undone = run(bank, capsys, "undo", "friday")
    assert (code, undone["operation"], undone["already"]) == (0, "undo", False)
    assert in_place(bank) == {*_EARLY, _LATE}
    assert run(bank, capsys, "undo", "friday")[1]["already"]
    assert run(bank, capsys, "rewind", "friday")[0] == 2, "its id is used up"


def test_who_comes_next_begins_an_epoch_that_says_where_it_comes_from(
    bank: Pod, moments: list[datetime], capsys: Said
) -> None:
    [moment] = moments
    run(bank, capsys, "rewind", "friday", "--at", moment.isoformat())
    newest = max(each for each in objects(bank) if each.startswith("epochs/"))[7:-5]
    began = bank.prepare().epoch
    assert (began.origin, began.parent) == (Origin.RESTORED, newest)
    assert began.source is not None
    assert began.source.startswith(f"{BANK}/00000001-")
    assert began.source.endswith(f" at {moment.isoformat()}")
    store(bank, ["Written after the rewind"])
    bank.replicate()
    bank.kill()
    assert bank.prepare().epoch.origin is Origin.VOLUME, "that was told once"

    # Every moment is there still: that of before the rewind, and that which it did away with.
    bank.lose_volume()
    bank.prepare()
    assert in_place(bank) == {*_EARLY, "Written after the rewind"}
    file = bank.folder / "old" / "memory_bank.db"
    command = ["backup", "restore", str(file), "--config", str(bank.config)]
    assert main([*command, "--epoch", newest]) == 0
    assert contents(bank, file.parent) == {*_EARLY, _LATE}


def test_what_is_put_back_is_undone_for_the_next_pod_as_well(
    bank: Pod, moments: list[datetime], capsys: Said
) -> None:
    [moment] = moments
    run(bank, capsys, "rewind", "friday", "--at", moment.isoformat())
    stored(bank, "Written after the rewind")
    run(bank, capsys, "undo", "friday")
    began = bank.prepare().epoch
    assert (began.origin, began.source) == (
        Origin.RESTORED,
        "what was there before the rewind friday",
    )
    assert in_place(bank) == {*_EARLY, _LATE}


def test_a_point_is_put_in_place_of_a_damaged_bank_and_of_none(bank: Pod, capsys: Said) -> None:
    run(bank, capsys, "take", "good")
    assert fold_log(bank.database)
    content = bytearray(bank.database.read_bytes())
    content[4_096:20_000] = os.urandom(20_000 - 4_096)
    bank.database.write_bytes(content)
    assert run(bank, capsys, "rewind", "repair", "--point", "good")[0] == 0
    assert in_place(bank) == {*_EARLY, _LATE}
    run(bank, capsys, "undo", "repair")
    assert bank.database.read_bytes() == content, "it was kept as it was"

    bank.lose_volume()
    assert run(bank, capsys, "rewind", "again", "--point", "good")[0] == 0
    assert in_place(bank) == {*_EARLY, _LATE}
    assert run(bank, capsys, "undo", "again")[0] == 3
    assert bank.prepare().epoch.origin is Origin.RESTORED


def test_a_rewound_bank_is_of_another_line(
    bank: Pod, moments: list[datetime], capsys: Said
) -> None:
    """Its changes have numbers that others had before."""
    before = lineage(bank)
    run(bank, capsys, "rewind", "friday", "--at", moments[0].isoformat())
    rewound = lineage(bank)
    assert rewound != before
    run(bank, capsys, "rewind", "again", "--at", moments[0].isoformat())
    assert lineage(bank) not in (before, rewound)
    bank.lose_volume()
    bank.prepare()
    assert lineage(bank) not in (before, rewound), "nor is one that lost its volume"


def test_only_the_last_rewind_is_kept_and_that_until_it_is_told_to_go(
    bank: Pod, moments: list[datetime], capsys: Said
) -> None:
    at = ["--at", moments[0].isoformat()]
    run(bank, capsys, "rewind", "one", *at)
    run(bank, capsys, "rewind", "two", *at)
    assert run(bank, capsys, "rewind", "one", *at)[1]["already"]
    code, refused = run(bank, capsys, "undo", "one")
    assert (code, "rewound again" in refused["error"]["message"]) == (2, True)
    assert main(["backup", "discard", "two", "--config", str(bank.config)]) == 0
    assert run(bank, capsys, "undo", "two")[0] == 3
    assert main(["backup", "discard", "none", "--config", str(bank.config)]) == 3
    assert run(bank, capsys, "undo", "none")[0] == 3
    kept = [file for file in bank.data.rglob("*.db") if "-rewinds" in str(file)]
    assert kept == []


def test_what_an_interrupted_one_left_takes_no_room(
    bank: Pod, moments: list[datetime], capsys: Said
) -> None:
    left = Rewinds(bank.database).place("interrupted")
    left.parent.mkdir(parents=True)
    left.with_name("memory_bank.db.restoring").touch()
    assert run(bank, capsys, "rewind", "friday", "--at", moments[0].isoformat())[0] == 0
    assert not left.parent.parent.exists()


def files(pod: Pod) -> dict[str, bytes]:
    return {
        file.name: file.read_bytes()
        for file in pod.data.iterdir()
        if file.is_file() and not file.name.endswith((".lock", "-shm"))
    }


def test_nothing_is_touched_by_what_is_refused(
    bank: Pod, capsys: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(bank, capsys, "take", "good")
    before = files(bank)
    settings = json.loads(bank.config.read_text())
    ring = tmp_path / "ring"
    ring.write_text(json.dumps({"active": "k1", "keys": {"k1": "A" * 43 + "="}}))

    def refused(code: int, words: str, *arguments: str) -> None:
        found, report = run(bank, capsys, "rewind", "never", *arguments)
        assert (found, words in report["error"]["message"]) == (code, True), report
        assert files(bank) == before

    refused(3, "no recovery point", "--point", "none")
    refused(3, "nothing of", "--at", "2020-01-01T00:00:00Z")
    encrypted = {"enabled": True, "key_ring_file": str(ring)}
    bank.config.write_text(json.dumps(settings | {"encryption": encrypted}))
    refused(2, "not encrypted")
    refused(2, "not encrypted", "--point", "good")
    bank.config.write_text(json.dumps(settings))
    lock = DataFolderLock(bank.database)
    before = files(bank)
    refused(2, "in use by process")
    lock.release()
    with monkeypatch.context() as patch:
        usage = type("Usage", (), {"free": 1})
        patch.setattr("memorybank.backup.restoring.shutil.disk_usage", lambda _folder: usage)
        refused(5, "does not fit")
        refused(5, "does not fit", "--point", "good")
    with monkeypatch.context() as patch:
        older = [type("Migration", (), {"version": 1})]
        patch.setattr("memorybank.stores.sqlite.connection.migrations", lambda: older)
        patch.setattr("memorybank.server.drills.migrations", lambda: older)
        refused(2, "newer version")
        refused(2, "newer version", "--point", "good")
    assert run(bank, capsys, "rewind", "never")[0] == 0, "the id was not used up"


class Crash(Exception):
    pass


def crashing(monkeypatch: pytest.MonkeyPatch, step: int) -> Callable[[], bool]:
    """End everything at the so-manieth change of the disk; return whether it came to that."""
    left = step
    crashed = False

    def counted(name: str) -> None:
        real = getattr(os, name)

        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal left, crashed
            if any("rewinds" in str(each) or "memory_bank.db" in str(each) for each in arguments):
                left -= 1
                if left < 0:
                    crashed = True
                    raise Crash
            return real(*arguments, **named)

        monkeypatch.setattr(os, name, call)

    for each in ("rename", "unlink", "link", "mkdir"):
        counted(each)
    return lambda: crashed


@pytest.mark.parametrize("command", ["rewind", "undo"])
def test_a_crash_at_any_step_leaves_the_one_or_the_other(
    make_pod: MakePod,
    tmp_path: Path,
    capsys: Said,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
) -> None:
    """And the same command again does it."""
    pod = make_pod({"volume": {"path": str(tmp_path / "backups")}}, settings=TINY)
    stored(pod, *_EARLY)
    stored(pod, _LATE)
    first = min(each for each in objects(pod) if each.startswith("epochs/"))[7:-5]
    before, after = {*_EARLY, _LATE}, set(_EARLY)
    wanted = after if command == "rewind" else before
    step, crashed = 0, True
    while crashed:
        name = f"step-{step}"
        rewind = ["rewind", name, "--epoch", first]
        if command == "undo":
            assert run(pod, capsys, *rewind)[0] == 0
        arguments = rewind if command == "rewind" else ["undo", name]
        with monkeypatch.context() as patch:
            has_crashed = crashing(patch, step)
            with contextlib.suppress(Crash):
                run(pod, capsys, *arguments)
            crashed = has_crashed()
        if crashed:
            pod.prepare()  # it ends what was begun
            assert in_place(pod) in (before, after), step
            code, _ = run(pod, capsys, *arguments)
            assert code == 0, step
        assert in_place(pod) == wanted, step
        if command == "rewind":
            assert run(pod, capsys, "undo", name)[0] == 0
        step += 1
    assert step > 5, "otherwise this tests nothing"


def test_what_was_kept_for_long_is_removed(
    bank: Pod, moments: list[datetime], capsys: Said
) -> None:
    run(bank, capsys, "rewind", "friday", "--at", moments[0].isoformat())
    rewinds = Rewinds(bank.database)
    rewinds.forget(older_than=timedelta(0))
    found = rewinds.find("friday")
    assert found is not None
    rewinds.require_kept(found)  # nobody has served it yet
    bank.prepare()
    rewinds.forget(older_than=timedelta(hours=1))
    rewinds.require_kept(found)
    rewinds.forget(older_than=timedelta(0))
    with pytest.raises(NotFound):
        rewinds.require_kept(found)
    assert run(bank, capsys, "rewind", "friday")[1]["already"], "it is known still"
