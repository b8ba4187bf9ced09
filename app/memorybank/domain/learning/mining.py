"""What one episode has to say: what was done in it that could matter, and what to hold it against.

A pattern is judged by those it can be compared with (its group): a sequence of tools by all
episodes of the same kind of work in the same project, a choice by all that stood before it, a cure
by all attempts at the same error. What occurs in every episode of easy work is then no better than
its group, however often it went well.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from memorybank.domain.memory import Memory, MemoryState
from memorybank.domain.work.episodes import EpisodeOutcome, EpisodeStatus, Step, StepResult

LONGEST = 4
"""Tools in a sequence at most; shorter ones have two."""
_SOON = 5
"""Steps after an error within which the same tool is tried again, if that is to be a cure."""
_MOST_STEPS = 1_000
"""Of an episode, the newest. More are loops, which teach nothing new."""
_FEATURES = ("domain", "language", "framework")
_WORTH = {
    EpisodeOutcome.SUCCESS: 1.0,
    EpisodeOutcome.PARTIAL_SUCCESS: 0.5,
    EpisodeOutcome.FAILURE: 0.0,
}


class PatternKind(StrEnum):
    """What kind of thing is repeated."""

    SEQUENCE = "sequence"
    """Tools in a row; a tool that is used again and again counts once."""
    DECISION = "decision"
    """What was done next where several things were."""
    CURE = "cure"
    """What was done after an error, up to the next try of what had failed."""
    CONTEXT = "context"
    """A tool in work of a domain, language or framework."""


class Effect(StrEnum):
    """What a recommended pattern was good for."""

    HELPED = "helped"
    NO_EFFECT = "no_effect"
    HINDERED = "hindered"


@dataclass(frozen=True, slots=True)
class Pattern:
    """Something that episodes have in common."""

    kind: PatternKind
    condition: tuple[str, ...]
    """When: nothing for a sequence; tool and result; error; feature and its value."""
    action: tuple[str, ...]
    """What is done: tools in their order."""

    @property
    def id(self) -> str:
        """Name it: the same for the same pattern, in whatever bank."""
        said = json.dumps([self.kind, self.condition, self.action])
        return f"{self.kind}-{hashlib.sha256(said.encode(errors='surrogatepass')).hexdigest()[:16]}"


@dataclass(frozen=True, slots=True)
class Group:
    """What a pattern is held against."""

    kind: PatternKind
    condition: tuple[str, ...]
    project: str | None
    task_type: str | None


@dataclass(frozen=True, slots=True)
class Lesson:
    """What one episode says."""

    episode: str
    seen: Mapping[Pattern, tuple[Group, float]]
    """How it went with each pattern, 0 to 1."""
    groups: Mapping[Group, tuple[int, float]]
    """How often something was seen that such patterns are compared with, and how well it went."""
    feedback: Mapping[str, Effect]
    """By id of a pattern."""
    tools: frozenset[str]


def lesson(episode: Memory, steps: Sequence[Step]) -> Lesson | None:
    """Return what an episode says, None for one that has not ended, or is in the trash."""
    details = episode.details
    if episode.state is MemoryState.TRASH or details.get("status") != EpisodeStatus.COMPLETED:
        return None
    if "outcome" not in details:
        return None
    found = _Finds(episode.project, details.get("task_type"))
    worth = _WORTH[EpisodeOutcome(details["outcome"])]
    steps = steps[-_MOST_STEPS:]
    for row in _sequences(steps):
        found.add(PatternKind.SEQUENCE, (), row, worth)
    for condition, tool in _decisions(steps):
        found.add(PatternKind.DECISION, condition, (tool,), worth)
    features = [(name, details[name]) for name in _FEATURES if name in details]
    tools = frozenset(step.tool for step in steps)
    for condition in features:
        for tool in tools:
            found.add(PatternKind.CONTEXT, condition, (tool,), worth)
    if steps:  # also where there is but one
        found.among(PatternKind.SEQUENCE, ())[1] = worth
    for (error, tried), cured in _cures(steps).items():
        found.add(PatternKind.CURE, (error,), tried, float(cured))
    feedback = {each["pattern"]: Effect(each["effect"]) for each in details.get("feedback", ())}
    groups = {group: (int(count), well) for group, (count, well) in found.groups.items()}
    return Lesson(episode.id, found.seen, groups, feedback, tools)


class _Finds:
    """Patterns of one episode, each once."""

    def __init__(self, project: str | None, task_type: str | None) -> None:
        self._work = (project, task_type)
        self.seen: dict[Pattern, tuple[Group, float]] = {}
        self.groups: dict[Group, list[float]] = {}

    def among(self, kind: PatternKind, condition: tuple[str, ...]) -> list[float]:
        """Return the counts of a group in which the episode counts once."""
        return self.groups.setdefault(Group(kind, condition, *self._work), [1, 0.0])

    def add(
        self, kind: PatternKind, condition: tuple[str, ...], action: tuple[str, ...], well: float
    ) -> None:
        """Note a pattern; of a cure each attempt counts, of all else the episode."""
        group = Group(kind, condition, *self._work)
        if kind is PatternKind.CURE:
            counts = self.groups.setdefault(group, [0, 0.0])
            counts[0] += 1
            counts[1] += well
        else:
            self.among(kind, condition)[1] = well
        self.seen[Pattern(kind, condition, action)] = (group, well)


def _sequences(steps: Sequence[Step]) -> Iterator[tuple[str, ...]]:
    tools = [step.tool for place, step in enumerate(steps) if _changes(steps, place)]
    for length in range(2, LONGEST + 1):
        for start in range(len(tools) - length + 1):
            yield tuple(tools[start : start + length])


def _changes(steps: Sequence[Step], place: int) -> bool:
    return place == 0 or steps[place].tool != steps[place - 1].tool


def _decisions(steps: Sequence[Step]) -> Iterator[tuple[tuple[str, ...], str]]:
    for before, after in itertools.pairwise(steps):
        went = before.result.value if before.error is None else before.error
        yield (before.tool, went), after.tool


def _cures(steps: Sequence[Step]) -> dict[tuple[str, tuple[str, ...]], bool]:
    """Return what was tried after each error, and whether the last time it cured it."""
    found: dict[tuple[str, tuple[str, ...]], bool] = {}
    for place, step in enumerate(steps):
        if step.result is not StepResult.ERROR or step.error is None:
            continue
        for again in range(place + 1, min(place + 1 + _SOON, len(steps))):
            if steps[again].tool == step.tool:
                tools = tuple(each.tool for each in steps[place + 1 : again + 1])
                # Back to the end of what is known of them: the newest attempt is the last.
                found.pop((step.error, tools), None)
                found[step.error, tools] = steps[again].result is StepResult.OK
                break
    return found
