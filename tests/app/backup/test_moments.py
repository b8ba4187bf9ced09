"""Bringing back any moment of a bank, of this one or another, with a real Litestream."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import pytest

from memorybank.__main__ import main
from memorybank.backup.chain import Origin, lineage
from memorybank.backup.destination import Destination
from memorybank.errors import ConfigurationError, NotFound
from memorybank.server.destinations import place_of
from tests.app.backup.conftest import MakePod
from tests.support.replication import Pod, write

pytestmark = pytest.mark.slow

_SECOND = timedelta(seconds=1)
_LATE = 2 * _SECOND
"""How late a row may reach the log: Litestream looks each second, when it has its turn."""


class Written(NamedTuple):
    """When a row was sent, and when its transaction was done."""

    sent: datetime
    done: datetime


def lived(pod: Pod, numbers: range) -> dict[int, Written]:
    """Let a pod write these rows one by one, and be lost; return when that was."""
    pod.prepare()
    written = {}
    with pod.writing() as connection:
        pod.replicate()
        for number in numbers:
            sent = datetime.now(UTC)
            write(connection, number)
            written[number] = Written(sent, datetime.now(UTC))
            time.sleep(0.1)
        pod.wait_until_synced()
        pod.kill()
    return written


def rows(database: Path) -> list[int]:
    with closing(apsw.Connection(str(database))) as connection:
        assert connection.pragma("integrity_check") == "ok"
        return [number for (number,) in connection.execute("SELECT number FROM told")]


def restored(pod: Pod, file: Path, *arguments: str) -> list[int]:
    """What `memorybank backup restore` brings back."""
    command = ["backup", "restore", str(file), "--config", str(pod.config), *arguments]
    assert main(command) == 0
    return rows(file)


def test_any_moment_of_any_incarnation_comes_back(
    make_pod: MakePod, destination: dict[str, Any], tmp_path: Path
) -> None:
    written = lived(make_pod(destination), range(30))
    written |= lived(make_pod(destination), range(30, 60))
    written |= lived(last := make_pod(destination), range(60, 90))
    dice = random.Random(5)  # noqa: S311  # no secret
    begin = written[12].done  # what comes before may be younger than the first that was replicated
    for trial in range(8):
        at = begin + (written[89].done - begin) * dice.random()
        found = restored(last, tmp_path / f"restored-{trial}", "--at", at.isoformat())
        assert found == list(range(len(found))), "in the order in which they were written"
        assert {each for each, when in written.items() if when.done < at - _LATE} <= set(found)
        assert all(written[each].sent <= at + _SECOND / 10 for each in found)


def since(pod: Pod) -> datetime:
    """From when on every moment can be restored."""
    backup = pod.settings.backup
    assert backup is not None
    at = Destination(place_of(backup))

    async def asked() -> datetime | None:
        epochs, newest = await at.look(seconds=30)
        assert newest is not None
        return await at.since(tuple(lineage(epochs, newest)))

    found = asyncio.run(asked())
    assert found is not None
    return found


def test_what_is_said_to_be_recoverable_is(
    make_pod: MakePod, destination: dict[str, Any], tmp_path: Path
) -> None:
    first = make_pod(destination)
    written = lived(first, range(30))
    last = make_pod(destination)
    written |= lived(last, range(30, 60))
    oldest = since(last)
    assert oldest < written[29].done
    for name, at in (("oldest", oldest), ("next", oldest + _SECOND)):
        found = restored(last, tmp_path / name, "--at", at.isoformat())
        assert {each for each, when in written.items() if when.done < at - _LATE} <= set(found)
        assert all(written[each].sent <= at + _SECOND / 10 for each in found)
    # The first epoch expires.
    backup = last.settings.backup
    assert backup is not None
    kept = Destination(place_of(backup))
    epochs = asyncio.run(kept.begun())
    asyncio.run(kept.remove(min(epochs.values(), key=lambda each: each.order)))
    assert written[29].done < since(last) < written[59].done + _LATE
    restored(last, tmp_path / "later", "--at", since(last).isoformat())


def test_what_is_older_than_all_backups_is_refused_and_makes_no_file(
    make_pod: MakePod,
    destination: dict[str, Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pod = make_pod(destination)
    began = datetime.now(UTC)
    lived(pod, range(3))
    file = tmp_path / "restored"
    command = ["backup", "restore", str(file), "--config", str(pod.config)]
    assert main([*command, "--at", (began - timedelta(hours=1)).isoformat()]) == 3
    assert "backup list` shows since when" in capsys.readouterr().err
    assert main([*command, "--epoch", "00000009-00000000"]) == 3
    assert not file.exists()
    file.write_text("mine")
    assert main(command) == 1
    assert file.read_text() == "mine"
    with pytest.raises(SystemExit):
        main([*command, "--at", "yesterday"])
    assert "write one such as" in capsys.readouterr().err


def test_the_epochs_are_shown(
    make_pod: MakePod, destination: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    lived(make_pod(destination), range(3))
    pod = make_pod(destination)
    second = pod.prepare().epoch
    assert main(["backup", "list", "--config", str(pod.config)]) == 0
    _, newest, first = capsys.readouterr().out.splitlines()
    assert newest.split() == [
        second.name,
        second.began.isoformat().replace("+00:00", "Z"),
        "-",
        "backup",
    ]
    assert first.startswith("00000001-")
    assert first.endswith("nothing")


def test_a_new_bank_begins_with_what_another_one_was(
    make_pod: MakePod, destination: dict[str, Any]
) -> None:
    other = make_pod(destination, bank="agents/other", uid="of-other")
    written = lived(other, range(40))
    at = written[10].done + _LATE
    named = {"bank": "agents/other", "at": at.isoformat()}
    pod = make_pod(destination, restore=named)
    began = pod.prepare()
    assert began.epoch.origin is Origin.RESTORED
    assert began.epoch.parent is None
    assert (began.epoch.source or "").startswith("agents/other/of-other/00000001-")
    found = pod.rows()
    assert set(range(11)) <= set(found) < set(written)

    with pod.writing() as connection:  # from then on it has backups of its own
        pod.replicate()
        write(connection, 1_000)
        pod.wait_until_synced()
        pod.kill()
    pod.lose_volume()
    again = pod.prepare()
    assert again.epoch.origin is Origin.BACKUP
    assert pod.rows() == [*found, 1_000]
    assert lived(other, range(40, 41)), "whose backup it was goes on"


def test_a_new_bank_does_not_begin_with_nothing_when_it_is_to_begin_with_something(
    make_pod: MakePod, destination: dict[str, Any], tmp_path: Path
) -> None:
    pod = make_pod(destination, restore={"bank": "agents/nobody"})
    with pytest.raises(NotFound, match=r"there is no backup of a bank in .*agents/nobody"):
        pod.prepare()
    assert not pod.database.exists()
    assert not list(tmp_path.rglob("nobody")), "who looks for a backup makes no folder"


def test_of_several_banks_of_a_name_the_last_one_is_meant(
    make_pod: MakePod, destination: dict[str, Any]
) -> None:
    for uid, number in (("a", 1), ("b", 2)):
        lived(make_pod(destination, bank="agents/other", uid=uid), range(number, number + 1))
    pod = make_pod(destination, restore={"bank": "agents/other"})
    pod.prepare()
    assert pod.rows() == [2]
    chosen = make_pod(destination, uid="mine", restore={"bank": "agents/other", "uid": "a"})
    chosen.prepare()
    assert chosen.rows() == [1]


def test_what_cannot_be_read_of_another_destination_is_told_by_its_setting(
    make_pod: MakePod, destination: dict[str, Any], tmp_path: Path
) -> None:
    missing = str(tmp_path / "missing")
    source = {
        "bucket": "memories",
        "access_key_id_file": missing,
        "secret_access_key_file": missing,
    }
    with pytest.raises(ConfigurationError) as caught:
        make_pod(destination, restore={"bank": "agents/other", "s3": source}).prepare()
    assert caught.value.field == "backup.restore.s3.access_key_id_file"
