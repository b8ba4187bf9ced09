from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank.domain.text import terms


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("... --- !!!", []),
        ("Hello, World: hello!", ["hello", "world", "hello"]),
        ("parse_invoice_date(v2)", ["parse", "invoice", "date", "v2"]),
        ("10.0.0.1:8080", ["10", "0", "0", "1", "8080"]),
        ("Straße STRASSE", ["strasse", "strasse"]),
        ("ﬁle ①", ["file", "1"]),
        ("cafe\u0301 CAFÉ", ["café", "café"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("مُحَمَّد", ["مُحَمَّد"]),
        ("❤️ thanks", ["thanks"]),
        ("東京", ["東", "京", "東京"]),
        ("API鍵", ["api", "鍵"]),
        ("ไทย", ["ไ", "ท", "ย", "ไท", "ทย"]),
    ],
)
def test_text_is_split_into_terms(text: str, expected: list[str]) -> None:
    assert terms(text) == [unicodedata.normalize("NFKC", term) for term in expected]


def test_very_long_words_count_by_their_beginning() -> None:
    assert terms("A" * 10_000) == ["a" * 64]
    assert terms("Ä" * 10_000) == ["ä" * 64]


@given(st.text())
def test_any_text_gives_terms_of_bounded_length_without_spaces(text: str) -> None:
    for term in terms(text):
        assert 0 < len(term) <= 64
        assert not any(character.isspace() for character in term)


@given(st.text(st.characters(codec="ascii")))
def test_the_short_way_for_plain_text_gives_the_same_terms(text: str) -> None:
    assert terms(text) == terms(text + " é")[:-1]


@given(st.text())
def test_terms_do_not_depend_on_the_composition_of_characters(text: str) -> None:
    assert terms(unicodedata.normalize("NFD", text)) == terms(unicodedata.normalize("NFC", text))
