"""The arguments of the commands for what agents work with; see cli.work."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

from memorybank.domain.wakeup import Layer
from memorybank.domain.work.episodes import EpisodeOutcome, EpisodeStatus
from memorybank.domain.work.handoffs import PARTS
from memorybank.domain.work.sessions import SessionMove, SessionStatus

_ENTRIES = ("info", "milestone", "issue", "solution")
_MOVES = {
    SessionMove.PAUSE: "pause a session",
    SessionMove.RESUME: "go on with a paused session",
    SessionMove.COMPLETE: "end a session with what came of it",
    SessionMove.ABORT: "end a session that comes to nothing",
}

Adds = Callable[[str, str, str], argparse.ArgumentParser]
"""Adds a command: its group, its name, what it does. It knows which bank and which form."""


@dataclass(frozen=True, slots=True)
class _Kind:
    text: str
    """Of the group."""
    first: str
    """What the command that adds one does."""
    about: str
    """What the one argument of its own is called that every one must have."""
    options: tuple[str, ...] = ()
    """Of texts, by the names that the routes have for them."""
    lists: tuple[tuple[str, str], ...] = ()
    """Options that may be repeated, with the names of the fields."""
    json: str | None = None
    """An option whose value is JSON."""
    filters: tuple[str, ...] = ("project",)
    flags: tuple[str, ...] = ()
    """Of lists as well."""
    adding: str = "add"
    numbers: tuple[str, ...] = ()
    """Options from 0 to 1."""
    made_of_options: bool = False
    """Whether what it is about may be left out."""


_WRITTEN = ("title", "project", "session", "occurred_at")
_KINDS = {
    "project": _Kind(
        "make projects known, and list them",
        "make a project known, or find the one of that name,",
        "name",
        options=("description", "path", "language", "framework"),
        filters=("project", "path"),
        adding="init",
    ),
    "session": _Kind(
        "start sessions of work, log what happens, end them",
        "start a session",
        "title",
        options=("description", "project"),
        filters=("project", "status"),
        adding="start",
    ),
    "note": _Kind(
        "keep notes", "keep a note", "content", options=_WRITTEN, filters=("project", "session")
    ),
    "decision": _Kind(
        "keep what was decided, and why",
        "keep a decision",
        "content",
        options=(*_WRITTEN, "rationale", "outcome"),
        lists=(
            ("option", "options"),
            ("constraint", "constraints"),
            ("consequence", "consequences"),
        ),
        filters=("project", "session"),
    ),
    "capsule": _Kind(
        "leave word for an audience until it expires",
        "leave a capsule",
        "content",
        options=(*_WRITTEN, "subject", "expires_at"),
        lists=(("for", "audience"),),
        filters=("project", "session", "audience"),
        flags=("include_expired",),
    ),
    "episode": _Kind(
        "tell work step by step, and go on with it",
        "begin a piece of work",
        "content",
        options=(
            *("title", "task_type", "domain", "language", "framework", "complexity"),
            *("project", "session"),
        ),
        filters=("project", "session", "status", "outcome", "task_type"),
        adding="start",
    ),
    "event": _Kind(
        "record what happened",
        "record an event",
        "content",
        options=(*_WRITTEN, "kind"),
        json="payload",
        filters=("project", "session", "kind"),
    ),
    "handoff": _Kind(
        "leave work to whoever goes on, and see what was left",
        "hand off",
        "content",
        options=(*_WRITTEN, "with_whom", *PARTS, "sensitivity"),
        numbers=("significance",),
        filters=("project", "session", "with_whom", "min_significance"),
        flags=("include_sensitive",),
        made_of_options=True,
    ),
}
_CHOICES = {
    ("session", "status"): [each.value for each in SessionStatus],
    ("episode", "status"): [each.value for each in EpisodeStatus],
    ("episode", "outcome"): [each.value for each in EpisodeOutcome],
}
GROUPS = {name: kind.text for name, kind in _KINDS.items()}


def add_work(adds: Adds) -> None:
    """Add the commands of all kinds."""
    for name, kind in _KINDS.items():
        _add_kind(adds, name, kind)
    for move, text in _MOVES.items():
        command = adds("session", move.value, text)
        command.add_argument("id")
        if move in (SessionMove.COMPLETE, SessionMove.ABORT):
            needed = move is SessionMove.COMPLETE
            command.add_argument("--outcome", required=needed, help="what came of it")
        command.set_defaults(run="work:move")
    for name, text in (
        ("last", "show the last hand-off"),
        ("thread", "show hand-offs in their order, and what came of their sessions"),
    ):
        some = adds("handoff", name, text)
        for option in ("project", "session", "with-whom"):
            some.add_argument(f"--{option}")
        some.add_argument("--include-sensitive", action="store_true", default=None)
        if name == "thread":
            some.add_argument("--limit", type=int, help="how many at most (default 20)")
        filters = ("project", "session", "with_whom", "include_sensitive")
        some.set_defaults(run=f"handoffs:{name}", filters=filters)
    log = adds("session", "log", "add to the log of a session, or show it")
    log.add_argument("id")
    log.add_argument("content", nargs="?", help="what happened; - reads it from standard input")
    log.add_argument(
        "--kind", choices=_ENTRIES, help="of the entry (default info), or of those to show"
    )
    _add_listing(log)
    log.set_defaults(run="work:log", filters=("kind",))


def add_wake_up(command: argparse.ArgumentParser) -> None:
    """Add the arguments of the command of this name."""
    for option in ("project", "session", "with-whom", "subject"):
        command.add_argument(f"--{option}")
    command.add_argument("--max-tokens", type=int, help="how long it may be (default 1500)")
    layers = [each.value for each in Layer]
    command.add_argument(
        "--layer", action="append", dest="layers", choices=layers, help="may be repeated"
    )
    command.add_argument("--include-sensitive", action="store_true", default=None)
    command.set_defaults(run="handoffs:wake_up")


def _add_kind(adds: Adds, name: str, kind: _Kind) -> None:
    add = adds(name, kind.adding, f"{kind.first} and print its id")
    text = "; - reads it from standard input" if kind.about == "content" else ""
    optional = "; made of the options, if it is left out" if kind.made_of_options else ""
    add.add_argument(
        kind.about,
        nargs="?" if kind.made_of_options else None,
        help=f"its {kind.about}{text}{optional}",
    )
    for option in kind.options:
        add.add_argument(f"--{option.replace('_', '-')}")
    for option, field in kind.lists:
        add.add_argument(f"--{option}", action="append", dest=field, help="may be repeated")
    if kind.json is not None:
        add.add_argument(f"--{kind.json}", metavar="JSON", help="a JSON object")
    add.add_argument("--tag", action="append", dest="tags", help="may be repeated")
    for option in ("importance", *kind.numbers):
        add.add_argument(f"--{option}", type=float, metavar="0..1")
    fields = (kind.about, *kind.options, *(field for _, field in kind.lists))
    add.set_defaults(
        run="work:add", fields=(*fields, "tags", "importance", *kind.numbers), json=kind.json
    )
    get = adds(name, "get", f"show a {name}")
    get.add_argument("id")
    get.set_defaults(run="work:get")
    every = adds(name, "list", f"list {name}s, newest first")
    for option in kind.filters:
        every.add_argument(f"--{option.replace('_', '-')}", choices=_CHOICES.get((name, option)))
    for flag in kind.flags:
        every.add_argument(f"--{flag.replace('_', '-')}", action="store_true", default=None)
    _add_listing(every)
    every.set_defaults(run="work:list_", filters=(*kind.filters, *kind.flags))


def _add_listing(command: argparse.ArgumentParser) -> None:
    command.add_argument("--tag", action="append", dest="tags", help="may be repeated: all of them")
    command.add_argument("--limit", type=int, default=20, help="how many at most (default 20)")
