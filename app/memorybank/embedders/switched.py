"""An embedder in whose place another can be put while it is used."""

from __future__ import annotations

from collections.abc import Sequence

from memorybank.errors import EmbedderUnavailable
from memorybank.ports import Embedder, Vector
from memorybank.spaces import of_space


class SwitchedEmbedder:
    """Passes everything on to the embedder in use; its vectors say of which space they are."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

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
        """See Embedder. A call that has begun is finished by the embedder of that moment."""
        embedder = self._embedder
        return of_space(await embedder.embed(texts), embedder.model)

    def use(self, embedder: Embedder) -> None:
        """Put another one in its place; who opened them closes them."""
        self._embedder = embedder

    async def close(self) -> None:
        """See Embedder."""
        await self._embedder.close()


class AbsentEmbedder:
    """Stands for a model that cannot be opened any more: its vectors are there, it is not."""

    patience = None

    def __init__(self, model: str, dimensions: int, why: str) -> None:
        """`why` is said to everybody who wants a vector."""
        self.model = model
        self.dimensions = dimensions
        self._why = why

    async def embed(self, texts: Sequence[str]) -> Vector:
        """See Embedder. Always raises EmbedderUnavailable."""
        raise EmbedderUnavailable(self._why)

    async def close(self) -> None:
        """See Embedder."""
