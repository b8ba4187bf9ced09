"""The index of one tenant: exact filters, exact updates, sensible order."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank.domain.feed import MemoryColumns
from memorybank.domain.memory import Memory, MemoryFilter, MemoryType
from memorybank.domain.search import Hit, Refinement, Suggestion
from memorybank.ports import Vector
from memorybank.search import postings, tenant
from memorybank.search.tenant import TenantIndex
from tests.support.memory_samples import a_memory, a_vector, later, means
from tests.support.memory_strategies import FINDABLE, filters, memories

ALL = MemoryFilter()
DIMENSIONS = 4

VOCABULARY = ["apple", "pear", "plum", "cherry", "猫", "quince"]
WORDS = st.lists(st.sampled_from(VOCABULARY), max_size=6).map(" ".join)
MEMORIES = memories(content=WORDS, metadata=st.just({}), states=FINDABLE)
VECTORS = st.none() | st.integers(0, 3).map(lambda hot: a_vector(*[0] * hot, 1))
Entries = list[tuple[Memory, Vector | None]]
ENTRIES = st.lists(st.tuples(MEMORIES, VECTORS), max_size=12)


def index_of(*entries: tuple[Memory, Vector | None]) -> TenantIndex:
    """All at once, as at a start."""
    index = TenantIndex(DIMENSIONS)
    if entries:
        index.put(MemoryColumns.of(entries))
    return index


def found(
    index: TenantIndex,
    query: str,
    vector: Vector | None = None,
    where: MemoryFilter = ALL,
    limit: int = 100,
) -> list[str]:
    return [hit.memory_id for hit in index.search(query, vector, where=where, limit=limit)]


def scores_of(hits: list[Hit]) -> dict[str, float]:
    return {hit.memory_id: hit.score for hit in hits}


@given(ENTRIES, WORDS, filters())
def test_with_a_vector_exactly_the_memories_that_the_filter_means_are_found(
    entries: Entries, query: str, where: MemoryFilter
) -> None:
    wanted = {memory.id for memory, _ in entries if means(where, memory)}
    assert set(found(index_of(*entries), query, a_vector(), where)) == wanted


@given(ENTRIES, st.data())
def test_what_was_taken_out_is_not_there_until_it_is_back(
    entries: Entries, data: st.DataObject
) -> None:
    index = index_of(*entries)
    where = MemoryFilter(states=frozenset())
    before = found(index, "apple", a_vector(), where)
    trashed = data.draw(st.lists(st.sampled_from(entries), unique_by=id)) if entries else []
    for memory, _ in trashed:
        index.remove(memory.id)
    gone = {memory.id for memory, _ in trashed}
    assert set(found(index, "apple", a_vector(), where)) == set(before) - gone
    for memory, vector in trashed:
        index.put(MemoryColumns.of([(memory, vector)]))
    assert found(index, "apple", a_vector(), where) == before


@given(ENTRIES, WORDS, filters(), st.integers(1, 5))
def test_a_smaller_limit_cuts_the_same_answer_shorter(
    entries: Entries, query: str, where: MemoryFilter, limit: int
) -> None:
    index = index_of(*entries)
    everything = found(index, query, a_vector(), where)
    assert found(index, query, a_vector(), where, limit) == everything[:limit]


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["add", "add", "replace", "delete"]),
        st.integers(0, 9),
        MEMORIES,
        st.sampled_from([None, "s", "s", "t"]),
        VECTORS,
    ),
    min_size=4,
    max_size=16,
)
PROBES = [
    (query, vector, where)
    for query in [*VOCABULARY, "apple pear 猫"]
    for vector in (None, a_vector(1, 2))
    for where in (ALL, MemoryFilter(session="s"), MemoryFilter(session="t"))
]


@given(CHANGES, st.sampled_from([2, 4, 1_000]))
def test_after_any_changes_the_index_equals_one_built_from_the_final_state(
    changes: list[tuple[str, int, Memory, str | None, Vector | None]], sweep_at: int
) -> None:
    final: dict[str, tuple[Memory, Vector | None]] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tenant, "_SWEEP_LEAST", sweep_at)
        patch.setattr(postings, "_TAIL_LEAST", sweep_at)
        index = TenantIndex(DIMENSIONS)
        for what, which, drawn, session, vector in changes:
            memory = replace(drawn, session=session)
            known = list(final)[which % len(final)] if final else None
            index.search("apple", None, where=ALL, limit=1)  # fills what is kept between changes
            if what == "delete" and known:
                index.remove(known)
                del final[known]
                continue
            if what == "replace" and known:
                memory = replace(memory, id=known)
            index.put(MemoryColumns.of([(memory, vector)]))
            final[memory.id] = (memory, vector)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tenant, "_MANY", 1)
        fresh = index_of(*final.values())
    assert all(fresh.agrees(*entry) and index.agrees(*entry) for entry in final.values())
    assert len(index) == len(final)
    for query, vector, where in PROBES:
        expected = scores_of(fresh.search(query, vector, where=where, limit=100))
        found = scores_of(index.search(query, vector, where=where, limit=100))
        assert found == pytest.approx(expected, abs=1e-5), (query, vector, where)


def test_turns_become_neighbours_when_the_one_between_is_gone() -> None:
    turns = [a_memory(text, session="s", created_at=later(n)) for n, text in enumerate("abcd")]
    index = index_of(*((turn, None) for turn in turns))
    index.remove(turns[1].id)
    left = [turns[0].id, turns[2].id, turns[3].id]
    assert found(index, "a") == left
    assert found(index, "d") == left[::-1]


def test_without_a_vector_only_memories_that_share_a_word_are_found() -> None:
    hit, miss = a_memory("the apple tree"), a_memory("a pear")
    index = index_of((hit, a_vector()), (miss, a_vector()))
    assert found(index, "apple") == [hit.id]
    assert found(index, "quince") == []
    assert found(index, "???") == []


def test_words_are_found_in_title_content_and_tags() -> None:
    title = a_memory("x", title="Kubernetes upgrade")
    content = a_memory("upgrade of kubernetes")
    tag = a_memory("y", tags=("kubernetes",))
    other = a_memory("z")
    index = index_of((title, None), (content, None), (tag, None), (other, None))
    assert set(found(index, "KUBERNETES")) == {title.id, content.id, tag.id}


def test_the_text_itself_finds_its_memory_first() -> None:
    texts = ["alpha beta gamma", "alpha beta delta", "alpha", "beta gamma delta epsilon", "gamma"]
    notes = [a_memory(text) for text in texts]
    index = index_of(*((note, None) for note in notes))
    for note in notes:
        assert found(index, note.content)[0] == note.id


@pytest.mark.parametrize("similar", [a_vector(1), a_vector(0.1, 1), a_vector(-1)])
def test_a_single_memory_always_has_a_score(similar: Vector) -> None:
    only = a_memory("something else entirely")
    ((memory_id, score, _),) = index_of((only, similar)).search(
        "unrelated", a_vector(1), where=ALL, limit=5
    )
    assert memory_id == only.id
    assert 0 < score < 1


def test_meaning_decides_where_no_word_is_shared() -> None:
    near, far = a_memory("near"), a_memory("far")
    index = index_of((far, a_vector(0, 1)), (near, a_vector(1, 0.2)))
    assert found(index, "unrelated", a_vector(1)) == [near.id, far.id]


def test_a_shared_filler_word_does_not_outweigh_the_meaning() -> None:
    near = a_memory("Authentication fails when the token has expired")
    filler = a_memory("My recipe for the best cake")
    index = index_of((filler, a_vector(0, 1)), (near, a_vector(0.7, 0.7)))
    query = "how do I get past my login problem"
    assert found(index, query, a_vector(1)) == [near.id, filler.id]


def test_all_forms_of_a_word_are_found_and_count_as_one() -> None:
    one, many, both = a_memory("one alert"), a_memory("two alerts"), a_memory("alerts on an alert")
    index = index_of(*((m, None) for m in (one, many, both, a_memory("alerted nobody"))))
    assert found(index, "alert") == found(index, "ALERTS") == found(index, "alerting")
    assert found(index, "alert")[0] == both.id
    assert len(found(index, "alert")) == 4
    index.remove(both.id)
    assert set(found(index, "alerts")) >= {one.id, many.id}


def test_what_is_near_to_everything_does_not_come_before_what_is_meant() -> None:
    # The hub lies between all others, so it is nearer to a vague query than what is meant.
    others = [(a_memory(f"n{n}"), a_vector(1, *(0.4 * (n == k) for k in range(3)))) for n in (0, 1)]
    hub, meant = a_memory("hub"), a_memory("meant")
    index = index_of(*others, (hub, a_vector(1)), (meant, a_vector(0.6, 0, 0, 0.8)))
    query = a_vector(0.9, 0, 0, 0.4)
    alone = index.search("", query, where=ALL, limit=9, refine=Refinement(words=False))
    assert alone[0].memory_id == hub.id
    assert found(index, "x", query)[0] == meant.id


def test_a_score_means_the_same_whatever_else_is_asked() -> None:
    memories = [(a_memory(f"apple {n}"), a_vector(1, n)) for n in range(5)]
    index = index_of(*memories)
    near = index.search("quince", a_vector(1), where=ALL, limit=1)
    far = index.search("quince", a_vector(-1, 0.5), where=ALL, limit=1)
    assert near[0].score > 3 * far[0].score


def test_a_turn_is_found_by_the_words_of_the_turn_before() -> None:
    question = a_memory("Which database port is right?", session="s", created_at=later(1))
    answer = a_memory("It is 5433.", session="s", created_at=later(2))
    elsewhere = a_memory("It is 5433.", session="t", created_at=later(2))
    index = index_of((answer, None), (question, None), (elsewhere, None))
    assert found(index, "database port") == [question.id, answer.id]


def test_a_turn_is_found_by_the_meaning_of_the_turn_before() -> None:
    question = a_memory("When do we meet?", session="s", created_at=later(1))
    answer = a_memory("Sunday.", session="s", created_at=later(2))
    elsewhere = a_memory("Sunday.", session="t", created_at=later(2))
    alone = a_memory("Sunday.", created_at=later(2))
    index = index_of(
        (question, a_vector(1)), (elsewhere, a_vector(0, 1)), (alone, a_vector(0, 1)),
        (answer, a_vector(0, 1)),
    )  # fmt: skip
    hits = {hit.memory_id: hit for hit in index.search("x", a_vector(1, 0.1), where=ALL, limit=9)}
    assert list(hits)[:2] == [question.id, answer.id]
    assert hits[elsewhere.id].score == hits[alone.id].score
    plain = index.search("", a_vector(1), where=ALL, limit=9, refine=Refinement(words=False))
    parts = {hit.memory_id: hit.parts.vector for hit in plain}
    assert parts[answer.id] == parts[alone.id]  # meaning alone is the cosine alone


def test_neighbours_are_those_in_time_not_in_order_of_arrival() -> None:
    first = a_memory("apple", session="s", created_at=later(1))
    far = a_memory("x", session="s", created_at=later(9))
    near = a_memory("y", session="s", created_at=later(2))
    filling = [a_memory("z", session="s", created_at=later(3 + n)) for n in range(4)]
    index = index_of((first, None), (far, None), *((m, None) for m in filling), (near, None))
    scores = scores_of(index.search("apple", None, where=ALL, limit=10))
    assert scores[near.id] > scores[far.id]


def test_a_filter_leaves_neighbours_out_but_not_what_they_say() -> None:
    question = a_memory("Which port?", session="s", type=MemoryType.NOTE, created_at=later(1))
    answer = a_memory("5433", session="s", type=MemoryType.FACT, created_at=later(2))
    index = index_of((question, None), (answer, None))
    facts = MemoryFilter(types=frozenset({MemoryType.FACT}))
    assert found(index, "port", where=facts) == [answer.id]


def test_equal_memories_come_newest_first() -> None:
    old = a_memory("same", created_at=later(0), occurred_at=later(0))
    new = a_memory("same", created_at=later(1), occurred_at=later(0))
    assert found(index_of((new, None), (old, None)), "same") == [new.id, old.id]


def test_the_index_grows_and_sweeps_over_many_rows() -> None:
    index = TenantIndex(DIMENSIONS)
    notes = [a_memory(f"note {number}", session=f"s{number % 7}") for number in range(1_000)]
    for note in notes:
        index.put(MemoryColumns.of([(note, a_vector())]))
    for note in notes[:900]:
        index.remove(note.id)
    assert len(index) == 100
    assert set(found(index, "note", limit=1_000)) == {note.id for note in notes[900:]}
    assert found(index, "950")[0] == notes[950].id


def test_tags_any_and_metadata_choose_exactly() -> None:
    red = a_memory("apple", tags=("red",), metadata={"ticket": 7, "open": True})
    blue = a_memory("apple", tags=("blue",), metadata={"ticket": "7", "nested": {"ticket": 7}})
    plain = a_memory("apple")
    index = index_of((red, None), (blue, None), (plain, None))

    def asked(refine: Refinement) -> set[str]:
        return {
            hit.memory_id for hit in index.search("apple", None, where=ALL, limit=9, refine=refine)
        }

    assert asked(Refinement(tags_any=frozenset({"red", "blue"}))) == {red.id, blue.id}
    assert asked(Refinement(metadata={"ticket": 7})) == {red.id}
    assert asked(Refinement(metadata={"ticket": "7"})) == {blue.id}
    assert asked(Refinement(metadata={"ticket": 7, "open": False})) == set()


def test_meaning_alone_leaves_the_words_out() -> None:
    near, worded = a_memory("plum"), a_memory("apple apple")
    index = index_of((near, a_vector(1)), (worded, a_vector(0.5, 1)))
    hits = index.search("apple", a_vector(1), where=ALL, limit=2, refine=Refinement(words=False))
    assert [hit.memory_id for hit in hits] == [near.id, worded.id]
    assert [hit.parts.lexical for hit in hits] == [0, 0]


def test_low_scores_are_left_out_and_parts_explain_the_others() -> None:
    index = index_of((a_memory("apple pear"), a_vector(1)), (a_memory("plum"), a_vector(0, 1)))
    hits = index.search("apple", a_vector(1), where=ALL, limit=9)
    assert len(hits) == 2
    best = hits[0]
    assert best.parts.vector is not None
    words = [max(0, share - 0.2) / 0.8 for share in (best.parts.lexical, best.parts.session)]
    mean = (best.parts.vector + 0.5 * (words[0] + 0.3 * words[1])) / 1.65
    assert best.score == pytest.approx(mean * best.parts.prior, abs=1e-4)
    refine = Refinement(min_score=hits[1].score + 1e-6)
    assert index.search("apple", a_vector(1), where=ALL, limit=9, refine=refine) == [best]


def test_diversity_puts_something_else_before_more_of_the_same() -> None:
    first, twin, other = a_memory("apple pear"), a_memory("apple pear"), a_memory("apple plum")
    index = index_of((first, a_vector(1)), (twin, a_vector(1)), (other, a_vector(0.3, 0.95)))
    plain = [hit.memory_id for hit in index.search("apple pear", a_vector(1), where=ALL, limit=2)]
    assert set(plain) == {first.id, twin.id}
    refine = Refinement(diversity=0.7)
    spread = index.search("apple pear", a_vector(1), where=ALL, limit=2, refine=refine)
    assert other.id in [hit.memory_id for hit in spread]


@given(ENTRIES, filters())
def test_facets_count_what_the_filter_means(entries: Entries, where: MemoryFilter) -> None:
    meant = [memory for memory, _ in entries if means(where, memory)]
    facets = index_of(*entries).facets(where)
    assert facets.total == len(meant)
    assert dict(facets.types) == Counter(memory.type.value for memory in meant)
    assert dict(facets.tags) == Counter(tag for memory in meant for tag in memory.tags)
    assert dict(facets.projects) == Counter(m.project for m in meant if m.project is not None)
    assert dict(facets.sessions) == Counter(m.session for m in meant if m.session is not None)
    assert sum(count for _, count in facets.months) == len(meant)
    assert sum(count for _, count in facets.lengths) == len(meant)


def test_suggestions_go_on_with_what_was_typed() -> None:
    index = index_of(
        (a_memory("the database is rebuilt", title="Database rebuild", tags=("data",)), None),
        (a_memory("the database is backed up at night"), None),
        (a_memory("a date with the dentist"), None),
    )
    assert index.suggest("dat", ALL, 10) == [
        Suggestion("Database rebuild", "title", 1),
        Suggestion("data", "tag", 1),
        Suggestion("database", "word", 2),
        Suggestion("data", "word", 1),
        Suggestion("date", "word", 1),
    ]
    assert index.suggest("dentist d", ALL, 10) == [
        Suggestion("dentist date", "word", 1),
        Suggestion("dentist dentist", "word", 1),
    ]
    assert index.suggest("zzz", ALL, 10) == index.suggest("...", ALL, 10) == []
