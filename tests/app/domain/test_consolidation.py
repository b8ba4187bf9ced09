"""The rules of consolidation, on any memories."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank.domain import cron
from memorybank.domain.consolidation.handoffs import (
    MAX_CONTENT,
    MAX_TEXT,
    TEXTS,
    compressed,
    old_ones,
)
from memorybank.domain.consolidation.likeness import Candidates, covers, merged, repeats
from memorybank.domain.consolidation.rules import MAX_TAGS, Fold, Rules
from memorybank.domain.duplicates import words
from memorybank.domain.memory import Memory, MemoryType, Origin
from memorybank.schemas import fields
from memorybank.schemas.details import checked_details
from tests.support.memory_samples import NOON, a_memory

_SAID = "gate clock Lund Malmo not 5 6 the shop, never is off on"
_WORDS = st.sampled_from(_SAID.split())
_SENTENCES = st.lists(_WORDS, min_size=1, max_size=12).map(lambda said: " ".join(said) + ".")
_TEXT = st.lists(_SENTENCES, min_size=1, max_size=4).map(" ".join)


@st.composite
def memories(draw: st.DrawFn, kind: MemoryType = MemoryType.NOTE) -> Memory:
    origin = draw(st.sampled_from(Origin))
    details: dict[str, Any] = {}
    if kind is MemoryType.HANDOFF:
        for name in draw(st.sets(st.sampled_from(TEXTS), max_size=3)):
            details[name] = draw(_TEXT)
        if draw(st.booleans()):
            details["significance"] = draw(st.floats(0, 1))
        if draw(st.booleans()):
            details["sensitivity"] = draw(st.sampled_from(["low", "secret"]))
    then = NOON - timedelta(hours=draw(st.integers(0, 10_000)))
    return a_memory(
        draw(_TEXT),
        type=kind,
        details=details,
        tags=tuple(draw(st.lists(st.sampled_from("abcdef"), unique=True, max_size=3))),
        importance=draw(st.floats(0, 1)),
        origin=origin,
        trust=draw(st.floats(0, origin.trust)),
        created_at=then,
        updated_at=then,
    )


def trusts_no_more(fold: Fold) -> None:
    sources = [*fold.archived, *([] if fold.kept is None else [fold.kept])]
    result = fold.says or fold.kept
    assert result is not None
    assert result.trust == min(each.trust for each in sources)
    assert result.trust <= result.origin.trust
    assert result.origin in {each.origin for each in sources}


@given(st.lists(memories(MemoryType.HANDOFF), min_size=2, max_size=8))
def test_compressing_never_raises_trust_and_makes_a_sound_memory(handoffs: list[Memory]) -> None:
    fold = compressed(handoffs)
    trusts_no_more(fold)
    says = fold.says
    assert says is not None
    assert says.id == handoffs[-1].id
    assert 0 < len(says.content) <= MAX_CONTENT
    assert checked_details(says.type, says.details) == says.details
    assert all(len(says.details.get(name, "")) <= MAX_TEXT for name in TEXTS)
    weights = [each.details["significance"] for each in handoffs if "significance" in each.details]
    assert says.details.get("significance") == (max(weights) if weights else None)
    if any(each.details.get("sensitivity") == "secret" for each in handoffs):
        assert says.details["sensitivity"] == "secret"
    assert compressed(handoffs) == fold


@given(st.lists(memories(), min_size=2, max_size=8))
def test_merging_never_raises_trust(notes: list[Memory]) -> None:
    trusts_no_more(merged(notes[0], notes[1:]))


@given(st.lists(memories(), min_size=2, max_size=12))
def test_candidates_are_all_that_repeat_another_one(notes: list[Memory]) -> None:
    """Whoever stands in no cluster repeats none of the others that stay."""
    found = Candidates(0.8)
    for note in notes:
        found.add(note)
    clusters = [cluster for cluster in found.clusters() if cluster is not None]
    taken = {other for _, others in clusters for other in others}
    by_id = {note.id: note for note in notes}
    for kept, others in clusters:
        assert kept not in taken
        for each in others:
            assert covers(words(by_id[kept].content), words(by_id[each].content), 0.8)
    stay = [note for note in notes if note.id not in taken]
    for one in stay:
        for other in stay:
            assert not (repeats(one, other, 0.8) and words(one.content) != words(other.content))


@given(memories(), memories())
def test_nothing_repeats_what_has_other_numbers_or_denials(one: Memory, other: Memory) -> None:
    if repeats(one, other, 0.5):
        for word in ("not", "never", "5", "6", "off", "on"):
            assert words(one.content).count(word) == words(other.content).count(word)
        assert set(words(one.content)) <= set(words(other.content))


@given(st.lists(memories(MemoryType.HANDOFF), max_size=8))
def test_the_newest_handoff_is_never_old(handoffs: list[Memory]) -> None:
    old = old_ones(handoffs, Rules(), NOON + timedelta(days=1_000))
    assert len(old) == max(0, len(handoffs) - 1)
    if handoffs:
        newest = max(handoffs, key=lambda each: (each.created_at, each.id))
        assert newest not in old


def test_limits_are_those_of_memories() -> None:
    assert MAX_TAGS == fields.MAX_TAGS
    assert MAX_CONTENT <= fields.MAX_CONTENT
    assert MAX_TEXT <= fields.MAX_DETAIL


@pytest.mark.parametrize(
    "text", ["", "* * * *", "61 * * * *", "0 0 30 2 *", "0 0 * * * *", "@daily"]
)
def test_what_is_no_schedule_is_refused_with_the_cure(text: str) -> None:
    with pytest.raises(ValueError, match="five fields of cron"):
        cron.check_schedule(text)


def test_a_schedule_has_a_last_and_a_next_moment() -> None:
    night = NOON.replace(hour=3, minute=30)
    assert cron.last_due("30 3 * * *", NOON) == night
    assert cron.last_due("30 3 * * *", night) == night
    assert cron.next_due("30 3 * * *", night) == night + timedelta(days=1)
