"""A process that writes to a store until it is killed, telling each acknowledged write.

Run as `python -m tests.support.memory_writer DATABASE`. Lines on standard output: `add ID` and
`delete ID` when the store has acknowledged it; `deleting ID` before it is asked to.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from memorybank.stores.sqlite import SqliteStore
from tests.support.memory_samples import a_memory, a_vector


async def write_forever(store: SqliteStore) -> None:
    while True:
        kept, dropped = a_memory("x" * 1_000), a_memory("x" * 1_000)
        for memory in (kept, dropped):
            await store.add(memory, a_vector())
            tell("add", memory.id)
        tell("deleting", dropped.id)
        await store.delete("acme", dropped.id)
        tell("delete", dropped.id)


def tell(what: str, memory_id: str) -> None:
    sys.stdout.write(f"{what} {memory_id}\n")
    sys.stdout.flush()


async def main() -> None:
    store = await SqliteStore.open(Path(sys.argv[1]), model="test")
    await asyncio.gather(*(write_forever(store) for _ in range(8)))


if __name__ == "__main__":
    asyncio.run(main())
