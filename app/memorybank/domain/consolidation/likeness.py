"""When a memory says what another one says already, with fewer words.

A memory is taken into another one of the same tenant, project and type when all its words are in
the other one, in their order; when what the other one has beside them is little and turns nothing
round; and when the numbers and the words that deny or restrict are the same in both, in the same
order. The longer one stays as it is worded, so no word is lost, and two that differ in one word
(Lund or Malmo, on or off, 5 or 6) are never taken for the same, however near their vectors are:
see docs/adr/0020-the-same-words-are-the-same-memory.md.

Vectors have a veto: the service asks them last, of the few pairs that come so far.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from memorybank.domain.consolidation.rules import (
    MOST_SOURCES,
    Fold,
    is_free,
    joint_tags,
    least_trusted,
)
from memorybank.domain.duplicates import words
from memorybank.domain.memory import LinkType, Memory, MemoryType, searchable_text

TYPES = frozenset(
    {
        MemoryType.NOTE,
        MemoryType.FACT,
        MemoryType.DECISION,
        MemoryType.PATTERN,
        MemoryType.ERROR_SOLUTION,
        MemoryType.DOCUMENTATION,
        MemoryType.PREFERENCE,
        MemoryType.PROCEDURE,
        MemoryType.PERSONALITY,
    }
)
"""What is knowledge. Code counts letter by letter; the other types tell of something that has an
identity of its own: two sessions of one title are two sessions."""
_MOST_WORDS = 1_000
"""Longer texts are documents, which nobody writes twice by chance."""
_MOST_COMPARED = 1_000
"""Of memories that have one rare word in common with another one."""

_TURNING = frozenset(
    word
    for line in (
        "no not never none nothing nobody neither nor without cannot cant wont dont doesnt didnt",
        "isnt arent wasnt werent shouldnt must may might only except unless until if but or than",
        "instead rather hardly barely seldom rarely sometimes formerly previously former old new",
        "stopped stop deprecated obsolete wrong false true before after off on almost maybe",
        "perhaps used anymore",
        "nicht kein keine keiner keinen nie niemals ohne nur ausser wenn aber oder statt bis",
        "ne pas jamais sans aucun aucune sauf si mais ou plus",
        "nunca jamas sin ninguno ninguna salvo pero nada",
        "non mai senza nessuno eccetto ma",
        "inte aldrig utan ingen inget bara om men eller ikke aldri uden uten",
        "niet geen nooit zonder bez nigdy",
    )
    for word in line.split()
)
"""Words that turn round or restrict what is said, in the languages that are most often met."""


def turns(word: str) -> bool:
    """Say whether two texts that differ in this word may contradict each other."""
    bare = word.replace("\u2019", "").replace("'", "")
    return bare in _TURNING or word.endswith("n't") or any(char.isdigit() for char in word)


def covers(longer: Sequence[object], shorter: Sequence[object], share: float) -> bool:
    """Say whether one has all the words of the other, in their order, and few beside them."""
    if not shorter or len(shorter) < share * len(longer):
        return False
    rest = iter(longer)
    return all(any(word == other for other in rest) for word in shorter)


def repeats(memory: Memory, kept: Memory, share: float) -> bool:
    """Say whether `kept` makes `memory` superfluous, as far as words tell."""
    if memory.id == kept.id or _apart(memory) != _apart(kept):
        return False
    if not (_comes_into_question(memory) and _comes_into_question(kept)) or _brings_more(
        memory, kept
    ):
        return False
    said, known = words(searchable_text(memory)), words(searchable_text(kept))
    if [word for word in said if turns(word)] != [word for word in known if turns(word)]:
        return False
    return covers(known, said, share)


def merged(kept: Memory, others: Sequence[Memory]) -> Fold:
    """Return what lets one memory stand for others that it covers."""
    says = replace(
        kept,
        tags=joint_tags([kept, *others]),
        importance=max(each.importance for each in (kept, *others)),
    )
    says = least_trusted(says, others)
    return Fold(
        tuple(others),
        kept=kept,
        says=None if says == kept else says,
        link=LinkType.DUPLICATES,
    )


def _apart(memory: Memory) -> tuple[object, ...]:
    return memory.tenant, memory.project, memory.type


def _comes_into_question(memory: Memory) -> bool:
    return memory.type in TYPES and is_free(memory) and memory.superseded_by is None


def _brings_more(memory: Memory, kept: Memory) -> bool:
    """Say whether a memory holds anything beside words and tags that the other one does not."""
    told = (
        (memory.details or None, kept.details),
        (memory.metadata or None, kept.metadata),
        (memory.occurred_at, kept.occurred_at),
        (memory.supersedes, kept.supersedes),
    )
    if any(said is not None and said != known for said, known in told):
        return True
    if len({*memory.tags, *kept.tags} - set(joint_tags([kept, memory]))):
        return True
    return (memory.valid_from, memory.valid_to) != (kept.valid_from, kept.valid_to)


@dataclass(slots=True)
class _Entry:
    memory_id: str
    words: array[int]
    weight: tuple[float, str]
    """Of two with as many words the more important one stays, then the older one."""
    taken: bool = False


@dataclass(slots=True)
class Candidates:
    """Memories of one tenant, of which those are found that may say the same.

    Words are numbers here, some 300 bytes per memory. Whatever has all words of a text has its
    rarest one: only what has that one is compared.
    """

    share: float
    _numbers: dict[str, int] = field(default_factory=dict)
    _counts: list[int] = field(default_factory=list)
    _groups: dict[tuple[object, ...], list[_Entry]] = field(default_factory=dict)

    def add(self, memory: Memory) -> None:
        """Take a memory into account, if it comes into question."""
        if not _comes_into_question(memory):
            return
        said = words(searchable_text(memory))
        if not 0 < len(said) <= _MOST_WORDS:
            return
        numbers = array("I", [self._numbers.setdefault(word, len(self._numbers)) for word in said])
        self._counts.extend([0] * (len(self._numbers) - len(self._counts)))
        for number in set(numbers):
            self._counts[number] += 1
        turning = tuple(word for word in said if turns(word))
        entry = _Entry(memory.id, numbers, (-memory.importance, memory.id))
        self._groups.setdefault((*_apart(memory), turning), []).append(entry)

    def clusters(self) -> Iterator[tuple[str, list[str]] | None]:
        """Yield a memory and those that it may stand for, each memory in one cluster at most.

        Yields None in between, for who wants to rest.
        """
        for group in self._groups.values():
            yield None
            if len(group) > 1:
                yield from self._of_a_group(group)

    def _of_a_group(self, group: list[_Entry]) -> Iterator[tuple[str, list[str]] | None]:
        by_rarest: dict[int, list[_Entry]] = {}
        for entry in group:
            by_rarest.setdefault(self._rarest(entry, 1)[0], []).append(entry)
        group.sort(key=lambda each: (-len(each.words), *each.weight))
        for kept in group:
            yield None
            if kept.taken:
                continue
            kept.taken = True
            spare = int(len(kept.words) * (1 - self.share) + 1e-9) + 1
            found: list[str] = []
            for number in self._rarest(kept, spare):
                bucket = [each for each in by_rarest.get(number, ()) if not each.taken]
                if number in by_rarest:
                    by_rarest[number] = bucket
                for other in bucket[:_MOST_COMPARED]:
                    if len(found) < MOST_SOURCES and covers(kept.words, other.words, self.share):
                        other.taken = True
                        found.append(other.memory_id)
            if found:
                yield kept.memory_id, found

    def _rarest(self, entry: _Entry, count: int) -> list[int]:
        """Return the rarest of the words, each once; the same ones for the same words."""
        return sorted(set(entry.words), key=lambda number: (self._counts[number], number))[:count]
