"""The arguments of `memorybank edit`; see cli.edits."""

from __future__ import annotations

from memorybank.cli.work_parser import Adds
from memorybank.domain.work.edits import EditStatus

EDIT_GROUPS = {"edit": "propose changes of memories, and decide about them"}
_DECISIONS = {
    "approve": "change a memory as it was proposed",
    "reject": "decide that a proposal is not to be",
    "roll-back": "undo a proposal that was approved",
}


def add_edits(adds: Adds) -> None:
    """Add the commands."""
    propose = adds("edit", "propose", "propose a change of a memory and print the proposal's id")
    propose.add_argument("memory", help="its id")
    propose.add_argument("--content", help="what it is to say; - reads it from standard input")
    propose.add_argument("--title")
    propose.add_argument("--patch", metavar="JSON", help="fields to change, as a JSON object")
    propose.add_argument("--reason", required=True, help="why; for who decides")
    propose.add_argument("--revision", type=int, help="the one that you have seen")
    propose.set_defaults(run="edits:propose")
    get = adds("edit", "get", "show a proposal")
    get.add_argument("id")
    get.set_defaults(run="edits:get")
    every = adds("edit", "list", "list proposals, newest first")
    every.add_argument("--status", choices=[each.value for each in EditStatus])
    every.add_argument("--memory", metavar="ID", help="only those about it")
    every.add_argument("--project")
    every.add_argument("--limit", type=int, default=20, help="how many at most (default 20)")
    every.set_defaults(run="edits:list_")
    for name, text in _DECISIONS.items():
        command = adds("edit", name, text)
        command.add_argument("id")
        command.add_argument("--comment", help="why it is decided so")
        command.set_defaults(run="edits:decide")
