"""`kubectl_complete-memorybank`, which kubectl asks for what may come next on the command line: it
prints a candidate per line, and a last line that tells the shell to offer no files.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence

from memorybank_operator.kube import kinds
from memorybank_operator.kube.connection import ConnectionConfigError
from memorybank_operator.kube.errors import KubeError
from memorybank_operator.plugin import access, parser, reading
from memorybank_operator.plugin.problems import Problem

NO_FILES = ":4"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what may come next; nothing when that cannot be known."""
    *words, last = list(sys.argv[1:] if arguments is None else arguments) or [""]
    for each in candidates(words, last):
        print(each)  # noqa: T201 - what kubectl reads
    print(NO_FILES)  # noqa: T201 - what kubectl reads
    return 0


def candidates(words: Sequence[str], last: str) -> list[str]:
    """Return what may stand in the place of the last word, after these."""
    commands = _commands()
    if not words:
        return [each for each in commands if each.startswith(last)]
    command = commands.get(words[0])
    if command is None:
        return []
    actions = command._actions
    if last.startswith("-"):
        flags = [flag for each in actions for flag in each.option_strings]
        return [each for each in flags if each.startswith(last)]
    before = next((each for each in actions if words[-1] in each.option_strings), None)
    if before is not None and before.nargs != 0:
        return [str(each) for each in before.choices or () if str(each).startswith(last)]
    choices = next((each.choices for each in actions if each.dest == "action"), None)
    if choices and words[-1] == words[0]:
        return [each for each in choices if each.startswith(last)]
    if not any(each.dest == "name" and not each.option_strings for each in actions):
        return []
    return [each for each in _banks(words) if each.startswith(last)]


def _commands() -> dict[str, argparse.ArgumentParser]:
    for each in parser.build()._actions:
        if isinstance(each, argparse._SubParsersAction):
            return dict(each.choices)
    return {}


def _banks(words: Sequence[str]) -> list[str]:
    options = argparse.ArgumentParser(add_help=False, exit_on_error=False)
    for flags in (("-n", "--namespace"), ("--context",), ("--kubeconfig",)):
        options.add_argument(*flags, default="")
    try:
        asked, _ = options.parse_known_args(list(words))
        return asyncio.run(_names(asked))
    except (argparse.ArgumentError, ConnectionConfigError, KubeError, Problem):
        return []


async def _names(asked: argparse.Namespace) -> list[str]:
    found = access.find(asked.kubeconfig, asked.context)
    async with reading.opened(found) as api:
        namespace = asked.namespace or found.namespace
        items = await reading.listed(api, kinds.MEMORY_BANK, namespace)
        return [each["metadata"]["name"] for each in items]
