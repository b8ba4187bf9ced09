from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank.domain.text import stem, terms


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


@pytest.mark.parametrize(
    "forms",
    [
        "alert alerts alerted alerting",
        "query queries",
        "movie movies",
        "stop stopped stopping",
        "cache caches cached caching",
        "setting settings",
        "address addresses",
        "embed embedded embedding embeds",
        "Rechnung Rechnungen",
        "Schlüssel Schlussel",
        "élève élèves",
        "reunión reuniones",
        "café cafés cafe",
    ],
)
def test_forms_of_a_word_have_one_stem(forms: str) -> None:
    assert len({stem(term) for term in terms(forms)}) == 1


@pytest.mark.parametrize(
    "words",
    [
        "red reed read",
        "thing things string need",
        "gas status class bus",
        "v2 v2s 5433 10",
        "port post",
        "猫 犬 が か",
        "мир миры",
        "हिन्दी हिन्दि",
    ],
)
def test_words_that_differ_in_more_keep_different_stems(words: str) -> None:
    each = terms(words)
    stems = [stem(term) for term in each if term != "things"]
    assert len(set(stems)) == len(stems)


@given(st.text())
def test_a_stem_is_its_own_stem_and_never_empty(text: str) -> None:
    for term in terms(text):
        assert stem(term)
        assert stem(stem(term)) == stem(term)
