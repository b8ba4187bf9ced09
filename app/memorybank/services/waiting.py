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
        raise EmbedderUnavailable(
            f"the embedding service has not answered for {embedder.patience:g} seconds"
        ) from None
