"""A tiny embedder: texts that share words are near each other, which is all but meaning."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import numpy as np

from memorybank.ports import Vector

DIMENSIONS = 64


class WordEmbedder:
    """Adds one fixed random direction per word."""

    model = "words-64"
    dimensions = DIMENSIONS
    patience: float | None = None

    async def embed(self, texts: Sequence[str]) -> Vector:
        vectors = np.stack([_sum_of_words(text) for text in texts])
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit: Vector = (vectors / np.maximum(lengths, 1e-9)).astype(np.float32)
        return unit

    async def close(self) -> None:
        """Nothing is held."""


def _sum_of_words(text: str) -> Vector:
    words = re.findall(r"\w+", text.lower()) or [text]
    total: Vector = np.sum([_direction(word) for word in words], axis=0, dtype=np.float32)
    return total


def _direction(word: str) -> Vector:
    digest = hashlib.blake2b(word.encode(), digest_size=DIMENSIONS).digest()
    return np.frombuffer(digest, dtype=np.uint8).astype(np.float32) - 127.5
