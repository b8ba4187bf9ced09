"""What is looked at before a memory is kept, and what a policy makes of it. Nothing is silent.

Secrets and personal data are looked for in every text of a memory: title, content, tags, typed
fields and metadata. Junk is judged by title and content.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from memorybank.domain.junk import judged
from memorybank.domain.memory import Memory, searchable_text
from memorybank.domain.sensitive import Sensitivity, masked, sightings
from memorybank.errors import WriteRefused


class Action(StrEnum):
    """What a policy does about a finding."""

    OFF = "off"
    FLAG = "flag"
    """Keep the memory as it is, and say so."""
    MASK = "mask"
    """Keep the memory without it, and say so."""
    DEDUPLICATE = "deduplicate"
    """Answer with the memory that is there."""
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class GatePolicy:
    """What to do about what is found."""

    secrets: Action = Action.MASK
    personal: Action = Action.FLAG
    junk: Action = Action.FLAG
    junk_score: float = 0.8
    """From which on a text counts as junk."""
    echo: Action = Action.DEDUPLICATE
    max_characters: int = 100_000
    """Of everything in a memory that counts for finding."""

    def on(self, sensitivity: Sensitivity) -> Action:
        """Return what to do about secrets, or about personal data."""
        return self.secrets if sensitivity is Sensitivity.SECRET else self.personal


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that was found, and what was done about it; never what it was."""

    check: str
    """`secret`, `personal`, `junk` or `recall_echo`."""
    kind: str
    action: Action
    field: str | None = None
    score: float | None = None


def guarded(memory: Memory, policy: GatePolicy) -> tuple[Memory, tuple[Finding, ...]]:
    """Return the memory as it may be kept, and what was found. Raises WriteRefused."""
    size = len(searchable_text(memory))
    if size > policy.max_characters:
        raise WriteRefused(
            f"the texts of the memory are {size:,} characters, this bank takes"
            f" {policy.max_characters:,}",
            field="content",
            hint="shorten it, or split it into several memories",
        )
    findings: dict[tuple[str, str], Finding] = {}

    def look(text: str, field: str) -> str:
        kept = []
        for each in sightings(text):
            action = policy.on(each.sensitivity)
            if action is Action.OFF:
                continue
            if action is Action.REFUSE:
                raise _sensitive(each.sensitivity, each.kind, field)
            finding = Finding(each.sensitivity.value, each.kind, action, field)
            findings[field, each.kind] = finding
            if action is Action.MASK:
                kept.append(each)
        return masked(text, kept) if kept else text

    looked = replace(
        memory,
        title=None if memory.title is None else look(memory.title, "title"),
        content=look(memory.content, "content"),
        tags=tuple(  # two that are masked may become one
            dict.fromkeys(look(tag, f"tags.{place}") for place, tag in enumerate(memory.tags))
        ),
        details=_each_text(memory.details, "details", look),
        metadata=_each_text(memory.metadata, "metadata", look, named=False),
    )
    return looked, (*findings.values(), *_junk(memory, policy))


def _junk(memory: Memory, policy: GatePolicy) -> list[Finding]:
    if policy.junk is Action.OFF or memory.details:
        return []
    text = memory.content if memory.title is None else f"{memory.title}\n{memory.content}"
    junk = judged(text)
    if junk.score < policy.junk_score:
        return []
    signs = ", ".join(junk.signs)
    if policy.junk is Action.REFUSE:
        raise WriteRefused(
            f"the memory looks like nothing worth remembering ({signs}; score {junk.score})",
            field="content",
            hint="say what is worth knowing later, so that it can be understood on its own",
        )
    return [Finding("junk", signs, policy.junk, "content", junk.score)]


def _sensitive(sensitivity: Sensitivity, kind: str, field: str) -> WriteRefused:
    what = "a secret" if sensitivity is Sensitivity.SECRET else "personal data"
    return WriteRefused(
        f"{field} holds what looks like {what} ({kind}), which this bank does not take",
        field=field,
        hint="leave it out, and say where it is kept instead",
    )


def _each_text(
    value: Any, field: str, look: Callable[[str, str], str], *, named: bool = True
) -> Any:
    """Return JSON with every text in it looked at; the keys of objects stay as they are.

    Not `named`, a finding does not tell the path: its keys are contents, too.
    """
    if isinstance(value, str):
        return look(value, field)
    if isinstance(value, dict):
        return {
            key: _each_text(item, f"{field}.{key}" if named else field, look, named=named)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_each_text(item, field, look, named=named) for item in value]
    return value
