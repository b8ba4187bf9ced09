"""The retrieval benchmark asks what can be answered, and its figures are the usual ones."""

from __future__ import annotations

import json
from collections import Counter
from math import log2

import pytest

from benchmarks.retrieval import metrics
from benchmarks.retrieval.corpus import TODAY, Corpus, Kind, load, parsed
from memorybank.schemas.memories import NewMemory

LEAST_MEMORIES = 3_000
LEAST_QUESTIONS = 300
LEAST_OF_A_KIND = 50
LEAST_DOMAINS = 7

RANKED = ["a", "b", "c", "d"]


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return load()


def test_there_are_enough_memories_in_several_domains_and_all_differ(corpus: Corpus) -> None:
    assert len(corpus.notes) >= LEAST_MEMORIES
    assert len({note.key for note in corpus.notes}) == len(corpus.notes)
    assert len({note.content.casefold() for note in corpus.notes}) == len(corpus.notes)
    assert len({note.domain for note in corpus.notes}) >= LEAST_DOMAINS


def test_there_are_enough_questions_of_every_kind_and_all_differ(corpus: Corpus) -> None:
    kinds = Counter(question.kind for question in corpus.questions)
    assert len(corpus.questions) >= LEAST_QUESTIONS
    assert {kind: kinds[kind] >= LEAST_OF_A_KIND for kind in Kind} == dict.fromkeys(Kind, True)
    assert len({question.text for question in corpus.questions}) == len(corpus.questions)


def test_every_answer_is_a_memory_that_holds_when_it_is_asked_for(corpus: Corpus) -> None:
    notes = {note.key: note for note in corpus.notes}
    for question in corpus.questions:
        for key in question.answers:
            begun, ended = notes[key].valid_from, notes[key].valid_to
            assert begun is None or begun <= question.as_of, question
            assert ended is None or question.as_of < ended, question


def test_a_question_has_as_many_answers_as_its_kind_says(corpus: Corpus) -> None:
    for question in corpus.questions:
        match question.kind:
            case Kind.NONE:
                assert not question.answers, question
            case Kind.MULTI:
                assert len(question.answers) > 1, question
            case _:
                assert len(question.answers) == 1, question


def test_no_wording_is_left_with_a_gap(corpus: Corpus) -> None:
    texts = [each.content for each in corpus.notes] + [each.text for each in corpus.questions]
    assert [text for text in texts if "{" in text or "}" in text or " | " in text] == []


def test_every_memory_can_be_stored_and_none_is_of_the_future(corpus: Corpus) -> None:
    for note in corpus.notes:
        NewMemory.model_validate_json(json.dumps(note.request()))
        assert note.occurred_at is None or note.occurred_at <= TODAY, note


def test_it_is_the_same_each_time(corpus: Corpus) -> None:
    again = load()
    assert (again.notes, again.questions) == (corpus.notes, corpus.questions)


def test_the_halves_hold_every_question_once_and_every_kind_evenly(corpus: Corpus) -> None:
    tune, report = corpus.halves()
    assert {*tune, *report} == {*corpus.questions}
    assert len(tune) + len(report) == len(corpus.questions)
    kinds = [Counter(question.kind for question in half) for half in (tune, report)]
    assert all(abs(kinds[0][kind] - kinds[1][kind]) <= 1 for kind in Kind)


def test_memories_are_read_with_their_questions() -> None:
    notes, questions = parsed(
        "# said to people\n== work / shop\n@2026-03-04 call\n=one\nThe first.\n"
        "d Which is first?\n\nThe second.\np and then?\nm one | Which ones?\n"
    )
    assert [(note.key, note.project, note.session) for note in notes] == [
        ("notes/one", "shop", "call"),
        ("notes/1", "shop", None),
    ]
    assert [(each.text, each.kind, set(each.answers)) for each in questions] == [
        ("Which is first?", Kind.DIRECT, {"notes/one"}),
        ("and then?", Kind.PARAPHRASED, {"notes/1"}),
        ("Which ones?", Kind.MULTI, {"notes/one"}),
    ]


@pytest.mark.parametrize(
    ("wanted", "depth", "some", "every", "part"),
    [
        ({"a"}, 1, 1, 1, 1),
        ({"b"}, 1, 0, 0, 0),
        ({"a", "c"}, 1, 1, 0, 0.5),
        ({"a", "c"}, 3, 1, 1, 1),
        ({"b", "c", "x"}, 4, 1, 0, 2 / 3),
        ({"x"}, 4, 0, 0, 0),
    ],
)
def test_recall_is_counted_in_three_ways(
    wanted: set[str], depth: int, some: float, every: float, part: float
) -> None:
    assert metrics.recall_any(RANKED, wanted, depth) == some
    assert metrics.recall_all(RANKED, wanted, depth) == every
    assert metrics.recall_fraction(RANKED, wanted, depth) == pytest.approx(part)


def test_gain_is_discounted_by_place_and_compared_with_the_best_order() -> None:
    assert metrics.ndcg(RANKED, {"a"}, 10) == 1
    assert metrics.ndcg(RANKED, {"b"}, 10) == pytest.approx(1 / log2(3))
    assert metrics.ndcg(RANKED, {"a", "c"}, 10) == pytest.approx((1 + 0.5) / (1 + 1 / log2(3)))
    assert metrics.ndcg(RANKED, {"c"}, 2) == 0


def test_the_reciprocal_rank_is_that_of_the_first_answer() -> None:
    assert metrics.reciprocal_rank(RANKED, {"b", "d"}) == 0.5
    assert metrics.reciprocal_rank(RANKED, {"x"}) == 0


def test_separation_is_the_chance_that_the_answerable_question_scores_higher() -> None:
    assert metrics.separation([0.9, 0.8], [0.1]) == 1
    assert metrics.separation([0.9, 0.1], [0.5, 0.5]) == 0.5
    assert metrics.separation([0.5], [0.5]) == 0.5


def test_the_threshold_keeps_most_and_refuses_most() -> None:
    answered, unanswerable = [0.9, 0.8, 0.3], [0.1, 0.4]
    assert metrics.best_threshold(answered, unanswerable) == 0.8
    assert metrics.balanced_accuracy(answered, unanswerable, 0.8) == pytest.approx((2 / 3 + 1) / 2)
