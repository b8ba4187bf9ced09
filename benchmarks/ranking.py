"""How well search ranks, by words alone, by meaning alone and by both.

    python -m benchmarks.ranking

Two collections: the questions of the tests, asked in other words than the memories use; and the
Debian packages installed on this machine, where a package's short description is to find its long
one (which differs from machine to machine, so compare figures of one machine only).
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime

from memorybank.domain.feed import MemoryColumns
from memorybank.domain.ids import new_id
from memorybank.domain.memory import Memory, MemoryFilter
from memorybank.embedders.builtin import BuiltinEmbedder
from memorybank.model import locate
from memorybank.ports import Vector
from memorybank.search.tenant import TenantIndex
from tests.support.memory_questions import questions

LONGEST = 700
"""Characters of a long description: about what the embedder reads."""

SHORTEST = 150
DEPTH = 10
ALL = MemoryFilter()


def packages() -> list[tuple[str, str]]:
    """Return (long, short) descriptions; none twice, as families of packages share theirs."""
    listing = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Description}\x1e"], capture_output=True, text=True, check=True
    ).stdout
    pairs: dict[str, tuple[str, str]] = {}
    for description in listing.split("\x1e"):
        short, _, rest = description.partition("\n")
        long = " ".join(rest.replace("\n .\n", "\n").split())[:LONGEST]
        if len(long) >= SHORTEST:
            pairs.setdefault(long[:80], (long, short))
    return list(pairs.values())


async def compare(name: str, pairs: Sequence[tuple[str, str]], embedder: BuiltinEmbedder) -> None:
    """Print how often the right memory comes first, and among the first three."""
    index = TenantIndex(embedder.dimensions)
    now = datetime.now(UTC)
    ids = []
    vectors = await embedder.embed([memory for memory, _ in pairs])
    asked = await embedder.embed([question for _, question in pairs])
    for (content, _), vector in zip(pairs, vectors, strict=True):
        memory = Memory(
            id=new_id(), tenant="bench", content=content, created_at=now, updated_at=now
        )
        index.put(MemoryColumns.of([(memory, vector)]))
        ids.append(memory.id)

    def report(how: str, queries: Sequence[str], query_vectors: Sequence[Vector | None]) -> None:
        places = []
        for wanted, query, vector in zip(ids, queries, query_vectors, strict=True):
            hits = index.search(query, vector, where=ALL, limit=DEPTH)
            places.append([*(hit.memory_id for hit in hits), wanted].index(wanted))
        first = sum(place == 0 for place in places) / len(places)
        three = sum(place < 3 for place in places) / len(places)
        reciprocal = sum(1 / (1 + place) for place in places if place < DEPTH) / len(places)
        print(f"{name:12}{how:12}{first:8.3f}{three:8.3f}{reciprocal:8.3f}")

    words = [question for _, question in pairs]
    report("words", words, [None] * len(pairs))
    report("meaning", [""] * len(pairs), list(asked))
    report("both", words, list(asked))


async def benchmark() -> None:
    """Compare on both collections."""
    embedder = await BuiltinEmbedder.open(locate(None, print))
    print(f"{'':24}{'first':>8}{'top 3':>8}{'MRR':>8}")
    await compare("questions", questions(), embedder)
    await compare("packages", packages(), embedder)
    await embedder.close()


if __name__ == "__main__":
    asyncio.run(benchmark())
