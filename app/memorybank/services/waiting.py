"""How long those wait for a vector who can do without one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from memorybank.errors import EmbedderUnavailable
from memorybank.ports import Embedder, Vector


async def embed_in_time(embedder: Embedder, texts: Sequence[str]) -> Vector:
    """Return the vectors of the texts, as Embedder.embed does.

    Raises EmbedderUnavailable also when the embedder's patience ends before.
    """
    try:
        async with asyncio.timeout(embedder.patience):
            return await embedder.embed(texts)
    except TimeoutError:
        raise unanswered(embedder) from None


def unanswered(embedder: Embedder) -> EmbedderUnavailable:
    """Return what to say of an embedder that does not answer: as it does itself, in time."""
    asked = "model" if embedder.patience is None else "service"
    return EmbedderUnavailable(f"the embedding {asked} does not answer in time")
