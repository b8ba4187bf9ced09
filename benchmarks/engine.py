"""How fast the memory service is below its faces: embedder, store and index in one process.

    python -m benchmarks.engine [--memories 10000] [--samples 300]

Texts are 27 words long, questions 8, both cut from the documentation topics that come with Python.
The bank is filled with random vectors, since embedding ten thousand texts would take minutes and
change nothing; what is measured embeds for real. Times depend on the machine, so each is also given
as a multiple of embedding one question, which all of them contain.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np

from memorybank.domain.ids import new_id
from memorybank.domain.memory import Memory, MemoryFilter
from memorybank.embedders.builtin import BuiltinEmbedder
from memorybank.model import MODEL_NAME, locate
from memorybank.search import MemoryIndex
from memorybank.stores.sqlite import SqliteStore

TENANT = "bench"
DIMENSIONS = 384
MEMORY_WORDS = 27
QUESTION_WORDS = 8
TURNS_PER_SESSION = 100
ALL = MemoryFilter()


class Texts:
    """Draws pieces of natural text, the same ones in every run."""

    def __init__(self) -> None:
        self._words = " ".join(topics.values()).split()
        self._dice = random.Random(1)  # noqa: S311 - repeatable, keeps nothing secret

    def piece(self, words: int) -> str:
        """Return so many successive words."""
        start = self._dice.randrange(len(self._words) - words)
        return " ".join(self._words[start : start + words])


def a_memory(content: str, number: int) -> Memory:
    """Return a memory; a hundred in a row make a session."""
    now = datetime.now(UTC)
    return Memory(
        id=new_id(),
        tenant=TENANT,
        content=content,
        created_at=now,
        updated_at=now,
        session=f"session-{number // TURNS_PER_SESSION}",
    )


async def measured(samples: int, action: Callable[[], Awaitable[object]]) -> list[float]:
    """Return the times of so many actions one after the other, in ms, shortest first."""
    times = []
    for _ in range(samples):
        start = time.perf_counter()
        await action()
        times.append((time.perf_counter() - start) * 1e3)
    return sorted(times)


def resident_mib() -> float:
    """Return the resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / 2**20


async def fill(database: Path, *, memories: int) -> None:
    """Make a database of memories with random unit vectors."""
    texts = Texts()
    vectors = np.random.default_rng(1).normal(size=(memories, DIMENSIONS)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    notes = [a_memory(texts.piece(MEMORY_WORDS), number) for number in range(memories)]
    store = await SqliteStore.open(database, model=MODEL_NAME)
    start = time.perf_counter()
    await asyncio.gather(*(store.add(note, v) for note, v in zip(notes, vectors, strict=True)))
    print(f"{memories} memories stored in {time.perf_counter() - start:.2f} s, all at once")
    await store.close()


def fill_apart(database: Path, *, memories: int) -> None:
    """Fill in a process of its own, which takes the memory it needed away with it."""
    process = multiprocessing.get_context("spawn").Process(
        target=_fill, args=(database, memories), daemon=True
    )
    process.start()
    process.join()
    if process.exitcode != 0:
        sys.exit("the database could not be filled")


def _fill(database: Path, memories: int) -> None:
    asyncio.run(fill(database, memories=memories))


async def benchmark(database: Path, *, memories: int, samples: int) -> None:
    """Open a filled bank, then time the parts and the whole of adding and searching."""
    texts = Texts()
    print(f"memory of the process: {resident_mib():.0f} MiB with everything imported")
    embedder = await BuiltinEmbedder.open(locate(None, print))
    store = await SqliteStore.open(database, model=embedder.model)
    index = MemoryIndex(store, dimensions=embedder.dimensions)
    await embedder.embed([texts.piece(MEMORY_WORDS)])
    print(f"                       {resident_mib():.0f} MiB with embedder and store open")
    start = time.perf_counter()
    await index.catch_up()
    print(f"                       {resident_mib():.0f} MiB with {memories} memories indexed")
    print(f"index rebuilt in {time.perf_counter() - start:.2f} s")

    async def embed_question() -> None:
        await embedder.embed([texts.piece(QUESTION_WORDS)])

    async def embed_memory() -> None:
        await embedder.embed([texts.piece(MEMORY_WORDS)])

    async def add(*, embedded: bool = True) -> None:
        note = a_memory(texts.piece(MEMORY_WORDS), memories)
        vector = (await embedder.embed([note.content]))[0] if embedded else some_vector
        await index.catch_up(await store.add(note, vector))

    async def search(*, embedded: bool = True) -> None:
        question = texts.piece(QUESTION_WORDS)
        vector = (await embedder.embed([question]))[0] if embedded else some_vector
        hits = await index.search(TENANT, question, vector=vector, where=ALL, limit=10)
        await store.get_many(TENANT, [hit.memory_id for hit in hits])

    some_vector = (await embedder.embed(["some vector"]))[0]
    unit: float | None = None
    print(f"{'':34}{'p50':>8}{'p95':>8} ms   p50 in questions embedded")
    for name, action in [
        ("embed a question", embed_question),
        ("embed a memory", embed_memory),
        ("store and index a memory", lambda: add(embedded=False)),
        ("rank and fetch ten", lambda: search(embedded=False)),
        ("add, embedding included", add),
        ("search, embedding included", search),
    ]:
        times = await measured(samples, action)
        p50, p95 = times[samples // 2], times[int(samples * 0.95)]
        unit = unit or p50
        print(f"{name:34}{p50:8.2f}{p95:8.2f}      {p50 / unit:5.2f}")
    print(f"memory of the process: {resident_mib():.0f} MiB at the end")
    await index.close()
    await store.close()
    await embedder.close()


def main() -> None:
    """Run the benchmark on a temporary data folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--memories", type=int, default=10_000)
    parser.add_argument("--samples", type=int, default=300)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "memory_bank.db"
        fill_apart(database, memories=options.memories)
        asyncio.run(benchmark(database, memories=options.memories, samples=options.samples))


if __name__ == "__main__":
    main()
