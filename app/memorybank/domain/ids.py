"""Ids of memories: UUIDv7 (RFC 9562 section 5.7), ascending within a process.

Python 3.11's uuid module stops at version 5. Ids made in the same millisecond count up in the
random bits (RFC 9562 section 6.2, method 2), and a clock that is set back is ignored until it has
caught up, so that ids always sort in the order in which they were made.
"""

from __future__ import annotations

import secrets
import threading
import time
from uuid import UUID

_RANDOM_BITS = 74
_FRESH_BITS = 73
"""A new millisecond starts in the lower half of the random space: the rest is room to count."""


def next_tick(previous: int, *, milliseconds: int, randomness: int) -> int:
    """Return the 122 free bits of the next id: 48 of Unix time in ms, then 74 random ones.

    `randomness` holds 73 random bits. The result is always greater than `previous`.
    """
    tick = (milliseconds << _RANDOM_BITS) | randomness
    return tick if tick > previous else previous + 1


def uuid7(tick: int) -> UUID:
    """Spread the 122 bits around the version and variant fields of a UUIDv7."""
    timestamp, random_bits = divmod(tick, 1 << _RANDOM_BITS)
    rand_a, rand_b = divmod(random_bits, 1 << 62)
    return UUID(int=timestamp << 80 | 0x7 << 76 | rand_a << 64 | 0b10 << 62 | rand_b)


class IdSequence:
    """Makes ids, each greater than the one before; safe to call from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tick = 0

    def __call__(self) -> str:
        """Return the next id."""
        with self._lock:
            self._tick = next_tick(
                self._tick,
                milliseconds=time.time_ns() // 1_000_000,
                randomness=secrets.randbits(_FRESH_BITS),
            )
            return str(uuid7(self._tick))


new_id = IdSequence()
