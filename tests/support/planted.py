"""Episodes with regularities that were put there on purpose, and one that only looks like one.

- In work of the type `bugfix`, the order reproduce, locate, patch, verify succeeds nine times of
  ten; other orders of the same tools three times of ten.
- The error `LockTimeout` of the tool `migrate` is cured by `vacuum`; `wait` and `retry_flag` are
  tried as often and hardly ever help.
- The tool `banner` is in all work of the type `typo`, which nearly always succeeds, and in a tenth
  of everything else, where it changes nothing: over all episodes it goes along with success.
- The tools `open` and `report` are in every episode.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

ORDER = ("reproduce", "locate", "patch", "verify")
CURE = ("vacuum", "migrate")
ERROR = "LockTimeout"
MISLEADING = "banner"


@dataclass(frozen=True, slots=True)
class Planted:
    """An episode, as it is sent."""

    task: dict[str, Any]
    steps: list[dict[str, Any]]
    outcome: str


def planted(count: int = 200, seed: int = 20_261_123) -> list[Planted]:
    """Return episodes; the same for the same seed."""
    chance = random.Random(seed)  # noqa: S311  # no secret
    return [_episode(chance, number) for number in range(count)]


def _episode(chance: random.Random, number: int) -> Planted:
    kind = chance.choices(["bugfix", "migration", "typo"], [5, 3, 2])[0]
    match kind:
        case "bugfix":
            tools, share = _bugfix(chance)
            steps = [{"tool": tool} for tool in tools]
        case "migration":
            steps, cured = _migration(chance)
            share = 0.7 if cured else 0.35
        case _:
            steps, share = [{"tool": "edit"}, {"tool": MISLEADING}], 0.95
    if kind != "typo" and chance.random() < 0.1:
        steps.insert(chance.randint(0, len(steps)), {"tool": MISLEADING})
    steps = [{"tool": "open"}, *steps, {"tool": "report"}]
    task = {
        "content": f"{_WORDS[kind]}, ticket {number}",
        "task_type": kind,
        "language": chance.choice(["go", "python"]),
        "project": chance.choice(["shop", "gate"]),
    }
    return Planted(task, steps, "success" if chance.random() < share else "failure")


_WORDS = {
    "bugfix": "The page of the cart shows a wrong sum",
    "migration": "Move the table of orders to the new schema",
    "typo": "A word on the start page is misspelt",
}


def _bugfix(chance: random.Random) -> tuple[list[str], float]:
    tools = list(ORDER)
    if chance.random() < 0.5:
        return tools, 0.9
    while tuple(tools) == ORDER:
        chance.shuffle(tools)
    return tools, 0.3


def _migration(chance: random.Random) -> tuple[list[dict[str, Any]], bool]:
    failed = {"tool": "migrate", "error": ERROR}
    cure = chance.choice(["vacuum", "wait", "retry_flag"])
    cured = chance.random() < (0.95 if cure == "vacuum" else 0.1)
    again: dict[str, Any] = {"tool": "migrate"} if cured else dict(failed)
    return [{"tool": "backup"}, failed, {"tool": cure}, again], cured
