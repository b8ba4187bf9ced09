from __future__ import annotations

import random

from memorybank.embedders.breaker import CircuitBreaker, backoff


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_it_opens_after_failures_in_a_row_and_lets_one_through_later() -> None:
    clock = Clock()
    breaker = CircuitBreaker(failures=3, seconds=5, longest=12, clock=clock)
    breaker.failed()
    breaker.failed()
    breaker.succeeded()
    for _ in range(3):
        assert breaker.wait() == 0
        breaker.failed()
    assert breaker.wait() == 5
    clock.now += 5
    assert breaker.wait() == 0  # the one that tries
    assert breaker.wait() > 0  # the others wait for its outcome
    breaker.failed()
    assert breaker.wait() == 10
    clock.now += 10
    assert breaker.wait() == 0
    breaker.failed()
    assert breaker.wait() == 12
    clock.now += 12
    assert breaker.wait() == 0
    breaker.succeeded()
    assert breaker.wait() == 0


def test_a_cancelled_try_lets_another_one_through() -> None:
    clock = Clock()
    breaker = CircuitBreaker(failures=1, seconds=5, clock=clock)
    breaker.failed()
    clock.now += 5
    assert breaker.wait() == 0
    breaker.abandoned()
    assert breaker.wait() == 0


def test_failures_of_requests_that_began_before_it_opened_do_not_prolong_it() -> None:
    breaker = CircuitBreaker(failures=1, seconds=5, clock=Clock())
    for _ in range(10):
        breaker.failed()
    assert breaker.wait() == 5


def test_pauses_grow_and_stay_bounded() -> None:
    dice = random.Random(1)  # noqa: S311  # no secret
    for attempt, most in [(0, 0.2), (1, 0.4), (3, 1.6), (20, 5.0)]:
        pauses = [backoff(attempt, dice=dice) for _ in range(200)]
        assert 0 <= min(pauses) < max(pauses) <= most
        assert max(pauses) > most * 0.9
