"""Where in a text the words of a query are, and which part of a long text says most about them."""

from __future__ import annotations

import re
from typing import NamedTuple

from memorybank.domain.text import is_unspaced, stem, terms, words

EXCERPT = 240
"""Characters of an excerpt: about three lines."""
_MOST = 50
"""Spans that are reported of one text."""
_EDGE = re.compile(r"\s")


class Span(NamedTuple):
    """A part of a text, in Unicode code points; `end` is behind it."""

    start: int
    end: int


def highlights(text: str, wanted: frozenset[str]) -> list[Span]:
    """Return where `text` holds a term of one of the wanted stems, in order, without overlaps."""
    spans: list[Span] = []
    for word, start in words(text):
        for span in _within(word, start, wanted):
            if spans and spans[-1].end >= span.start:
                spans[-1] = Span(spans[-1].start, span.end)
            else:
                spans.append(span)
        if len(spans) >= _MOST:
            break
    return spans[:_MOST]


def excerpt(text: str, spans: list[Span]) -> Span:
    """Return the part of at most EXCERPT characters with the most highlights, cut between words."""
    if len(text) <= EXCERPT:
        return Span(0, len(text))
    begins = [max(0, span.start - EXCERPT // 8) for span in spans] or [0]
    best = max(begins, key=lambda begin: (_held(spans, begin), -begin))
    start = min(best, len(text) - EXCERPT)
    end = start + EXCERPT
    if start and (edge := _EDGE.search(text, start, end)) and edge.start() - start < EXCERPT // 8:
        start = edge.end()
    if end < len(text):
        last = max((edge.start() for edge in _EDGE.finditer(text, start, end)), default=end)
        end = last if end - last < EXCERPT // 8 else end
    return Span(start, end)


def _held(spans: list[Span], begin: int) -> int:
    return sum(begin <= span.start and span.end <= begin + EXCERPT for span in spans)


def _within(word: str, start: int, wanted: frozenset[str]) -> list[Span]:
    """Return the parts of one word, as it is written, that are wanted."""
    if not is_unspaced(word):
        held = wanted.intersection(map(stem, terms(word)))
        return [Span(start, start + len(word))] if held else []
    # Without spaces, pairs of neighbours stand for words; a single character only for itself.
    found = []
    for size in (2, 1):
        found = [
            Span(start + at, start + at + size)
            for at in range(len(word) - size + 1)
            if wanted.intersection(
                [term for term in terms(word[at : at + size]) if len(term) >= size]
            )
        ]
        if found:
            break
    return found
