"""The signs of vectors choose those that are near, whatever was added and dropped before."""

from __future__ import annotations

import numpy as np
import pytest

from memorybank.domain.memory import MemoryFilter
from memorybank.ports import Vector
from memorybank.search import tenant
from memorybank.search.signs import Signs
from memorybank.search.tenant import TenantIndex
from tests.support.memory_samples import a_memory

DICE = np.random.default_rng(7)


def unit(rows: int, dimensions: int = 384) -> Vector:
    """Vectors in bunches, as those of texts are."""
    centres = DICE.standard_normal((40, dimensions))
    vectors = centres[DICE.integers(40, size=rows)] + 0.8 * DICE.standard_normal((rows, dimensions))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


@pytest.mark.parametrize("dimensions", [3, 64, 100, 384])
def test_distances_are_the_signs_that_differ(dimensions: int) -> None:
    vectors = unit(200, dimensions)
    signs = Signs(dimensions)
    for vector in vectors:
        signs.append(vector)
    expected = ((vectors > 0) != (vectors[5] > 0)).sum(axis=1)
    assert signs.distances(vectors[5]).tolist() == expected.tolist()
    kept = np.arange(200) % 3 == 0
    signs.keep(kept)
    signs.append(vectors[1])
    assert signs.distances(vectors[5]).tolist() == [*expected[kept], expected[1]]
    signs.keep(np.zeros(signs.count, dtype=np.bool_))
    signs.append(vectors[2])
    assert signs.distances(vectors[5]).tolist() == [expected[2]]


def test_the_choice_keeps_the_ten_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tenant, "_EXACT", 500)
    monkeypatch.setattr(tenant, "_CHOSEN", 300)
    vectors = unit(6_000)
    index = TenantIndex(384)
    ids = []
    for vector in vectors:
        memory = a_memory("something")
        ids.append(memory.id)
        index.put(memory, vector)
    found = wanted = 0
    for near in vectors[:20]:
        query = near + 0.02 * DICE.standard_normal(384).astype(np.float32)
        query /= np.linalg.norm(query)
        best = {ids[at] for at in np.argsort(-(vectors @ query))[:10]}
        hits = index.search("unrelated", query, where=MemoryFilter(), limit=10)
        found += len(best & {hit.memory_id for hit in hits})
        wanted += len(best)
    assert found / wanted >= 0.95
