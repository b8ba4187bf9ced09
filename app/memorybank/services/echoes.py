"""What was served to whom, so that an agent does not store again what it has just recalled."""

from __future__ import annotations

import re
from collections import Counter, OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from memorybank.auth.principal import Principal
from memorybank.domain.duplicates import fingerprint
from memorybank.domain.junk import PLEASANTRIES
from memorybank.domain.memory import Memory
from memorybank.domain.text import terms

_REMEMBERED_FOR = timedelta(hours=1)
_CALLERS = 1_000
_SENTENCES_PER_CALLER = 2_000
_SENTENCES_PER_MEMORY = 50
_SHORTEST = 4
"""Words of a sentence that makes a repetition; shorter ones are in many texts."""

_END_OF_SENTENCE = re.compile(r"\s(?:(?<=[.!?\u3002]\s)\s*|(?<=\n)\n*)")
"""White space behind the end of a sentence, or line breaks. It begins with a class of characters,
which the engine skips to: less than half of the time of a pattern that looks back everywhere."""


@dataclass(frozen=True, slots=True)
class _Source:
    memory_id: str
    project: str | None
    at: datetime

    def holds_for(self, new: Memory) -> bool:
        """Say whether a new memory may be an echo of this."""
        return self.project == new.project and new.created_at - self.at <= _REMEMBERED_FOR


class Echoes:
    """Remembers by key, for an hour, fingerprints of the sentences that recalls have answered.

    In memory only, and bounded: what is forgotten too early is stored once more, nothing worse.
    """

    def __init__(self) -> None:
        self._served: OrderedDict[tuple[str, str], OrderedDict[bytes, _Source]] = OrderedDict()
        self._noted: list[tuple[Principal, list[Memory], datetime]] = []

    def served(self, caller: Principal, memories: Iterable[Memory], now: datetime) -> None:
        """Note what a recall has answered. Call `settle` soon, when the answer is on its way."""
        self._noted.append((caller, list(memories), now))

    def settle(self) -> None:
        """Work through what was noted: a few hundred microseconds that no answer need wait for."""
        noted, self._noted = self._noted, []
        for caller, memories, now in noted:
            self._remember(caller, memories, now)

    def _remember(self, caller: Principal, memories: Iterable[Memory], now: datetime) -> None:
        key = (caller.tenant, caller.key_id)
        known = self._served.setdefault(key, OrderedDict())
        self._served.move_to_end(key)
        for memory in memories:
            source = _Source(memory.id, memory.project, now)
            for sentence in _sentences(memory.content)[:_SENTENCES_PER_MEMORY]:
                digest = fingerprint(sentence)
                known[digest] = source
                known.move_to_end(digest)
        while len(known) > _SENTENCES_PER_CALLER:
            known.popitem(last=False)
        while len(self._served) > _CALLERS:
            self._served.popitem(last=False)

    def echoed(self, caller: Principal, new: Memory) -> str | None:
        """Return the id of the memory, of the same project, that a new one repeats.

        It says nothing else: each sentence was served, or is a pleasantry ("Noted."), and there is
        nothing in it but labels that the content does not say.
        """
        self.settle()
        known = self._served.get((caller.tenant, caller.key_id))
        if not known or _says_more_than_its_content(new):
            return None
        sources: Counter[str] = Counter()
        longest = 0
        for sentence in _sentences(new.content):
            words = terms(sentence)
            source = known.get(fingerprint(sentence))
            if source is not None and source.holds_for(new):
                sources[source.memory_id] += len(words)
                longest = max(longest, len(words))
            elif not PLEASANTRIES.issuperset(words):
                return None
        return sources.most_common(1)[0][0] if longest >= _SHORTEST else None


def _says_more_than_its_content(new: Memory) -> bool:
    times = (new.occurred_at, new.valid_from, new.valid_to)
    return bool(new.title or new.details or new.metadata) or any(times)


def _sentences(text: str) -> list[str]:
    return [part for part in _END_OF_SENTENCE.split(text) if part.strip()]
