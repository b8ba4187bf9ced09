"""The memory service's figures through HTTP, embedding included, with the real model.

    python -m benchmarks.service [--memories 10000] [--samples 500]

Starts `memorybank serve` as a process, loads it with varied texts made from templates (seeded, so
every run stores the same), and prints one table, goals beside figures. The single requests that are
timed go one after the other over one connection, as those of one agent do.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from statistics import quantiles

import httpx

from tests.support.server_process import Server, serving

_SEED = 20_260_728
_LOADERS = 8

_ACTORS = [
    "Anna",
    "Bertil",
    "Chen",
    "Dora",
    "Emre",
    "Farid",
    "Grace",
    "Hugo",
    "Ines",
    "Jonas",
    "Kim",
    "Lena",
    "Mats",
    "Nora",
]
_SYSTEMS = [
    "the billing service",
    "the search cluster",
    "the mobile app",
    "the nightly import",
    "the login page",
    "the recommendation job",
    "the staging database",
    "the message queue",
    "the image resizer",
    "the reporting dashboard",
    "the payment gateway",
    "the DNS zone",
    "the feature flags",
    "the audit log",
]
_EVENTS = [
    "fails with a timeout after {n} seconds when the cache is cold",
    "was moved from version {n} to {m} and needs a new configuration file",
    "must not be deployed between {n} and {m} o'clock",
    "uses {n} connections and {m} workers, more make it slower",
    "stores dates in local time, which broke the report of week {n}",
    "got a retry with backoff of {n} milliseconds, and the errors stopped",
    "needs {n} GB of memory for {m} thousand documents",
    "is owned by the platform team since ticket {n}{m}",
]
_REASONS = [
    "because the vendor changed its certificate",
    "after the incident in the spring",
    "so that customers in Asia wait less",
    "which nobody had written down before",
    "as the load test showed",
    "until the new data centre is ready",
    "although the documentation says otherwise",
    "and the rollback takes two minutes",
]
_QUESTIONS = [
    "why does {system} fail when nothing is cached?",
    "when may we release {system}?",
    "who is responsible for {system} now?",
    "how much memory does {system} need?",
    "what fixed the errors of {system}?",
    "which time zone does {system} use?",
    "how many workers should {system} have?",
    "what did {actor} find out about {system}?",
]


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.service", description=__doc__)
    parser.add_argument("--memories", type=int, default=10_000)
    parser.add_argument("--samples", type=int, default=500)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        with serving(Path(folder) / "bank") as server:
            started = time.monotonic() - began
            asyncio.run(measure(server, options.memories, options.samples, started))


async def measure(server: Server, memories: int, samples: int, started: float) -> None:
    """Load the bank, time single requests, print the table."""
    headers = {"Authorization": f"Bearer {server.key}"}
    texts, questions = stories(random.Random(_SEED)), queries(random.Random(_SEED))  # noqa: S311  # no secret
    async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=60) as client:
        await client.get("/ready")
        idle = server.resident_mib()
        loaded = await load(client, texts, memories)
        adds = await timed(samples, lambda: add(client, next(texts)))
        searches = await timed(samples, lambda: search(client, next(questions)))
    after = server.resident_mib()
    print(f"| {memories} memories, {samples} samples | goal | measured |")
    print("|---|---|---|")
    print(f"| start -> listening | - | {started:.2f} s |")
    print(f"| RSS, idle | 180 MiB | {idle:.0f} MiB |")
    print(f"| RSS, loaded | - | {after:.0f} MiB |")
    print(f"| load, {_LOADERS} connections | - | {loaded:.0f} memories/s |")
    print(f"| add | p50 8 ms | {summary(adds)} |")
    print(f"| search | p50 5 ms | {summary(searches)} |")


async def load(client: httpx.AsyncClient, texts: Iterator[dict[str, object]], count: int) -> float:
    """Store `count` memories; return how many per second."""
    remaining = iter(range(count))

    async def loader() -> None:
        for _ in remaining:
            await add(client, next(texts))

    began = time.monotonic()
    await asyncio.gather(*(loader() for _ in range(_LOADERS)))
    return count / (time.monotonic() - began)


async def timed(samples: int, request: Callable[[], Awaitable[None]]) -> list[float]:
    """Return the milliseconds that each of `samples` requests took, one after the other."""
    times = []
    for _ in range(samples):
        began = time.perf_counter()
        await request()
        times.append((time.perf_counter() - began) * 1_000)
    return times


async def add(client: httpx.AsyncClient, memory: dict[str, object]) -> None:
    """Store one memory."""
    answer = await client.post("/v1/memories", json=memory)
    answer.raise_for_status()


async def search(client: httpx.AsyncClient, query: str) -> None:
    """Find the ten best."""
    answer = await client.post("/v1/search", json={"query": query, "limit": 10})
    answer.raise_for_status()
    if len(answer.json()["results"]) != 10:
        raise RuntimeError("a search over thousands of memories must fill its limit")


def stories(dice: random.Random) -> Iterator[dict[str, object]]:
    """Yield memories without end: one or two sentences, 15 to 40 words."""
    while True:
        system = dice.choice(_SYSTEMS)
        sentences = []
        for _ in range(dice.randint(1, 2)):
            event = dice.choice(_EVENTS).format(n=dice.randint(2, 90), m=dice.randint(2, 900))
            sentences.append(f"{dice.choice(_ACTORS)}: {system} {event} {dice.choice(_REASONS)}.")
        yield {
            "content": " ".join(sentences),
            "type": dice.choice(["note", "fact", "decision", "error_solution"]),
            "project": dice.choice(["shop", "core", "mobile"]),
            "session": f"s{dice.randint(1, 400)}",
            "tags": dice.sample(["ops", "cost", "speed", "bug", "team"], 2),
        }


def queries(dice: random.Random) -> Iterator[str]:
    """Yield questions without end."""
    while True:
        yield dice.choice(_QUESTIONS).format(
            system=dice.choice(_SYSTEMS), actor=dice.choice(_ACTORS)
        )


def summary(times: list[float]) -> str:
    """Say the median and the 95th percentile."""
    cuts = quantiles(times, n=100)
    return f"p50 {cuts[49]:.1f} ms, p95 {cuts[94]:.1f} ms"


if __name__ == "__main__":
    main()
