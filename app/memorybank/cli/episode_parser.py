"""The arguments of `memorybank episode` and `pattern`; see cli.episodes.

What episodes have in common with other kinds is in cli.work_parser: start, get, list.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

GROUPS = {"pattern": "what episodes teach, and what it says of a task"}

_OUTCOMES = ("success", "partial_success", "failure")
_EFFECTS = ("helped", "no_effect", "hindered")
_KINDS = ("sequence", "decision", "cure", "context")


def add_episodes(adds: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    """Add the commands."""
    _add_steps(adds)
    _add_ends(adds)
    _add_checkpoints(adds)
    _add_patterns(adds)


def _add_steps(adds: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    step = adds("episode", "step", "tell what was done")
    step.add_argument("id")
    step.add_argument("tool", help="what did it: a tool, a command")
    for option in ("action", "error", "observation"):
        step.add_argument(f"--{option}")
    step.add_argument("--latency-ms", type=int)
    step.add_argument("--tokens", type=int)
    step.add_argument("--wait", action="store_true", help="until it is durable")
    step.set_defaults(run="episodes:step")
    steps = adds("episode", "steps", "show what was done")
    steps.add_argument("id")
    steps.add_argument("--limit", type=int, default=100, help="how many at most (default 100)")
    steps.set_defaults(run="episodes:steps")


def _add_ends(adds: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    for action, text in (
        ("complete", "end an episode with what came of it"),
        ("abandon", "end an episode that comes to nothing"),
    ):
        end = adds("episode", action, text)
        end.add_argument("id")
        if action == "complete":
            end.add_argument("--outcome", choices=_OUTCOMES, required=True)
            end.add_argument("--reward", type=float, metavar="0..1")
        end.add_argument("--verdict", help="how it went, in a sentence")
        end.add_argument("--reflection", help="what is to be learned from it")
        end.add_argument("--artifact", action="append", dest="artifacts", help="may be repeated")
        end.set_defaults(run="episodes:end")


def _add_checkpoints(adds: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    place = adds("episode", "checkpoint", "mark a place to go on from, and print its id")
    place.add_argument("id")
    place.add_argument("reason", help="why here")
    place.add_argument("--note", help="what whoever goes on should know")
    place.add_argument("--left", action="append", help="what is to be done; may be repeated")
    place.add_argument("--artifact", action="append", dest="artifacts", help="may be repeated")
    place.add_argument("--handoff", action="store_true", default=None, help="also as a memory")
    place.set_defaults(run="episodes:checkpoint")
    for action, text in (
        ("pack", "show what whoever goes on from a checkpoint has to know"),
        ("resume", "begin an episode that goes on from a checkpoint, and print its id"),
    ):
        command = adds("episode", action, text)
        command.add_argument("id")
        command.add_argument("checkpoint")
        command.set_defaults(run=f"episodes:{action}")


def _add_patterns(adds: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    every = adds("pattern", "list", "list what episodes have in common, the best first")
    every.add_argument("--kind", choices=_KINDS)
    every.add_argument("--project")
    every.add_argument("--task-type")
    every.add_argument("--proven", action="store_true", default=None, help="no coincidences")
    every.add_argument("--limit", type=int, default=20, help="how many at most (default 20)")
    every.set_defaults(run="episodes:patterns")
    one = adds("pattern", "get", "show a pattern, and the episodes for and against it")
    one.add_argument("id")
    one.set_defaults(run="episodes:pattern")
    learn = adds("pattern", "learn", "write proven patterns down as heuristics")
    learn.set_defaults(run="episodes:learn")
    advice = adds("pattern", "recommend", "say what experience has for a task")
    advice.add_argument("text", help="the task in words")
    for option in ("task-type", "domain", "language", "framework", "project"):
        advice.add_argument(f"--{option}")
    advice.add_argument("--error", action="append", dest="errors", help="met; may be repeated")
    advice.add_argument("--max-tokens", type=int)
    advice.set_defaults(run="episodes:recommend")
    told = adds("pattern", "feedback", "say what a pattern was good for in an episode")
    told.add_argument("id")
    told.add_argument("episode")
    told.add_argument("effect", choices=_EFFECTS)
    told.set_defaults(run="episodes:feedback")
