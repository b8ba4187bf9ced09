"""The steps a plan consists of. The loop only executes them, in order; every step is safe to
repeat.
"""

from __future__ import annotations

from dataclasses import dataclass

from memorybank_operator.reconcile.observed import ChildKey, KubeObject


@dataclass(frozen=True, slots=True)
class Apply:
    """Server-side apply: afterwards the object has all fields rendered, and no field we once
    rendered and dropped.
    """

    body: KubeObject
    drift: tuple[str, ...] = ()
    """Paths where the live object, once applied, was changed by somebody else; empty for new
    renderings.
    """


@dataclass(frozen=True, slots=True)
class Create:
    """Create only: an object of that name that exists already is left as it is. For generated
    secrets.
    """

    body: KubeObject


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete exactly the object observed (by uid)."""

    key: ChildKey
    uid: str


Step = Apply | Create | Delete


@dataclass(frozen=True, slots=True)
class Note:
    """An Event for people on the bank."""

    reason: str
    """CamelCase, from a fixed set."""
    message: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class Problem:
    """What keeps the bank from being as its spec wants it."""

    reason: str
    message: str
    """Names the field and the cure."""
    terminal: bool = False
    """True when no retry can cure it: the spec or somebody else's object has to change."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything one reconcile will do."""

    steps: tuple[Step, ...] = ()
    notes: tuple[Note, ...] = ()
    problems: tuple[Problem, ...] = ()
    revision: str = ""
    """The pod template's revision that the spec asks for; empty when it could not be rendered."""
    requeue_after: float | None = None
    """Seconds after which to look again though nothing changed; None when events will tell."""
