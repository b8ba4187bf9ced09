"""How a claim says that its volume grows."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank_operator.reconcile.claim import MAX_WORDS, Growth, read_claim


def claim(asked: str = "2Gi", capacity: str | None = "1Gi", **status: Any) -> dict[str, Any]:
    """A claim as the API server shows it."""
    size = {} if capacity is None else {"capacity": {"storage": capacity}}
    return {
        "metadata": {"name": "agents-data"},
        "spec": {"storageClassName": "fast", "resources": {"requests": {"storage": asked}}},
        "status": {"phase": "Bound", **size, **status},
    }


def condition(kind: str, message: str = "", status: str = "True") -> list[dict[str, str]]:
    return [{"type": kind, "status": status, "message": message}]


def stage(word: str) -> dict[str, str]:
    return {"storage": word}


@pytest.mark.parametrize(
    ("body", "growth"),
    [
        (claim("1Gi"), Growth.NONE),
        (claim("1Gi", "1024Mi"), Growth.NONE),
        (claim("1Gi", "5Gi"), Growth.NONE),
        (claim("1Gi", conditions=condition("ControllerResizeError", "old")), Growth.NONE),
        (claim(capacity=None), Growth.NONE),
        (claim(phase="Pending"), Growth.NONE),
        (claim(phase="Lost"), Growth.NONE),
        (claim(), Growth.DRIVER),
        (claim(conditions=condition("Resizing")), Growth.DRIVER),
        (claim(conditions=condition("FileSystemResizePending", status="False")), Growth.DRIVER),
        (claim(allocatedResourceStatuses=stage("ControllerResizeInProgress")), Growth.DRIVER),
        (claim(conditions=condition("FileSystemResizePending")), Growth.NODE),
        (claim(allocatedResourceStatuses=stage("NodeResizePending")), Growth.NODE),
        (claim(allocatedResourceStatuses=stage("NodeResizeInProgress")), Growth.NODE),
        (claim(conditions=condition("ControllerResizeError", "no room")), Growth.FAILED),
        (claim(conditions=condition("NodeResizeError", "no room")), Growth.FAILED),
        (claim(allocatedResourceStatuses=stage("ControllerResizeInfeasible")), Growth.FAILED),
        (claim(allocatedResourceStatuses=stage("NodeResizeInfeasible")), Growth.FAILED),
    ],
)
def test_a_claim_says_how_far_its_growth_is(body: dict[str, Any], growth: Growth) -> None:
    assert read_claim(body).growth is growth


def test_what_the_driver_said_is_kept_on_one_line_and_short() -> None:
    said = "rpc error:\n  code = ResourceExhausted\tdesc = no room."
    read = read_claim(claim(conditions=condition("ControllerResizeError", said)))
    assert read.words == "rpc error: code = ResourceExhausted desc = no room"
    long = condition("NodeResizeError", "x" * 5_000)
    assert len(read_claim(claim(conditions=long)).words) == MAX_WORDS


@given(
    asked=st.integers(1, 10**15),
    capacity=st.one_of(st.none(), st.integers(1, 10**15)),
    phase=st.sampled_from(["Pending", "Bound", "Lost"]),
    conditions=st.one_of(
        st.none(),
        st.lists(
            st.fixed_dictionaries(
                {"type": st.text(), "status": st.sampled_from(["True", "False", "Unknown"])},
                optional={"message": st.one_of(st.none(), st.text())},
            )
        ),
    ),
    word=st.one_of(st.none(), st.text()),
)
def test_a_volume_grows_exactly_while_it_has_less_than_is_asked_for(
    asked: int,
    capacity: int | None,
    phase: str,
    conditions: list[dict[str, Any]] | None,
    word: str | None,
) -> None:
    body = claim(
        str(asked),
        None if capacity is None else str(capacity),
        phase=phase,
        conditions=conditions,
        allocatedResourceStatuses={"storage": word},
    )
    has_less = phase == "Bound" and capacity is not None and capacity < asked
    assert (read_claim(body).growth is not Growth.NONE) is has_less
