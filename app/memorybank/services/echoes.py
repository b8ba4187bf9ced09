"""What was served to whom, so that an agent does not store again what it has just recalled."""

from __future__ import annotations

import re
from collections import Counter, OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from memorybank.auth.principal import Principal
from memorybank.domain.duplicates import fingerprint
from memorybank.domain.memory import Memory
from memorybank.domain.text import terms

_REMEMBERED_FOR = timedelta(hours=1)
_CALLERS = 1_000
_SENTENCES_PER_CALLER = 2_000
_SENTENCES_PER_MEMORY = 50
_SHORTEST = 4
"""Words of a sentence that is told apart; shorter ones say too little."""
_SHARE = 0.8
"""Of a new memory's words, from which on it repeats what was served."""

_END_OF_SENTENCE = re.compile(r"(?<=[.!?\u3002])\s+|\n+")


@dataclass(frozen=True, slots=True)
class _Source:
    memory_id: str
    project: str | None
    at: datetime


class Echoes:
    """Remembers by key, for an hour, fingerprints of the sentences that recalls have answered.

    In memory only, and bounded: what is forgotten too early is stored once more, nothing worse.
    """

    def __init__(self) -> None:
        self._served: OrderedDict[tuple[str, str], OrderedDict[bytes, _Source]] = OrderedDict()

    def served(self, caller: Principal, memories: Iterable[Memory], now: datetime) -> None:
        """Note what a recall has answered."""
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
        """Return the id of the memory, of the same project, that a new one mostly repeats."""
        known = self._served.get((caller.tenant, caller.key_id))
        if not known:
            return None
        total = repeated = 0
        sources: Counter[str] = Counter()
        for sentence in _sentences(new.content):
            words = len(terms(sentence))
            total += words
            source = known.get(fingerprint(sentence)) if words >= _SHORTEST else None
            if source is None or source.project != new.project:
                continue
            if new.created_at - source.at <= _REMEMBERED_FOR:
                repeated += words
                sources[source.memory_id] += words
        if not sources or repeated < _SHARE * total:
            return None
        return sources.most_common(1)[0][0]


def _sentences(text: str) -> list[str]:
    return [part for part in _END_OF_SENTENCE.split(text) if part.strip()]
