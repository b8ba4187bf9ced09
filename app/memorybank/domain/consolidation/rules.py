"""Which jobs there are, what they go by, and what one step of them is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from memorybank.domain.memory import LinkType, Memory, MemoryState, MemoryType, Origin

MOST_SOURCES = 100
"""Memories that one step archives at most: a transaction of some 10 ms."""
MAX_TAGS = 32
"""See schemas.fields."""


class Job(StrEnum):
    """What can be done about memories that have become many."""

    COMPRESS_HANDOFFS = "compress_handoffs"
    """Let one hand-off say what the old ones of a project and a partner said."""
    ARCHIVE_DECISIONS = "archive_decisions"
    """Archive decisions that another one has taken the place of, or that nobody uses any more."""
    MERGE_DUPLICATES = "merge_duplicates"
    """Let one memory stand for those that say the same with fewer words."""


class RunStatus(StrEnum):
    """How far a run is."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    """It stopped at an error; what it did until then stands."""
    INTERRUPTED = "interrupted"
    """The process ended meanwhile; what it did until then stands."""
    UNDONE = "undone"


@dataclass(frozen=True, slots=True)
class Rules:
    """When the jobs run, and what they go by."""

    enabled: bool = False
    schedule: str = "30 3 * * *"
    """Five fields of cron, in UTC."""
    jobs: tuple[Job, ...] = tuple(Job)
    """Those of the schedule, in this order."""
    handoff_age: timedelta = timedelta(days=30)
    decision_age: timedelta = timedelta(days=365)
    superseded_age: timedelta = timedelta(days=30)
    similarity: float = 0.9
    """Least cosine of two vectors."""
    words: float = 0.8
    """Least share of the words of the longer text that the shorter one has."""


@dataclass(frozen=True, slots=True)
class Fold:
    """One step: some memories go to the archive, and another one may stand for them from then on.

    All as they were read; nothing of it is done if any of them is another one by then.
    """

    archived: tuple[Memory, ...]
    kept: Memory | None = None
    """What stands for them, as it was read."""
    says: Memory | None = None
    """What that one says from then on; None where it goes on saying what it says."""
    link: LinkType | None = None
    """From the one that is kept to each of the others."""


def is_free(memory: Memory) -> bool:
    """Say whether a job may touch a memory at all."""
    return memory.state is MemoryState.LIVE and not memory.pinned and not memory.legal_hold


def least_trusted(memory: Memory, others: Iterable[Memory]) -> Memory:
    """Return a memory with origin and trust of the least trusted of all."""
    least = min((memory, *others), key=lambda each: (each.trust, list(Origin).index(each.origin)))
    return replace(memory, origin=least.origin, trust=least.trust)


def joint_tags(memories: Sequence[Memory]) -> tuple[str, ...]:
    """Return the tags of all, those of the first memories first, as many as one may have."""
    return tuple(dict.fromkeys(tag for each in memories for tag in each.tags))[:MAX_TAGS]


def has_had_its_day(decision: Memory, rules: Rules, now: datetime) -> bool:
    """Say whether a decision is to be archived."""
    if decision.type is not MemoryType.DECISION or not is_free(decision):
        return False
    if decision.superseded_by is not None:
        return (decision.valid_to or decision.updated_at) <= now - rules.superseded_age
    used = max(decision.updated_at, decision.accessed_at or decision.updated_at)
    return used <= now - rules.decision_age
