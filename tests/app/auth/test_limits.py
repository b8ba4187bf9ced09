"""Token buckets: what is admitted, what is left, who is slowed down."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from memorybank.auth.limits import FailedAttempts, Rate, RateLimiter
from memorybank.auth.principal import Principal
from memorybank.domain.tenants import Quotas

NOBODY = Principal("acme", "k", frozenset())


class Clock:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@given(
    per_minute=st.integers(1, 600),
    burst=st.integers(1, 50),
    pauses=st.lists(st.floats(0, 30), max_size=60),
)
def test_no_stretch_of_time_admits_more_than_the_burst_and_the_rate(
    per_minute: int, burst: int, pauses: list[float]
) -> None:
    clock = Clock()
    limiter = RateLimiter(key=Rate(per_minute, burst), tenant=None, clock=clock)
    admitted = []
    for pause in pauses:
        clock.now += pause
        (quota,) = limiter.admit(NOBODY)
        if not quota.wait:
            admitted.append(clock.now)
        assert 0 <= quota.remaining <= burst
    for place, begin in enumerate(admitted):
        for count, end in enumerate(admitted[place:], start=1):
            assert count <= burst + (end - begin) * per_minute / 60 + 1e-6


def test_who_waits_as_told_is_admitted() -> None:
    clock = Clock()
    limiter = RateLimiter(key=Rate(60, 2), tenant=None, clock=clock)
    assert [limiter.admit(NOBODY)[0].wait for _ in range(2)] == [0, 0]
    (refused,) = limiter.admit(NOBODY)
    assert 0 < refused.wait <= 1
    clock.now += refused.wait + 1e-6
    assert limiter.admit(NOBODY)[0].wait == 0


def test_keys_of_a_tenant_share_its_rate_and_a_refusal_costs_nothing() -> None:
    clock = Clock()
    limiter = RateLimiter(key=Rate(600, 10), tenant=Rate(60, 3), clock=clock)
    keys = [Principal("acme", name, frozenset()) for name in "abcd"]
    waits = [limiter.admit(key)[0].wait for key in keys]
    assert waits[:3] == [0, 0, 0]
    assert waits[3] > 0
    by_name = {quota.name: quota for quota in limiter.admit(keys[3])}
    assert by_name["key"].remaining == 10  # never charged for what was refused
    assert limiter.admit(Principal("beta", "e", frozenset()))[0].wait == 0


def test_a_tenant_of_its_own_rate_goes_by_that() -> None:
    limiter = RateLimiter(key=None, tenant=Rate(60, 1), clock=Clock())
    rich = Principal("rich", "k", frozenset(), Quotas(requests_per_minute=60, burst=5))
    assert [limiter.admit(rich)[0].wait == 0 for _ in range(6)] == [True] * 5 + [False]


def test_without_rates_there_is_nothing_to_say() -> None:
    assert RateLimiter(key=None, tenant=None).admit(NOBODY) == []


def test_failures_of_one_address_slow_down_that_address_alone() -> None:
    clock = Clock()
    attempts = FailedAttempts(clock=clock)
    waits = [attempts.failed("192.0.2.1") for _ in range(40)]
    assert waits[:30] == [0.0] * 30
    assert all(wait > 0 for wait in waits[30:])
    assert attempts.gate("192.0.2.1") is attempts.gate("192.0.2.1") is not None
    assert attempts.gate("192.0.2.2") is None
    clock.now += 3
    assert attempts.failed("192.0.2.1") == 0


def test_addresses_of_one_ipv6_network_are_one() -> None:
    attempts = FailedAttempts(clock=Clock())
    waits = [attempts.failed(f"2001:db8::{number:x}") for number in range(31)]
    assert waits[-1] > 0
    assert attempts.failed("2001:db8:0:1::1") == 0
