"""How long it takes until a bank is there again, how exactly, and at whose cost that is tried."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np

from benchmarks.backups.bank import SEED, Bank, until
from benchmarks.durability import kept
from benchmarks.engine import DIMENSIONS, MEMORY_WORDS, Texts, a_memory
from benchmarks.service import row
from memorybank.model import MODEL_NAME
from memorybank.ports import Kept
from memorybank.settings import DATABASE_NAME
from memorybank.stores.sqlite import SqliteStore
from tests.support.bucket import BucketServer
from tests.support.server_process import Server, serving

_HISTORY_SECONDS = 90
"""How long memories are stored before moments of it are asked for: longer than the newest of
Litestream's files are apart from each other."""
_QUIET_SECONDS = 60.0
_PER_SECOND = 20
"""Requests, at times that do not depend on when those before were answered."""
_ADD_EVERY = 4
_DRILL = 'echo 7 > /proc/self/autogroup; exec "$@"'
"""Runs a command in a session that has a fifth of the weight of the bank's, as the kubelet gives it
to the Job's pod, by their requests of 20m and 100m.
"""


def restore_moments(folder: Path, bucket: BucketServer, moments: int) -> None:
    """Restore moments that a dice chooses, and compare each memory of them."""
    pod = Bank(folder / "moments", bucket, "moments")
    dice = random.Random(SEED)  # noqa: S311  # no secret
    with pod.running() as server:
        history = asyncio.run(_history(server, _HISTORY_SECONDS))
        server.stop()
        pod.stop()
    first, last = history[0].at, history[-1].at
    furthest, wrong = 0.0, 0
    for number in range(moments):
        asked = first + (last - first) * dice.random()
        copy = folder / f"moment-{number}"
        copy.mkdir()
        _memorybank(
            "backup", "restore", copy / DATABASE_NAME, "--at", _written(asked),
            "--config", pod.config,
        )  # fmt: skip
        with serving(copy) as server:
            found = asyncio.run(kept(server))
            server.stop()
        wrong += sum(found.get(each.id, each.content) != each.content for each in history)
        # Of what is on the wrong side of the moment, how far it is from it.
        off = (abs(each.at - asked) for each in history if (each.at <= asked) != (each.id in found))
        furthest = max(furthest, *(each.total_seconds() for each in off), 0.0)
    row(
        f"{moments} moments of {len(history)} memories in {_HISTORY_SECONDS} s restored",
        "within 1 s",
        f"within {furthest:.2f} s, {wrong} rows differ",
    )


@dataclass(frozen=True, slots=True)
class _Stored:
    """A memory as it was acknowledged."""

    id: str
    content: str
    at: datetime
    """When it was made, by the service."""


async def _history(server: Server, seconds: float) -> list[_Stored]:
    """Store memories from one client for so long; return them in order."""
    stored: list[_Stored] = []
    ends = time.monotonic() + seconds
    async with server.async_client() as client:
        while time.monotonic() < ends:
            text = f"Line {len(stored)}."
            answer = (await client.post("/v1/memories", json={"content": text})).json()
            at = datetime.fromisoformat(answer["created_at"])
            stored.append(_Stored(answer["id"], text, at))
    return stored


def restore_large(folder: Path, bucket: BucketServer, gigabytes: float) -> None:
    """How long a large bank takes from the bucket to its first answer, and what it costs who uses
    it that its backup is tried.
    """
    pod = Bank(folder / "large", bucket, "large")
    number = asyncio.run(_fill(pod.data / DATABASE_NAME, gigabytes))
    with pod.running() as server, server.client() as client:
        until(lambda: client.get("/ready").json()["backup"]["synced_at"] is not None, seconds=600)
        server.stop()
        pod.stop()
    size = (pod.data / DATABASE_NAME).stat().st_size / 2**20
    pod.lose()
    began = time.monotonic()
    with pod.running() as server, server.client() as client:
        until(lambda: client.get("/ready").status_code == httpx.codes.OK)
        taken = time.monotonic() - began
        row(
            f"{size:.0f} MiB of {number:,} memories lost: serves again after",
            "30 s",
            f"{taken:.1f} s (restored in {pod.prepared_seconds:.1f} s)",
        )
        until(lambda: client.get("/ready").json()["backup"]["synced_at"] is not None, seconds=600)
        asyncio.run(_drill(pod, server))


async def _drill(pod: Bank, server: Server) -> None:
    """Try the backup of a bank in use."""
    token = pod.folder / "token"
    token.write_text(server.key)
    scratch = pod.folder / "scratch"
    scratch.mkdir()
    async with _using(server) as before:
        await asyncio.sleep(_QUIET_SECONDS)
    async with _using(server) as meanwhile:
        began = time.monotonic()
        report = await asyncio.to_thread(
            _memorybank,
            "backup", "verify", "--config", pod.config, "--scratch", scratch,
            "--url", server.url, "--token-file", token,
            inside=("setsid", "--wait", "sh", "-c", _DRILL, "drill"),
        )  # fmt: skip
        taken = time.monotonic() - began
    async with _using(server) as after:
        await asyncio.sleep(_QUIET_SECONDS)
    restored = json.loads(report)["restore_seconds"]
    quiet = _p99(before + after)
    row("its backup tried", "-", f"{taken:.1f} s (restored in {restored:.1f} s)")
    row(
        f"p99 of who uses it meanwhile, {_PER_SECOND} requests/s",
        "1.2 x",
        f"{_p99(meanwhile) / quiet:.2f} x ({_p99(meanwhile):.1f} ms of {quiet:.1f} ms; "
        f"{len(meanwhile)} requests of {len(before + after)})",
    )


@asynccontextmanager
async def _using(server: Server) -> AsyncIterator[list[float]]:
    """Search and add at a steady pace until the block ends; the list has what each took, in ms."""
    texts = Texts()
    times: list[float] = []

    async def one(client: httpx.AsyncClient, number: int) -> None:
        began = time.perf_counter()
        text = texts.piece(MEMORY_WORDS)
        if number % _ADD_EVERY:
            answer = await client.post("/v1/search", json={"query": text[:60]})
        else:
            answer = await client.post("/v1/memories", json={"content": text})
        answer.raise_for_status()
        times.append((time.perf_counter() - began) * 1e3)

    async def pace(client: httpx.AsyncClient, every: asyncio.TaskGroup) -> None:
        number, due = 0, time.monotonic()
        while True:
            every.create_task(one(client, number))
            number, due = number + 1, due + 1 / _PER_SECOND
            await asyncio.sleep(due - time.monotonic())

    async with server.async_client() as client, asyncio.TaskGroup() as every:
        pacing = every.create_task(pace(client, every))
        try:
            yield times
        finally:
            pacing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await pacing


def _p99(times: list[float]) -> float:
    return float(np.percentile(times, 99))


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _memorybank(*arguments: object, inside: Sequence[str] = ()) -> str:
    """Run a command of the service; return what it printed. Raises CalledProcessError."""
    command = [*inside, sys.executable, "-m", "memorybank", *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


async def _fill(database: Path, gigabytes: float) -> int:
    """Import memories until the database has so many GiB; return how many that were."""
    texts = Texts()
    dice = np.random.default_rng(SEED)
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
