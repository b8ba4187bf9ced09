"""What an agent that begins anew is told: layers of memories within a number of tokens.

Each layer has its share of the room, and what one does not need goes to the others: no layer
starves another, and a short one leaves nothing empty. How memories are quoted, and how tokens are
counted, is as in a bundle for a prompt; see domain/context.py. A line that begins with "# " is the
heading of a layer; no memory can forge one, since all of its lines are quoted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from memorybank.domain.context import PREFACE, Packed, first_part, quoted, token_bound
from memorybank.domain.memory import Memory


class Layer(StrEnum):
    """What there is to tell, in the order in which it is told."""

    HANDOFF = "handoff"
    TASKS = "tasks"
    CONFLICTS = "conflicts"
    PINNED = "pinned"
    DECISIONS = "decisions"
    ERRORS = "errors"
    HEURISTICS = "heuristics"
    SESSION = "session"
    SUBJECT = "subject"


_HEADINGS = {
    Layer.HANDOFF: "Last hand-off",
    Layer.TASKS: "Open tasks",
    Layer.CONFLICTS: "Open conflicts",
    Layer.PINNED: "Pinned",
    Layer.DECISIONS: "Recent decisions",
    Layer.ERRORS: "Errors and their cures",
    Layer.HEURISTICS: "What experience says",
    Layer.SESSION: "Last session",
    Layer.SUBJECT: "About the subject",
}
_LEAST_SHARE = 60
"""Tokens below which a layer says nothing: with less room, the first layers have all of it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A memory of a layer."""

    memory: Memory
    text: str
    """What is told of it."""
    said: tuple[str, ...] = ()
    """Beside its id, type and day."""


@dataclass(slots=True)
class LayerPack:
    """What fits of a layer."""

    layer: Layer
    memories: list[Packed] = field(default_factory=list)
    omitted: int = 0
    """How many of those that were looked at did not fit."""


@dataclass(frozen=True, slots=True)
class WakeUpPack:
    """What fits."""

    text: str
    """Empty when there is nothing to tell."""
    tokens: int
    """At most, by `token_bound`."""
    layers: list[LayerPack]

    @property
    def omitted(self) -> int:
        """How many of the memories that were looked at did not fit."""
        return sum(each.omitted for each in self.layers)


class _Writing:
    """One layer as it grows: what is told of it, and what waits for room."""

    def __init__(self, layer: Layer, entries: Sequence[Entry]) -> None:
        self.layer = layer
        self.heading = f"# {_HEADINGS[layer]}"
        self.waiting = [
            (entry, whole, _cost(whole))
            for entry in entries
            for whole in (quoted(entry.memory, entry.text, entry.said),)
        ]
        self.parts: dict[int, str] = {}
        self.packed: dict[int, Packed] = {}
        self.order = {id(entry): place for place, entry in enumerate(entries)}
        self.needs = sum((cost for _, _, cost in self.waiting), _cost(self.heading))

    def take(self, room: int) -> int:
        """Add the entries that fit, in their order; return how much of the room they take.

        The very first is cut where it does not fit as a whole.
        """
        taken = 0
        for each in list(self.waiting):
            entry, part, cost = each
            left = room - taken - (0 if self.parts else _cost(self.heading))
            truncated = cost > left
            if truncated:
                if self.parts:
                    continue
                part = first_part(entry.memory, entry.text, left - 1, entry.said)
                cost = _cost(part)
                if not part or cost > left:
                    continue
            taken += cost + (0 if self.parts else _cost(self.heading))
            place = self.order[id(entry)]
            self.parts[place] = part
            self.packed[place] = Packed(entry.memory.id, truncated)
            self.waiting.remove(each)
        return taken

    def text(self) -> Iterable[str]:
        yield self.heading
        yield from (self.parts[place] for place in sorted(self.parts))

    def pack(self) -> LayerPack:
        memories = [self.packed[place] for place in sorted(self.packed)]
        return LayerPack(self.layer, memories, len(self.waiting))


def _cost(part: str) -> int:
    return token_bound(part) + 1


def _shares(needs: Sequence[int], room: int) -> list[int]:
    """Divide the room: who needs less than an equal part gets that, the others share the rest."""
    shares = [0] * len(needs)
    for number, place in enumerate(sorted(range(len(needs)), key=needs.__getitem__)):
        shares[place] = min(needs[place], room // (len(needs) - number))
        room -= shares[place]
    return shares


def pack_layers(layers: Sequence[tuple[Layer, Sequence[Entry]]], max_tokens: int) -> WakeUpPack:
    """Quote what fits of each layer; a memory that is in several is told in the first of them."""
    seen: set[str] = set()
    writings = []
    for layer, entries in layers:
        new = [entry for entry in entries if entry.memory.id not in seen]
        seen.update(entry.memory.id for entry in new)
        writings.append(_Writing(layer, new))
    left = max_tokens - token_bound(PREFACE) - 1
    wanting = [each for each in writings if each.waiting]
    sharing = wanting[: max(1, left // _LEAST_SHARE)]
    for each, share in zip(sharing, _shares([each.needs for each in sharing], left), strict=True):
        left -= each.take(share)
    for each in wanting:  # what is left goes to whoever has more to say
        left -= each.take(left)
    parts = [part for each in writings if each.parts for part in each.text()]
    text = "\n".join([PREFACE, *parts]) if parts else ""
    return WakeUpPack(text, token_bound(text), [each.pack() for each in writings])


_PRIORITIES = ("urgent", "high", "medium", "low")
_LATER = datetime.max.replace(tzinfo=UTC)


def task_order(now: datetime) -> Callable[[Memory], tuple[object, ...]]:
    """Return the key by which open tasks are told: overdue and urgent ones first, then the next."""

    def key(task: Memory) -> tuple[object, ...]:
        due = due_of(task)
        priority = task.details.get("priority", "medium")
        place = _PRIORITIES.index(priority) if priority in _PRIORITIES else len(_PRIORITIES)
        is_late = due is not None and due < now
        pressing = 0 if is_late else 1
        when = _LATER if due is None else due
        return (pressing, place, when)

    return key


def due_of(task: Memory) -> datetime | None:
    """Return when a task is due, if that is said."""
    due = task.details.get("due_at")
    return datetime.fromisoformat(due) if isinstance(due, str) else None


def _with(memory: Memory, *fields: tuple[str, str]) -> str:
    """Return the content, and what these details add to it, each under a name."""
    more = [
        f"{name}: {value}" if isinstance(value, str) else f"{name}: {'; '.join(value)}"
        for name, field_name in fields
        if (value := memory.details.get(field_name))
    ]
    return "\n".join([memory.content, *more])


def handoff_entry(memory: Memory) -> Entry:
    """Tell a hand-off."""
    with_whom = memory.details.get("with_whom")
    return Entry(memory, memory.content, (f"with {_plain(with_whom)}",) if with_whom else ())


def task_entry(memory: Memory, now: datetime) -> Entry:
    """Tell an open task."""
    due = due_of(memory)
    said = [memory.details.get("status", "todo"), memory.details.get("priority")]
    if due is not None:
        said.append(f"{'overdue since' if due < now else 'due'} {due.date().isoformat()}")
    return Entry(memory, memory.content, tuple(str(each) for each in said if each))


def conflict_entries(one: Memory, other: Memory) -> list[Entry]:
    """Tell two memories that contradict each other."""
    return [
        Entry(one, one.content, (f"contradicts {other.id}",)),
        Entry(other, other.content, (f"contradicted by {one.id}",)),
    ]


def decision_entry(memory: Memory) -> Entry:
    """Tell a decision and why it was taken."""
    fields = (("Why", "rationale"), ("Instead of", "options"), ("Outcome", "outcome"))
    return Entry(memory, _with(memory, *fields))


def error_entry(memory: Memory) -> Entry:
    """Tell an error and what cured it."""
    return Entry(memory, _with(memory, ("Error", "error_signature"), ("Cure", "solution")))


def heuristic_entry(memory: Memory) -> Entry:
    """Tell what to do when."""
    confidence = memory.details.get("confidence")
    said = () if confidence is None else (f"confidence {confidence:.2f}",)
    return Entry(memory, _with(memory, ("When", "condition"), ("Do", "action")), said)


def session_entry(memory: Memory) -> Entry:
    """Tell a session and what came of it."""
    status = memory.details.get("status", "active")
    return Entry(memory, _with(memory, ("Outcome", "outcome")), (str(status),))


def _plain(name: object) -> str:
    """Return a name as it can stand between the brackets of a head, whatever is in it."""
    return "".join(char if char.isalnum() or char in " -_.@" else "?" for char in str(name))
