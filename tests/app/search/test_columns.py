"""Columns that grow, also those of memory of their own."""

from __future__ import annotations

import numpy as np
import pytest

from memorybank.search.columns import Columns

WIDTH = 8


@pytest.fixture(params=[1_000, 2**40], ids=["moved", "copied"])
def columns(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Columns:
    monkeypatch.setattr("memorybank.search.columns._MAPPED_BYTES", request.param)
    return Columns({"length": np.int64}, vector=WIDTH)


def fill(columns: Columns, count: int) -> None:
    numbers = np.arange(columns.count, columns.count + count)
    columns.extend(count, length=numbers, vector=np.repeat(numbers, WIDTH).reshape(count, WIDTH))


def holds(columns: Columns, numbers: range) -> bool:
    rows = np.repeat(np.arange(len(numbers)) * numbers.step + numbers.start, WIDTH)
    return (
        columns["length"].tolist() == list(numbers)
        and columns["vector"].ravel().tolist() == rows.tolist()
    )


def test_rows_stay_as_they_are_when_there_are_more(columns: Columns) -> None:
    for number in (1, 63, 1, 200, 5_000):
        fill(columns, number)
    assert holds(columns, range(5_265))


def test_what_somebody_looks_at_stays(columns: Columns) -> None:
    fill(columns, 500)
    seen = columns["vector"]
    fill(columns, 5_000)
    assert seen[:, 0].tolist() == list(range(500))
    del seen
    fill(columns, 50_000)
    assert holds(columns, range(55_500))


def test_chosen_rows_stay_in_order_and_more_can_follow(columns: Columns) -> None:
    fill(columns, 20_000)
    columns.keep(np.arange(20_000) % 2 == 0)
    assert holds(columns, range(0, 20_000, 2))
    columns.keep(np.zeros(10_000, dtype=np.bool_))
    assert columns.count == 0
    fill(columns, 300)
    assert holds(columns, range(300))
