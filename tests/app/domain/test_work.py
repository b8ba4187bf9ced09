"""The rules of what agents work with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank.domain.memory import Memory, MemoryType
from memorybank.domain.work.governed import GOVERNED, by_hand
from memorybank.domain.work.sessions import SessionMove, SessionStatus, moved, status_of
from memorybank.errors import Conflict, InvalidRequest
from memorybank.schemas.details import DETAILS, checked_details
from tests.support.details_strategies import details_of
from tests.support.memory_samples import NOON, a_memory, later

MOVES = st.lists(st.tuples(st.sampled_from(SessionMove), st.none() | st.just("done")), max_size=8)


def checked(session: Memory, changes: dict[str, Any]) -> Memory:
    new = replace(session, **changes)
    return replace(new, details=checked_details(new.type, new.details))


@given(moves=MOVES, details=details_of(MemoryType.SESSION))
def test_whatever_is_done_a_session_that_is_over_stays_over(
    moves: list[tuple[SessionMove, str | None]], details: dict[str, Any]
) -> None:
    session = checked(a_memory(type=MemoryType.SESSION), {"details": details})
    for step, (move, outcome) in enumerate(moves):
        before = session
        try:
            changes = moved(session, move, now=later(step), outcome=outcome)
        except Conflict:
            continue
        session = checked(session, changes)
        if status_of(before).is_over:
            assert session == before
        elif changes:
            assert ("ended_at" in session.details) >= status_of(session).is_over
        # The same once more is answered, and changes nothing.
        assert moved(session, move, now=NOON, outcome=outcome) == {}


@pytest.mark.parametrize("kind", GOVERNED)
def test_what_is_governed_are_fields_that_the_type_has(kind: MemoryType) -> None:
    rules = GOVERNED[kind]
    assert rules.details <= DETAILS[kind].model_fields.keys()
    assert rules.fields <= set(Memory.__dataclass_fields__)
    assert rules.cure


@given(
    kind=st.sampled_from(MemoryType),
    data=st.data(),
)
def test_no_change_by_hand_touches_what_is_governed(kind: MemoryType, data: st.DataObject) -> None:
    details = st.sampled_from(MemoryType).flatmap(details_of) | details_of(kind)
    old = a_memory(type=kind, details=data.draw(details_of(kind)), project="p")
    changes = data.draw(
        st.fixed_dictionaries(
            {},
            optional={
                "details": details,
                "type": st.sampled_from([kind, MemoryType.NOTE, MemoryType.SESSION]),
                "project": st.sampled_from(["p", "q", None]),
                "content": st.just("x"),
            },
        )
    )
    try:
        new = replace(old, **by_hand(old, changes))
    except InvalidRequest:
        assert kind in GOVERNED or changes["type"] in GOVERNED
        return
    for one, other in ((old, new), (new, old)):
        rules = GOVERNED.get(one.type)
        if rules is not None:
            assert one.type is other.type
            for name in rules.details:
                assert one.details.get(name) == other.details.get(name)
            for name in rules.fields:
                assert getattr(one, name) == getattr(other, name)


def test_who_sends_back_what_was_read_changes_nothing() -> None:
    details = {"status": "paused", "outcome": "half"}
    old = a_memory(type=MemoryType.SESSION, details=details)
    assert by_hand(old, {"details": dict(details)}) == {"details": details}
    assert by_hand(old, {"details": {}}) == {"details": {"status": "paused"}}


def test_a_session_that_says_nothing_of_it_is_active() -> None:
    assert status_of(a_memory(type=MemoryType.SESSION)) is SessionStatus.ACTIVE
