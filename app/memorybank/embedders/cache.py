"""An embedder that remembers the vectors of the texts it met last.

Agents ask the same questions and store the same texts again and again; a vector that is known costs
no run of the model and no hop to its thread.
"""

from __future__ import annotations

import hashlib
import zlib
from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np

from memorybank.ports import CacheStatus, Embedder, Vector


class CachingEmbedder:
    """Answers known texts from memory and passes the others on.

    The cache is exact: it knows a text by its BLAKE2b hash, and a text has one vector per embedding
    space. It holds no texts. Least recently used entries make way; an entry weighs about 200 bytes
    more than its vector (384 dimensions: 1.7 KB).
    """

    def __init__(
        self,
        embedder: Embedder,
        *,
        entries: int,
        counted: Callable[[int, int], None] = lambda _hits, _misses: None,
    ) -> None:
        """`entries` bounds the cache; `counted` hears of hits and misses, per call of `embed`."""
        self._embedder = embedder
        self._entries = entries
        self._counted = counted
        self._vectors: OrderedDict[bytes, tuple[Vector, int]] = OrderedDict()  # and its CRC-32
        self._hits = 0
        self._misses = 0

    @property
    def model(self) -> str:
        """See Embedder."""
        return self._embedder.model

    @property
    def dimensions(self) -> int:
        """See Embedder."""
        return self._embedder.dimensions

    @property
    def patience(self) -> float | None:
        """See Embedder."""
        return self._embedder.patience

    async def embed(self, texts: Sequence[str]) -> Vector:
        """See Embedder. A text that appears twice is embedded once."""
        keys = [_key(text) for text in texts]
        known = {key: self._vectors[key][0] for key in keys if key in self._vectors}
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        self._hits += len(keys) - len(missing)
        self._misses += len(missing)
        self._counted(len(keys) - len(missing), len(missing))
        if missing:
            made = await self._embedder.embed(list(missing.values()))
            known.update(zip(missing, made, strict=True))
        for key in keys:
            self._keep(key, known[key])
        vectors = np.empty((len(keys), self.dimensions), dtype=np.float32)
        for row, key in enumerate(keys):
            vectors[row] = known[key]
        return vectors

    def status(self) -> CacheStatus:
        """See VectorCache."""
        return CacheStatus(len(self._vectors), self._entries, self._hits, self._misses)

    def check(self) -> int:
        """See VectorCache."""
        broken = [key for key, (vector, crc) in self._vectors.items() if _checksum(vector) != crc]
        for key in broken:
            del self._vectors[key]
        return len(broken)

    def clear(self) -> int:
        """See VectorCache."""
        count = len(self._vectors)
        self._vectors.clear()
        return count

    async def close(self) -> None:
        """See Embedder."""
        self._vectors.clear()
        await self._embedder.close()

    def _keep(self, key: bytes, vector: Vector) -> None:
        if key in self._vectors:
            self._vectors.move_to_end(key)
            return
        own = vector.copy()  # not a view: that would keep the whole answer alive
        self._vectors[key] = (own, _checksum(own))
        if len(self._vectors) > self._entries:
            self._vectors.popitem(last=False)


def _key(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _checksum(vector: Vector) -> int:
    return zlib.crc32(vector.tobytes())
