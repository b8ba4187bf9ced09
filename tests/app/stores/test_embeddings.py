"""What every store promises of memories that lack a vector."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from memorybank.ports import PENDING, MemoryStore
from tests.app.stores.test_contract import STORES, Opener, opener, store
from tests.support.memory_samples import a_memory, a_vector

__all__ = ["STORES", "opener", "store"]


async def pending(store: MemoryStore) -> list[str]:
    return [item.memory.id for item in await store.embeddings.unembedded(0, limit=100)]


async def test_a_memory_stored_without_a_vector_is_pending_until_it_gets_one(
    store: MemoryStore,
) -> None:
    one, two, three = a_memory(), a_memory(), a_memory()
    await store.add_many([(one, PENDING), (two, a_vector()), (three, PENDING)])
    assert await pending(store) == [one.id, three.id]
    first = await store.embeddings.unembedded(0, limit=1)
    assert [item.memory.id for item in first] == [one.id]
    rest = await store.embeddings.unembedded(first[-1].position, limit=9)
    assert [item.memory.id for item in rest] == [three.id]
    before = (await store.stats()).seq
    seq, count = await store.embeddings.embedded([(first[0], a_vector(7))])
    assert (seq, count) == (before + 1, 1)
    [change] = await store.changes(before, limit=9)
    assert (change.seq, change.memory_id) == (seq, one.id)
    assert change.vector is not None
    np.testing.assert_array_equal(change.vector, a_vector(7))
    assert await pending(store) == [three.id]
    progress = await store.embeddings.progress()
    assert (progress.memories, progress.embedded) == (3, 2)


async def test_a_vector_of_words_that_changed_meanwhile_is_not_kept(store: MemoryStore) -> None:
    memory, gone = a_memory(), a_memory()
    await store.add_many([(memory, PENDING), (gone, PENDING)])
    items = await store.embeddings.unembedded(0, limit=9)
    await store.replace(replace(memory, content="changed"), PENDING)
    await store.delete("acme", gone.id)
    assert await store.embeddings.embedded([(item, a_vector()) for item in items]) == (0, 0)
    assert await pending(store) == [memory.id]


async def test_a_changed_text_that_is_to_be_embedded_later_loses_its_old_vector(
    store: MemoryStore,
) -> None:
    memory = a_memory()
    await store.add(memory, a_vector())
    await store.replace(replace(memory, content="changed"), PENDING)
    assert await pending(store) == [memory.id]
    [change] = await store.changes(0, limit=9)
    assert change.vector is None


async def test_everything_is_pending_for_another_model_and_nothing_for_the_old_one_again(
    opener: Opener, tmp_path: Path
) -> None:
    memory = a_memory()
    store = await opener(tmp_path, "model-1")
    assert await store.embeddings.known_dimensions() is None
    await store.add(memory, a_vector())
    assert await store.embeddings.known_dimensions() == len(a_vector())
    await store.close()
    store = await opener(tmp_path, "model-2")
    assert await store.embeddings.known_dimensions() is None
    assert await pending(store) == [memory.id]
    [item] = await store.embeddings.unembedded(0, limit=9)
    await store.embeddings.embedded([(item, a_vector(3))])
    assert await pending(store) == []
    await store.close()
