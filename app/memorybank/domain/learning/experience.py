"""What all episodes of a tenant say together, counted as they come and go.

Nothing here depends on the order in which lessons came, and taking one back leaves what there
would be without it: what is ranked first by sums of floats is judged again by exact ones.
"""

from __future__ import annotations

import math
import sys
from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from memorybank.domain.learning.mining import Effect, Group, Lesson, Pattern, PatternKind
from memorybank.domain.learning.wilson import lower_bound

MIN_SUPPORT = 3
"""Times that something has to be seen before it is told."""
_FEEDBACK_WEIGHT = 3
"""How many sightings one try on advice is worth: who tried it says that it was for that."""
_MOST_ANSWERS = 500
_LOOKED_AT = 200
"""Of the patterns that rank highest by a first count, those that are judged exactly."""
_SAYS_MORE = 0.01
_USUAL = 0.05
"""Of the gain, what a tool more is worth, and what is lost by ends that are in every episode."""
_SLACK = 1e-9
"""By which the first count may be off."""
_HALF = 0.5

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Judged:
    """A pattern, and what speaks for it."""

    pattern: Pattern
    seen: int
    """Episodes in which it was seen."""
    well: float
    """How many of them went well; a partial success is a half."""
    expected: float
    """How many would have, as those that it is compared with did."""
    lower: float
    """The Wilson lower bound of the share that went well, feedback included."""
    gain: float
    """By how much that exceeds the share expected; above 0 it is no coincidence."""
    helped: int = 0
    no_effect: int = 0
    hindered: int = 0

    @property
    def lift(self) -> float:
        """How many times as often it went well as expected; 1 is no difference."""
        return self.well / self.expected if self.expected else 1.0

    @property
    def is_proven(self) -> bool:
        """Whether it is no coincidence, as far as one can tell."""
        return self.gain > 0


@dataclass(frozen=True, slots=True)
class Scope:
    """Which work is meant; None is any."""

    project: str | None = None
    task_type: str | None = None

    def holds(self, group: Group) -> bool:
        """Whether a group is of this work."""
        return (self.project is None or group.project == self.project) and (
            self.task_type is None or group.task_type == self.task_type
        )


EVERYTHING = Scope()
Question = tuple[Scope, PatternKind | None, tuple[str, ...] | None, int, int, bool]


@dataclass(frozen=True, slots=True)
class _Kept:
    """A lesson, by the places of what it names."""

    seen: tuple[tuple[int, int, float], ...]
    """Pattern, group, and how well it went."""
    groups: tuple[tuple[int, int, float], ...]
    """Group, how often, and how well it went."""
    tools: tuple[str, ...]
    feedback: Mapping[str, Effect]


class Experience:
    """Lessons, and how often what was seen in them."""

    def __init__(self) -> None:
        self._lessons: dict[str, _Kept] = {}
        self._patterns: dict[Pattern, int] = {}
        self._known: list[Pattern] = []
        self._ids: dict[str, int] = {}
        """Places of patterns by their ids, as far as anybody asked for one."""
        self._groups: dict[Group, int] = {}
        self._group_of: list[Group] = []
        self._group_seen = array("d")
        self._group_well = array("d")
        # One row per pattern and group.
        self._rows: list[dict[int, int]] = []
        """By pattern, rows by group."""
        self._row_pattern = array("I")
        self._row_group = array("I")
        self._row_seen = array("d")
        self._row_well = array("d")
        self._episodes: list[tuple[array[int], array[int]]] = []
        """By pattern, the numbers of lessons that it was seen in: where it went well, and not."""
        self._numbers: dict[str, int] = {}
        """Of lessons, as they came."""
        self._names: list[str] = []
        self._tools: Counter[str] = Counter()
        """Lessons by each tool."""
        self._feedback: dict[str, Counter[Effect]] = {}
        self._whys: dict[int, tuple[list[str], list[str]]] = {}
        self._answers: dict[Question, list[Judged]] = {}
        """What was asked since the last change."""

    def __len__(self) -> int:
        """How many lessons there are."""
        return len(self._lessons)

    def learn(self, lesson: Lesson) -> None:
        """Count a lesson, in place of what the same episode said before."""
        self.forget(lesson.episode)
        number = self._numbers.setdefault(lesson.episode, len(self._names))
        if number == len(self._names):
            self._names.append(lesson.episode)
        kept = self._kept(lesson)
        self._lessons[lesson.episode] = kept
        self._count(kept, 1)
        for pattern, _group, well in kept.seen:
            self._episodes[pattern][well <= _HALF].append(number)

    def forget(self, episode: str) -> None:
        """Take back what an episode said."""
        kept = self._lessons.pop(episode, None)
        if kept is None:
            return
        self._count(kept, -1)
        for pattern, _group, well in kept.seen:
            self._episodes[pattern][well <= _HALF].remove(self._numbers[episode])

    def ranked(
        self,
        scope: Scope = EVERYTHING,
        *,
        kind: PatternKind | None = None,
        condition: tuple[str, ...] | None = None,
        limit: int,
        min_support: int = MIN_SUPPORT,
        only_proven: bool = False,
    ) -> list[Judged]:
        """Return the patterns that most likely matter, best first, one of each family of
        sequences.
        """
        question = (scope, kind, condition, limit, min_support, only_proven)
        if question in self._answers:
            return self._answers[question]
        if len(self._answers) >= _MOST_ANSWERS:
            self._answers.clear()
        self._answers[question] = found = self._ranking(*question)
        return found

    def _ranking(
        self,
        scope: Scope,
        kind: PatternKind | None,
        condition: tuple[str, ...] | None,
        limit: int,
        min_support: int,
        only_proven: bool,
    ) -> list[Judged]:
        rows = self._rows_of(scope, kind, condition)
        if not rows.size:
            return []
        best = self._first_count(rows, min_support)
        judged = [self._judged(int(place), scope) for place in best]
        judged = [each for each in judged if each.is_proven or not only_proven]
        judged.sort(key=lambda each: (-self._preference(each), -each.seen, each.pattern.id))
        return _one_of_each_family(judged, limit)

    def find(self, pattern_id: str, scope: Scope = EVERYTHING) -> Judged | None:
        """Return a pattern by its id, None where it was never seen."""
        place = self._places().get(pattern_id)
        if place is None:
            return None
        found = self._judged(place, scope)
        return found if found.seen else None

    def why(self, pattern: Pattern, *, limit: int) -> tuple[list[str], list[str]]:
        """Return the newest episodes in which a pattern was seen and it went well, and not well."""
        place = self._patterns.get(pattern)
        if place is None:
            return [], []
        if place not in self._whys:
            told = tuple(
                sorted((self._names[number] for number in numbers), reverse=True)
                for numbers in self._episodes[place]
            )
            self._whys[place] = (told[0], told[1])
        well, badly = self._whys[place]
        return well[:limit], badly[:limit]

    def _preference(self, judged: Judged) -> float:
        """Return the gain, and for sequences what decides among those that gain about the same: one
        that says more, and that does not begin or end with what is done in all work anyway.
        """
        action = judged.pattern.action
        if judged.pattern.kind is not PatternKind.SEQUENCE:
            return judged.gain
        usual = (self._tools[action[0]] + self._tools[action[-1]]) / 2 / max(len(self), 1)
        return judged.gain + _SAYS_MORE * len(action) - _USUAL * usual

    def _kept(self, lesson: Lesson) -> _Kept:
        """Return a lesson by places: the same pattern in many lessons is there once."""
        groups = []
        for group, (count, well) in lesson.groups.items():
            place = self._groups.setdefault(group, len(self._groups))
            if place == len(self._group_of):
                self._group_of.append(group)
                self._group_seen.append(0)
                self._group_well.append(0)
            groups.append((place, count, well))
        seen = []
        for pattern, (group, well) in lesson.seen.items():
            place = self._patterns.setdefault(pattern, len(self._known))
            if place == len(self._known):
                self._known.append(pattern)
                self._rows.append({})
                self._episodes.append((array("I"), array("I")))
            seen.append((place, self._groups[group], well))
        tools = tuple(map(sys.intern, lesson.tools))
        return _Kept(tuple(seen), tuple(groups), tools, lesson.feedback)

    def _count(self, kept: _Kept, sign: int) -> None:
        self._answers.clear()
        self._whys.clear()
        for tool in kept.tools:
            self._tools[tool] += sign
        for place, count, well in kept.groups:
            self._group_seen[place] += sign * count
            self._group_well[place] += sign * well
        for pattern, group, well in kept.seen:
            row = self._row(pattern, group)
            self._row_seen[row] += sign
            self._row_well[row] += sign * well
        for pattern_id, effect in kept.feedback.items():
            self._feedback.setdefault(pattern_id, Counter())[effect] += sign

    def _row(self, pattern: int, group: int) -> int:
        row = self._rows[pattern].setdefault(group, len(self._row_pattern))
        if row == len(self._row_pattern):
            self._row_pattern.append(pattern)
            self._row_group.append(group)
            self._row_seen.append(0)
            self._row_well.append(0)
        return row

    def _rows_of(
        self, scope: Scope, kind: PatternKind | None, condition: tuple[str, ...] | None
    ) -> npt.NDArray[np.intp]:
        meant = np.fromiter(
            (
                scope.holds(group)
                and (kind is None or group.kind is kind)
                and (condition is None or group.condition == condition)
                for group in self._groups
            ),
            dtype=bool,
            count=len(self._groups),
        )
        return (
            np.flatnonzero(meant[np.array(self._row_group)]) if meant.size else meant.nonzero()[0]
        )

    def _first_count(self, rows: npt.NDArray[np.intp], min_support: int) -> npt.NDArray[np.intp]:
        """Return the patterns that may be among the best, in no order."""
        pattern = np.array(self._row_pattern)[rows]
        group = np.array(self._row_group)[rows]
        row_seen = np.array(self._row_seen)[rows]
        base = np.array(self._group_well) / np.maximum(np.array(self._group_seen), 1)
        size = len(self._known)
        seen = _summed(pattern, row_seen, size)
        well = _summed(pattern, np.array(self._row_well)[rows], size)
        expected = _summed(pattern, row_seen * base[group], size)
        enough = np.flatnonzero(seen >= max(min_support, 1))
        seen, well, expected = seen[enough], well[enough], expected[enough]
        if self._feedback:
            self._with_feedback(enough, seen, well, expected)
        gain = lower_bound(well, seen) - expected / seen
        if gain.size <= _LOOKED_AT:
            return enough
        least = np.partition(gain, -_LOOKED_AT)[-_LOOKED_AT]
        likely: npt.NDArray[np.intp] = enough[gain >= least - _SLACK]
        return likely

    def _with_feedback(
        self, places: npt.NDArray[np.intp], seen: Floats, well: Floats, expected: Floats
    ) -> None:
        """Add to the counts, in place, what was said of patterns."""
        where = {int(place): at for at, place in enumerate(places)}
        ids = self._places()
        for pattern_id, told in self._feedback.items():
            at = where.get(ids.get(pattern_id, -1))
            if at is not None and any(told.values()):
                more, better = _said(told, float(expected[at] / seen[at]))
                expected[at] *= 1 + more / seen[at]
                seen[at] += more
                well[at] += better

    def _places(self) -> dict[str, int]:
        for place in range(len(self._ids), len(self._known)):
            self._ids[self._known[place].id] = place
        return self._ids

    def _judged(self, place: int, scope: Scope) -> Judged:
        pattern = self._known[place]
        counts = [
            (self._row_seen[row], self._row_well[row], at)
            for at, row in self._rows[place].items()
            if scope.holds(self._group_of[at])
        ]
        seen = sum(count for count, _, _ in counts)
        well = sum(count for _, count, _ in counts)
        expected = math.fsum(
            count * self._group_well[at] / max(self._group_seen[at], 1) for count, _, at in counts
        )
        told = self._feedback.get(pattern.id, Counter())
        if not seen:
            return Judged(pattern, 0, 0.0, 0.0, 0.0, 0.0)
        base = expected / seen
        more, better = _said(told, base)
        lower = lower_bound(well + better, seen + more)
        return Judged(
            pattern,
            int(seen),
            well,
            expected,
            lower,
            lower - base,
            told[Effect.HELPED],
            told[Effect.NO_EFFECT],
            told[Effect.HINDERED],
        )


def _summed(places: npt.NDArray[Any], counts: Floats, size: int) -> Floats:
    return np.bincount(places, counts, size).astype(np.float64, copy=False)


def _said(told: Counter[Effect], base: float) -> tuple[float, float]:
    """Return how many sightings feedback is worth, and how many that went well. What had no effect
    went as it would have without.
    """
    more = _FEEDBACK_WEIGHT * sum(told.values())
    return more, _FEEDBACK_WEIGHT * (told[Effect.HELPED] + told[Effect.NO_EFFECT] * base)


def _one_of_each_family(judged: list[Judged], limit: int) -> list[Judged]:
    """Leave out sequences that are part of a better one, or have a better one as a part."""
    chosen: list[Judged] = []
    for each in judged:
        if len(chosen) == limit:
            break
        if each.pattern.kind is PatternKind.SEQUENCE and any(
            other.pattern.kind is PatternKind.SEQUENCE
            and _share(each.pattern.action, other.pattern.action)
            for other in chosen
        ):
            continue
        chosen.append(each)
    return chosen


def _share(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    short, long = sorted((one, other), key=len)
    return any(
        long[start : start + len(short)] == short for start in range(len(long) - len(short) + 1)
    )
