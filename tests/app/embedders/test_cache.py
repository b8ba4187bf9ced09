from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from typing_extensions import override

from memorybank.embedders.cache import CachingEmbedder
from memorybank.errors import EmbedderUnavailable
from memorybank.ports import Vector
from tests.support.word_embedder import WordEmbedder


class Recording(WordEmbedder):
    """Notes what it is asked for; fails when told to."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.down = False

    @override
    async def embed(self, texts: Sequence[str]) -> Vector:
        if self.down:
            raise EmbedderUnavailable("down")
        self.asked += texts
        return await super().embed(texts)


async def test_a_known_text_is_not_embedded_again_and_has_the_same_vector() -> None:
    inner = Recording()
    embedder = CachingEmbedder(inner, entries=10)
    first = await embedder.embed(["a", "b", "a"])
    again = await embedder.embed(["b", "c", "a"])
    assert inner.asked == ["a", "b", "c"]
    np.testing.assert_array_equal(first[[1, 0]], again[[0, 2]])
    np.testing.assert_array_equal(again, await WordEmbedder().embed(["b", "c", "a"]))


async def test_the_least_recently_used_text_makes_way() -> None:
    inner = Recording()
    embedder = CachingEmbedder(inner, entries=2)
    for text in ("a", "b", "a", "c", "a", "b"):
        await embedder.embed([text])
    assert inner.asked == ["a", "b", "c", "b"]


async def test_more_texts_at_once_than_the_cache_holds_are_all_answered() -> None:
    embedder = CachingEmbedder(WordEmbedder(), entries=2)
    texts = [f"text {number}" for number in range(9)]
    np.testing.assert_array_equal(await embedder.embed(texts), await WordEmbedder().embed(texts))


async def test_a_caller_that_changes_its_vector_changes_nobody_elses() -> None:
    embedder = CachingEmbedder(WordEmbedder(), entries=2)
    (await embedder.embed(["a"]))[0][:] = 0
    assert np.linalg.norm((await embedder.embed(["a"]))[0]) == pytest.approx(1)


async def test_what_is_known_is_answered_while_the_embedder_is_down() -> None:
    inner = Recording()
    embedder = CachingEmbedder(inner, entries=2)
    known = await embedder.embed(["a"])
    inner.down = True
    np.testing.assert_array_equal(await embedder.embed(["a"]), known)
    with pytest.raises(EmbedderUnavailable):
        await embedder.embed(["a", "b"])


async def test_hits_and_misses_are_counted() -> None:
    counts: list[tuple[int, int]] = []
    embedder = CachingEmbedder(
        WordEmbedder(), entries=2, counted=lambda hits, misses: counts.append((hits, misses))
    )
    await embedder.embed(["a", "b", "a"])
    await embedder.embed(["a"])
    assert counts == [(1, 2), (1, 0)]
    assert (await embedder.embed([])).shape == (0, embedder.dimensions)
