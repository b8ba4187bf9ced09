"""How long those wait for a vector who can do without one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from memorybank.errors import EmbedderUnavailable
from memorybank.ports import Embedder, Vector


async def embed_in_time(
    embedder: Embedder, texts: Sequence[str], *, seconds: float | None = None
) -> Vector:
    """Return the vectors of the texts, as Embedder.embed does.

    Raises EmbedderUnavailable also when that takes so many seconds, or without them, as many as the
    embedder's patience has.
    """
    try:
        async with asyncio.timeout(embedder.patience if seconds is None else seconds):
            return await embedder.embed(texts)
    except TimeoutError:
        asked = "model" if embedder.patience is None else "service"
        raise EmbedderUnavailable(f"the embedding {asked} does not answer in time") from None
