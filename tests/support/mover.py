"""Runs `memorybank move` again and again, each time but the last killed at a moment of the dice.

Run as `python -m tests.support.mover SEED KILLS COMMAND...`. A move is killed by SIGKILL, right
before or right after one of its durable writes to either end. Prints a line per run: how many
writes it was given, and its exit code.
"""

from __future__ import annotations

import os
import random
import signal
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from memorybank.__main__ import main
from memorybank.stores.postgres.moving import PostgresEnd
from memorybank.stores.sqlite.moving import SqliteEnd

MOST_WRITES = 35
"""As many as any move has before the source is marked as moved: from there on little is left, and
tests/app/stores/test_moving.py dies at each of it. About half of them are behind the gate."""


def dies_at(writes: int, *, before: bool) -> None:
    """Let this process die at a write."""
    left = [None] * writes

    def write(self: Any, work: Callable[[Any], Any], *, original: Callable[..., Any]) -> Any:
        if before and not left:
            os.kill(os.getpid(), signal.SIGKILL)
        answer = original(self, work)
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        left.pop()
        return answer

    for end in (PostgresEnd, SqliteEnd):
        original = end.write
        end.write = lambda self, work, original=original: write(self, work, original=original)  # type: ignore[method-assign]


def run(argv: list[str], prepare: Callable[[], None]) -> int:
    """Run the command in a process of its own; return its exit code."""
    child = os.fork()
    if not child:
        prepare()
        code = main(argv)
        sys.stdout.flush()
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def run_all(seed: int, kills: int, argv: list[str]) -> int:
    """Return the exit code of the last run."""
    dice = random.Random(seed)  # noqa: S311  # chooses moments
    for _ in range(kills):
        writes = dice.randrange(MOST_WRITES)
        code = run(argv, partial(dies_at, writes, before=dice.random() < 0.5))
        sys.stdout.write(f"{writes} {code}\n")
        sys.stdout.flush()
    return run(argv, lambda: None)


if __name__ == "__main__":
    raise SystemExit(run_all(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))
