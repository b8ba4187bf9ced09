"""The signs of vectors choose those that are near, whatever was added and dropped before."""

from __future__ import annotations

import numpy as np
import pytest

from memorybank.domain.feed import MemoryColumns
from memorybank.domain.memory import MemoryFilter
from memorybank.domain.search import Refinement
from memorybank.ports import Vector
from memorybank.search import tenant
from memorybank.search.signs import Signs
from memorybank.search.tenant import TenantIndex
from tests.support.memory_samples import a_memory


@pytest.fixture
def dice() -> np.random.Generator:
    """The same for a test whatever others ran before it."""
    return np.random.default_rng(7)


def unit(dice: np.random.Generator, rows: int, dimensions: int = 384) -> Vector:
    """Vectors in bunches, as those of texts are."""
    centres = dice.standard_normal((40, dimensions))
    vectors = centres[dice.integers(40, size=rows)] + 0.8 * dice.standard_normal((rows, dimensions))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


@pytest.mark.parametrize("dimensions", [3, 64, 100, 384])
def test_distances_are_the_signs_that_differ(dice: np.random.Generator, dimensions: int) -> None:
    vectors = unit(dice, 200, dimensions)
    signs = Signs(dimensions)
    signs.follow(vectors[:70])
    signs.follow(vectors)
    expected = ((vectors > 0) != (vectors[5] > 0)).sum(axis=1)
    assert signs.distances(vectors[5]).tolist() == expected.tolist()
    kept = np.arange(200) % 3 == 0
    signs.keep(kept)
    signs.follow(np.concatenate([vectors[kept], vectors[1:2]]))
    assert signs.distances(vectors[5]).tolist() == [*expected[kept], expected[1]]
    signs.keep(np.zeros(signs.count, dtype=np.bool_))
    signs.follow(vectors[2:3])
    assert signs.distances(vectors[5]).tolist() == [expected[2]]


def test_the_choice_keeps_the_ten_nearest(
    dice: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tenant, "_EXACT", 500)
    monkeypatch.setattr(tenant, "_NEAR", 600)
    monkeypatch.setattr(tenant, "_NEAREST", 150)
    vectors = unit(dice, 6_000)
    index = TenantIndex(384)
    ids = []
    for vector in vectors:
        memory = a_memory("something")
        ids.append(memory.id)
        index.put(MemoryColumns.of([(memory, vector)]))
    found = wanted = 0
    for near in vectors[:20]:
        query = near + 0.02 * dice.standard_normal(384).astype(np.float32)
        query /= np.linalg.norm(query)
        best = {ids[at] for at in np.argsort(-(vectors @ query))[:10]}
        hits = index.search(
            "", query, where=MemoryFilter(), limit=10, refine=Refinement(words=False)
        )
        found += len(best & {hit.memory_id for hit in hits})
        wanted += len(best)
    assert found / wanted >= 0.95


def test_guesses_by_the_whole_vector_are_nearer_than_those_by_signs_alone(
    dice: np.random.Generator,
) -> None:
    vectors = unit(dice, 2_000)
    signs = Signs(384)
    signs.follow(vectors)
    exact = vectors @ vectors[5]
    places = np.arange(1, 2_000, 3)
    guesses = signs.estimates(vectors[5], places)
    off = np.abs(guesses - exact[places]).mean()
    assert off < 0.06
    assert off < 0.8 * np.abs(signs.cosines(vectors[5])[places] - exact[places]).mean()


def test_with_words_the_choice_keeps_the_order_of_a_comparison_with_all(
    dice: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = unit(dice, 6_000)
    index = TenantIndex(384)
    for number, vector in enumerate(vectors):
        text = f"note {number % 7} about {'leaks' if number % 11 == 0 else 'pipes'}"
        memory = a_memory(text, importance=number % 5 / 4)
        index.put(MemoryColumns.of([(memory, vector)]))
    same = 0
    for query in vectors[:20]:
        found = []
        for exact in (10_000, 2_048):
            monkeypatch.setattr(tenant, "_EXACT", exact)
            hits = index.search("note 3 about leaks", query, where=MemoryFilter(), limit=10)
            found.append({hit.memory_id for hit in hits})
        same += len(found[0] & found[1])
    assert same / 200 >= 0.95


def test_words_alone_rank_as_if_every_memory_was_weighed(monkeypatch: pytest.MonkeyPatch) -> None:
    index = TenantIndex(384)
    for number in range(900):
        text = "pump " * (1 + number % 3) + "filler " * (number % 13)
        memory = a_memory(text, importance=number % 5 / 4)
        index.put(MemoryColumns.of([(memory, None)]))

    def found() -> list[tuple[str, float]]:
        hits = index.search("the pump", None, where=MemoryFilter(), limit=10)
        return [(hit.memory_id, hit.score) for hit in hits]

    early = found()
    assert found() == early  # now from what is kept of frequent words
    monkeypatch.setattr(tenant, "_hopeful", lambda scores, _count: np.arange(scores.size))
    assert found() == early
