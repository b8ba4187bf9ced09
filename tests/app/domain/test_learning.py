"""What episodes teach: counted in any order, taken back without a trace, and no coincidence."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank.domain.learning.experience import EVERYTHING, Experience, Judged, Scope
from memorybank.domain.learning.mining import Lesson, Pattern, PatternKind, lesson
from memorybank.domain.learning.wilson import lower_bound
from memorybank.domain.memory import Memory, MemoryState, MemoryType
from memorybank.domain.work.episodes import Step, StepResult
from tests.support.memory_samples import NOON, a_memory


def step(word: str) -> Step:
    """`test!E` is an error E of the tool test."""
    tool, _, error = word.partition("!")
    result = StepResult.ERROR if error else StepResult.OK
    return Step(tool, NOON, result=result, error=error or None)


def ended(outcome: str = "success", **details: Any) -> Memory:
    project = details.pop("project", None)
    details = {"status": "completed", "outcome": outcome, "task_type": "debugging"} | details
    return a_memory(type=MemoryType.EPISODE, project=project, details=details)


def learned(words: str, outcome: str = "success", **details: Any) -> Lesson:
    found = lesson(ended(outcome, **details), [step(word) for word in words.split()])
    assert found is not None
    return found


def patterns(words: str, kind: PatternKind, **details: Any) -> set[tuple[Any, Any, float]]:
    seen = learned(words, **details).seen
    return {
        (" ".join(each.condition), " ".join(each.action), well)
        for each, (_, well) in seen.items()
        if each.kind is kind
    }


def best(experience: Experience, kind: PatternKind, scope: Scope = EVERYTHING) -> list[str]:
    judged = experience.ranked(scope, kind=kind, limit=5, only_proven=True)
    return [" ".join(each.pattern.action) for each in judged]


# One episode


def test_a_sequence_is_tools_in_a_row_and_a_repeated_tool_counts_once() -> None:
    found = {action for _, action, _ in patterns("read edit edit test", PatternKind.SEQUENCE)}
    assert found == {"read edit", "edit test", "read edit test"}


def test_a_choice_is_what_was_done_after_a_tool_and_how_it_had_gone() -> None:
    found = patterns("test!E edit test done", PatternKind.DECISION, outcome="failure")
    assert found == {("test E", "edit", 0), ("edit ok", "test", 0), ("test ok", "done", 0)}


@pytest.mark.parametrize(
    ("words", "cures"),
    [
        ("test!E install test", {("E", "install test", 1.0)}),
        ("test!E test", {("E", "test", 1.0)}),
        ("test!E install test!E", {("E", "install test", 0.0)}),
        ("test!E a test!E a test", {("E", "a test", 1.0)}),
        ("test!E a test a test!F a test", {("E", "a test", 1.0), ("F", "a test", 1.0)}),
        ("test!E a b c d e f test", set()),
        ("test!E", set()),
        ("test a test", set()),
    ],
)
def test_a_cure_leads_from_an_error_to_the_same_tool_again(words: str, cures: Any) -> None:
    assert patterns(words, PatternKind.CURE, outcome="failure") == cures


def test_a_tool_is_held_against_the_language_it_was_used_in() -> None:
    found = patterns("a b", PatternKind.CONTEXT, language="go", outcome="partial_success")
    assert found == {("language go", "a", 0.5), ("language go", "b", 0.5)}


def test_only_what_ended_teaches() -> None:
    assert lesson(ended(status="open"), [step("a")]) is None
    assert lesson(ended(status="abandoned"), [step("a")]) is None
    episode = a_memory(type=MemoryType.EPISODE, details=ended().details, state=MemoryState.TRASH)
    assert lesson(episode, [step("a")]) is None


# Many


@pytest.mark.parametrize(
    ("well", "count", "lower"), [(3, 3, 0.438), (30, 30, 0.886), (5, 10, 0.237), (0, 10, 0.0)]
)
def test_few_observations_are_not_taken_for_many(well: float, count: float, lower: float) -> None:
    assert lower_bound(well, count) == pytest.approx(lower, abs=0.001)


def test_what_occurs_everywhere_and_in_easy_work_only_is_not_proven() -> None:
    experience = Experience()
    for number in range(20):
        fine = "success" if number % 2 else "failure"
        experience.learn(learned(f"log x{number} log", "success", task_type="easy"))
        words = "log read edit test" if number % 2 else "log edit read test"
        experience.learn(learned(words, fine, task_type="hard"))
    assert best(experience, PatternKind.SEQUENCE)[0] == "read edit test"
    assert best(experience, PatternKind.SEQUENCE, Scope(task_type="easy")) == []


def test_feedback_moves_a_pattern_up_and_down() -> None:
    experience = Experience()
    for number in range(20):
        outcome = "success" if number % 2 else "failure"
        experience.learn(learned("a b" if number % 2 else "b a", outcome))
    [first] = experience.ranked(kind=PatternKind.SEQUENCE, limit=1)
    assert (first.pattern.action, first.is_proven) == (("a", "b"), True)
    pattern = first.pattern.id

    def told(effect: str, times: int) -> Judged:
        for _ in range(times):
            feedback = [{"pattern": pattern, "effect": effect}]
            experience.learn(learned("c", feedback=feedback, task_type="other"))
        found = experience.find(pattern)
        assert found is not None
        return found

    helped = told("helped", 2)
    assert helped.gain > first.gain
    neither = told("no_effect", 3)
    assert first.gain < neither.gain < helped.gain or neither.gain < helped.gain
    hindered = told("hindered", 6)
    assert not hindered.is_proven
    assert (hindered.helped, hindered.no_effect, hindered.hindered) == (2, 3, 6)


def test_a_pattern_says_which_episodes_speak_for_and_against_it() -> None:
    experience = Experience()
    lessons = [learned("a b", each) for each in ("success", "success", "failure")]
    for each in lessons:
        experience.learn(each)
    pattern = Pattern(PatternKind.SEQUENCE, (), ("a", "b"))
    names = [each.episode for each in lessons]
    assert experience.why(pattern, limit=9) == (sorted(names[:2], reverse=True), names[2:])
    experience.forget(names[0])
    assert experience.why(pattern, limit=9) == (names[1:2], names[2:])


WORDS = st.lists(st.sampled_from(["a", "b", "c", "a!E", "b!F"]), max_size=8).map(" ".join)
LESSONS = st.lists(
    st.builds(
        lambda words, outcome, kind, project, language: learned(
            words, outcome, task_type=kind, project=project, language=language
        ),
        WORDS,
        st.sampled_from(["success", "partial_success", "failure"]),
        st.sampled_from(["debugging", "testing"]),
        st.sampled_from([None, "shop"]),
        st.sampled_from(["go", "rust"]),
    ),
    max_size=25,
)


def everything(experience: Experience) -> list[Any]:
    scopes = [EVERYTHING, Scope("shop"), Scope(None, "testing"), Scope("shop", "debugging")]
    return [
        (each, experience.why(each.pattern, limit=50))
        for scope in scopes
        for each in experience.ranked(scope, limit=1_000, min_support=1)
    ]


def of(lessons: list[Lesson]) -> Experience:
    experience = Experience()
    for each in lessons:
        experience.learn(each)
    return experience


@given(LESSONS, st.randoms(use_true_random=False))
def test_the_same_episodes_in_any_order_teach_the_same(
    lessons: list[Lesson], chance: random.Random
) -> None:
    expected = everything(of(lessons))
    chance.shuffle(lessons)
    assert everything(of(lessons)) == expected


@given(LESSONS, LESSONS, st.randoms(use_true_random=False))
def test_what_is_taken_back_leaves_no_trace(
    kept: list[Lesson], gone: list[Lesson], chance: random.Random
) -> None:
    experience = of(kept)
    both = [*kept, *gone]
    chance.shuffle(both)
    for each in both:  # also learned twice: the second time takes the place of the first
        experience.learn(each)
        everything(experience)
    for each in gone:
        experience.forget(each.episode)
    assert everything(experience) == everything(of(kept))
    assert len(experience) == len(kept)
