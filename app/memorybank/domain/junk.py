"""How likely a text is not worth remembering, from its form alone.

Stores that agents fill on their own fill up with status lines, pleasantries and copies of their own
instructions. Each sign has a weight; the score is how much of the doubt is left when each takes its
share: 1 - (1 - w1) * (1 - w2) * ... A sign never refuses anything by itself: the policy of the bank
says what a score means.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from memorybank.domain.text import terms

_FEW_WORDS = 2
_LONG = 40
"""Words from which repetition says something."""

PLEASANTRIES = frozenset(
    {
        "ok", "okay", "yes", "no", "done", "thanks", "thank", "you", "great", "sure", "hello", "hi",
        "bye", "good", "fine", "cool", "nice", "perfect", "understood", "noted", "got", "it",
    }
)  # fmt: skip
_STATUS = re.compile(
    r"\b(?:now|currently|still)\s+(?:running|processing|loading|working|waiting|starting|reading)\b"
    r"|\b(?:i will|i'll|let me|i am going to|i'm going to)\s+(?:now\s+)?\w+"
    r"|\b(?:step|task|item|page)\s+\d+\s*(?:/|of)\s*\d+\b"
    r"|\b\d{1,3}\s?%\s+(?:done|complete|completed)\b"
    r"|\bno (?:output|changes|results)\b|\bheartbeat\b|\bsee above\b|^\s*(?:running|executing)\b",
    re.IGNORECASE,
)
_INSTRUCTIONS = re.compile(
    r"\byou are (?:an?|the)\s+(?:\w+\s+){0,4}(?:assistant|agent|model|ai)\b"
    r"|\bas an ai (?:language )?(?:model|assistant)\b|<\/?(?:system|instructions?|prompt)>"
    r"|\bsystem prompt\b|\bnever reveal (?:this|these|your)\b"
    r"|\bfollow these (?:rules|instructions)\b",
    re.IGNORECASE,
)
_LOG_LINE = re.compile(
    r"^\s*(?:\[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d|\[?\d\d:\d\d:\d\d|(?:DEBUG|INFO|TRACE|WARN)\b)",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Junk:
    """How likely a text is junk, 0 to 1, and why."""

    score: float
    signs: tuple[str, ...]


def judged(text: str) -> Junk:
    """Return the score and the signs."""
    words = terms(text)
    signs = {
        sign: weight
        for sign, weight, there in (
            ("nothing_but_symbols", 0.9, not words),
            ("pleasantry", 0.9, bool(words) and set(words) <= PLEASANTRIES),
            ("very_short", 0.3, 0 < len(words) <= _FEW_WORDS),
            ("status_message", 0.5, _STATUS.search(text) is not None and len(words) < _LONG),
            ("instructions_to_an_agent", 0.7, _INSTRUCTIONS.search(text) is not None),
            ("log_lines", 0.6, _is_log(text)),
            ("repetitive", 0.6, _repeats_itself(words)),
        )
        if there
    }
    doubt = 1.0
    for weight in signs.values():
        doubt *= 1 - weight
    return Junk(round(1 - doubt, 3), tuple(signs))


def _is_log(text: str) -> bool:
    lines = [line for line in text.splitlines() if line.strip()]
    return len(lines) >= 3 and 2 * len(_LOG_LINE.findall(text)) > len(lines)


def _repeats_itself(words: list[str]) -> bool:
    """Say whether a fifth of the words, or fewer, are different ones."""
    return len(words) >= _LONG and 5 * len(Counter(words)) <= len(words)
