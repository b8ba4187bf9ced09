"""What pods say of their disks, and how often they are asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from typing_extensions import override

from memorybank_operator.disks import DiskReader, Disks, Outlook
from memorybank_operator.engine.cache import BankKey
from memorybank_operator.reconcile.observed import Disk

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
        yield Outlook(f"http://127.0.0.1:{runner.addresses[0][1]}", "1Gi")
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("status", [200, 503])
async def test_a_pod_says_how_full_its_disk_is_ready_or_not(status: int) -> None:
    async with pod({"disk": FULL}, status) as outlook:
        assert await DiskReader().read(outlook) == Disk(total=1_000, free=10)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"disk": None},
        {"disk": "full"},
        {"disk": {"total_bytes": 1_000}},
        {"disk": FULL | {"free_bytes": 1_001}},
        {"disk": FULL | {"free_bytes": -1}},
        {"disk": FULL | {"free_bytes": True}},
        {"disk": FULL | {"total_bytes": 0.5}},
        {"disk": {"total_bytes": 0, "free_bytes": 0}},
        ["disk"],
        b"<html>",
        b"\xff",
        b"{" * 200_000,
    ],
)
async def test_what_makes_no_sense_is_no_reading(body: Any) -> None:
    async with pod(body) as outlook:
        assert await DiskReader().read(outlook) is None


async def test_a_pod_that_is_not_there_gives_no_reading() -> None:
    async with pod({"disk": FULL}) as outlook:
        pass
    assert await DiskReader().read(outlook) is None


class Told(DiskReader):
    """Says what it is told to say, and by whom it was asked."""

    def __init__(self) -> None:
        self.disk: Disk | None = Disk(total=1_000, free=900)
        self.asked: list[Outlook] = []

    @override
    async def read(self, outlook: Outlook) -> Disk | None:
        self.asked.append(outlook)
        return self.disk


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def changes() -> list[BankKey]:
    return []


@pytest.fixture
def disks(told: Told, changes: list[BankKey]) -> Disks:
    return Disks(told, interval=30.0, changed=changes.append, clock=lambda: 0.0, count=1)


OUTLOOK = Outlook("http://10.0.0.1:8080", "1Gi")


async def test_a_bank_is_told_of_when_its_disk_is_another_one(
    disks: Disks, told: Told, changes: list[BankKey]
) -> None:
    assert disks.reading(BANK) is None
    disks.watch(BANK, OUTLOOK)
    await disks._read(BANK)
    assert disks.reading(BANK) == told.disk
    told.disk = Disk(total=1_000, free=895)
    await disks._read(BANK)
    assert disks.reading(BANK) == told.disk
    assert changes == [BANK]
    told.disk = Disk(total=1_000, free=880)
    await disks._read(BANK)
    told.disk = Disk(total=2_000, free=1_760)
    await disks._read(BANK)
    assert changes == [BANK] * 3


async def test_what_was_said_last_stays_known_while_nobody_answers(
    disks: Disks, told: Told
) -> None:
    disks.watch(BANK, OUTLOOK)
    await disks._read(BANK)
    known, told.disk = told.disk, None
    await disks._read(BANK)
    assert disks.reading(BANK) == known
    disks.watch(BANK, None)
    await disks._read(BANK)
    assert disks.reading(BANK) == known
    assert len(told.asked) == 2
    disks.forget(BANK)
    assert disks.reading(BANK) is None


async def test_another_pod_or_a_volume_that_grew_is_asked_at_once(disks: Disks, told: Told) -> None:
    disks.watch(BANK, OUTLOOK)
    assert disks.workers.queue.take() == BANK
    disks.workers.queue.done(BANK, again_after=30.0)
    disks.watch(BANK, OUTLOOK)
    assert disks.workers.queue.take() is None
    disks.watch(BANK, Outlook(OUTLOOK.address, "2Gi"))
    assert disks.workers.queue.take() == BANK


async def test_an_answer_of_the_pod_before_counts_for_nothing(
    told: Told, changes: list[BankKey]
) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    class Slow(Told):
        @override
        async def read(self, outlook: Outlook) -> Disk | None:
            asked.set()
            await go_on.wait()
            return self.disk

    disks = Disks(Slow(), interval=30.0, changed=changes.append, clock=lambda: 0.0, count=1)
    disks.watch(BANK, OUTLOOK)
    reading = asyncio.create_task(disks._read(BANK))
    await asked.wait()
    disks.watch(BANK, Outlook("http://10.0.0.2:8080", "1Gi"))
    go_on.set()
    await reading
    assert disks.reading(BANK) is None
    assert changes == []


async def test_a_crowd_is_asked_slowly_and_those_with_little_room_more_often(
    disks: Disks, told: Told
) -> None:
    crowd = [BankKey("team", f"bank-{number}") for number in range(1_000)]
    for bank in crowd:
        disks.watch(bank, OUTLOOK)
        await disks._read(bank)
    told.disk = Disk(total=1_000, free=200)
    near = (await disks._read(crowd[0])).again_after
    told.disk = Disk(total=1_000, free=900)
    far = (await disks._read(crowd[1])).again_after
    assert near is not None
    assert far is not None
    assert near <= 30.0
    assert 800 < far <= 1_000
