"""Highlights point at what was asked for, in any script; excerpts are short and say the most."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from memorybank.domain.highlights import EXCERPT, excerpt, highlights
from memorybank.domain.text import stem, terms

TEXTS = st.text(alphabet=st.sampled_from("ab cé ÄßJ猫が好\n🙂_-."), max_size=400)


def wanted(query: str) -> frozenset[str]:
    return frozenset(map(stem, terms(query)))


def marked(text: str, query: str) -> list[str]:
    return [text[start:end] for start, end in highlights(text, wanted(query))]


def test_words_are_found_whatever_their_case_and_form() -> None:
    assert marked("The CAFÉ near Straße 7 opens.", "café strasse opens") == [
        "CAFÉ", "Straße", "opens",
    ]  # fmt: skip


def test_parts_of_words_are_not_marked() -> None:
    assert marked("catalogue of tom and a cat", "cat") == ["cat"]


def test_other_forms_of_a_word_are_marked() -> None:
    assert marked("Alerts fire; the alert is old.", "alerting") == ["Alerts", "alert"]


def test_texts_without_spaces_are_marked_by_pairs() -> None:
    assert marked("私は猫が好きです", "猫が好き") == ["猫が好き"]


def test_positions_count_characters_that_take_several_bytes_once() -> None:
    assert highlights("🙂🙂 tea", frozenset({"tea"})) == [(3, 6)]


@given(TEXTS, TEXTS)
def test_spans_are_in_order_apart_and_within_the_text(text: str, query: str) -> None:
    spans = highlights(text, wanted(query))
    edges = [edge for span in spans for edge in span]
    assert edges == sorted(edges)
    assert all(0 <= start < end <= len(text) for start, end in spans)


@given(TEXTS.map(lambda text: text * 3), TEXTS)
def test_an_excerpt_is_a_part_of_bounded_length(text: str, query: str) -> None:
    part = excerpt(text, highlights(text, wanted(query)))
    assert 0 <= part.start <= part.end <= len(text)
    assert part.end - part.start <= EXCERPT
    assert part.end > part.start or not text


def test_an_excerpt_holds_what_was_asked_for() -> None:
    text = "nothing of interest here. " * 40 + "The red boat sank near the pier. " + "more. " * 200
    part = excerpt(text, highlights(text, frozenset({"boat", "pier"})))
    assert "red boat sank near the pier" in text[part.start : part.end]
