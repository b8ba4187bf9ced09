"""What of a bank is in its bucket when everything else of it is gone, and what that costs.

    python -m benchmarks.backups [--trials 50] [--meetings 50] [--outage 600] [--gigabytes 1]

Each incarnation of the bank is as in its pod: `memorybank backup prepare`, then Litestream, then
the service; the bucket is a real server of S3. In a trial everything is killed under load at a
moment that a seeded dice chooses, the volume is emptied, the next incarnation begins with the
bucket alone, and each memory that was acknowledged is looked for.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import numpy as np

from benchmarks.durability import kept
from benchmarks.engine import DIMENSIONS, MEMORY_WORDS, Texts, a_memory
from benchmarks.service import row
from memorybank.model import MODEL_NAME
from memorybank.ports import Kept
from memorybank.settings import DATABASE_NAME
from memorybank.stores.sqlite import SqliteStore
from tests.support.bucket import BucketServer, bucket_server
from tests.support.replication import Pod
from tests.support.server_process import Server, serving

_SEED = 20_261_122
_CLIENTS = 8
_LOAD_SECONDS = (1.0, 4.0)
_LOOK_SECONDS = 0.05
_TURNS = 3
_MEASURE_SECONDS = 0.2


@dataclass
class Written:
    """What clients were told of what they stored."""

    at: dict[str, float] = field(default_factory=dict)
    """When each memory was acknowledged, by this process's steady clock."""


class Bank(Pod):
    """A pod with the service in it."""

    def __init__(self, folder: Path, bucket: BucketServer, name: str, **options: Any) -> None:
        """`name` tells the bank from others in the bucket; `options` go into `backup`."""
        uid = str(uuid.uuid5(uuid.NAMESPACE_URL, name))
        super().__init__(folder, {"s3": bucket.settings(folder)}, uid=uid, **options)
        self.prepared_seconds = 0.0

    @contextmanager
    def running(self) -> Iterator[Server]:
        """Prepare it and run it until the block ends, at the end of which it is killed."""
        began = time.monotonic()
        self.prepare()
        self.prepared_seconds = time.monotonic() - began
        self.replicate(wait=False)
        try:
            with serving(self.data, "--config", str(self.config)) as server:
                yield server
        finally:
            self.kill()

    def lose(self) -> None:
        """Lose the volume and the rest of the pod."""
        shutil.rmtree(self.data)
        shutil.rmtree(self.run_dir)
        self.data.mkdir()


async def load(server: Server, written: Written, seconds: float, clients: int = _CLIENTS) -> None:
    """Store memories from so many clients until the server is killed, after so many seconds."""

    async def work(number: int) -> None:
        async with server.async_client() as client:
            while True:
                text = f"Worker {number} wrote a line at {time.monotonic_ns()}."
                try:
                    answer = await client.post("/v1/memories", json={"content": text})
                except httpx.TransportError:
                    return
                if answer.status_code == httpx.codes.CREATED:
                    written.at[answer.json()["id"]] = time.monotonic()

    async def kill() -> None:
        await asyncio.sleep(seconds)
        server.process.send_signal(signal.SIGKILL)

    await asyncio.gather(kill(), *(work(number) for number in range(clients)))


def lose_pods(folder: Path, bucket: BucketServer, trials: int, durability: str) -> None:
    """Kill the pod and lose its volume, again and again."""
    dice = random.Random(_SEED)  # noqa: S311  # no secret
    pod = Bank(folder / durability, bucket, durability, durability=durability)
    known: set[str] = set()
    lost_seconds, lost_count, acknowledged = [], 0, 0
    for _ in range(trials):
        written = Written()
        with pod.running() as server:
            missing = known - asyncio.run(kept(server)).keys()
            if missing:
                raise SystemExit(f"{len(missing)} memories of earlier trials are gone")
            asyncio.run(load(server, written, dice.uniform(*_LOAD_SECONDS)))
            killed = time.monotonic()  # the service was; who reaps Litestream may take seconds
            pod.kill()
        pod.lose()
        with pod.running() as server:
            found = asyncio.run(kept(server))
            server.stop()
            pod.stop()
        lost = [at for each, at in written.at.items() if each not in found]
        lost_seconds.append(max((killed - at for at in lost), default=0.0))
        lost_count += len(lost)
        acknowledged += len(written.at)
        known = set(found)
    goal = "0" if durability == "replicated" else "all within 1 s, typically < .5 s"
    row(
        f"{durability}: pod killed and volume lost, {trials} times, {acknowledged} acknowledged",
        goal,
        f"{lost_count} lost, the oldest p50 {median(lost_seconds):.2f} s and at most "
        f"{max(lost_seconds):.2f} s before the kill",
    )


def meet(folder: Path, bucket: BucketServer, trials: int, seconds: float = 10) -> None:
    """Have two incarnations write at the same time, as when a node is cut off, and a third one
    begin with the bucket alone.
    """
    damaged = 0
    for number in range(trials):
        first, second, third = (
            Bank(folder / f"meet-{number}" / name, bucket, f"meet {number}") for name in "abc"
        )
        both = Written(), Written()
        with first.running() as cut_off:
            asyncio.run(_store(cut_off, both[0], 1))
            time.sleep(2)
            with second.running() as follower:

                async def together(
                    one: Server, other: Server, all_of: tuple[Written, Written]
                ) -> None:
                    await asyncio.gather(
                        _store(one, all_of[0], seconds), _store(other, all_of[1], seconds)
                    )

                asyncio.run(together(cut_off, follower, both))
                follower.stop()
                second.stop()
        with third.running() as server:
            found = asyncio.run(kept(server))
            server.stop()
        check = subprocess.run(
            [sys.executable, "-m", "memorybank", "check", "--data", third.data],
            check=False, capture_output=True,
        )  # fmt: skip
        if check.returncode != 0 or not both[1].at.keys() <= found.keys():
            damaged += 1
        shutil.rmtree(folder / f"meet-{number}")
    row(
        f"two incarnations write for {seconds:.0f} s together, {trials} times",
        "0 damaged",
        f"{damaged} damaged",
    )


async def _store(server: Server, written: Written, seconds: float) -> None:
    """Store memories from one client for so long."""
    until = time.monotonic() + seconds
    async with server.async_client() as client:
        while time.monotonic() < until:
            answer = await client.post(
                "/v1/memories", json={"content": f"At {time.monotonic_ns()}."}
            )
            answer.raise_for_status()
            written.at[answer.json()["id"]] = time.monotonic()


def stay_away(folder: Path, bucket: BucketServer, seconds: float) -> None:
    """Take the bucket away under load, and give it back."""
    pod = Bank(folder / "outage", bucket, "outage")
    written = Written()
    with pod.running() as server, server.client() as client:

        def healthy() -> bool:
            said = client.get("/ready").json()["backup"]
            return said["synced_at"] is not None and not said["problem"]

        _until(healthy)
        with _measured(pod.data) as sizes:
            bucket.stop()
            began = time.monotonic()
            asyncio.run(_store(server, written, 5))
            _until(lambda: not healthy())
            told = time.monotonic() - began
            asyncio.run(_store(server, written, max(seconds - (time.monotonic() - began), 0)))
            bucket.start()
            began = time.monotonic()
            _until(healthy)
            healed = time.monotonic() - began
            time.sleep(3)
        database = (pod.data / DATABASE_NAME).stat().st_size / 2**20
        server.process.kill()
        pod.kill()
    pod.lose()
    with pod.running() as server:
        lost = written.at.keys() - asyncio.run(kept(server)).keys()
        server.stop()
    row(f"bucket away for {seconds:.0f} s under load: told", "60 s", f"{told:.1f} s")
    row("and that it is back", "60 s", f"{healed:.1f} s")
    row(
        f"of {len(written.at)} acknowledged lost, all else being lost after that",
        "0",
        f"{len(lost)}",
    )
    row(
        f"the volume at its largest, with a database of {database:.0f} MiB at the end",
        "bounded",
        f"{max(sizes):.0f} MiB",
    )


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
                asyncio.run(_store(server, Written(), 2))
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
        f"adds by {_CLIENTS} clients: fewer than without backups",
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
    await asyncio.gather(*(_store(server, written, seconds) for _ in range(_CLIENTS)))


def restore_large(folder: Path, bucket: BucketServer, gigabytes: float) -> None:
    """How long a large bank takes from the bucket to its first answer."""
    pod = Bank(folder / "large", bucket, "large")
    number = asyncio.run(_fill(pod.data / DATABASE_NAME, gigabytes))
    with pod.running() as server, server.client() as client:
        _until(lambda: client.get("/ready").json()["backup"]["synced_at"] is not None, seconds=600)
        server.stop()
        pod.stop()
    size = (pod.data / DATABASE_NAME).stat().st_size / 2**20
    pod.lose()
    began = time.monotonic()
    with pod.running() as server, server.client() as client:
        _until(lambda: client.get("/ready").status_code == httpx.codes.OK)
        taken = time.monotonic() - began
    row(
        f"{size:.0f} MiB of {number:,} memories lost: serves again after",
        "30 s",
        f"{taken:.1f} s (restored in {pod.prepared_seconds:.1f} s)",
    )


async def _fill(database: Path, gigabytes: float) -> int:
    """Import memories until the database has so many GiB; return how many that were."""
    texts = Texts()
    dice = np.random.default_rng(_SEED)
    store = await SqliteStore.open(database, model=MODEL_NAME)
    number, size = 0, 0
    while size < gigabytes * 2**30:
        vectors = dice.normal(size=(1_000, DIMENSIONS)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        some = []
        for vector in vectors:
            number += 1
            some.append(Kept(a_memory(texts.piece(MEMORY_WORDS), number), vector))
        await store.transfer.put_many(some, replace=False)
        size = await asyncio.to_thread(lambda: database.stat().st_size)
    await store.close()
    return number


def _until(holds: Callable[[], bool], seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(_LOOK_SECONDS)


@contextmanager
def _measured(folder: Path) -> Iterator[list[float]]:
    """Note again and again how large a folder is, in MiB, until the block ends."""
    sizes: list[float] = []
    over = threading.Event()

    def measure() -> None:
        while not over.wait(_MEASURE_SECONDS):
            sizes.append(sum(map(_size, folder.rglob("*"))) / 2**20)

    thread = threading.Thread(target=measure)
    thread.start()
    try:
        yield sizes
    finally:
        over.set()
        thread.join()


def _size(file: Path) -> int:
    """Return the size of a file that may go meanwhile."""
    try:
        return file.stat().st_size if file.is_file() else 0
    except OSError:
        return 0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--meetings", type=int, default=50)
    parser.add_argument("--outage", type=float, default=600)
    parser.add_argument("--gigabytes", type=float, default=1)
    options = parser.parse_args()
    print(f"seed {_SEED}\n\n| | goal | measured |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with bucket_server(folder / "buckets") as bucket:
            lose_pods(folder, bucket, options.trials, "async")
            lose_pods(folder, bucket, options.trials, "replicated")
            meet(folder, bucket, options.meetings)
            cost(folder, bucket)
            restore_large(folder, bucket, options.gigabytes)
            stay_away(folder, bucket, options.outage)


if __name__ == "__main__":
    main()
