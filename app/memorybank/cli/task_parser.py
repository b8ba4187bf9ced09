"""The arguments of `memorybank task` and `edge`; see cli.tasks."""

from __future__ import annotations

import argparse

from memorybank.cli.work_parser import Adds
from memorybank.domain.edges import MAX_DEPTH, Direction
from memorybank.domain.memory import LinkType
from memorybank.domain.work.tasks import Priority, TaskMove, TaskStatus

TASK_GROUPS = {
    "task": "keep what is to be done, what it waits for, and how it goes",
    "edge": "join memories, and walk along what joins them",
}
_MOVES = {
    TaskMove.START: "begin with a task",
    TaskMove.BLOCK: "say that a task cannot go on",
    TaskMove.UNBLOCK: "go on with a blocked task",
    TaskMove.COMPLETE: "end a task that is done",
    TaskMove.CANCEL: "end a task that is not to be done",
    TaskMove.REOPEN: "take an end back",
}
_TYPES = [each.value for each in LinkType]


def add_tasks(adds: Adds) -> None:
    """Add the commands of both groups."""
    _add_tasks(adds)
    _add_moves(adds)
    _add_reports(adds)
    _add_edges(adds)


def _add_tasks(adds: Adds) -> None:
    priorities = [each.value for each in Priority]
    add = adds("task", "add", "keep a task and print its id")
    add.add_argument("title", help="what is to be done, in a line")
    for name in ("description", "project", "session", "assignee", "parent"):
        add.add_argument(f"--{name}")
    add.add_argument("--due-at", metavar="TIME", help="such as 2026-03-01T12:00:00Z")
    add.add_argument("--priority", choices=priorities)
    add.add_argument(
        "--depends-on", action="append", metavar="ID", help="a task to be done before; repeatable"
    )
    add.add_argument("--tag", action="append", dest="tags", help="may be repeated")
    add.add_argument("--importance", type=float, metavar="0..1")
    add.set_defaults(run="tasks:add")
    get = adds("task", "get", "show a task")
    get.add_argument("id")
    get.set_defaults(run="tasks:get")
    every = adds("task", "list", "list tasks, newest first")
    for name in ("project", "session", "assignee", "parent"):
        every.add_argument(f"--{name}")
    for name in ("due-after", "due-before"):
        every.add_argument(f"--{name}", metavar="TIME")
    every.add_argument(
        "--status", action="append", choices=[each.value for each in TaskStatus], help="repeatable"
    )
    every.add_argument("--priority", choices=priorities)
    for name in ("open", "overdue", "blocked"):
        every.add_argument(f"--{name}", action=argparse.BooleanOptionalAction, default=None)
    every.add_argument("--tag", action="append", dest="tags", help="may be repeated: all of them")
    every.add_argument("--limit", type=int, default=20, help="how many at most (default 20)")
    every.set_defaults(run="tasks:list_")


def _add_moves(adds: Adds) -> None:
    for move, text in _MOVES.items():
        command = adds("task", move.value, text)
        command.add_argument("id")
        if move is TaskMove.BLOCK:
            command.add_argument("--reason", help="what it waits for")
        if move in (TaskMove.COMPLETE, TaskMove.CANCEL):
            command.add_argument("--outcome", help="what came of it")
        if move not in (TaskMove.BLOCK, TaskMove.UNBLOCK):
            command.add_argument(
                "--force", action="store_true", default=None, help="whatever is open"
            )
        command.set_defaults(run="tasks:move")
    depend = adds("task", "depend", "let a task wait for another one")
    depend.add_argument("id")
    depend.add_argument("on", help="the id of the other one")
    depend.add_argument("--remove", action="store_true", help="no longer")
    depend.set_defaults(run="tasks:depend")


def _add_reports(adds: Adds) -> None:
    for name, text in (
        ("statistics", "count tasks by where they stand"),
        ("efficiency", "report how long tasks took"),
    ):
        report = adds("task", name, text)
        report.add_argument("--project")
        report.add_argument("--assignee")
        if name == "efficiency":
            report.add_argument("--days", type=int, help="that ended within them (default 28)")
        report.set_defaults(run=f"tasks:{name}")


def _add_edges(adds: Adds) -> None:
    for name, text in (("add", "join two memories"), ("remove", "take edges away")):
        command = adds("edge", name, text)
        command.add_argument("source")
        command.add_argument("target")
        command.add_argument(
            "--type", choices=_TYPES, default="related_to" if name == "add" else None
        )
        command.set_defaults(run=f"tasks:edge_{name}")
    for name, text in (("list", "list the edges of a memory"), ("traverse", "walk along edges")):
        command = adds("edge", name, text)
        command.add_argument("memory", help="its id")
        command.add_argument("--type", action="append", choices=_TYPES, help="may be repeated")
        command.add_argument("--direction", choices=[each.value for each in Direction])
        if name == "traverse":
            command.add_argument("--depth", type=int, help=f"1 to {MAX_DEPTH} (default 2)")
            command.add_argument("--limit", type=int, help="how many at most (default 100)")
        command.set_defaults(run=f"tasks:edge_{name}")
    order = adds("edge", "order", "put what depends on what in an order")
    what = order.add_mutually_exclusive_group(required=True)
    what.add_argument("--root", help="a memory and what it depends on")
    what.add_argument("--project", help="what depends on what in a project")
    order.set_defaults(run="tasks:edge_order")
