"""Workers work the queue off, survive bugs, and let go in order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from memorybank_operator.engine import workers as module
from memorybank_operator.engine.queue import KeyedQueue, Priority
from memorybank_operator.engine.workers import Outcome, Workers

Work = Callable[[str], Awaitable[Outcome]]


@pytest.fixture
async def make() -> AsyncIterator[Callable[..., Workers[str]]]:
    made: list[Workers[str]] = []

    def build(work: Work, *, count: int = 2) -> Workers[str]:
        queue: KeyedQueue[str] = KeyedQueue(time.monotonic, jitter=lambda: 0.0)
        made.append(Workers(queue, work, count=count, name="test"))
        made[-1].start()
        return made[-1]

    yield build
    for each in made:
        await each.stop(0.0)


async def test_what_is_added_is_worked_on(make: Callable[..., Workers[str]]) -> None:
    done: asyncio.Queue[str] = asyncio.Queue()

    async def work(key: str) -> Outcome:
        done.put_nowait(key)
        return Outcome()

    workers = make(work)
    workers.add("a", Priority.USER)
    async with asyncio.timeout(60):
        assert await done.get() == "a"
        workers.add("b", Priority.RESYNC, delay=0.01)
        assert await done.get() == "b"


async def test_a_failure_is_tried_again(make: Callable[..., Workers[str]]) -> None:
    tries: asyncio.Queue[str] = asyncio.Queue()

    async def work(key: str) -> Outcome:
        tries.put_nowait(key)
        return Outcome(failed=workers.queue.retries == 0)

    workers = make(work)
    workers.add("a", Priority.USER)
    async with asyncio.timeout(60):
        assert [await tries.get(), await tries.get()] == ["a", "a"]
    assert workers.queue.retries == 1


async def test_a_bug_is_logged_with_its_traceback_and_stops_nobody(
    make: Callable[..., Workers[str]], caplog: pytest.LogCaptureFixture
) -> None:
    done = asyncio.Event()

    async def work(key: str) -> Outcome:
        if key == "bug":
            raise ZeroDivisionError
        done.set()
        return Outcome()

    workers = make(work, count=1)
    workers.add("bug", Priority.USER)
    workers.add("fine", Priority.RESYNC)
    async with asyncio.timeout(60):
        await done.wait()
    (record,) = caplog.records
    assert "bug of this operator" in record.getMessage()
    assert record.exc_info
    assert workers.queue.retries == 1


async def test_work_that_hangs_is_given_up(
    make: Callable[..., Workers[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WORK_SECONDS", 0.05)
    cancelled = asyncio.Event()

    async def work(_key: str) -> Outcome:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return Outcome()

    workers = make(work)
    workers.add("a", Priority.USER)
    async with asyncio.timeout(60):
        await cancelled.wait()


async def test_a_stop_lets_running_work_finish_and_takes_no_new_one(
    make: Callable[..., Workers[str]],
) -> None:
    started, finish = asyncio.Event(), asyncio.Event()
    finished: list[str] = []

    async def work(key: str) -> Outcome:
        started.set()
        await finish.wait()
        finished.append(key)
        return Outcome()

    workers = make(work, count=1)
    workers.add("a", Priority.USER)
    async with asyncio.timeout(60):
        await started.wait()
        workers.add("b", Priority.USER)
        stop = asyncio.create_task(workers.stop(5))
        finish.set()
        assert await stop
    assert finished == ["a"]


async def test_a_stop_cuts_off_what_does_not_finish(make: Callable[..., Workers[str]]) -> None:
    started = asyncio.Event()

    async def work(_key: str) -> Outcome:
        started.set()
        await asyncio.Event().wait()
        return Outcome()

    workers = make(work)
    workers.add("a", Priority.USER)
    async with asyncio.timeout(60):
        await started.wait()
        assert not await workers.stop(0.01)


async def test_no_key_is_worked_on_by_two_at_a_time(make: Callable[..., Workers[str]]) -> None:
    running: set[str] = set()
    enough = asyncio.Event()
    finished = 0

    async def work(key: str) -> Outcome:
        nonlocal finished
        assert key not in running
        running.add(key)
        await asyncio.sleep(0)
        running.discard(key)
        finished += 1
        if finished >= 200:
            enough.set()
        return Outcome(again_after=None if enough.is_set() else 0.0)

    workers = make(work, count=8)
    for key in "abc":
        workers.add(key, Priority.USER)
    async with asyncio.timeout(60):
        await enough.wait()
    assert workers.queue.retries == 0
