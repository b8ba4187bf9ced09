"""How fast a bank is moved from SQLite to PostgreSQL and back, and how long it takes no writes.

    python -m benchmarks.moving [--memories 100000]

The server is one of its own, on a socket, with its durability as delivered. The bank is filled with
random vectors, which are moved as they are: nothing is embedded. Prints one table.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.postgres import OPTIONS, fill
from memorybank.model import MODEL_NAME
from memorybank.settings import DATABASE_NAME
from memorybank.stores.sqlite import SqliteStore
from tests.support import postgres

_GOAL = 1_000


async def make(folder: Path, memories: int) -> None:
    """Make a bank."""
    store = await SqliteStore.open(folder / DATABASE_NAME, model=MODEL_NAME)
    await fill(store, memories=memories)
    await store.close()


def move(direction: str, folder: Path, url: str) -> dict[str, Any]:
    """Run the command; return its report, with the processor time that it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    program = [sys.executable, "-m", "memorybank", "move", direction]
    done = subprocess.run(
        [*program, "--data", str(folder), "--output", "json"],
        env=os.environ | {"MEMORY_BANK_DATABASE_URL": url},
        stdout=subprocess.PIPE,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    report: dict[str, Any] = json.loads(done.stdout)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return report | {"processor": round(used, 1)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--memories", type=int, default=100_000)
    memories: int = parser.parse_args().memories
    with tempfile.TemporaryDirectory() as base:
        server = postgres.own_server(**OPTIONS)
        try:
            asyncio.run(make(Path(base) / "here", memories))
            url = server.database("bank")
            reports = [
                move("to-postgres", Path(base) / "here", url),
                move("to-sqlite", Path(base) / "back", url),
            ]
        finally:
            postgres.remove(server)
    sys.stdout.write(f"| {memories:,} memories | goal | to PostgreSQL | to SQLite |\n")
    sys.stdout.write("|---|---|---|---|\n")
    rates = [f"{memories / report['seconds']:,.0f}/s" for report in reports]
    sys.stdout.write(f"| moved, all in all | {_GOAL:,}/s | {' | '.join(rates)} |\n")
    gates = [f"{report['seconds_without_writes']} s" for report in reports]
    sys.stdout.write(f"| of that without writes | - | {' | '.join(gates)} |\n")
    used = [f"{report['processor']} s" for report in reports]
    sys.stdout.write(f"| processor time of the command | - | {' | '.join(used)} |\n")


if __name__ == "__main__":
    main()
