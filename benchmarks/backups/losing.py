"""What is lost with a pod, a node, or the bucket for a while."""

from __future__ import annotations

import asyncio
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import httpx

from benchmarks.backups.bank import CLIENTS, SEED, Bank, Written, store, until
from benchmarks.durability import kept
from benchmarks.service import row
from memorybank.settings import DATABASE_NAME
from tests.support.bucket import BucketServer
from tests.support.server_process import Server

_LOAD_SECONDS = (1.0, 4.0)
_MEASURE_SECONDS = 0.2


async def load(server: Server, written: Written, seconds: float, clients: int = CLIENTS) -> None:
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
    dice = random.Random(SEED)  # noqa: S311  # no secret
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
            asyncio.run(store(cut_off, both[0], 1))
            time.sleep(2)
            with second.running() as follower:

                async def together(
                    one: Server, other: Server, all_of: tuple[Written, Written]
                ) -> None:
                    await asyncio.gather(
                        store(one, all_of[0], seconds), store(other, all_of[1], seconds)
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


def stay_away(folder: Path, bucket: BucketServer, seconds: float) -> None:
    """Take the bucket away under load, and give it back."""
    pod = Bank(folder / "outage", bucket, "outage")
    written = Written()
    with pod.running() as server, server.client() as client:

        def healthy() -> bool:
            said = client.get("/ready").json()["backup"]
            return said["synced_at"] is not None and not said["problem"]

        until(healthy)
        with _measured(pod.data) as sizes:
            bucket.stop()
            began = time.monotonic()
            asyncio.run(store(server, written, 5))
            until(lambda: not healthy())
            told = time.monotonic() - began
            asyncio.run(store(server, written, max(seconds - (time.monotonic() - began), 0)))
            bucket.start()
            began = time.monotonic()
            until(healthy)
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
