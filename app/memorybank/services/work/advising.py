"""What experience says: patterns, what is written down of them, and advice for a task."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from memorybank.auth.principal import Face, Principal
from memorybank.domain.gate import Finding
from memorybank.domain.keys import Scope as KeyScope
from memorybank.domain.learning import words
from memorybank.domain.learning.experience import EVERYTHING, Experience, Judged, Scope
from memorybank.domain.learning.mining import PatternKind
from memorybank.domain.memory import Memory, MemoryFilter, MemoryType
from memorybank.domain.work.episodes import Step, told_of
from memorybank.errors import MemoryBankError, NotFound
from memorybank.ports import StepStore
from memorybank.schemas.fields import MAX_ITEMS, MAX_PAGE
from memorybank.schemas.memories import NewMemory
from memorybank.schemas.search import Mode, SearchRequest
from memorybank.schemas.work.learning import NewFeedback, PatternQuery, Task
from memorybank.services.memories import MemoryService
from memorybank.services.timing import Timed, untimed
from memorybank.services.work.learning import Learning
from memorybank.services.work.things import Things

_logger = logging.getLogger(__name__)

Why = tuple[list[str], list[str]]
"""Episodes that speak for a pattern, and against it."""

_NAMED = 20
"""Episodes that a pattern names for itself, and against."""
_STEPS_SHOWN = 50
_WRITTEN_AFTER_SECONDS = 5.0
"""After an end of an episode; what ends meanwhile is written down with it."""
_WRITTEN_OF_A_KIND = 10
"""Heuristics that there are of each kind of pattern at most."""
_WRITTEN_FROM = 5
"""Sightings from which on a proven pattern is written down."""
_MATERIAL = 0.02
"""By how much a confidence has to change for a heuristic to be written anew."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A pattern with what speaks for it."""

    judged: Judged
    why: Why


@dataclass(frozen=True, slots=True)
class Similar:
    """An episode that had to do with something alike."""

    episode: Memory
    score: float
    steps: list[Step]


@dataclass(frozen=True, slots=True)
class Advised:
    """What experience says about a task."""

    similar: list[Similar]
    sequences: list[Shown]
    cures: list[Shown]
    choices: list[Shown]
    heuristics: list[Memory]
    playbook: str


@dataclass(frozen=True, slots=True)
class Learned:
    """What became of heuristics."""

    added: int = 0
    changed: int = 0
    archived: int = 0


class Advising:
    """Reads what was learned; writes heuristics, and what was said of patterns."""

    def __init__(
        self,
        memories: MemoryService,
        learning: Learning,
        steps: StepStore,
        *,
        timed: Timed = untimed,
    ) -> None:
        self.heuristics = Things(memories, MemoryType.HEURISTIC)
        self._memories = memories
        self._learning = learning
        self._steps = steps
        self._timed = timed
        self._writing: dict[str, asyncio.Task[None]] = {}

    async def patterns(self, caller: Principal, query: PatternQuery) -> tuple[list[Shown], int]:
        """Return the best patterns, and how many episodes there are."""
        caller.require(KeyScope.READ)

        def question(experience: Experience) -> tuple[list[Shown], int]:
            judged = experience.ranked(
                query.scope(),
                kind=query.kind,
                limit=query.limit,
                min_support=query.min_support,
                only_proven=query.proven,
            )
            return [_shown(experience, each) for each in judged], len(experience)

        with self._timed("patterns"):
            return await self._learning.ask(caller.tenant, question)

    async def pattern(self, caller: Principal, pattern_id: str) -> Shown:
        """Return a pattern; raises NotFound for one that no episode shows."""
        caller.require(KeyScope.READ)
        return await self._pattern(caller.tenant, pattern_id, "id")

    async def feedback(
        self, caller: Principal, episode_id: str, new: NewFeedback
    ) -> tuple[Memory, tuple[Finding, ...]]:
        """Say what a pattern was good for in an episode. Raises NotFound, Conflict.

        It counts as long as the episode says it: a rollback takes it back.
        """
        caller.require(KeyScope.WRITE)
        await self._pattern(caller.tenant, new.pattern, "pattern")

        def decide(episode: Memory) -> dict[str, object]:
            if episode.type is not MemoryType.EPISODE:
                raise NotFound(
                    "the memory of this id is no episode", field="id", hint="list the episodes"
                )
            return told_of(episode, new.pattern, new.effect.value)

        return await self._memories.life.change(caller, episode_id, decide, "feedback")

    async def recommend(self, caller: Principal, task: Task) -> Advised:
        """Return what experience says about a task."""
        caller.require(KeyScope.READ)
        with self._timed("recommend"):
            similar = await self._similar(caller, task)
            sequences, cures, choices = await self._learning.ask(
                caller.tenant, lambda experience: _advice(experience, task)
            )
            heuristics = await self._written(caller, task, [*sequences, *cures, *choices])
        lines = _playbook(sequences, cures, choices, similar)
        playbook = words.fitting(lines, task.max_tokens)
        return Advised(similar, sequences, cures, choices, heuristics, playbook)

    def soon(self, caller: Principal) -> None:
        """Learn what is new, and write it down some seconds later, without anybody waiting."""
        self._learning.soon(caller.tenant)
        if caller.tenant not in self._writing:
            task = asyncio.get_running_loop().create_task(self._write_later(caller))
            self._writing[caller.tenant] = task

    async def close(self) -> None:
        """Leave what is not written down yet: the next end of an episode does it."""
        tasks = list(self._writing.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._learning.close()

    async def _write_later(self, caller: Principal) -> None:
        try:
            await asyncio.sleep(_WRITTEN_AFTER_SECONDS)
        finally:
            del self._writing[caller.tenant]
        try:
            await self.write_down(caller)
        except MemoryBankError as error:
            _logger.warning("what is proven could not be written down: %s", error.message)

    async def write_down(self, caller: Principal) -> Learned:
        """Keep a heuristic of each of the patterns that are proven best, and archive those of
        patterns that are not any more. The same again changes nothing.
        """
        caller.require(KeyScope.WRITE)
        writer = replace(caller, face=Face.INTERNAL)
        async with self._memories.ledger.alone_with([("heuristics", caller.tenant)]):
            proven = await self._learning.ask(caller.tenant, _worth_writing)
            known, doubles = await self._known(caller.tenant)
            added = changed = archived = 0
            for each in proven:
                there = known.pop(each.judged.pattern.id, None)
                if there is None:
                    await self._memories.adding.add(writer, _heuristic(each))
                    added += 1
                elif _differs(there, each):
                    await self._memories.life.change(writer, there.id, _said_again(each), "learn")
                    changed += 1
            for gone in [*known.values(), *doubles]:
                await self._memories.life.archive(writer, gone.id)
                archived += 1
            return Learned(added, changed, archived)

    async def _pattern(self, tenant: str, pattern_id: str, field: str) -> Shown:
        def question(experience: Experience) -> Shown | None:
            judged = experience.find(pattern_id)
            return None if judged is None else _shown(experience, judged)

        found = await self._learning.ask(tenant, question)
        if found is None:
            raise NotFound(
                "no episode shows a pattern of this id", field=field, hint="list the patterns"
            )
        return found

    async def _known(self, tenant: str) -> tuple[dict[str, Memory], list[Memory]]:
        """Return the live heuristics that were learned, by their patterns, and those of patterns
        that another process has written down as well.
        """
        where = MemoryFilter(types=frozenset({MemoryType.HEURISTIC}))
        reader = Principal(tenant, "learning", frozenset({KeyScope.READ}), face=Face.INTERNAL)
        found: dict[str, Memory] = {}
        doubles: list[Memory] = []
        cursor: str | None = None
        while True:
            page = await self._memories.page(reader, where, limit=MAX_PAGE, cursor=cursor)
            for each in page.memories:
                if "pattern" in each.details:
                    first = found.setdefault(each.details["pattern"], each)
                    if first is not each:
                        doubles.append(each)
            cursor = page.next_cursor
            if cursor is None:
                return found, doubles

    async def _similar(self, caller: Principal, task: Task) -> list[Similar]:
        request = SearchRequest(
            query=task.text,
            types=[MemoryType.EPISODE],
            project=task.project,
            limit=task.limit * 2,
        )
        found = await self._memories.finding.search(caller, request)
        ended = [(memory, hit) for memory, hit in found.memories if "outcome" in memory.details]
        return [
            Similar(
                memory,
                hit.score,
                await self._steps.steps(caller.tenant, memory.id, limit=_STEPS_SHOWN),
            )
            for memory, hit in ended[: task.limit]
        ]

    async def _written(self, caller: Principal, task: Task, advised: list[Shown]) -> list[Memory]:
        """Return what is written down of what is advised, or says something alike."""
        if not advised:
            return []
        request = SearchRequest(
            query=task.text, types=[MemoryType.HEURISTIC], limit=task.limit, mode=Mode.LEXICAL
        )
        found = await self._memories.finding.search(caller, request)
        return [memory for memory, _ in found.memories]


def _shown(experience: Experience, judged: Judged) -> Shown:
    return Shown(judged, experience.why(judged.pattern, limit=_NAMED))


def _advice(experience: Experience, task: Task) -> tuple[list[Shown], list[Shown], list[Shown]]:
    """Return sequences, cures and choices. What was seen in work of this kind and project comes
    first; where that has nothing that is proven, other work is asked.
    """

    def best(kind: PatternKind, *, condition: tuple[str, ...] | None = None) -> list[Judged]:
        for scope in _scopes(task):
            found = experience.ranked(
                scope, kind=kind, condition=condition, limit=task.limit, only_proven=True
            )
            if found:
                return found
        return []

    named = [each for error in task.errors for each in best(PatternKind.CURE, condition=(error,))]
    cures = _each_once([*named, *best(PatternKind.CURE)])[: max(task.limit, len(task.errors))]
    features = [
        each
        for condition in task.features()
        for each in best(PatternKind.CONTEXT, condition=condition)
    ]
    choices = _each_once([*features, *best(PatternKind.DECISION)])[: task.limit]
    return (
        [_shown(experience, each) for each in best(PatternKind.SEQUENCE)],
        [_shown(experience, each) for each in cures],
        [_shown(experience, each) for each in choices],
    )


def _scopes(task: Task) -> list[Scope]:
    wanted = [Scope(task.project, task.task_type), Scope(None, task.task_type), EVERYTHING]
    return list(dict.fromkeys(wanted))


def _each_once(judged: list[Judged]) -> list[Judged]:
    return list({each.pattern: each for each in judged}.values())


def _playbook(
    sequences: list[Shown], cures: list[Shown], choices: list[Shown], similar: list[Similar]
) -> list[str]:
    lines: list[str] = []
    for title, some in (
        ("Do in this order:", sequences),
        ("When it fails:", cures),
        ("When in doubt:", choices),
    ):
        lines += [f"{title} {words.sentence(each.judged)}" for each in some[:3]]
    for each in similar[:3]:
        details = each.episode.details
        told = details.get("reflection") or details.get("verdict")
        if told:
            task = each.episode.title or each.episode.content
            lines.append(f"Before ({task[:100]}; {details['outcome']}): {told}")
    return lines


def _worth_writing(experience: Experience) -> list[Shown]:
    return [
        Shown(each, experience.why(each.pattern, limit=MAX_ITEMS))
        for kind in PatternKind
        for each in experience.ranked(
            kind=kind, limit=_WRITTEN_OF_A_KIND, min_support=_WRITTEN_FROM, only_proven=True
        )
    ]


def _heuristic(shown: Shown) -> NewMemory:
    judged = shown.judged
    when, what = words.condition(judged.pattern), words.action(judged.pattern)
    well, badly = shown.why
    return NewMemory(
        type=MemoryType.HEURISTIC,
        content=f"{when[:1].upper()}{when[1:]}: {what}",
        details={
            "condition": when,
            "action": what,
            "evidence": {
                "episodes": sorted([*well, *badly], reverse=True)[:MAX_ITEMS],
                "successes": int(judged.well),
                "failures": judged.seen - int(judged.well),
            },
            "confidence": round(judged.lower, 4),
            "pattern": judged.pattern.id,
        },
        deduplicate=False,
    )


def _said_again(shown: Shown) -> Callable[[Memory], dict[str, Any]]:
    new = _heuristic(shown)
    return lambda _old: {"content": new.content, "details": new.details}


def _differs(there: Memory, now: Shown) -> bool:
    """Whether what is written down is no longer what is known: by much, or by a witness less."""
    before = there.details["evidence"]
    confidence: float = abs(there.details["confidence"] - now.judged.lower)
    seen: int = before["successes"] + before["failures"]
    return confidence >= _MATERIAL or now.judged.seen < seen or now.judged.seen >= 1.25 * seen
