"""What survives `kill -9` under write load, many times over.

    python -m benchmarks.durability [--rounds 50] [--clients 8]

Each round starts `memorybank serve` on the same folder, checks that every memory that was ever
acknowledged is there, stores more from several clients at once, and kills the process at a moment
that a seeded dice chooses. At the end the database is read page by page and every memory compared.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from tests.support.server_process import Server, serving

_SEED = 20_261_121
_MOST_WRITES = 150
_MOST_SECONDS = 0.05
"""A kill comes after so many writes of its round at most, and up to so much later: anywhere within
a group of writes, its commit and its answers."""


def main() -> None:
    """Run the rounds and print the table; ends with 1 when anything was lost."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--clients", type=int, default=8)
    options = parser.parse_args()
    print(f"seed {_SEED}")
    lost: set[str] = set()
    acknowledged: dict[str, str] = {}
    recoveries: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        bank = Path(folder) / "bank"
        dice = random.Random(_SEED)  # noqa: S311  # no secret
        for _ in range(options.rounds):
            began = time.monotonic()
            with serving(bank) as server:
                recoveries.append(time.monotonic() - began)
                moment = dice.randint(1, _MOST_WRITES), dice.uniform(0, _MOST_SECONDS)
                asyncio.run(_until_killed(server, options.clients, moment, acknowledged))
        with serving(bank) as server:
            found = asyncio.run(kept(server))
            lost = {each for each, text in acknowledged.items() if found.get(each) != text}
            server.stop()
        command = [
            sys.executable,
            "-m",
            "memorybank",
            "check",
            "--data",
            str(bank),
            "--output",
            "json",
        ]
        checked = subprocess.run(command, capture_output=True, text=True, check=False)
    sound = checked.returncode == 0
    print("| kill -9 under write load | goal | measured |")
    print("|---|---|---|")
    print(f"| rounds | 50 | {options.rounds} |")
    print(f"| memories acknowledged | - | {len(acknowledged)} |")
    print(f"| acknowledged and lost, or changed | 0 | {len(lost)} |")
    more = len(found.keys() - acknowledged.keys())
    print(f"| kept without having been acknowledged | - | {more} |")
    print(f"| integrity check of the database | ok | {'ok' if sound else checked.stdout} |")
    median, most = statistics.median(recoveries), max(recoveries)
    print(f"| start after a kill | - | p50 {median:.1f} s, max {most:.1f} s |")
    if lost or not sound:
        raise SystemExit(1)


async def _until_killed(
    server: Server, clients: int, moment: tuple[int, float], acknowledged: dict[str, str]
) -> None:
    """Store memories from so many clients until the kill, so many writes and seconds later."""
    writes, seconds = moment
    enough = asyncio.Event()
    target = len(acknowledged) + writes

    async def work(number: int) -> None:
        async with _client(server) as client:
            while True:
                text = f"Worker {number} wrote line {len(acknowledged)} at {time.monotonic_ns()}."
                try:
                    answer = await client.post("/v1/memories", json={"content": text})
                except httpx.TransportError:
                    return
                if answer.status_code != 201:
                    raise RuntimeError(f"{answer.status_code} {answer.text[:300]}")
                acknowledged[answer.json()["id"]] = text
                if len(acknowledged) >= target:
                    enough.set()

    async def kill() -> None:
        await enough.wait()
        await asyncio.sleep(seconds)
        await asyncio.to_thread(server.stop, signal.SIGKILL)

    await asyncio.gather(kill(), *(work(number) for number in range(clients)))


async def kept(server: Server) -> dict[str, str]:
    """Return the text of every memory by its id."""
    found: dict[str, str] = {}
    cursor: dict[str, str] = {}
    async with _client(server) as client:
        while True:
            answer = await client.get("/v1/memories", params={"limit": 200, **cursor})
            page: dict[str, Any] = json.loads(answer.content)
            found |= {memory["id"]: memory["content"] for memory in page["memories"]}
            if page["next_cursor"] is None:
                return found
            cursor = {"cursor": page["next_cursor"]}


def _client(server: Server) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {server.key}"}
    return httpx.AsyncClient(base_url=server.url, headers=headers, timeout=60)


if __name__ == "__main__":
    main()
