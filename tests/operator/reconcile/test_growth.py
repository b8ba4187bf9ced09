"""When a volume is to grow by itself, to which size, and when not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank_operator.api.quantity import parse_quantity
from memorybank_operator.api.v1alpha1.spec import AutoGrow
from memorybank_operator.reconcile.claim import Claim, Growth
from memorybank_operator.reconcile.growth import (
    Decision,
    Stand,
    grown_from,
    is_low,
    next_size,
    relieve,
)
from memorybank_operator.reconcile.observed import Disk

GI = 2**30
steps = st.one_of(
    st.integers(1, 100).map(lambda share: f"{share}%"),
    st.integers(10, 10**6).map(lambda size: f"{size}Mi"),
)
sizes = st.one_of(
    st.integers(10, 10**6).map(lambda size: f"{size}Mi"),
    st.integers(1, 10**4).map(lambda size: f"{size}Gi"),
    st.integers(10**8, 10**15).map(str),
)


def claim(asked: str = "2Gi", capacity: str | None = None, growth: Growth = Growth.NONE) -> Claim:
    return Claim(
        name="agents-data",
        asked=asked,
        bound=True,
        capacity=capacity or asked,
        storage_class="standard",
        growth=growth,
    )


def policy(**changes: Any) -> AutoGrow:
    return AutoGrow(**({"enabled": True, "max_size": "10Gi"} | changes))


def disk(used: float, total: float = 1.9 * GI) -> Disk:
    return Disk(total=int(total), free=int(total * (1 - used)))


@pytest.mark.parametrize(
    ("has", "step", "max_size", "size"),
    [
        ("2Gi", "25%", "10Gi", "3Gi"),
        ("8Gi", "25%", "20Gi", "10Gi"),
        ("8Gi", "25%", "9Gi", "9Gi"),
        ("8Gi", "100%", "15.5Gi", "15.5Gi"),
        ("1Gi", "1%", "20Gi", "2Gi"),
        ("10Gi", "5Gi", "20Gi", "15Gi"),
        ("64Mi", "25%", "1Gi", "80Mi"),
        ("64Mi", "10Mi", "1Gi", "74Mi"),
        ("1000Mi", "50Mi", "5Gi", "2Gi"),
        ("3000000000", "10%", "4e9", "4e9"),
    ],
)
def test_a_step_is_rounded_up_and_ends_at_the_maximum(
    has: str, step: str, max_size: str, size: str
) -> None:
    assert next_size(parse_quantity(has), step, max_size) == size


@given(has=sizes, step=steps, max_size=sizes)
def test_a_step_makes_the_volume_larger_and_never_larger_than_the_maximum(
    has: str, step: str, max_size: str
) -> None:
    before, most = parse_quantity(has), parse_quantity(max_size)
    if before >= most:
        return
    after = parse_quantity(next_size(before, step, max_size))
    assert before < after <= most


@given(has=sizes, step=st.integers(10, 100).map(lambda share: f"{share}%"), max_size=sizes)
def test_steps_come_to_the_maximum_and_end_there(has: str, step: str, max_size: str) -> None:
    auto = policy(step=step, max_size=max_size)
    full = Disk(total=1, free=0)
    size, taken = has, 0
    while (decision := relieve(auto, claim(size), full, grown_from=None, can_grow=True)).size:
        size, taken = decision.size, taken + 1
        assert taken < 300
    assert decision == Decision(Stand.MAXIMUM)
    assert size == (has if taken == 0 else max_size)


@pytest.mark.parametrize(
    ("auto", "of", "full", "before", "can_grow", "stand"),
    [
        (policy(), claim(), disk(0.8), None, True, Stand.GROW),
        (policy(enabled=False), claim(), disk(0.8), None, True, Stand.OFF),
        (policy(max_size=None), claim(), disk(0.8), None, True, Stand.OFF),
        (policy(), claim(growth=Growth.DRIVER), disk(0.8), None, True, Stand.GROWS),
        (policy(), claim(growth=Growth.NODE), disk(0.8), None, True, Stand.GROWS),
        (policy(), claim(growth=Growth.FAILED), disk(0.8), None, True, Stand.GROWS),
        (policy(), claim("10Gi"), disk(0.8), None, True, Stand.MAXIMUM),
        (policy(), claim("2Gi", "10Gi"), disk(0.8), None, True, Stand.MAXIMUM),
        (policy(), claim("10240Mi"), disk(0.8), None, False, Stand.MAXIMUM),
        (policy(), claim(), disk(0.8), None, False, Stand.RIGID),
        (policy(), claim(), disk(0.8, total=100 * GI), None, True, Stand.SHARED),
        (policy(), claim(), disk(0.8), int(1.9 * GI), True, Stand.AWAITED),
        (policy(), claim(), disk(0.8), int(0.9 * GI), True, Stand.GROW),
    ],
)
def test_what_is_to_be_done_for_a_disk_that_is_low(
    auto: AutoGrow, of: Claim, full: Disk, before: int | None, can_grow: bool, stand: Stand
) -> None:
    decision = relieve(auto, of, full, grown_from=before, can_grow=can_grow)
    assert decision.stand is stand
    assert bool(decision.size) is (stand is Stand.GROW)


def test_a_storage_driver_that_rounds_up_is_asked_for_more_than_it_gave() -> None:
    decision = relieve(policy(), claim("1Gi", "4Gi"), disk(0.9), grown_from=None, can_grow=True)
    assert decision.size == "5Gi"


def test_a_disk_is_low_from_its_threshold_on() -> None:
    auto = policy(threshold_percent=90)
    assert not is_low(auto, Disk(total=1_000, free=101))
    assert is_low(auto, Disk(total=1_000, free=100))
    assert is_low(auto, Disk(total=1_000, free=0))


@given(total=st.integers(1, 10**18), data=st.data())
def test_the_used_share_lies_between_nothing_and_everything(total: int, data: Any) -> None:
    free = data.draw(st.integers(0, total))
    assert 0 <= Disk(total, free).used_percent <= 100
    assert (Disk(total, free).used_percent == 100) is (free == 0)


def saying(text: str) -> dict[str, Any]:
    return {"metadata": {"annotations": {"memorybank.dev/grown-from": text}}}


def test_what_the_claim_remembers_is_believed_only_as_a_number() -> None:
    assert grown_from(saying("1024")) == 1024
    for wrong in ("", "-1", "1.5", "much", "²", "१"):
        assert grown_from(saying(wrong)) is None
    assert grown_from({"metadata": {}}) is None
