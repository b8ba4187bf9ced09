"""The steps a plan consists of. The loop only executes them, in order; every step is safe to
repeat.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from memorybank_operator.api.v1alpha1.conditions import Reason
from memorybank_operator.api.v1alpha1.update import PlanStatus
from memorybank_operator.configfiles.in_effect import Configuration
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
    spare: bool = False
    """Whether the bank goes on without it: when it is refused, that is told, and nothing waits."""
    uid: str = ""
    """Of the object observed: this one is changed or none. Empty for one to be made."""


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


@dataclass(frozen=True, slots=True)
class Mark:
    """Change the metadata, and nothing else, of exactly the object observed (by resource version).
    Never makes one.
    """

    key: ChildKey
    version: str
    changes: Mapping[str, Any]
    """A merge patch of its metadata."""


@dataclass(frozen=True, slots=True)
class Share:
    """Let somebody else own fields of an object as well, as they are, so that they stay when we do
    not ask for them any more. What is another's already is left to him.
    """

    body: KubeObject
    """The object, with these fields alone, and the uid of the one observed."""


Step = Apply | Create | Mark | Share | Delete


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
class Origin:
    """What a rendering of the pod is made from."""

    generation: int
    image: str
    spec: Mapping[str, Any]
    """The parts of the spec that shape the pod."""
    defaults: Mapping[str, Any] | None = None
    """What of the pod is not of the spec but of the defaults; None for nothing."""


@dataclass(frozen=True, slots=True)
class Held:
    """A change of the pod that waits."""

    reason: Reason
    message: str = ""
    by_user: bool = True
    """Whether the user asked for it. What the operator changes by itself does not make a bank less
    ready while it waits.
    """
    asks: bool = False
    """Whether it may begin as soon as it is the bank's turn."""
    plan: PlanStatus | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything one reconcile will do."""

    steps: tuple[Step, ...] = ()
    notes: tuple[Note, ...] = ()
    problems: tuple[Problem, ...] = ()
    revision: str = ""
    """The pod template's revision that is to serve now; empty when it could not be rendered."""
    wanted: str = ""
    """The revision that the spec asks for; another one only while a change waits."""
    origin: Origin | None = None
    """What `revision` was rendered from, None when it is only what is found."""
    asked: Origin | None = None
    """What `wanted` is rendered from."""
    held: Held | None = None
    configuration: Configuration | None = None
    """What the pod is to run by; None while that cannot be told."""
    requeue_after: float | None = None
    """Seconds after which to look again though nothing changed; None when events will tell."""
