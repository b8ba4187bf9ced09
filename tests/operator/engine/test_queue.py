"""The queue's promises, on a clock that only moves when told to."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from typing_extensions import override

from memorybank_operator.engine import queue as module
from memorybank_operator.engine.queue import KeyedQueue, Priority


class FakeClock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def queue(clock: FakeClock) -> KeyedQueue[str]:
    return KeyedQueue(clock, jitter=lambda: 1.0)


def drain(queue: KeyedQueue[str]) -> list[str]:
    taken = []
    while (key := queue.take()) is not None:
        taken.append(key)
    return taken


def test_an_empty_queue_has_nothing_and_no_date(queue: KeyedQueue[str]) -> None:
    assert queue.take() is None
    assert queue.next_due() is None


def test_a_user_goes_before_a_child_and_a_child_before_a_resync(queue: KeyedQueue[str]) -> None:
    queue.add("resync", Priority.RESYNC)
    queue.add("child", Priority.CHILD)
    queue.add("user", Priority.USER)
    assert drain(queue) == ["user", "child", "resync"]


def test_a_crowd_of_the_more_urgent_lets_one_in_four_be_who_waits_longest(
    queue: KeyedQueue[str], clock: FakeClock
) -> None:
    queue.add("child", Priority.CHILD)
    queue.add("resync", Priority.RESYNC, delay=1)
    clock.now += 2
    for each in range(9):
        queue.add(f"user-{each}", Priority.USER)
    taken = drain(queue)
    assert [taken.index(each) for each in ("child", "resync")] == [3, 7]
    assert [each for each in taken if each.startswith("user")] == [f"user-{n}" for n in range(9)]


def test_a_user_waits_for_one_other_at_the_most_however_many_wait_longer(
    queue: KeyedQueue[str], clock: FakeClock
) -> None:
    for each in range(50):
        queue.add(f"child-{each}", Priority.CHILD)
    clock.now += 2
    for each in range(10):
        queue.add(f"user-{each}", Priority.USER)
        first, second = queue.take(), queue.take()
        assert f"user-{each}" in (first, second)


def test_within_a_priority_who_is_due_first_goes_first(
    queue: KeyedQueue[str], clock: FakeClock
) -> None:
    queue.add("late", Priority.RESYNC, delay=2)
    queue.add("early", Priority.RESYNC, delay=1)
    clock.now += 5
    assert drain(queue) == ["early", "late"]


def test_a_key_added_many_times_is_worked_on_once(queue: KeyedQueue[str]) -> None:
    for priority in (Priority.RESYNC, Priority.USER, Priority.CHILD):
        queue.add("a", priority)
    assert drain(queue) == ["a"]


def test_a_waiting_key_takes_the_more_urgent_priority(queue: KeyedQueue[str]) -> None:
    queue.add("other", Priority.CHILD)
    queue.add("a", Priority.RESYNC)
    queue.add("a", Priority.USER)
    assert drain(queue) == ["a", "other"]


def test_a_delayed_key_is_brought_forward_and_never_put_off(
    queue: KeyedQueue[str], clock: FakeClock
) -> None:
    queue.add("a", Priority.RESYNC, delay=600)
    assert queue.take() is None
    assert queue.next_due() == 600
    queue.add("a", Priority.CHILD, delay=10)
    queue.add("a", Priority.RESYNC, delay=300)
    assert queue.next_due() == 10
    clock.now += 10
    assert drain(queue) == ["a"]


def test_a_running_key_is_not_handed_out_again_until_it_is_done(queue: KeyedQueue[str]) -> None:
    queue.add("a", Priority.CHILD)
    assert queue.take() == "a"
    queue.add("a", Priority.USER)
    assert queue.take() is None
    queue.done("a")
    assert queue.take() == "a"


def test_a_key_that_is_done_comes_back_when_asked_for(
    queue: KeyedQueue[str], clock: FakeClock
) -> None:
    queue.add("a", Priority.CHILD)
    queue.take()
    queue.done("a", again_after=60)
    assert queue.next_due() == 60
    clock.now += 60
    assert queue.take() == "a"
    queue.done("a")
    assert queue.next_due() is None


def test_failures_back_off_exponentially_up_to_a_bound(
    queue: KeyedQueue[str], clock: FakeClock
) -> None:
    queue.add("a", Priority.CHILD)
    delays = []
    for _ in range(12):
        assert queue.take() == "a"
        delays.append(queue.failed("a"))
        clock.now += delays[-1]
    assert delays[:4] == [0.5, 1.0, 2.0, 4.0]
    assert delays[-1] == module.BACKOFF_MAX
    assert queue.retries == 12


def test_jitter_shortens_a_backoff_by_half_at_most(clock: FakeClock) -> None:
    queue: KeyedQueue[str] = KeyedQueue(clock, jitter=lambda: 0.0)
    queue.add("a", Priority.CHILD)
    queue.take()
    assert queue.failed("a") == 0.25


def test_a_success_forgets_failures(queue: KeyedQueue[str], clock: FakeClock) -> None:
    queue.add("a", Priority.CHILD)
    for _ in range(3):
        queue.take()
        clock.now += queue.failed("a")
    queue.take()
    queue.done("a", again_after=1)
    clock.now += 1
    queue.take()
    assert queue.failed("a") == 0.5


def test_a_change_is_not_kept_waiting_by_a_backoff(
    queue: KeyedQueue[str], clock: FakeClock
) -> None:
    queue.add("a", Priority.CHILD)
    for _ in range(10):
        queue.take()
        clock.now += queue.failed("a")
    queue.take()
    assert queue.failed("a") > 100
    queue.add("a", Priority.USER)
    assert queue.take() == "a"


def test_a_backoff_grows_with_the_time_of_the_trouble_not_with_the_number_of_changes(
    queue: KeyedQueue[str], clock: FakeClock
) -> None:
    queue.add("a", Priority.USER)
    for _ in range(10):
        assert queue.take() == "a"
        assert queue.failed("a") == 0.5
        clock.now += 0.01
        queue.add("a", Priority.USER)
    clock.now += 0.5
    assert queue.take() == "a"
    assert queue.failed("a") == 1.0


def test_what_a_server_asked_for_is_waited_for_even_by_a_user(
    queue: KeyedQueue[str], clock: FakeClock
) -> None:
    queue.add("a", Priority.USER)
    queue.take()
    assert queue.failed("a", at_least=7) == 7
    queue.add("a", Priority.USER)
    assert queue.next_due() == 7
    clock.now += 7
    assert queue.take() == "a"


def test_a_fight_over_a_child_is_slowed_down_to_the_pace(
    queue: KeyedQueue[str], clock: FakeClock
) -> None:
    reconciles = 0
    end = clock.now + 100
    while clock.now < end:
        queue.add("a", Priority.CHILD)
        if queue.take() is not None:
            reconciles += 1
            queue.done("a", again_after=600)
        clock.now += 0.1
    assert 100 <= reconciles <= 100 + module.PACE_BURST + 1


def test_a_user_is_not_paced(queue: KeyedQueue[str]) -> None:
    for _ in range(100):
        queue.add("a", Priority.USER)
        assert queue.take() == "a"
        queue.done("a", again_after=600)


def test_events_that_fall_together_cost_one_token(queue: KeyedQueue[str], clock: FakeClock) -> None:
    for _ in range(5 * int(module.PACE_BURST)):
        queue.add("a", Priority.CHILD)
    queue.take()
    queue.done("a", again_after=600)
    queue.add("a", Priority.CHILD)
    assert queue.take() == "a"


def test_depth_tells_waiting_running_and_how_long(queue: KeyedQueue[str], clock: FakeClock) -> None:
    queue.add("user", Priority.USER)
    queue.add("resync", Priority.RESYNC)
    queue.add("later", Priority.RESYNC, delay=100)
    clock.now += 3
    assert queue.take() == "user"
    clock.now += 4
    depth = queue.depth()
    assert depth.waiting == {Priority.USER: 0, Priority.CHILD: 0, Priority.RESYNC: 1}
    assert (depth.delayed, depth.running) == (1, 1)
    assert (depth.oldest_waiting, depth.oldest_running) == (7, 4)


def test_a_queue_where_nothing_gets_done_is_stalled_and_an_idle_one_is_not(
    queue: KeyedQueue[str], clock: FakeClock
) -> None:
    clock.now += 10_000
    assert queue.depth().stalled == 0
    queue.add("a", Priority.USER)
    queue.add("b", Priority.USER)
    clock.now += 60
    assert queue.depth().stalled == 60
    queue.take()
    queue.done("a")
    clock.now += 1
    assert queue.depth().stalled == 1


class QueueAgainstModel(RuleBasedStateMachine):
    """No key is lost, none runs twice, whatever happens in whatever order."""

    keys = st.sampled_from("abcd")

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.queue: KeyedQueue[str] = KeyedQueue(self.clock, jitter=lambda: 0.5)
        self.wanted: set[str] = set()
        self.running: set[str] = set()

    @rule(key=keys, priority=st.sampled_from(Priority), delay=st.floats(0, 50))
    def add(self, key: str, priority: Priority, delay: float) -> None:
        self.queue.add(key, priority, delay=delay)
        self.wanted.add(key)

    @rule(seconds=st.floats(0, 400))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule()
    def take(self) -> None:
        key = self.queue.take()
        if key is not None:
            assert key in self.wanted
            assert key not in self.running
            self.wanted.discard(key)
            self.running.add(key)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), again=st.none() | st.floats(0, 50))
    def done(self, data: st.DataObject, again: float | None) -> None:
        key = data.draw(st.sampled_from(sorted(self.running)))
        self.running.discard(key)
        self.queue.done(key, again_after=again)
        if again is not None:
            self.wanted.add(key)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), at_least=st.floats(0, 20))
    def failed(self, data: st.DataObject, at_least: float) -> None:
        key = data.draw(st.sampled_from(sorted(self.running)))
        self.running.discard(key)
        self.queue.failed(key, at_least=at_least)
        self.wanted.add(key)

    @invariant()
    def every_wanted_key_is_counted(self) -> None:
        depth = self.queue.depth()
        assert depth.running == len(self.running)
        assert sum(depth.waiting.values()) + depth.delayed == len(self.wanted - self.running)

    @override
    def teardown(self) -> None:
        for key in self.running:
            self.queue.done(key)
        self.clock.now += 10_000
        assert set(drain(self.queue)) == self.wanted


TestQueueAgainstModel = QueueAgainstModel.TestCase
