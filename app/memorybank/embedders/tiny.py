"""The tiny embedder: a text's vector is the mean of its tokens' vectors in a table.

A hundred times as fast as the built-in encoder and a fraction of its memory, for tests and for pods
that have next to nothing; it knows words, not sentences. See memorybank.model.table.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from memorybank.model.manifest import TABLE_NAME, ModelFiles, open_model
from memorybank.ports import Vector

_MAX_CHARACTERS = 65_536
"""What is tokenised at all: some 50 ms. The mean of more would say nothing any more."""


class TinyEmbedder:
    """Looks tokens up in the table of a folder that `memorybank.model` made."""

    def __init__(self, files: ModelFiles) -> None:
        self._tokenizer = Tokenizer.from_file(str(files.tokenizer))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        # Mapped, not read: only the pages of tokens that are met take memory.
        self._table = np.load(files.table, mmap_mode="r")
        self._unknown = self._tokenizer.encode("[UNK]", add_special_tokens=False).ids

    @classmethod
    async def open(cls, folder: Path) -> TinyEmbedder:
        """Check the model's files and map the table.

        Raises ConfigurationError when the folder holds no sound model.
        """
        return await asyncio.to_thread(lambda: cls(open_model(folder)))

    @property
    def model(self) -> str:
        """See Embedder."""
        return TABLE_NAME

    @property
    def dimensions(self) -> int:
        """See Embedder."""
        return int(self._table.shape[1])

    @property
    def patience(self) -> None:
        """See Embedder. It is this process that works."""

    async def embed(self, texts: Sequence[str]) -> Vector:
        """See Embedder."""
        return await asyncio.to_thread(self._embed, texts)

    async def close(self) -> None:
        """See Embedder. There is nothing to close."""

    def _embed(self, texts: Sequence[str]) -> Vector:
        vectors = np.empty((len(texts), self.dimensions), dtype=np.float32)
        for place, text in enumerate(texts):
            encoding = self._tokenizer.encode(text[:_MAX_CHARACTERS], add_special_tokens=False)
            rows = self._table[encoding.ids or self._unknown]
            vectors[place] = rows.mean(axis=0, dtype=np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors
