"""Patterns and advice in words."""

from __future__ import annotations

from collections.abc import Iterable

from memorybank.domain.context import token_bound
from memorybank.domain.learning.experience import Judged
from memorybank.domain.learning.mining import Pattern, PatternKind


def condition(pattern: Pattern) -> str:
    """Return when it is about."""
    match pattern.kind:
        case PatternKind.SEQUENCE:
            return "in any such work"
        case PatternKind.DECISION:
            tool, went = pattern.condition
            return f"after {tool} ({went})"
        case PatternKind.CURE:
            return f"on the error {pattern.condition[0]}"
        case PatternKind.CONTEXT:
            return "with the {} {}".format(*pattern.condition)


def action(pattern: Pattern) -> str:
    """Return what to do."""
    return " -> ".join(pattern.action)


def because(judged: Judged) -> str:
    """Return what speaks for it."""
    expected = judged.expected / judged.seen if judged.seen else 0.0
    told = f"went well in {judged.well:g} of {judged.seen} ({expected:.0%} were to be expected)"
    tried = judged.helped + judged.no_effect + judged.hindered
    if tried:
        told += f"; on advice it helped {judged.helped} of {tried} times"
    return told


def sentence(judged: Judged) -> str:
    """Return a pattern in a line."""
    when, what = condition(judged.pattern), action(judged.pattern)
    return f"{when[:1].upper()}{when[1:]}: {what} ({because(judged)})"


def fitting(lines: Iterable[str], tokens: int | None) -> str:
    """Return those lines, from the first, that fit into so many tokens."""
    kept: list[str] = []
    left = tokens
    for line in lines:
        if left is not None:
            left -= token_bound(line) + 1
            if left < 0:
                break
        kept.append(line)
    return "\n".join(kept)
