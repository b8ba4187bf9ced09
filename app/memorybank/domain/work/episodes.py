"""An episode: a piece of work that is told step by step, from its task to its outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from memorybank.domain.memory import Memory
from memorybank.errors import Conflict, NotFound

MAX_STEPS = 10_000
"""Of one episode."""
MAX_CHECKPOINTS = 50
MAX_FEEDBACK = 50
_MOST_DONE = 50
"""Steps that a pack tells one by one, the newest."""
_SHOWN = 300
"""Characters of a step in a pack."""


class EpisodeStatus(StrEnum):
    """Where an episode stands."""

    OPEN = "open"
    COMPLETED = "completed"
    ABANDONED = "abandoned"


class EpisodeOutcome(StrEnum):
    """What came of an episode."""

    SUCCESS = "success"
    PARTIAL_SUCCESS = "partial_success"
    FAILURE = "failure"


class StepResult(StrEnum):
    """How a step went."""

    OK = "ok"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class StepBatching:
    """When steps that wait are written."""

    steps: int = 100
    """As soon as so many of a tenant wait."""
    seconds: float = 1.0
    """What waits longer is written, however little it is."""


@dataclass(frozen=True, slots=True)
class Step:
    """Something that was done in an episode. Never changed: what happened has happened."""

    tool: str
    at: datetime
    """When, aware UTC."""
    number: int = 0
    """Its place in the episode, from 1; 0 for one that is to get the next."""
    result: StepResult = StepResult.OK
    action: str | None = None
    error: str | None = None
    """What is the same of an error each time that it comes: the name of an exception, say."""
    observation: str | None = None
    latency_ms: int | None = None
    tokens: int | None = None

    def says(self, other: Step) -> bool:
        """Whether both tell of the same thing, whenever each was told."""
        return all(getattr(self, name) == getattr(other, name) for name in _SAID)


_SAID = ("tool", "result", "action", "error", "observation", "latency_ms", "tokens")


def status_of(episode: Memory) -> EpisodeStatus:
    """Return where an episode stands; one that says nothing of it is open."""
    return EpisodeStatus(episode.details.get("status", EpisodeStatus.OPEN))


def require_open(episode: Memory) -> None:
    """Raises Conflict for an episode that is over."""
    status = status_of(episode)
    if status is not EpisodeStatus.OPEN:
        raise Conflict(
            f"the episode is {status}: nothing more happens in it",
            field="id",
            hint="create another one, or resume from one of its checkpoints;"
            " a rollback undoes an end that was a mistake",
        )


def completed(episode: Memory, said: Mapping[str, Any], *, now: datetime) -> dict[str, Any]:
    """Return what changes with an outcome and what else is said of the end, nothing where all of
    it is there already. Raises Conflict.
    """
    if status_of(episode) is EpisodeStatus.COMPLETED and _is_there(episode, said):
        return {}
    require_open(episode)
    return _ended(episode, EpisodeStatus.COMPLETED, said, now)


def abandoned(episode: Memory, said: Mapping[str, Any], *, now: datetime) -> dict[str, Any]:
    """Return what changes when nothing comes of an episode; it teaches nothing then."""
    if status_of(episode) is EpisodeStatus.ABANDONED and _is_there(episode, said):
        return {}
    require_open(episode)
    return _ended(episode, EpisodeStatus.ABANDONED, said, now)


def _is_there(episode: Memory, said: Mapping[str, Any]) -> bool:
    return all(episode.details.get(name) == value for name, value in said.items())


def _ended(
    episode: Memory, status: EpisodeStatus, said: Mapping[str, Any], now: datetime
) -> dict[str, Any]:
    return {"details": {**episode.details, **said, "status": status.value, "ended_at": now}}


def checkpointed(episode: Memory, checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Return what changes with another place to go on from. Raises Conflict."""
    require_open(episode)
    known = episode.details.get("checkpoints", [])
    if len(known) >= MAX_CHECKPOINTS:
        raise Conflict(
            f"the episode has {MAX_CHECKPOINTS} checkpoints already",
            field="id",
            hint="resume from the newest of them: a new episode has room for more",
        )
    return {"details": {**episode.details, "checkpoints": [*known, dict(checkpoint)]}}


def checkpoint_of(episode: Memory, checkpoint_id: str) -> Mapping[str, Any]:
    """Return a checkpoint; raises NotFound."""
    found: Mapping[str, Any]
    for found in episode.details.get("checkpoints", []):
        if found["id"] == checkpoint_id:
            return found
    raise NotFound(
        "the episode has no checkpoint of this id",
        field="checkpoint",
        hint="they are in its details",
    )


def told_of(episode: Memory, pattern: str, effect: str) -> dict[str, Any]:
    """Return what changes when somebody says what a pattern was good for in an episode; the newest
    word counts. Raises Conflict.
    """
    known = episode.details.get("feedback", [])
    said = {"pattern": pattern, "effect": effect}
    if said in known:
        return {}
    others = [each for each in known if each["pattern"] != pattern]
    if len(others) >= MAX_FEEDBACK:
        raise Conflict(
            f"the episode says of {MAX_FEEDBACK} patterns already what they were good for",
            field="id",
            hint="tell it of the next episode",
        )
    return {"details": {**episode.details, "feedback": [*others, said]}}


@dataclass(frozen=True, slots=True)
class Pack:
    """What whoever goes on from a checkpoint has to know."""

    episode: str
    checkpoint: str
    goal: str
    reason: str
    note: str | None
    steps: int
    """How many there were at the checkpoint."""
    done: tuple[str, ...]
    """The newest of them, each in a line, oldest first."""
    failed: tuple[str, ...]
    """Errors that were met up to then, each once, with the step that met it last."""
    left: tuple[str, ...]
    artifacts: tuple[str, ...]

    def text(self) -> str:
        """Return all of it in words."""
        parts = [f"Goal: {self.goal}", f"Stopped: {self.reason}"]
        if self.note is not None:
            parts.append(self.note)
        if self.done:
            parts.append(f"Done, {self.steps} steps:\n" + "\n".join(self.done))
        for name, lines in (
            ("Errors met", self.failed),
            ("Left to do", self.left),
            ("Artifacts", self.artifacts),
        ):
            if lines:
                parts.append(f"{name}:\n" + "\n".join(f"- {line}" for line in lines))
        return "\n\n".join(parts)


def pack(episode: Memory, checkpoint: Mapping[str, Any], steps: Sequence[Step]) -> Pack:
    """Return the pack of a checkpoint; `steps` are those of the episode, in order."""
    before = [step for step in steps if step.number <= checkpoint["at_step"]]
    met = {step.error: step for step in before if step.error is not None}
    return Pack(
        episode=episode.id,
        checkpoint=checkpoint["id"],
        goal=episode.content,
        reason=checkpoint["reason"],
        note=checkpoint.get("note"),
        steps=checkpoint["at_step"],
        done=tuple(map(_told, before[-_MOST_DONE:])),
        failed=tuple(f"{error} (step {step.number}, {step.tool})" for error, step in met.items()),
        left=tuple(checkpoint.get("left", ())),
        artifacts=tuple(checkpoint.get("artifacts", episode.details.get("artifacts", ()))),
    )


def _told(step: Step) -> str:
    words = f"{step.number}. {step.tool}"
    if step.action is not None:
        words += f": {' '.join(step.action.split())}"
    if step.result is StepResult.ERROR:
        words += f" -> {step.error or 'error'}"
    return words if len(words) <= _SHOWN else words[: _SHOWN - 1] + "…"
