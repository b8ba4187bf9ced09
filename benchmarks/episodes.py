"""Episodes through HTTP: begun, told, ended, learned from and asked for advice.

    python -m benchmarks.episodes [--episodes 10000] [--steps 20] [--samples 300] [--clients 8]

Starts `memorybank serve` as a process with the real model, fills it with episodes made from a seed
(the same ones at every run), and prints one table, goals beside figures. See benchmarks.service for
how its clients are kept out of what is measured.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.service import Client, row, stories, timed, together
from tests.support.server_process import Server, serving

_SEED = 20_261_123
_TOOLS = [f"tool-{number}" for number in range(30)]
_ERRORS = ["Timeout", "NotFound", "LockTimeout", "ParseError"]
_KINDS = ["bugfix", "feature", "migration", "review", "release"]
_BATCHES = 50


@dataclass(frozen=True, slots=True)
class Told:
    """An episode, as it is sent."""

    task: dict[str, Any]
    steps: list[dict[str, Any]]
    outcome: str


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.episodes", description=__doc__)
    parser.add_argument("--episodes", type=int, default=10_000)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--samples", type=int, default=300)
    parser.add_argument("--clients", type=int, default=8)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder) / "bank") as server:
        print(f"load average of the machine at the start: {os.getloadavg()[0]:.1f}")
        print(f"| {options.episodes} episodes of {options.steps} steps | goal | measured |")
        print("|---|---|---|")
        measure(server, options.episodes, options.steps, options.samples, options.clients)
        print(f"load average at the end: {os.getloadavg()[0]:.1f}")


def measure(server: Server, count: int, steps: int, samples: int, clients: int) -> None:
    """Fill the bank, then time single requests."""
    every = episodes(random.Random(_SEED), steps)  # noqa: S311  # no secret
    rate = together(server, list(itertools.islice(every, count)), clients, live)
    row(f"episodes lived, {clients} clients", "-", f"{rate:.0f}/s")
    me = Client(server.url, server.key)
    began = time.perf_counter()
    me.get("/v1/patterns")
    row("all of them learned, once", "-", f"{time.perf_counter() - began:.2f} s")
    row("RSS", "-", f"{server.resident_mib():.0f} MiB")

    row("create", "p95 10 ms", timed(samples, lambda: _begin(me, next(every))))
    open_ = [(_create(me, told), told) for told in itertools.islice(every, samples)]
    path = f"/v1/episodes/{open_[0][0]}/steps"
    step = {"steps": [{"tool": "grep", "action": "where it is"}]}
    row("step, queued", "p95 4 ms", timed(samples, lambda: me.post(path, step)))
    row(
        "step, durable (storage write)",
        "p95 10 ms",
        timed(samples, lambda: me.post(f"{path}?wait=true", step)),
    )
    row("steps, batches of 50, 1 client", "2,000/s", f"{_batches(me, open_[1][0]):.0f}/s")

    ending = iter(open_)
    row("complete", "p95 50 ms", timed(samples, lambda: _complete(me, *next(ending))))

    again = itertools.islice(every, samples)
    row(
        "complete, and its lesson learned",
        "p95 200 ms",
        timed(samples, lambda: _learned(me, next(again))),
    )
    asked = episodes(random.Random(_SEED + 1), 1)  # noqa: S311  # no secret
    row("recommend", "p95 20 ms", timed(samples, lambda: _recommend(me, next(asked))))
    row("patterns of a kind of work", "p95 20 ms", timed(samples, lambda: _patterns(me)))
    me.close()


def live(client: Client, told: Told) -> None:
    """Tell an episode from its task to its outcome."""
    made = _create(client, told)
    client.post(f"/v1/episodes/{made}/steps", {"steps": told.steps})
    _complete(client, made, told)


def _begin(client: Client, told: Told) -> None:
    _create(client, told)


def _create(client: Client, told: Told) -> str:
    return str(client.post("/v1/episodes", told.task)["id"])


def _complete(client: Client, made: str, told: Told) -> None:
    client.post(f"/v1/episodes/{made}/complete", {"outcome": told.outcome, "reward": 0.5})


def _learned(client: Client, told: Told) -> None:
    live(client, told)
    _patterns(client)


def _patterns(client: Client) -> None:
    client.get("/v1/patterns?task_type=bugfix&limit=20")


def _recommend(client: Client, told: Told) -> None:
    task = {"text": told.task["content"], "task_type": told.task["task_type"], "max_tokens": 500}
    client.post("/v1/recommend", task)


def _batches(client: Client, episode: str) -> float:
    """Send batches of 50 steps; return steps per second."""
    steps = [{"tool": tool, "observation": "seen"} for tool in (_TOOLS * 2)[:50]]
    began = time.perf_counter()
    for _ in range(_BATCHES):
        client.post(f"/v1/episodes/{episode}/steps", {"steps": steps})
    return _BATCHES * len(steps) / (time.perf_counter() - began)


def episodes(dice: random.Random, steps: int) -> Iterator[Told]:
    """Yield episodes without end: mostly along a few ways, each with something of its own."""
    texts = stories(dice)
    ways = [[dice.choice(_TOOLS) for _ in range(steps)] for _ in range(20)]
    while True:
        way = dice.randrange(len(ways))
        tools = [tool if dice.random() < 0.8 else dice.choice(_TOOLS) for tool in ways[way]]
        story = next(texts)
        yield Told(
            {
                "content": story["content"],
                "project": story["project"],
                "task_type": dice.choice(_KINDS),
                "language": dice.choice(["go", "python", "rust"]),
            },
            [_step(dice, tool) for tool in tools],
            "success" if dice.random() < 0.3 + way / 40 else "failure",
        )


def _step(dice: random.Random, tool: str) -> dict[str, Any]:
    step = {
        "tool": tool,
        "action": f"{tool} {dice.randint(1, 99)}",
        "latency_ms": dice.randint(1, 900),
    }
    return step if dice.random() < 0.9 else step | {"error": dice.choice(_ERRORS)}


if __name__ == "__main__":
    main()
