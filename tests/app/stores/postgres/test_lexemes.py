"""Words as lexemes: what is asked for is what is rare, and what is counted is what is there."""

from __future__ import annotations

import psycopg
import pytest

from memorybank.domain.text import terms
from memorybank.stores.postgres.searching.lexemes import (
    beginning,
    counted,
    document,
    holding,
    telling,
)
from tests.support import postgres

TEXTS = (
    "The alerts of the alert manager alert nobody",
    "it's a trap: 'quoted' and back\\slashed",
    "Élan, Straße und Größe",
    "東京の地下鉄は朝とても混んでいます。",
    "",
)


def test_rare_words_are_told_alone_and_common_ones_together() -> None:
    counts = {"lighthouse": 40, "unknown": 0, "green": 3_000, "lie": 2_000, "the": 90_000}
    assert telling(counts, among=100_000, budget=500) == [
        ("lighthouse",),
        ("lie", "green"),
    ]
    counts["green"] = 40_000
    assert telling(counts, among=100_000, budget=800)[1:] == [("lie", "green", "the")]


def test_a_query_of_common_words_alone_asks_for_all_of_them() -> None:
    counts = dict.fromkeys(("a", "b", "c", "d"), 90_000)
    assert telling(counts, among=100_000, budget=500) == [("a", "b", "c", "d")]


def test_a_query_of_words_that_nobody_holds_asks_for_none() -> None:
    assert telling({"unknown": 0}, among=100, budget=500) == []


@pytest.mark.slow
def test_the_server_tells_how_often_a_word_is_there_whatever_it_is_written_with() -> None:
    with psycopg.connect(postgres.server().database("lexemes")) as connection:
        documents = [document("acme", terms(text)) for text in TEXTS]
        vectors = [
            connection.cursor(binary=True).execute("SELECT %s::tsvector", (each,)).fetchone()[0]  # type: ignore[index]
            for each in documents
        ]
    roots = ["alert", "the", "quot", "slash", "地下", "missing"]
    assert counted(vectors, "acme", roots).tolist() == [
        [3, 2, 0, 0, 0, 0],
        [0, 0, 1, 1, 0, 0],
        [0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 1, 0],
        [0, 0, 0, 0, 0, 0],
    ]
    assert not counted(vectors, "beta", roots).any()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("query", "found"),
    [
        (holding("acme", "alert", "nobodi"), [0]),
        (holding("acme", "trap"), [1]),
        (beginning("acme", "ala"), []),
        (beginning("acme", "alerts"), [0]),
        (beginning("acme", "manag"), [0]),
        (beginning("acme", "éla"), [2]),
        (beginning("acme", "stra"), [2]),
        (holding("beta", "trap"), []),
    ],
)
def test_queries_find_what_holds_their_words(query: str, found: list[int]) -> None:
    with psycopg.connect(postgres.server().database("lexemes")) as connection:
        hits = [
            place
            for place, text in enumerate(TEXTS)
            if connection.execute(
                "SELECT %s::tsvector @@ %s::tsquery", (document("acme", terms(text)), query)
            ).fetchone()
            == (True,)
        ]
    assert hits == found


@pytest.mark.slow
def test_a_text_of_more_words_than_a_tsvector_takes_is_found_by_the_first_ones() -> None:
    words = [f"w{'x' * 50}{number}" for number in range(30_000)]
    with psycopg.connect(postgres.server().database("lexemes")) as connection:
        stored = document("acme", words)
        for word, is_there in ((words[0], True), (words[-1], False)):
            query = holding("acme", word)
            answer = connection.execute("SELECT %s::tsvector @@ %s::tsquery", (stored, query))
            assert answer.fetchone() == (is_there,)
