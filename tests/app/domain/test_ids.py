from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from uuid import RFC_4122, UUID

from hypothesis import given
from hypothesis import strategies as st

from memorybank.domain.ids import IdSequence, next_tick, uuid7

TICKS = st.integers(0, 2**122 - 1)


@given(TICKS)
def test_any_tick_makes_a_valid_version_7_id(tick: int) -> None:
    made = uuid7(tick)
    assert made.version == 7
    assert made.variant == RFC_4122


@given(TICKS, TICKS)
def test_ids_sort_as_their_ticks(one: int, other: int) -> None:
    assert (str(uuid7(one)) < str(uuid7(other))) == (one < other)


@given(TICKS, st.integers(0, 2**48 - 1), st.integers(0, 2**73 - 1))
def test_the_next_tick_is_always_greater(previous: int, milliseconds: int, randomness: int) -> None:
    assert next_tick(previous, milliseconds=milliseconds, randomness=randomness) > previous


def test_an_id_begins_with_the_time_in_milliseconds() -> None:
    before = time.time_ns() // 1_000_000
    made = UUID(IdSequence()())
    after = time.time_ns() // 1_000_000
    assert before <= made.int >> 80 <= after


def test_ids_ascend_and_differ_whichever_threads_make_them() -> None:
    new_id = IdSequence()
    assert (ids := [new_id() for _ in range(5_000)]) == sorted(set(ids))
    with ThreadPoolExecutor(4) as pool:
        batches = list(pool.map(lambda _: [new_id() for _ in range(500)], range(8)))
    assert all(batch == sorted(batch) for batch in batches)
    assert len({one for batch in batches for one in batch}) == 4_000
