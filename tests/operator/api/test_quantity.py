"""Quantities mean the numbers that Kubernetes gives them."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank_operator.api.quantity import parse_quantity

VALUES = {
    "0": 0,
    "1": 1,
    "250m": Decimal("0.25"),
    ".5": Decimal("0.5"),
    "1.": 1,
    "1Gi": 2**30,
    "0.5Gi": 2**29,
    "1G": 10**9,
    "1e9": 10**9,
    "1E3": 1000,
    "1E": 10**18,
    "12e-1": Decimal("1.2"),
    "-1Ki": -1024,
    "+2k": 2000,
    "100n": Decimal("1e-7"),
}


@pytest.mark.parametrize("text", VALUES)
def test_a_quantity_is_a_number(text: str) -> None:
    assert parse_quantity(text) == VALUES[text]


@pytest.mark.parametrize("text", ["", "Gi", "1 Gi", "1gi", "1GiB", "1K", "one", "1.2.3", "1e", "٣"])
def test_what_is_no_quantity_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="such as 1Gi or 250m"):
        parse_quantity(text)


@given(st.integers(0, 10**6), st.sampled_from(["", "k", "Ki", "Mi", "Gi", "Ti"]))
def test_larger_numbers_of_a_unit_are_more(number: int, unit: str) -> None:
    assert parse_quantity(f"{number + 1}{unit}") > parse_quantity(f"{number}{unit}")
