from __future__ import annotations

import threading
from concurrent.futures import Future

import pytest

from memorybank.batching import BatchThread, Closed, Job, QueueFull

DEADLINE = 60


class Doubler:
    """Serves by doubling, and keeps the sizes of its groups; waits for `go` before each group."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.go = threading.Event()
        self.busy = threading.Event()

    def __call__(self, jobs: list[Job[int, int]]) -> None:
        self.busy.set()
        assert self.go.wait(DEADLINE)
        self.groups.append([job.request for job in jobs])
        for job in jobs:
            if job.request == 13:
                raise ValueError("thirteen")
            if job.request != 14:
                job.future.set_result(2 * job.request)


def start(doubler: Doubler, *, capacity: int = 100, max_group: int = 10) -> BatchThread[int, int]:
    return BatchThread("doubler", doubler, capacity=capacity, max_group=max_group)


def pile_up(
    thread: BatchThread[int, int], doubler: Doubler, numbers: list[int]
) -> list[Future[int]]:
    """Submit one request that keeps the thread busy, then the numbers."""
    first = thread.submit(0)
    assert doubler.busy.wait(DEADLINE)
    return [first, *(thread.submit(number) for number in numbers)]


def test_what_piles_up_is_served_as_one_group() -> None:
    doubler = Doubler()
    thread = start(doubler)
    futures = pile_up(thread, doubler, [1, 2, 3])
    doubler.go.set()
    assert [future.result(DEADLINE) for future in futures] == [0, 2, 4, 6]
    thread.close()
    assert doubler.groups == [[0], [1, 2, 3]]


def test_a_group_has_a_largest_size() -> None:
    doubler = Doubler()
    thread = start(doubler, max_group=2)
    pile_up(thread, doubler, [1, 2, 3])
    doubler.go.set()
    thread.close()
    assert doubler.groups == [[0], [1, 2], [3]]


def test_more_than_the_capacity_is_refused() -> None:
    doubler = Doubler()
    thread = start(doubler, capacity=2)
    pile_up(thread, doubler, [1, 2])
    with pytest.raises(QueueFull):
        thread.submit(3)
    doubler.go.set()
    thread.close()


def test_close_serves_what_was_accepted_and_refuses_what_comes_after() -> None:
    doubler = Doubler()
    thread = start(doubler, max_group=2)
    futures = pile_up(thread, doubler, [1, 2, 3, 4])
    closing = threading.Thread(target=thread.close)
    closing.start()
    doubler.go.set()
    closing.join(DEADLINE)
    assert not closing.is_alive()
    assert [future.result(0) for future in futures] == [0, 2, 4, 6, 8]
    with pytest.raises(Closed):
        thread.submit(5)
    thread.close()


def test_a_cancelled_request_is_not_served() -> None:
    doubler = Doubler()
    thread = start(doubler)
    futures = pile_up(thread, doubler, [1, 2])
    assert futures[1].cancel()
    doubler.go.set()
    thread.close()
    assert doubler.groups == [[0], [2]]


def test_a_failing_group_fails_its_own_requests_only() -> None:
    doubler = Doubler()
    thread = start(doubler)
    _, twelve, thirteen, fourteen = pile_up(thread, doubler, [12, 13, 14])
    doubler.go.set()
    assert twelve.result(DEADLINE) == 24
    for failed in (thirteen, fourteen):
        with pytest.raises(ValueError, match="thirteen"):
            failed.result(DEADLINE)
    assert thread.submit(5).result(DEADLINE) == 10
    thread.close()


def test_a_request_that_was_forgotten_still_gets_an_answer() -> None:
    doubler = Doubler()
    doubler.go.set()
    thread = start(doubler)
    with pytest.raises(RuntimeError, match="not served"):
        thread.submit(14).result(DEADLINE)
    thread.close()
