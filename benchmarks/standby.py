"""How far behind a bank its standby is, while it is written to.

    python -m benchmarks.standby [--seconds 120] [--memories 0]

The bank is as in its pod: `memorybank backup prepare`, then Litestream, then the service, with a
real server of S3; the standby is another service that follows it with the default settings. A
memory is stored each quarter of a second, and looked for at the standby until it is there.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

import httpx
import numpy as np

from benchmarks.service import row
from tests.support.replication import Pod
from tests.support.s3_server import s3_server
from tests.support.server_process import Server
from tests.support.standby import Standby, primary

_EACH_SECONDS = 0.25
_LOOK_SECONDS = 0.01


def main() -> None:
    """Measure and print a row of docs/benchmarks.md."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.standby")
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--memories", type=int, default=0, help="that the bank has before")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, s3_server(Path(name) / "s3") as server:
        folder = Path(name)
        destination = {"s3": server.settings(folder / "secrets")}
        pod = Pod(folder / "pod", destination)
        standby = Standby(folder / "standby", destination, poll_seconds=1)
        with primary(pod) as bank:
            _fill(bank, arguments.memories)
            pod.wait_until_synced()
            with standby.serving() as copy:
                lags = asyncio.run(_measure(bank, copy, arguments.seconds))
    p50, p99, most = (f"{each:.2f} s" for each in np.percentile(lags, (50, 99, 100)))
    said = f"p50 {p50}, p99 {p99}, at most {most}"
    row(f"stored in the bank -> read at the standby, {len(lags)} memories", "some seconds", said)


def _fill(bank: Server, count: int) -> None:
    with bank.client() as client:
        for start in range(0, count, 100):
            batch = [{"content": f"Note {start + each} of the log"} for each in range(100)]
            client.post("/v1/memories:batch", json={"memories": batch}).raise_for_status()


async def _measure(bank: Server, copy: Server, seconds: float) -> list[float]:
    """Return how long after it was acknowledged each memory was found at the standby."""
    ends = time.monotonic() + seconds
    looking: list[asyncio.Task[float]] = []
    async with bank.async_client() as writing, copy.async_client() as reading:
        while time.monotonic() < ends:
            answer = await writing.post("/v1/memories", json={"content": f"at {time.monotonic()}"})
            answer.raise_for_status()
            looking.append(asyncio.create_task(_until_found(reading, answer.json()["id"])))
            await asyncio.sleep(_EACH_SECONDS)
        return list(await asyncio.gather(*looking))


async def _until_found(client: httpx.AsyncClient, memory: str) -> float:
    began = time.monotonic()
    while (await client.get(f"/v1/memories/{memory}")).status_code != 200:  # noqa: ASYNC110
        await asyncio.sleep(_LOOK_SECONDS)
    return time.monotonic() - began


if __name__ == "__main__":
    main()
