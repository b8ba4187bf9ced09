"""How often a caller may ask: token buckets, in memory, of this process alone.

A bucket holds `burst` requests and refills at `per_minute / 60` a second. A full bucket is no
state at all, so the limiter forgets the ones that were not used longest when they become many.
"""

from __future__ import annotations

import ipaddress
import math
import time
from asyncio import Lock
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from memorybank.auth.principal import Principal

_BUCKETS = 20_000
"""Buckets kept, some 200 bytes each: more keys than a busy bank uses at once."""

_FAILURES = 30
"""Wrong keys that an address may send at once, and per minute. A client with a wrong setting stays
below it for a while; what guesses is far above it at once."""


@dataclass(frozen=True, slots=True)
class Rate:
    """So many requests per minute, so many of them at once."""

    per_minute: int
    burst: int

    @classmethod
    def of(cls, per_minute: int | None, burst: int | None) -> Rate | None:
        """Return the rate, None for no limit; the burst is a minute's worth unless given."""
        return None if per_minute is None else cls(per_minute, burst or per_minute)


@dataclass(frozen=True, slots=True)
class Quota:
    """What is left of one rate."""

    name: str
    rate: Rate
    remaining: int
    full_in: int
    """Seconds until everything is there again."""
    wait: float
    """Seconds until one request is allowed; 0 when it is."""


class Buckets:
    """Token buckets by name, the least recently used ones forgotten."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def level(self, name: str, rate: Rate) -> float:
        """Return how many tokens there are, never more than the burst."""
        level, at = self._levels.get(name, (float(rate.burst), 0.0))
        return min(rate.burst, level + (self._clock() - at) * rate.per_minute / 60)

    def take(self, name: str, rate: Rate) -> None:
        """Take one token, which must be there."""
        self._levels[name] = (self.level(name, rate) - 1, self._clock())
        self._levels.move_to_end(name)
        if len(self._levels) > _BUCKETS:
            self._levels.popitem(last=False)


class RateLimiter:
    """Admits requests by the rate of their key and that of their tenant; both must allow it."""

    def __init__(
        self,
        *,
        key: Rate | None,
        tenant: Rate | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`tenant` holds for tenants without a rate of their own."""
        self._key = key
        self._tenant = tenant
        self._buckets = Buckets(clock=clock)

    def admit(self, caller: Principal) -> list[Quota]:
        """Count a request if it is allowed: nobody pays for a request that is refused.

        Returns the rates that hold for the caller, that with the least left first; empty when there
        are none. The request is refused when the first has to wait.
        """
        quotas = caller.quotas
        own = Rate.of(quotas.requests_per_minute, quotas.burst)
        rates = (
            ("key", caller.key_id, self._key),
            ("tenant", caller.tenant, own or self._tenant),
        )
        held = [(kind, f"{kind} {name}", rate) for kind, name, rate in rates if rate is not None]
        allowed = all(self._buckets.level(name, rate) >= 1 for _, name, rate in held)
        if allowed:
            for _, name, rate in held:
                self._buckets.take(name, rate)
        left = [self._quota(kind, name, rate, allowed=allowed) for kind, name, rate in held]
        return sorted(left, key=lambda quota: (-quota.wait, quota.remaining))

    def _quota(self, kind: str, name: str, rate: Rate, *, allowed: bool) -> Quota:
        level = self._buckets.level(name, rate)
        per_second = rate.per_minute / 60
        return Quota(
            name=kind,
            rate=rate,
            remaining=int(level),
            full_in=math.ceil((rate.burst - level) / per_second),
            wait=0.0 if allowed or level >= 1 else (1 - level) / per_second,
        )


class FailedAttempts:
    """Slows down addresses that send wrong keys, and nobody else.

    Many clients may share an address, so a valid key is always let in. What an address with too
    many failures loses: it is told to wait instead of why it failed, and its unknown keys are
    looked up one after the other, so that they cannot keep the store busy.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = Rate(_FAILURES, _FAILURES)
        self._buckets = Buckets(clock=clock)
        self._gates: OrderedDict[str, Lock] = OrderedDict()

    def gate(self, address: str) -> Lock | None:
        """Return what a look-up for this address has to hold; None for one in good standing."""
        name = _network(address)
        if self._buckets.level(name, self._rate) >= 1:
            return None
        gate = self._gates.setdefault(name, Lock())
        self._gates.move_to_end(name)
        if len(self._gates) > _BUCKETS:
            self._gates.popitem(last=False)
        return gate

    def failed(self, address: str) -> float:
        """Note a wrong key; return the seconds to wait, 0 while failures are few."""
        name = _network(address)
        level = self._buckets.level(name, self._rate)
        if level < 1:
            return (1 - level) * 60 / self._rate.per_minute
        self._buckets.take(name, self._rate)
        return 0.0


def _network(address: str) -> str:
    """Return what one client can choose addresses from: itself, or its /64 of IPv6."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return address
    return str(ipaddress.ip_network((int(parsed), 64), strict=False))
