"""How often a bank is looked at to which nothing happens."""

from __future__ import annotations

import pytest

from memorybank_operator.reconcile.memorybank import resync_seconds


@pytest.mark.parametrize(("crowd", "seconds"), [(1, 600.0), (600, 600.0), (5_000, 5_000.0)])
def test_banks_of_a_crowd_are_looked_at_one_a_second(crowd: int, seconds: float) -> None:
    assert resync_seconds(600.0, crowd) == seconds
