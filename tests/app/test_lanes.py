from __future__ import annotations

import asyncio
import threading
import weakref

import pytest

from memorybank.lanes import Lanes

DEADLINE = 60


async def test_work_is_done_in_another_thread_and_its_answer_comes_back() -> None:
    lanes = Lanes("worker", 1)
    assert await lanes.run(lambda: threading.current_thread().name) == "worker_0"
    lanes.close()


async def test_one_thread_does_the_work_in_the_order_in_which_it_came() -> None:
    lanes = Lanes("worker", 1)
    done: list[int] = []
    await asyncio.gather(*(lanes.run(lambda n=n: done.append(n)) for n in range(50)))  # type: ignore[misc]
    assert done == list(range(50))
    lanes.close()


async def test_many_threads_work_at_the_same_time() -> None:
    lanes = Lanes("worker", 3)
    together = threading.Barrier(3)
    await asyncio.gather(*(lanes.run(lambda: together.wait(DEADLINE)) for _ in range(3)))
    lanes.close()


async def test_a_failure_is_its_own_callers_alone() -> None:
    lanes = Lanes("worker", 1)
    with pytest.raises(ZeroDivisionError):
        await lanes.run(lambda: 1 // 0)
    assert await lanes.run(lambda: "still there") == "still there"
    lanes.close()


async def test_work_of_a_cancelled_caller_is_not_done() -> None:
    lanes = Lanes("worker", 1)
    go = threading.Event()
    done: list[str] = []
    first = asyncio.create_task(lanes.run(lambda: go.wait(DEADLINE)))
    second = asyncio.create_task(lanes.run(lambda: done.append("second")))
    third = asyncio.create_task(lanes.run(lambda: done.append("third")))
    await asyncio.sleep(0)  # all three are in line
    second.cancel()
    await asyncio.wait([second])
    go.set()
    await asyncio.gather(first, third)
    assert done == ["third"]
    lanes.close()


async def test_an_answer_that_nobody_waits_for_any_more_is_dropped() -> None:
    lanes = Lanes("worker", 1)
    began, go = threading.Event(), threading.Event()

    def work() -> None:
        began.set()
        go.wait(DEADLINE)

    task = asyncio.create_task(lanes.run(work))
    await asyncio.to_thread(began.wait, DEADLINE)
    task.cancel()
    await asyncio.wait([task])
    go.set()
    assert await lanes.run(lambda: "next") == "next"
    lanes.close()


async def test_close_does_what_was_accepted_and_refuses_what_comes_after() -> None:
    lanes = Lanes("worker", 2)
    go = threading.Event()
    tasks = [asyncio.create_task(lanes.run(lambda: go.wait(DEADLINE))) for _ in range(5)]
    await asyncio.sleep(0)
    closing = threading.Thread(target=lanes.close)
    closing.start()
    go.set()
    assert await asyncio.gather(*tasks) == [True] * 5
    await asyncio.to_thread(closing.join, DEADLINE)
    assert not closing.is_alive()
    with pytest.raises(RuntimeError, match="closed"):
        await lanes.run(lambda: None)
    lanes.close()


def test_a_thread_outlives_the_loop_of_a_caller() -> None:
    lanes = Lanes("worker", 1)
    go = threading.Event()

    async def leave() -> None:
        task = asyncio.create_task(lanes.run(lambda: go.wait(DEADLINE)))
        await asyncio.sleep(0)
        assert not task.done()

    asyncio.run(leave())
    go.set()

    async def ask() -> str:
        return await lanes.run(lambda: "still there")

    assert asyncio.run(ask()) == "still there"
    lanes.close()


async def test_an_answer_is_not_kept_alive() -> None:
    class Large:
        pass

    lanes = Lanes("worker", 1)
    answer = await lanes.run(Large)
    gone = weakref.ref(answer)
    del answer
    await lanes.run(lambda: None)
    assert gone() is None
    lanes.close()
