"""Terms as arrays are the terms that go in, and their hashes tell them apart."""

from __future__ import annotations

from itertools import chain

from hypothesis import example, given
from hypothesis import strategies as st

from memorybank.domain.text import terms
from memorybank.search.tokens import Terms, hash_of

TEXTS = st.text(st.characters(exclude_categories=[]), max_size=90) | st.text("aB1_ .", max_size=300)


@given(st.lists(TEXTS, min_size=1, max_size=8))
@example(["", "", "..."])
@example(["a" * 65 + " b", "\xc4" * 200, "", "x" * 64, "\u6771\u4eac"])
@example(["a" * 1_000])
def test_many_texts_at_once_give_the_terms_of_each(texts: list[str]) -> None:
    expected = [terms(text) for text in texts]
    found = Terms.of_texts(texts)
    assert found.texts(range(len(found))) == list(chain.from_iterable(expected))
    assert found.per_row.tolist() == [len(row) for row in expected]
    assert found.hashes.tolist() == [hash_of(term) for term in found.texts(range(len(found)))]


@given(st.lists(st.lists(st.text(min_size=1, max_size=400), max_size=4), max_size=4))
@example([["long" * 100, "long" * 101, "s"], [], ["s"]])
def test_terms_of_any_kind_are_taken_as_they_are(rows: list[list[str]]) -> None:
    found = Terms.of(rows)
    assert found.texts(range(len(found))) == list(chain.from_iterable(rows))
    assert found.per_row.tolist() == [len(row) for row in rows]
    assert found.hashes.tolist() == [hash_of(term) for term in found.texts(range(len(found)))]


@given(st.sets(st.text(min_size=1), max_size=50))
def test_different_terms_have_different_hashes(different: set[str]) -> None:
    assert len({hash_of(term) for term in different}) == len(different)


def test_terms_of_the_same_letters_in_another_order_differ() -> None:
    assert len({hash_of(term) for term in ("abc", "acb", "bca", "cba", "ab", "a", "aa")}) == 7
