"""What backups cost who writes."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from benchmarks.backups.bank import CLIENTS, Bank, Written, store
from benchmarks.service import row
from tests.support.bucket import BucketServer
from tests.support.server_process import Server, serving

_TURNS = 3


def cost(folder: Path, bucket: BucketServer, samples: int = 200, seconds: float = 8) -> None:
    """What adds take without backups, with them, and replicated, in turns."""
    kinds = ("none", "async", "replicated")
    taken: dict[str, list[float]] = {kind: [] for kind in kinds}
    rates: dict[str, list[float]] = {kind: [] for kind in kinds}
    resident = 0.0
    for turn in range(_TURNS):
        for kind in kinds:
            name = f"cost-{kind}-{turn}"
            with ExitStack() as stack:
                if kind == "none":
                    server = stack.enter_context(serving(folder / name))
                else:
                    pod = Bank(folder / name, bucket, name, durability=kind)
                    server = stack.enter_context(pod.running())
                asyncio.run(store(server, Written(), 2))
                taken[kind] += _one_by_one(server, samples)
                written = Written()
                began = time.monotonic()
                asyncio.run(_crowd(server, written, seconds))
                rates[kind].append(len(written.at) / (time.monotonic() - began))
                if kind == "async":
                    resident = max(resident, pod.resident_mib())
    p50 = {kind: median(times) for kind, times in taken.items()}
    rate = {kind: median(found) for kind, found in rates.items()}
    row("add, one client, without backups", "-", f"p50 {p50['none']:.1f} ms")
    row("async", "-", f"p50 {p50['async']:.1f} ms")
    row("replicated: more than async", "p50 5 ms", f"{p50['replicated'] - p50['async']:.1f} ms")
    row(
        f"adds by {CLIENTS} clients: fewer than without backups",
        "10 %",
        f"{1 - rate['async'] / rate['none']:.0%} ({rate['async']:.0f}/s of {rate['none']:.0f}/s; "
        f"replicated {rate['replicated']:.0f}/s)",
    )
    row("sidecar, resident", "64 MiB", f"{resident:.0f} MiB")


def _one_by_one(server: Server, samples: int) -> list[float]:
    """Return what so many adds of one client took, in ms."""
    times = []
    with server.client() as client:
        for number in range(samples):
            began = time.perf_counter()
            answer = client.post("/v1/memories", json={"content": f"Note {number}."})
            times.append((time.perf_counter() - began) * 1e3)
            answer.raise_for_status()
    return times


async def _crowd(server: Server, written: Written, seconds: float) -> None:
    await asyncio.gather(*(store(server, written, seconds) for _ in range(CLIENTS)))
