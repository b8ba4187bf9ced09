"""Which memories make which others superfluous."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank.domain.duplicates import fingerprint, says_the_same
from memorybank.domain.memory import MemoryType
from tests.support.memory_samples import a_memory


@given(st.text())
def test_every_text_has_a_fingerprint_and_is_the_same_as_itself(text: str) -> None:
    assert fingerprint(text) == fingerprint(f"  {text}\n")
    assert len(fingerprint(text)) == 16
    assert says_the_same(a_memory(text), a_memory(text))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The cat is red.", "the cat is red"),
        ("A cat, red: Ada's.", "cat red Ada's"),
        ("Is (it) so", "is it so!"),
        ("Ｆｕｌｌ width", "full width"),
    ],
)
def test_case_articles_and_punctuation_around_words_make_no_difference(
    one: str, other: str
) -> None:
    assert fingerprint(one) == fingerprint(other)
    assert says_the_same(a_memory(one), a_memory(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("It needs C", "It needs C++"),
        ("x is 1", "x is -1"),
        ("needs Go 1.26", "needs Go 1.27"),
        ("It is blue", "It is blue?"),
        ("It is blue", "It was blue"),
        ("Ask Ada", "Ask Ada and Ada"),
        ("We moved from Lund to Malmö", "We moved from Malmö to Lund"),
        ("会議は火曜日", "会議は水曜日"),
    ],
)
def test_whatever_may_say_something_else_is_something_else(one: str, other: str) -> None:
    assert fingerprint(one) != fingerprint(other)


def test_code_is_the_same_letter_by_letter_only() -> None:
    one, other = (a_memory(text, type=MemoryType.CODE) for text in ("if A: b()", "if a: b()"))
    assert not says_the_same(one, other)
