"""What pods say of themselves, and how often they are asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web
from typing_extensions import override

from memorybank_operator.engine.cache import BankKey
from memorybank_operator.readings import Outlook, Reader, Readings
from memorybank_operator.reconcile.observed import (
    BackupReading,
    CopyReading,
    Disk,
    FollowReading,
    Reading,
)

BANK = BankKey("team", "agents")
FULL = {"total_bytes": 1_000, "free_bytes": 10}


@asynccontextmanager
async def pod(body: Any, status: int = 200) -> AsyncIterator[Outlook]:
    """A pod that answers /ready so."""

    async def ready(request: web.Request) -> web.StreamResponse:
        assert "Authorization" not in request.headers
        if isinstance(body, bytes):
            return web.Response(body=body, status=status)
        return web.json_response(body, status=status)

    application = web.Application()
    application.router.add_get("/ready", ready)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield Outlook(f"http://127.0.0.1:{runner.addresses[0][1]}", "1Gi", serves=True)
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("status", [200, 503])
async def test_a_pod_says_how_full_its_disk_is_ready_or_not(status: int) -> None:
    async with pod({"disk": FULL}, status) as outlook:
        assert await Reader().read(outlook) == Reading(Disk(total=1_000, free=10))


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"checks": None},
        {"checks": {"name": "store", "status": "failed"}},
        {"checks": ["failed", None, {}]},
        {"disk": None},
        {"disk": "full"},
        {"disk": {"total_bytes": 1_000}},
        {"disk": FULL | {"free_bytes": 1_001}},
        {"disk": FULL | {"free_bytes": -1}},
        {"disk": FULL | {"free_bytes": True}},
        {"disk": FULL | {"total_bytes": 0.5}},
        {"disk": {"total_bytes": 0, "free_bytes": 0}},
    ],
)
async def test_what_makes_no_sense_is_not_believed(body: Any) -> None:
    async with pod(body) as outlook:
        assert await Reader().read(outlook) == Reading()


@pytest.mark.parametrize(
    "body",
    [
        ["disk"],
        b"<html>",
        b"\xff",
        b"{" * 200_000,
    ],
)
async def test_what_is_no_answer_is_no_reading(body: Any) -> None:
    async with pod(body) as outlook:
        assert await Reader().read(outlook) is None


@pytest.mark.parametrize(
    ("checks", "complaint"),
    [
        ([], ""),
        (
            [
                {"name": "embedder", "status": "ok", "message": None},
                {"name": "store", "status": "failed", "message": "the disk is full"},
                {"name": "search", "status": "skipped", "message": None},
            ],
            "store: the disk is full",
        ),
        ([{"name": "store", "status": "failed", "message": "x" * 999}], f"store: {'x' * 293}"),
    ],
)
async def test_a_pod_says_what_keeps_it_from_its_job(checks: Any, complaint: str) -> None:
    async with pod({"disk": None, "checks": checks}, 503) as outlook:
        assert await Reader().read(outlook) == Reading(complaint=complaint)


async def test_a_pod_says_what_it_does_without() -> None:
    checks = [
        {"name": "embedder", "status": "degraded", "message": "x" * 999},
        {"name": "store", "status": "ok", "message": None},
    ]
    async with pod({"disk": None, "checks": checks}) as outlook:
        assert await Reader().read(outlook) == Reading(degraded=(("embedder", "x" * 300),))


async def test_a_pod_says_how_far_behind_it_is_and_who_was_promoted() -> None:
    said = {
        "epoch": "00000003-1a2b3c4d", "transaction": 7, "written_at": "2026-11-22T15:00:00.5Z",
        "lag_seconds": 0.7, "problem": "", "problem_since": None,
    }  # fmt: skip
    async with pod({"disk": None, "follow": said}) as outlook:
        reading = await Reader().read(outlook)
    assert reading == Reading(follow=FollowReading("00000003-1a2b3c4d", 0.7, AT_THREE))
    async with pod({"follow": said | {"lag_seconds": None, "problem": "away\n" * 99}}) as outlook:
        reading = await Reader().read(outlook)
    assert reading is not None
    assert reading.follow is not None
    assert (reading.follow.lag_seconds, reading.follow.is_well) == (None, False)
    assert len(reading.follow.problem) == 300
    async with pod({"backup": SYNCED | {"fenced_by": "elsewhere/second/uid"}}, 503) as outlook:
        reading = await Reader().read(outlook)
    assert reading is not None
    assert reading.backup is not None
    assert reading.backup.fenced == "elsewhere/second/uid"
    async with pod({"follow": {"epoch": 7}}) as outlook:
        assert await Reader().read(outlook) == Reading()


SYNCED = {
    "epoch": "00000003-1a2b3c4d",
    "parent": "00000002-9c8b7a6d",
    "origin": "backup",
    "synced_at": "2026-11-22T15:00:00.123456Z",
    "recoverable_from": "2026-11-21T15:00:00Z",
    "problem": "",
    "problem_since": None,
}
AT_THREE = datetime(2026, 11, 22, 15, 0, tzinfo=UTC)


async def test_read_replicas_say_how_far_the_last_of_them_is_behind() -> None:
    def behind(lag: float | None) -> dict[str, Any]:
        return {"follow": {"epoch": "2", "lag_seconds": lag, "problem": ""}}

    async with (
        pod({"disk": FULL}) as itself, pod(behind(0.7)) as near, pod(behind(7.5)) as far,
        pod(behind(None)) as new, pod(b"<html>") as strange,
    ):  # fmt: skip
        gone = "http://127.0.0.1:1"
        readers = (near.address, far.address, new.address, strange.address, gone)
        said = await Reader().read(replace(itself, readers=readers))
        assert said is not None
        assert said.disk == Disk(total=1_000, free=10)
        assert said.readers == FollowReading("2", 7.5)
        said = await Reader().read(replace(itself, readers=(new.address, gone)))
        assert said is not None
        assert said.readers is None


async def test_a_pod_says_whether_its_backups_arrive() -> None:
    async with pod({"disk": None, "backup": SYNCED}) as outlook:
        reading = await Reader().read(outlook)
    well = BackupReading("00000003-1a2b3c4d", "backup", AT_THREE, AT_THREE - timedelta(days=1))
    assert reading == Reading(backup=well)
    assert well.is_well
    lost = SYNCED | {"synced_at": None, "problem": "the bucket\n does not exist " + "x" * 999}
    async with pod({"backup": lost}, 503) as outlook:
        reading = await Reader().read(outlook)
    assert reading is not None
    assert reading.backup is not None
    assert reading.backup.problem.startswith("the bucket does not exist xxx")
    assert len(reading.backup.problem) == 300
    assert (reading.backup.is_known, reading.backup.is_well) == (True, False)
    async with pod({"backup": SYNCED | {"synced_at": None}}) as outlook:
        reading = await Reader().read(outlook)
    assert reading is not None
    assert reading.backup is not None
    assert (reading.backup.is_known, reading.backup.is_well) == (False, False)


async def test_a_pod_says_how_far_the_copies_of_its_backups_are() -> None:
    told = {"copied_at": SYNCED["synced_at"], "problem": "the bucket\n does not exist"}
    copies = [{"name": "far-away", **told}, {"name": 3, **told}, "nearby", {"name": "late", **told}]
    async with pod({"backup": SYNCED | {"copies": copies}}) as outlook:
        reading = await Reader().read(outlook)
    assert reading is not None
    assert reading.backup is not None
    failing = CopyReading("far-away", AT_THREE, "the bucket does not exist")
    assert reading.backup.copies == (failing,), "of four, three are looked at"
    assert (reading.backup.is_known, reading.backup.is_well) == (True, False)
    async with pod({"backup": SYNCED | {"copies": {"far-away": told}}}) as outlook:
        reading = await Reader().read(outlook)
    assert reading is not None
    assert reading.backup is not None
    assert reading.backup.copies == ()


@pytest.mark.parametrize(
    "change",
    [{"epoch": None}, {"origin": 3}, {"problem": None}, {"problem": ["x"]}],
)
async def test_what_makes_no_sense_of_backups_is_not_believed(change: Any) -> None:
    async with pod({"backup": SYNCED | change}) as outlook:
        assert await Reader().read(outlook) == Reading()


@pytest.mark.parametrize("moment", ["yesterday", "2026-11-22T15:00:00", 1764000000, ""])
async def test_a_time_that_is_none_is_no_sync(moment: Any) -> None:
    async with pod(
        {"backup": SYNCED | {"synced_at": moment, "recoverable_from": moment}}
    ) as outlook:
        reading = await Reader().read(outlook)
    assert reading is not None
    assert reading.backup == BackupReading("00000003-1a2b3c4d", "backup")


async def test_a_pod_that_is_not_there_gives_no_reading() -> None:
    async with pod({"disk": FULL}) as outlook:
        pass
    assert await Reader().read(outlook) is None


class Told(Reader):
    """Says what it is told to say, and by whom it was asked."""

    def __init__(self) -> None:
        self.said: Reading | None = Reading(Disk(total=1_000, free=900))
        self.asked: list[Outlook] = []

    @override
    async def read(self, outlook: Outlook) -> Reading | None:
        self.asked.append(outlook)
        return self.said


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def changes() -> list[BankKey]:
    return []


@pytest.fixture
def readings(told: Told, changes: list[BankKey]) -> Readings:
    return Readings(told, interval=30.0, changed=changes.append, clock=lambda: 0.0, count=1)


OUTLOOK = Outlook("http://10.0.0.1:8080", "1Gi", serves=True)
UNSERVED = replace(OUTLOOK, serves=False)
DOWN = "store: the database server cannot be reached"


async def test_a_bank_is_told_of_when_its_disk_is_another_one(
    readings: Readings, told: Told, changes: list[BankKey]
) -> None:
    assert readings.reading(BANK) == Reading()
    readings.watch(BANK, OUTLOOK)
    await readings._read(BANK)
    assert readings.reading(BANK) == told.said
    told.said = Reading(Disk(total=1_000, free=895))
    await readings._read(BANK)
    assert readings.reading(BANK) == told.said
    assert changes == [BANK]
    told.said = Reading(Disk(total=1_000, free=880))
    await readings._read(BANK)
    told.said = Reading(Disk(total=2_000, free=1_760))
    await readings._read(BANK)
    assert changes == [BANK] * 3


async def test_a_bank_is_told_of_when_it_complains_of_something_else(
    readings: Readings, told: Told, changes: list[BankKey]
) -> None:
    readings.watch(BANK, UNSERVED)
    for complaint, told_of in ((DOWN, 1), (DOWN, 1), ("store: the disk is full", 2), ("", 3)):
        told.said = Reading(complaint=complaint)
        await readings._read(BANK)
        assert readings.reading(BANK) == told.said
        assert len(changes) == told_of


async def test_a_bank_is_told_of_when_its_read_replicas_are_further_behind(
    readings: Readings, told: Told, changes: list[BankKey]
) -> None:
    readings.watch(BANK, OUTLOOK)
    for lag, told_of in ((0.7, 1), (4.9, 1), (5.1, 2), (0.7, 3)):
        told.said = Reading(readers=FollowReading("2", lag))
        await readings._read(BANK)
        assert readings.reading(BANK) == told.said
        assert len(changes) == told_of


BACKED_UP = replace(OUTLOOK, urgent=True)
WELL = BackupReading("00000003-1a2b3c4d", "volume", AT_THREE)
LOST = replace(WELL, problem="the bucket does not exist")


async def test_a_bank_is_told_of_when_its_backups_stand_otherwise_and_not_for_each_sync(
    readings: Readings, told: Told, changes: list[BankKey]
) -> None:
    readings.watch(BANK, BACKED_UP)
    later = AT_THREE + timedelta(seconds=30)
    for backup, told_of in (
        (replace(WELL, synced_at=None), 1),
        (WELL, 2),
        (replace(WELL, synced_at=later), 2),
        (LOST, 3),
        (replace(LOST, synced_at=later), 3),
        (replace(LOST, problem="the bucket's server does not answer"), 4),
        (WELL, 5),
        (replace(WELL, recoverable_from=AT_THREE), 6),
        (replace(WELL, epoch="00000004-1a2b3c4d"), 7),
        (replace(WELL, copies=(CopyReading("far-away", AT_THREE),)), 8),
        (replace(WELL, copies=(CopyReading("far-away", later),)), 8),
        (replace(WELL, copies=(CopyReading("far-away", later, "it is late"),)), 9),
    ):
        told.said = Reading(backup=backup)
        await readings._read(BANK)
        assert readings.reading(BANK).backup == backup
        assert len(changes) == told_of


async def test_a_bank_with_backups_is_asked_more_often(readings: Readings, told: Told) -> None:
    readings.watch(BANK, BACKED_UP)
    for backup in (replace(WELL, synced_at=None), WELL, LOST):
        told.said = Reading(backup=backup)
        pause = (await readings._read(BANK)).again_after
        assert pause is not None
        assert 9 <= pause <= 10
        readings.watch(BANK, replace(BACKED_UP, serves=False))
        readings.watch(BANK, BACKED_UP)


async def test_a_bank_is_told_of_when_it_does_without_another_server(
    readings: Readings, told: Told, changes: list[BankKey]
) -> None:
    readings.watch(BANK, BACKED_UP)
    lost = (("embedder", "the embedding service does not answer in time"),)
    for degraded, told_of in (((), 0), (lost, 1), (lost, 1), ((), 2)):
        told.said = Reading(degraded=degraded)
        await readings._read(BANK)
        assert readings.reading(BANK).degraded == degraded
        assert len(changes) == told_of
    told.said = Reading(degraded=lost)
    await readings._read(BANK)
    readings.watch(BANK, replace(BACKED_UP, address="http://10.0.0.2:8080"))
    assert readings.reading(BANK).degraded == (), "another pod has not said so"


async def test_a_crowd_with_backups_is_asked_more_often_than_one_without(
    readings: Readings, told: Told
) -> None:
    told.said = Reading(backup=WELL)
    crowd = [BankKey("team", f"bank-{number}") for number in range(300)]
    for bank in crowd:
        readings.watch(bank, BACKED_UP)
        well = (await readings._read(bank)).again_after
    told.said = Reading(backup=LOST)
    for bank in crowd:
        lost = (await readings._read(bank)).again_after
    assert well is not None
    assert lost is not None
    assert 54 <= well <= 60
    assert 54 <= lost <= 60
    for bank in crowd[1:]:
        readings.forget(bank)
    assert ((await readings._read(crowd[0])).again_after or 60) <= 10


@pytest.mark.parametrize(
    ("after", "backup"),
    [
        (replace(BACKED_UP, capacity="2Gi"), WELL),
        (replace(BACKED_UP, serves=False), WELL),
        (replace(BACKED_UP, address="http://10.0.0.2:8080"), None),
        (None, None),
    ],
)
async def test_what_a_pod_said_of_its_backups_is_forgotten_with_the_pod(
    readings: Readings, told: Told, after: Outlook | None, backup: BackupReading | None
) -> None:
    told.said = Reading(backup=WELL)
    readings.watch(BANK, BACKED_UP)
    await readings._read(BANK)
    readings.watch(BANK, after)
    assert readings.reading(BANK).backup == backup


async def test_what_was_said_last_stays_known_while_nobody_answers(
    readings: Readings, told: Told
) -> None:
    readings.watch(BANK, OUTLOOK)
    await readings._read(BANK)
    known, told.said = told.said, None
    await readings._read(BANK)
    assert readings.reading(BANK) == known
    readings.watch(BANK, None)
    await readings._read(BANK)
    assert readings.reading(BANK) == known
    assert len(told.asked) == 2
    readings.forget(BANK)
    assert readings.reading(BANK) == Reading()


async def test_a_pod_that_hears_nothing_of_its_disk_in_time_keeps_what_it_said(
    readings: Readings, told: Told
) -> None:
    readings.watch(BANK, OUTLOOK)
    await readings._read(BANK)
    known, told.said = told.said, Reading(None, DOWN)
    await readings._read(BANK)
    assert known is not None
    assert readings.reading(BANK) == Reading(known.disk, DOWN)


@pytest.mark.parametrize("after", [OUTLOOK, None, replace(UNSERVED, address="http://10.0.0.2:80")])
async def test_what_kept_a_bank_from_serving_is_forgotten_when_it_does_or_others_run(
    readings: Readings, told: Told, after: Outlook | None
) -> None:
    told.said = Reading(Disk(total=1_000, free=900), DOWN)
    readings.watch(BANK, UNSERVED)
    await readings._read(BANK)
    readings.watch(BANK, after)
    assert readings.reading(BANK) == Reading(told.said.disk)


@pytest.mark.parametrize(
    "after",
    [
        replace(OUTLOOK, capacity="2Gi"),
        replace(OUTLOOK, address="http://x:80"),
        replace(OUTLOOK, readers=("http://x:80",)),
        UNSERVED,
    ],
)
async def test_other_pods_a_volume_that_grew_and_a_bank_that_fell_silent_are_asked_at_once(
    readings: Readings, after: Outlook
) -> None:
    queue = readings.workers.queue
    readings.watch(BANK, OUTLOOK)
    assert queue.take() == BANK
    queue.done(BANK, again_after=30.0)
    readings.watch(BANK, OUTLOOK)
    assert queue.take() is None
    readings.watch(BANK, after)
    assert queue.take() == BANK


async def test_a_bank_that_begins_to_serve_is_asked_when_its_time_comes(readings: Readings) -> None:
    queue = readings.workers.queue
    readings.watch(BANK, UNSERVED)
    assert queue.take() == BANK
    queue.done(BANK, again_after=30.0)
    readings.watch(BANK, OUTLOOK)
    assert queue.take() is None


async def test_an_answer_of_the_pod_before_counts_for_nothing(
    told: Told, changes: list[BankKey]
) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    class Slow(Told):
        @override
        async def read(self, outlook: Outlook) -> Reading | None:
            asked.set()
            await go_on.wait()
            return self.said

    readings = Readings(Slow(), interval=30.0, changed=changes.append, clock=lambda: 0.0, count=1)
    readings.watch(BANK, UNSERVED)
    reading = asyncio.create_task(readings._read(BANK))
    await asked.wait()
    readings.watch(BANK, OUTLOOK)
    go_on.set()
    assert (await reading).again_after == 0.0, "whoever is to be asked now is asked"
    assert readings.reading(BANK) == Reading()
    assert changes == []


async def test_a_crowd_is_asked_slowly_and_those_with_little_room_or_in_trouble_more_often(
    readings: Readings, told: Told
) -> None:
    crowd = [BankKey("team", f"bank-{number}") for number in range(1_000)]
    for bank in crowd:
        readings.watch(bank, OUTLOOK)
        await readings._read(bank)
    told.said = Reading(Disk(total=1_000, free=200))
    near = (await readings._read(crowd[0])).again_after
    told.said = Reading(Disk(total=1_000, free=900))
    far = (await readings._read(crowd[1])).again_after
    readings.watch(crowd[2], UNSERVED)
    failing = (await readings._read(crowd[2])).again_after
    assert near is not None
    assert far is not None
    assert failing is not None
    assert near <= 30.0
    assert 800 < far <= 1_000
    assert failing <= 10.0
