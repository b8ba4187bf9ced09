"""What waits on the volume while nothing can be sent: counted, bounded, and lost by nobody."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest

from memorybank.backup.backlog import Backlog, copy_seconds
from memorybank.backup.destination import Destination
from memorybank.backup.litestream import HOLD, last_in, state_of
from memorybank.backup.objects import Objects
from memorybank.errors import BackupUnavailable
from memorybank.server.destinations import backup_of, place_of
from tests.app.backup.conftest import MakePod
from tests.app.backup.test_replicated_bank import is_fresh, served, told
from tests.support.replication import Pod, write
from tests.support.s3_server import S3

EPOCH = "00000001-0a0b0c0d"
REFUSED = BackupUnavailable("the bucket is full")
LATE = BackupUnavailable("it does not arrive in time", late=True)
_PATIENCE_SECONDS = 60.0


class Bank:
    """A volume with files as Litestream makes them, and a destination that answers or not."""

    def __init__(self, folder: Path) -> None:
        self.database = folder / "memory_bank.db"
        self.database.write_bytes(b"\0" * 1_000)
        self.made = state_of(self.database, EPOCH) / "ltx" / "0"
        self.run_dir = folder
        self.answers = True
        self.cleared = 0

    def backlog(self, most_bytes: int = 500) -> Backlog:
        return Backlog(
            self.database, EPOCH, self.run_dir,
            most_bytes=most_bytes, reach=self._reach, clear=self._clear,
        )  # fmt: skip

    def make(self, number: int, size: int, *, age: float = 0) -> Path:
        self.made.mkdir(parents=True, exist_ok=True)
        file = self.made / f"{number:016x}-{number:016x}.ltx"
        file.write_bytes(b"\0" * size)
        at = time.time() - age
        os.utime(file, (at, at))
        return file

    def give_up(self) -> None:
        """Remove what Litestream kept, as who runs it does while it is held."""
        shutil.rmtree(self.made.parent)

    async def _clear(self) -> None:
        self.cleared += 1

    async def _reach(self) -> None:
        if not self.answers:
            raise BackupUnavailable("the destination cannot be reached")


@pytest.fixture
def bank(tmp_path: Path) -> Bank:
    return Bank(tmp_path)


def test_what_has_not_arrived_is_counted_and_what_has_goes_in_time(bank: Bank) -> None:
    backlog = bank.backlog()
    old, young, newest = (
        bank.make(9, 10, age=90), bank.make(10, 20, age=5), bank.make(11, 40, age=90)
    )  # fmt: skip
    (bank.made / "notes.txt").write_text("of somebody else")
    assert backlog.waiting() == 70, "nothing is known of an earlier process"
    backlog.arrived(None)
    assert (backlog.waiting(), old.exists()) == (70, True)
    backlog.arrived(f"{11:016x}")
    assert backlog.waiting() == 0
    assert (old.exists(), young.exists(), newest.exists()) == (False, True, True)
    bank.make(12, 80)
    assert backlog.waiting() == 80


async def test_litestream_is_held_when_more_waits_than_a_copy_would_be(bank: Bank) -> None:
    backlog = bank.backlog()
    bank.make(1, 1_500)
    await backlog.failed(REFUSED)
    assert not backlog.held, "as much as may wait"
    log = bank.database.with_name("memory_bank.db-wal")
    log.write_bytes(b"\0")
    await backlog.failed(REFUSED)
    assert backlog.held, "the log waits as well"
    assert bank.backlog().held, "a service that is started again knows"
    with pytest.raises(BackupUnavailable, match=r"is being removed; a whole copy follows"):
        await backlog.let_go()
    bank.give_up()
    bank.answers = False
    with pytest.raises(BackupUnavailable, match=r"reached; a whole copy follows"):
        await backlog.let_go()
    assert (backlog.held, bank.cleared) == (True, 0)
    bank.answers = True
    await backlog.let_go()
    assert ((bank.run_dir / HOLD).exists(), bank.cleared) == (False, 1)


async def test_what_is_only_slow_is_given_its_time(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_000.0
    monkeypatch.setattr("memorybank.backup.backlog.time.monotonic", lambda: now)
    backlog = bank.backlog()
    bank.make(1, 2_000)
    bank.answers = False
    await backlog.failed(LATE)
    assert backlog.held, "nobody answers"
    bank.answers = True
    bank.give_up()
    await backlog.let_go()
    bank.make(1, 2_000)
    now += copy_seconds(1_000) * 2 - 1
    await backlog.failed(LATE)
    assert not backlog.held, "it gets twice the time of the first attempt"
    now += 2
    await backlog.failed(LATE)
    assert backlog.held
    bank.give_up()
    with pytest.raises(BackupUnavailable, match="took nothing"):
        await backlog.let_go()  # it takes what is small, and was given something large in vain
    now += 31
    await backlog.let_go()
    backlog.arrived(f"{1:016x}")
    bank.make(2, 2_000)
    await backlog.failed(REFUSED)
    bank.give_up()
    await backlog.let_go()
    assert not backlog.held, "after a success nothing counts that was before"


@contextmanager
def unreachable(kind: str, destination: Path, s3: S3) -> Iterator[None]:
    """Take the destination away: its server says nothing, or the folder is none."""
    with ExitStack() as stack:
        if kind == "silent":
            stack.enter_context(s3.silent())
        else:
            away = destination.with_name("away")
            destination.rename(away)
            destination.touch()
            stack.callback(away.rename, destination)
            stack.callback(destination.unlink)
        yield


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["silent", "no folder"])
def test_an_outage_leaves_the_volume_small_and_loses_nothing(
    kind: str, make_pod: MakePod, s3: S3, tmp_path: Path
) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    destination: dict[str, Any] = (
        {"volume": {"path": str(folder)}}
        if kind == "no folder"
        else {"s3": s3.settings(tmp_path / "secrets")}
    )
    pod = make_pod(destination, max_waiting_bytes=1_048_576)
    stored = 0
    with served(pod) as server, server.client() as client:

        def store(number: int) -> None:
            nonlocal stored
            for _ in range(number):
                answer = client.post("/v1/memories", json={"content": f"Note {stored}."})
                assert answer.status_code == 201, answer.text
                stored += 1

        store(5)
        told(server, is_fresh)
        with unreachable(kind, folder, s3):
            held = _until_held(pod, lambda: store(2))
            assert "a whole copy follows" in held(server)["problem"]
            assert len(pod.pids()) == 1, "Litestream is gone"
            assert not list(pod.database.parent.rglob("*.ltx")), "and what it kept"
            store(50)
        fresh = told(server, is_fresh)
        store(1)
        told(server, lambda backup: is_fresh(backup) and backup["synced_at"] > fresh["synced_at"])
        server.process.kill()
        pod.kill()
    pod.lose_volume()
    with served(pod) as server, server.client() as client:
        memories = client.get("/v1/stats").json()["total"]
        assert memories == stored


def _until_held(pod: Pod, store: Callable[[], None]) -> Callable[..., dict[str, Any]]:
    """Write until Litestream is held; return what waits for /ready to tell it."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not (pod.run_dir / HOLD).exists():
        assert time.monotonic() < deadline, "it is not held"
        store()
        time.sleep(0.05)  # what waits is to grow faster than the database
    while len(pod.pids()) > 1:
        assert time.monotonic() < deadline, "Litestream runs on"
        time.sleep(0.05)
    return lambda server: told(server, lambda backup: "a whole copy" in backup["problem"])


@pytest.mark.slow
@pytest.mark.parametrize("held", [True, False])
def test_a_log_that_was_begun_anew_meanwhile_is_no_continuation(
    held: bool, make_pod: MakePod, destination: dict[str, Any]
) -> None:
    pod = make_pod(destination)
    pod.prepare()
    with pod.writing() as connection:
        pod.replicate()
        for number in range(200):
            write(connection, number)
        pod.wait_until_synced()
        if held:
            (pod.run_dir / HOLD).touch()
            while len(pod.pids()) > 1:
                time.sleep(0.01)
        else:
            pod.kill()
        for number in range(200, 250):
            write(connection, number)
        busy, frames, moved = next(connection.execute("PRAGMA wal_checkpoint(RESTART)"))
        assert (busy, frames) == (0, moved)
        write(connection, 250)  # behind it are the frames of before, as Litestream sent them last
        if held:
            (pod.run_dir / HOLD).unlink()
        else:
            pod.replicate(wait=False)
        pod.wait_until_synced()
        pod.stop()
    pod.lose_volume()
    pod.prepare()
    assert sorted(pod.rows()) == list(range(251))


@pytest.mark.slow
def test_litestream_ends_with_what_runs_it_and_the_other_way_round(
    make_pod: MakePod, tmp_path: Path
) -> None:
    pod = make_pod({"volume": {"path": str(tmp_path / "backups")}})
    pod.prepare()
    state = state_of(pod.database, pod.prepare().epoch.name)
    (state / "removed" / "0").mkdir(parents=True)
    with pod.writing() as connection:
        write(connection, 1)
        pod.replicate()
        assert not (state / "removed").exists(), "left by one that was killed"
        runs, litestream = pod.pids()
        os.kill(runs, 9)
        _until(lambda: not Path(f"/proc/{litestream}").exists())
        pod.kill()
        pod.replicate()
        _, litestream = pod.pids()
        os.kill(litestream, 15)
        assert pod.wait() == 0, "Litestream ended in order"
        pod.replicate()
        _, litestream = pod.pids()
        os.kill(litestream, 9)
        assert pod.wait() == 128 + 9
        (pod.run_dir / HOLD).touch()
        pod.replicate(wait=False)
        _until(lambda: not (state / "ltx").exists())
        assert len(pod.pids()) == 1, "whoever asked an earlier process has to let this one go"
        pod.prepare()
        pod.wait_until_synced()


@pytest.mark.slow
def test_a_copy_that_is_ahead_of_what_had_arrived_is_not_gone_on_from(
    make_pod: MakePod, destination: dict[str, Any]
) -> None:
    pod = make_pod(destination)
    epoch = pod.prepare().epoch
    there = Destination(place_of(backup_of(pod.settings)))
    objects = Objects(there.place)

    def copies() -> list[str]:
        return list(asyncio.run(objects.within(there.place.level(epoch.name, 9))))

    with pod.writing() as connection:
        pod.replicate()
        for number in range(8):
            write(connection, number)
            pod.wait_until_synced()
        pod.stop()
        asyncio.run(objects.remove(copies()))
        pod.replicate()
        _until(lambda: copies() != [])
        (pod.run_dir / HOLD).touch()
        _until(lambda: len(pod.pids()) == 1)
        # As if the destination had gone away early, and taken nothing but the whole copy.
        late = [
            each for each in asyncio.run(objects.within(epoch.name))
            if each not in copies() and (last_in(each.rpartition("/")[2]) or "") > f"{2:016x}"
        ]  # fmt: skip
        asyncio.run(objects.remove(late))
        asyncio.run(there.forget_ahead(epoch))
        (pod.run_dir / HOLD).unlink()
        pod.wait_until_synced()
        write(connection, 8)
        pod.wait_until_synced()
        pod.stop()
    pod.lose_volume()
    pod.prepare()
    assert sorted(pod.rows()) == list(range(9))


@pytest.mark.slow
def test_nothing_starts_while_somebody_keeps_the_log(make_pod: MakePod, tmp_path: Path) -> None:
    pod = make_pod({"volume": {"path": str(tmp_path / "backups")}})
    pod.prepare()
    with pod.writing() as connection:
        write(connection, 1)
        reader = apsw.Connection(str(pod.database))
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM told").fetchall()
        write(connection, 2)
        pod.replicate(wait=False)
        time.sleep(2)
        assert len(pod.pids()) == 1
        reader.close()
        pod.wait_until_synced()
        pod.stop()
    pod.lose_volume()
    pod.prepare()
    assert pod.rows() == [1, 2]


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)
