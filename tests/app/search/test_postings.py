"""The inverted index says of every term what a plain count of the rows says."""

from __future__ import annotations

import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memorybank.search import postings
from memorybank.search.postings import Postings
from memorybank.search.tokens import Terms

WORDS = ["alpha", "beta", "gamma", "delta", "é", "東", "ab", "abc"]
ROWS = st.lists(st.lists(st.sampled_from(WORDS)))


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seal and merge after a few words, as real banks do after thousands."""
    monkeypatch.setattr(postings, "_TAIL_LEAST", 3)
    monkeypatch.setattr(postings, "_SEGMENTS", 4)
    monkeypatch.setattr(postings, "_WAITING_SEGMENTS", 6)


def assert_holds(index: Postings, rows: dict[int, list[str]]) -> None:
    terms = {term for words in rows.values() for term in words}
    assert terms <= set(index.terms())
    assert len(list(index.terms())) == len(set(index.terms()))
    for term in {*terms, "nowhere"}:
        places, counts = index.holding(term)
        expected = {place: Counter(words)[term] for place, words in rows.items() if term in words}
        assert dict(zip(places.tolist(), counts.tolist(), strict=True)) == expected
        assert places.tolist() == sorted(expected)
    together = {
        place: len([word for word in words if "a" in word]) for place, words in rows.items()
    }
    places, counts = index.holding(*(term for term in index.terms() if "a" in term))
    assert places.tolist() == sorted(place for place, count in together.items() if count)
    assert counts.tolist() == [together[place] for place in places.tolist()]
    for place, words in rows.items():
        assert index.agrees(place, words)
        assert not index.agrees(place, [*words, "alpha", "alpha", "nowhere"])
    for prefix in ("a", "ab", "東", "x"):
        known = sorted(term for term in index.terms() if term.startswith(prefix))
        assert index.beginning(prefix, limit=2) == known[:2]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(ROWS, st.randoms(use_true_random=False), ROWS, st.integers(1, 5))
def test_it_holds_what_the_rows_hold_however_they_come_and_are_moved(
    first: list[list[str]], dice: object, second: list[list[str]], at_once: int
) -> None:
    index = Postings()
    rows = dict(enumerate(first))
    for place in range(0, len(first), at_once):
        some = first[place : place + at_once]
        index.extend(place, some if at_once % 2 else Terms.of(some))
    assert_holds(index, rows)
    kept = np.array([dice.random() < 0.6 for _ in first], dtype=np.bool_)  # type: ignore[attr-defined]
    index.renumber(np.where(kept, np.cumsum(kept) - 1, -1))
    rows = dict(enumerate(words for words, stays in zip(first, kept, strict=True) if stays))
    for place, words in enumerate(second, start=len(rows)):
        index.extend(place, [words])
        rows[place] = words
    assert_holds(index, rows)


def test_a_term_that_no_row_holds_any_more_is_forgotten() -> None:
    index = Postings()
    for place in range(4):
        index.extend(place, [["shared", f"own{place}"]])
    index.renumber(np.array([-1, 0, -1, 1]))
    assert sorted(index.terms()) == ["own1", "own3", "shared"]


def test_a_word_of_a_hundred_thousand_times_is_counted_as_often_as_matters() -> None:
    index = Postings()
    words = ["again"] * 100_000
    index.extend(0, [words])
    assert index.holding("again")[1].tolist() == [0xFFFF]
    assert index.agrees(0, words)


def test_indexes_share_the_texts_of_their_terms() -> None:
    one, other = Postings(), Postings()
    for index in (one, other):
        index.extend(0, [["".join(["commit", "ted"])]])
    assert next(iter(one.terms())) is next(iter(other.terms())) is sys.intern("committed")
