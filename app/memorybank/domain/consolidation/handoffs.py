"""How old hand-offs become one.

Those of one project and one partner that are older than some days, but for the newest there is:
that one is what the next session begins with. The newest of the old ones stays in its place and
takes in what the others say, sentence by sentence: the most significant first, until a text is
full; what is said twice is taken once. In the end the sentences stand in the order of time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from memorybank.domain.consolidation.rules import (
    MOST_SOURCES,
    Fold,
    Rules,
    is_free,
    joint_tags,
    least_trusted,
)
from memorybank.domain.duplicates import fingerprint
from memorybank.domain.memory import LinkType, Memory, MemoryType

TEXTS = ("experienced", "noticed", "learned", "story", "becoming", "remember")
"""The fields that are written for whoever goes on."""
MAX_CONTENT = 6_000
MAX_TEXT = 2_000
"""Characters of each field: all of them are some 4,500 tokens."""
_MAX_ITEMS = 50
_SENSITIVITIES = ("none", "low", "medium", "high", "secret")
_END = re.compile(r"(?<=[.!?\u3002\uff01\uff1f])\s+|\n+")

Group = tuple[str | None, str | None]


def group_of(handoff: Memory) -> Group:
    """Return what hand-offs have in common that become one."""
    return handoff.project, handoff.details.get("with_whom")


def told_at(handoff: Memory) -> datetime:
    """Return when it was told."""
    return handoff.occurred_at or handoff.created_at


def old_ones(handoffs: Iterable[Memory], rules: Rules, now: datetime) -> list[Memory]:
    """Return those of one group that are to become one, oldest first; fewer than two for none."""
    ordered = sorted(handoffs, key=lambda each: (told_at(each), each.id))
    before = now - rules.handoff_age
    return [
        each
        for each in ordered[:-1]
        if is_free(each)
        and each.type is MemoryType.HANDOFF
        and each.superseded_by is None
        and told_at(each) <= before
    ][: MOST_SOURCES + 1]


def compressed(handoffs: Sequence[Memory]) -> Fold:
    """Return what makes one of hand-offs, of which there are two or more, oldest first."""
    *others, newest = handoffs
    details: dict[str, Any] = {}
    for each in handoffs:  # what is neither text nor list is what the newest says that says it
        details |= each.details
    for name in TEXTS:
        text = _taken([(each, each.details.get(name)) for each in handoffs], MAX_TEXT)
        if text:
            details[name] = text
    for name in [name for name, value in details.items() if isinstance(value, list)]:
        details[name] = _joint(each.details.get(name) for each in reversed(handoffs))
    if "significance" in details:
        details["significance"] = max(map(_significance, handoffs))
    if "sensitivity" in details:
        named = [each.details.get("sensitivity", _SENSITIVITIES[0]) for each in handoffs]
        details["sensitivity"] = max(named, key=_SENSITIVITIES.index)
    says = replace(
        newest,
        content=_taken([(each, each.content) for each in handoffs], MAX_CONTENT) or newest.content,
        details=details,
        tags=joint_tags([newest, *others]),
        importance=max(each.importance for each in handoffs),
    )
    says = least_trusted(says, others)
    return Fold(tuple(others), kept=newest, says=says, link=LinkType.REFERENCES)


def _significance(handoff: Memory) -> float:
    return float(handoff.details.get("significance", 0.0))


def _taken(texts: Sequence[tuple[Memory, str | None]], most: int) -> str:
    """Return the sentences that go into one text, in the order of time."""
    by_weight = sorted(
        range(len(texts)), key=lambda place: (_significance(texts[place][0]), place), reverse=True
    )
    known: set[bytes] = set()
    taken: dict[int, list[str]] = {}
    room = most
    for place in by_weight:
        for sentence in _sentences(texts[place][1] or ""):
            said = fingerprint(sentence)
            if said in known or len(sentence) + 1 > room:
                continue
            known.add(said)
            taken.setdefault(place, []).append(sentence)
            room -= len(sentence) + 1
    return "\n".join(" ".join(taken[place]) for place in sorted(taken))


def _sentences(text: str) -> list[str]:
    return [stripped for part in _END.split(text) if (stripped := part.strip())]


def _joint(lists: Iterable[Any]) -> list[Any]:
    """Return what is in any of the lists, each once, as many as one may have."""
    found: list[Any] = []
    for each in lists:
        for item in each if isinstance(each, list) else ():
            if item not in found and len(found) < _MAX_ITEMS:
                found.append(item)
    return found
