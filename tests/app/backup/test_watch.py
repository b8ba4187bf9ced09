"""What the service finds out about its backups, and what follows from it."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from memorybank import trail
from memorybank.backup.asking import Litestream
from memorybank.backup.backlog import Backlog
from memorybank.backup.barrier import Barrier
from memorybank.backup.care import Care
from memorybank.backup.chain import Epoch, Origin
from memorybank.backup.destination import Destination
from memorybank.backup.litestream import state_of
from memorybank.backup.points import Points
from memorybank.backup.prepare import Prepared
from memorybank.backup.watch import Freshness, Watch
from memorybank.domain.memory import Memory
from memorybank.errors import BackupUnavailable
from memorybank.ports import PENDING
from memorybank.server.destinations import place_of
from memorybank.stores.sqlite import SqliteStore
from tests.app.backup.conftest import MakePod
from tests.support.memory_samples import a_memory
from tests.support.replication import Pod, write
from tests.support.s3_server import S3

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def epoch(number: int, parent: Epoch | None = None, *, day: float = 0) -> Epoch:
    return Epoch(
        name=f"{number:08}-{number:08x}",
        parent=None if parent is None else parent.name,
        origin=Origin.VOLUME,
        began=NOW + timedelta(days=day),
        bank="agents/team-memory",
        service_version="0.1.0",
        schema_version=1,
    )


class Nobody:
    """Keeps a count of what would be done at the destination."""

    def __init__(self, problem: str = "") -> None:
        self.problem = problem
        self.recorded = self.tidied = 0
        self.oldest: datetime | None = None

    async def record(self) -> None:
        if self.problem:
            raise BackupUnavailable(self.problem)
        self.recorded += 1

    async def tidy(self) -> None:
        self.tidied += 1
        raise BackupUnavailable("not now")

    async def since(self) -> datetime | None:
        if self.problem:
            raise BackupUnavailable(self.problem)
        return self.oldest


class Nothing(Backlog):
    """Never waits."""

    def __init__(self) -> None:
        nowhere = Path("nowhere")
        super().__init__(
            nowhere, epoch(1).name, nowhere, most_bytes=0, reach=self.reach, clear=self.reach
        )

    async def reach(self) -> None:
        """Nobody is asked."""


def watch(
    sync: Callable[[float], str | None], care: Nobody, *, recorded: bool = True, size: int = 0
) -> Watch:
    prepared = Prepared(epoch=epoch(1), recorded=recorded)
    return Watch(prepared, sync, care, Nothing(), look_seconds=0.01, database_bytes=size)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  # it is told by no event
            await asyncio.sleep(0.005)


def arrives(_seconds: float) -> None:
    """Everything is there."""


async def test_each_change_is_told_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("memorybank.backup.watch._AGAIN_SECONDS", 0.01)
    caplog.set_level(logging.INFO)
    problem, looks, care = "", 0, Nobody()

    def sync(_seconds: float) -> None:
        nonlocal looks
        looks += 1
        if problem:
            raise BackupUnavailable(problem)

    watched = watch(sync, care)
    assert watched.seen == Freshness()
    async with watched.running():
        await until(lambda: watched.seen.synced_at is not None and looks > 3)
        problem = "the bucket does not exist"
        await until(lambda: watched.seen.problem == problem)
        since, before, arrived = watched.seen.problem_since, looks, watched.seen.synced_at
        await until(lambda: looks > before + 3)
        assert (watched.seen.problem_since, watched.seen.synced_at) == (since, arrived)
        problem = ""
        await until(lambda: not watched.seen.problem)
        assert watched.seen.problem_since is None
    words = [each.getMessage() for each in caplog.records if each.name.endswith("watch")]
    assert words == [
        "old backups could not be removed: not now",
        "backups do not arrive: the bucket does not exist",
        "backups arrive again",
    ]
    assert care.tidied == 1, "once a day"
    done = looks
    await asyncio.sleep(0)
    assert looks == done, "nobody looks any more"


async def test_what_can_be_restored_is_asked_for_until_something_can_and_again_when_it_expires(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    care, told = Nobody(), list[datetime | None]()
    watched = Watch(
        Prepared(epoch=epoch(1), recorded=True), arrives, care, Nothing(),
        look_seconds=0.01, database_bytes=0,
        looked=lambda seen: told.append(seen.recoverable_from),
    )  # fmt: skip
    async with watched.running():
        await until(lambda: len(told) > 3)
        assert set(told) == {None}
        care.oldest = NOW
        await until(lambda: watched.seen.recoverable_from == NOW)
        care.oldest = later = NOW + timedelta(days=1)
        looks = len(told)
        await until(lambda: len(told) > looks + 3)
        assert watched.seen.recoverable_from == NOW, "it is not asked for at each look"
        monkeypatch.setattr("memorybank.backup.watch._SURVEY_SECONDS", 0.0)
        care.problem = "the destination cannot be reached"
        looks = len(told)
        await until(lambda: len(told) > looks + 3)
        assert watched.seen.recoverable_from == NOW, "it is still there, as far as anybody knows"
        assert not watched.seen.problem
        care.problem = ""
        await until(lambda: watched.seen.recoverable_from == later)
    assert watched.seen.synced_at is not None


async def test_who_meets_a_problem_has_it_looked_at_at_once() -> None:
    looks = threading.Semaphore(0)
    watched = Watch(
        Prepared(epoch=epoch(1), recorded=True),
        lambda _seconds: looks.release(),
        Nobody(),
        Nothing(),
        look_seconds=3_600,
        database_bytes=0,
    )
    watched.look_soon()  # nobody looks yet
    async with watched.running():
        assert await asyncio.to_thread(looks.acquire, timeout=30)
        await asyncio.to_thread(watched.look_soon)
        assert await asyncio.to_thread(looks.acquire, timeout=30)


async def test_a_first_copy_may_take_its_time() -> None:
    def late(_seconds: float) -> None:
        raise BackupUnavailable("it does not arrive in time", late=True)

    copying = watch(late, Nobody(), size=1_000_000_000)
    await copying.look()
    assert copying.seen == Freshness(), "nothing is known yet"
    unreachable = watch(late, Nobody(), recorded=False)
    await unreachable.look()
    assert unreachable.seen.problem, "the destination was away before"

    def refused(_seconds: float) -> None:
        raise BackupUnavailable("the bucket does not exist")

    wrong = watch(refused, Nobody(), size=1_000_000_000)
    await wrong.look()
    assert wrong.seen.problem == "the bucket does not exist"


async def test_an_epoch_is_recorded_later() -> None:
    care = Nobody("the destination cannot be reached")
    watched = watch(arrives, care, recorded=False)
    await watched.look()
    assert (watched.seen.problem, watched.seen.synced_at) == (care.problem, None)
    care.problem = ""
    await watched.look()
    await watched.look()
    assert (watched.seen.problem, care.recorded) == ("", 1)


@pytest.mark.slow
async def test_a_server_that_says_nothing_is_noticed(
    make_pod: MakePod, s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("memorybank.backup.watch.SYNC_SECONDS", 0.5)
    monkeypatch.setattr("memorybank.backup.watch._AGAIN_SECONDS", 0.1)
    pod = make_pod({"s3": s3.settings(tmp_path / "secrets")})
    prepared = await asyncio.to_thread(pod.prepare)
    litestream = Litestream(pod.socket, pod.database)
    with pod.writing() as connection:
        pod.replicate()
        watched = Watch(
            prepared, litestream.sync, Nobody(), Nothing(), look_seconds=0.1, database_bytes=0
        )
        async with watched.running():
            await until(lambda: watched.seen.synced_at is not None)
            with s3.silent():
                write(connection, 1)
                await until(lambda: bool(watched.seen.problem))
                began = time.monotonic()
                waiting = asyncio.create_task(asyncio.to_thread(litestream.sync, 30.0))
                await asyncio.sleep(0.05)
                litestream.hang_up()
                with pytest.raises(BackupUnavailable):
                    await waiting
                assert time.monotonic() - began < 15
            write(connection, 2)
            await until(lambda: not watched.seen.problem)
            pod.kill()
            await until(lambda: watched.seen.problem.startswith("the process that replicates"))
            pod.replicate(wait=False)
            await until(lambda: not watched.seen.problem)


@pytest.mark.slow
def test_what_an_administrator_does_to_a_bucket_is_told_in_words(
    make_pod: MakePod, s3: S3, tmp_path: Path
) -> None:
    pod = make_pod({"s3": s3.settings(tmp_path / "secrets")})
    pod.prepare()
    litestream = Litestream(pod.socket, pod.database)
    with pod.writing() as connection:
        pod.replicate()

        def said() -> str:
            write(connection, 1)
            with pytest.raises(BackupUnavailable) as caught:
                litestream.sync(20)
            assert s3.key not in caught.value.message
            assert s3.secret not in caught.value.message
            return caught.value.message

        s3.allow(False)
        try:
            assert said() == "the credentials may not do this in the bucket"
        finally:
            s3.allow(True)
        pod.wait_until_synced()


def bank_folder(pod: Pod) -> Path:
    backup = pod.settings.backup
    assert backup is not None
    assert backup.volume is not None
    return backup.volume.path / backup.bank / backup.uid


async def test_what_is_kept_for_nobody_is_removed(make_pod: MakePod, tmp_path: Path) -> None:
    pod = make_pod({"volume": {"path": str(tmp_path / "backups")}})
    backup = pod.settings.backup
    assert backup is not None
    destination = Destination(place_of(backup))
    first = epoch(1, day=-100)
    second = epoch(2, first, day=-90)
    empty = epoch(3, second, day=-80)
    third = epoch(4, second, day=-20)
    own = epoch(5, third, day=0)
    for each, last in ((first, -90), (second, -60), (empty, None), (third, -1), (own, 0)):
        await destination.begin(each)
        if last is not None:
            file = bank_folder(pod) / each.name / "ltx" / "0" / "1-1.ltx"
            file.parent.mkdir(parents=True)
            file.touch()
            at = (NOW + timedelta(days=last)).timestamp()
            os.utime(file, (at, at))
    states = [state_of(pod.database, each.name) for each in (third, own)]
    for state in states:
        state.mkdir(parents=True)
        os.utime(state, (0, 0))
    prepared = Prepared(epoch=own, recorded=True)
    await care_of(destination, prepared, pod).tidy()
    left = {file.stem for file in (bank_folder(pod) / "epochs").iterdir()}
    assert left == {second.name, third.name, own.name}, "the kept time begins with the second"
    assert not list((bank_folder(pod) / first.name).rglob("*.ltx"))
    assert [state.exists() for state in states] == [False, True]


def care_of(destination: Destination, prepared: Prepared, pod: Pod) -> Care:
    points = Points(destination.place)
    return Care(destination, points, prepared, pod.database, keep=timedelta(days=30))


async def test_what_was_begun_is_recorded_once(make_pod: MakePod, tmp_path: Path) -> None:
    pod = make_pod({"volume": {"path": str(tmp_path / "backups")}})
    backup = pod.settings.backup
    assert backup is not None
    destination = Destination(place_of(backup))
    prepared = Prepared(epoch=epoch(1), recorded=False)
    care = care_of(destination, prepared, pod)
    await care.record()
    await care.record()  # the answer to the first was lost
    assert await destination.begun() == {prepared.epoch.name: prepared.epoch}


class Syncs:
    """A destination that can fail, and counts who asks."""

    def __init__(self) -> None:
        self.problem = ""
        self.times = 0
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, _seconds: float) -> None:
        self.times += 1
        self.gate.wait(30)
        if self.problem:
            raise BackupUnavailable(self.problem)


@pytest.fixture
def _asked_for() -> Any:
    token = trail.actor.set(trail.Actor("default/key"))
    yield
    trail.actor.reset(token)


async def opened(tmp_path: Path, barrier: Barrier) -> SqliteStore:
    return await SqliteStore.open(
        tmp_path / "memory_bank.db", model="m", checkpoints=False, replication=barrier
    )


async def add(store: SqliteStore, content: str) -> Memory:
    made = a_memory(content)
    await store.add(made, PENDING)
    return made


@pytest.mark.usefixtures("_asked_for")
async def test_a_group_of_writes_waits_once(tmp_path: Path) -> None:
    syncs = Syncs()
    store = await opened(tmp_path, Barrier(syncs, refuses=True))
    try:
        syncs.gate.clear()
        first = asyncio.create_task(add(store, "first"))
        await until(lambda: syncs.times == 1)
        others = [asyncio.create_task(add(store, f"other {number}")) for number in range(50)]
        await asyncio.sleep(0.05)
        assert not first.done(), "what has not arrived is not acknowledged"
        syncs.gate.set()
        await asyncio.gather(first, *others)
        assert syncs.times == 2
    finally:
        await store.close()


@pytest.mark.usefixtures("_asked_for")
async def test_refused_writes_say_whether_they_were_made(tmp_path: Path) -> None:
    syncs, failures = Syncs(), list[int]()
    barrier = Barrier(syncs, refuses=True, failed=lambda: failures.append(1))
    store = await opened(tmp_path, barrier)
    try:
        syncs.problem = "the bucket is full"
        with pytest.raises(BackupUnavailable, match=r"is in the database.*bucket is full"):
            await add(store, "made")
        with pytest.raises(BackupUnavailable, match=r"nothing is written.*bucket is full"):
            await add(store, "not made")
        assert (syncs.times, (await store.stats()).memories) == (1, 1)
        assert (barrier.holds, failures) == (True, [1])
        syncs.problem = ""
        barrier.looked(Freshness(synced_at=NOW))
        await add(store, "made again")
        assert (await store.stats()).memories == 2
    finally:
        await store.close()


@pytest.mark.usefixtures("_asked_for")
async def test_writes_may_be_acknowledged_nevertheless(tmp_path: Path) -> None:
    syncs = Syncs()
    barrier = Barrier(syncs, refuses=False)
    store = await opened(tmp_path, barrier)
    try:
        assert barrier.holds
        syncs.problem = "the bucket is full"
        for content in ("one", "two"):
            await add(store, content)
        assert (syncs.times, barrier.holds) == (1, False)
        syncs.problem = ""
        barrier.looked(Freshness(synced_at=NOW))
        await add(store, "three")
        assert (syncs.times, barrier.holds) == (2, True)
    finally:
        await store.close()


async def test_what_nobody_asked_for_waits_for_nobody(tmp_path: Path) -> None:
    """The self-test and the housekeeping: a destination that is away makes no bank unready."""
    syncs = Syncs()
    syncs.problem = "the bucket is full"
    barrier = Barrier(syncs, refuses=True)
    barrier.looked(Freshness(problem="the bucket is full"))
    store = await opened(tmp_path, barrier)
    try:
        await add(store, "the canary")
        assert syncs.times == 0
    finally:
        await store.close()
