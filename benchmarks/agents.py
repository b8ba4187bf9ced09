"""What agents ask for beside memories, of a large bank, through HTTP.

    python -m benchmarks.agents [--memories 100000] [--samples 300]

The bank is filled as in benchmarks.scale. What a wake-up tells of are its oldest memories, a few of
each type: whoever looks through the bank from its newest end comes to them last. Every hundredth
memory says the same as the one before it but for a word, which the consolidation jobs are to find,
while searches go on beside them.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.scale import Matrix, Texts, embed_around, export, memory_id, until_ready
from benchmarks.service import Client, row, timed
from benchmarks.transfer import client_of, send
from tests.support.server_process import Server, serving

_FEW = {
    "task": ({"status": "todo", "priority": "high"}, 100),
    "decision": ({"rationale": "it was measured"}, 50),
    "error_solution": ({"error_signature": "Timeout", "solution": "wait longer"}, 50),
    "heuristic": ({"confidence": 0.8}, 50),
    "handoff": ({"with_whom": "ann", "significance": 0.5}, 20),
    "session": ({"status": "active"}, 10),
    "fact": ({}, 10),
}
"""Types of the oldest memories, what these have beside their words, and how many there are."""
_REPEATED = 100
_JOBS = 3
_PER_SECOND = 20
"""Searches beside the jobs, and those that they are compared with."""
_CHAIN = 50
"""Tasks of which each depends on the one before."""


def main() -> None:
    """Fill a bank, measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--memories", type=int, default=100_000)
    parser.add_argument("--samples", type=int, default=300)
    options = parser.parse_args()
    texts = Texts()
    vectors = asyncio.run(embed_around(texts, options.memories))
    vectors[_REPEATED::_REPEATED] = vectors[_REPEATED - 1 : -1 : _REPEATED]
    print(f"load average of the machine at the start: {os.getloadavg()[0]:.1f}")
    print(f"| {options.memories} memories | goal | measured |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder) / "bank") as server:
        _fill(server, Path(folder) / "bank.jsonl", texts, vectors)
        _measure(server, texts, options.samples)
    print(f"load average at the end: {os.getloadavg()[0]:.1f}")


def _fill(server: Server, file: Path, texts: Texts, vectors: Matrix) -> None:
    few = [(kind, details) for kind, (details, count) in _FEW.items() for _ in range(count)]
    last = ""

    def says(number: int) -> dict[str, object]:
        nonlocal last
        if number < len(few):
            kind, details = few[number]
            return {"type": kind, "details": details, "pinned": kind == "fact"}
        if number % _REPEATED == 0:
            return {"content": last.rpartition(" ")[0]}
        last = texts.piece(15, 40)
        return {"content": last}

    with client_of(server) as admin:
        until_ready(admin)
        head = json.loads(admin.get("/v1/export").raise_for_status().content.splitlines()[0])
        with file.open("wb") as sink:
            sink.writelines(export(head["embeddings"], texts, vectors, says=says))
        _, report = send(admin, file, all_tenants=False)
    if report["added"] != len(vectors) or report["refused"]:
        raise RuntimeError(f"the import went wrong: {report}")
    file.unlink()


def _measure(server: Server, texts: Texts, samples: int) -> None:
    me = Client(server.url, server.key)

    def search() -> None:
        me.post("/v1/search", {"query": texts.piece(6, 10), "limit": 10})

    search()  # the tenant's index is built when it is asked for the first time
    woken = me.post("/v1/wake-up", {})
    if len(woken["layers"]) < len(_FEW):
        raise RuntimeError(f"the wake-up tells too little: {woken['layers']}")
    row("wake-up", "p95 30 ms", timed(samples, lambda: me.post("/v1/wake-up", {})))
    row(
        "wake-up about a subject",
        "p95 30 ms",
        timed(samples, lambda: me.post("/v1/wake-up", {"subject": texts.piece(6, 10)})),
    )
    row("open tasks", "-", timed(samples, lambda: me.get("/v1/tasks?status=todo&limit=20")))
    row("last hand-off", "-", timed(samples, lambda: me.get("/v1/handoffs/last")))
    for number in range(1, _CHAIN):
        edge = {
            "source": memory_id(number), "target": memory_id(number - 1), "type": "depends_on",
        }  # fmt: skip
        me.post("/v1/edges", edge)
    starts = itertools.cycle(range(10, _CHAIN))
    row(
        "edges walked to depth 5",
        "-",
        timed(samples, lambda: _walk(me, next(starts))),
    )
    row("decision stored", "-", timed(samples, lambda: _decide(me, texts)))
    alone = _p95(_paced(samples, search))
    began = time.perf_counter()
    beside, runs = _beside_consolidation(server, me, search)
    seconds = time.perf_counter() - began
    row(f"search alone, {_PER_SECOND} a second", "-", f"p95 {alone:.1f} ms")
    row(
        f"search while all memories are consolidated ({len(beside)} of them)",
        "p95 1.3 x",
        f"p95 {_p95(beside):.1f} ms, {_p95(beside) / alone:.2f} x",
    )
    done = ", ".join(f"{run['job']} {run['archived']} archived" for run in runs)
    row("all memories consolidated beside them", "-", f"{seconds:.0f} s: {done}")
    row("RSS", "-", f"{server.resident_mib():.0f} MiB")
    me.close()


def _walk(client: Client, start: int) -> None:
    client.get(f"/v1/edges/traverse?memory={memory_id(start)}&depth=5")


def _decide(client: Client, texts: Texts) -> None:
    client.post("/v1/decisions", {"content": texts.piece(15, 30), "rationale": texts.piece(5, 9)})


def _beside_consolidation(
    server: Server, me: Client, search: Callable[[], None]
) -> tuple[list[float], list[dict[str, Any]]]:
    """Return how long searches took (ms) while the jobs ran, and the runs."""
    took: list[float] = []
    runs: list[dict[str, Any]] = []
    with client_of(server) as admin, ThreadPoolExecutor(1) as aside:
        asked = aside.submit(admin.post, "/v1/consolidation/runs", json={})
        while len(runs) < _JOBS or any(run["status"] == "running" for run in runs):
            took += _paced(_PER_SECOND, search)
            runs = me.get("/v1/consolidation/runs")["runs"]
        asked.result().raise_for_status()
    return took, runs


def _paced(count: int, act: Callable[[], None]) -> list[float]:
    """Return how long each took (ms), begun at an even pace."""
    took = []
    due = time.perf_counter()
    for _ in range(count):
        time.sleep(max(0.0, due - time.perf_counter()))
        due += 1 / _PER_SECOND
        began = time.perf_counter()
        act()
        took.append((time.perf_counter() - began) * 1e3)
    return took


def _p95(took: list[float]) -> float:
    return sorted(took)[int(0.95 * (len(took) - 1))]


if __name__ == "__main__":
    main()
