"""What every store promises of the steps of episodes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from memorybank.domain.memory import Memory, MemoryState, MemoryType
from memorybank.domain.work.episodes import Step, StepResult
from memorybank.errors import Conflict
from memorybank.ports import KeptStep, MemoryStore, Move, NewSteps
from tests.app.stores.test_contract import STORES, Opener, opener, store
from tests.support.memory_samples import NOON, a_memory, a_vector, later

__all__ = ["STORES", "Opener", "opener", "store"]


async def an_episode(store: MemoryStore, **fields: Any) -> Memory:
    memory = a_memory(type=MemoryType.EPISODE, **fields)
    await store.add(memory, a_vector())
    return memory


FULL = Step(
    tool="naïve 記憶",
    at=later(-0.123456),
    result=StepResult.ERROR,
    action="an \x00 action",
    error="ValueError",
    observation="seen 🧠",
    latency_ms=2**52,
    tokens=0,
)


async def test_steps_come_back_whole_and_numbered(store: MemoryStore) -> None:
    one, two = await an_episode(store), await an_episode(store)
    bare = Step("ls", NOON)
    batch = [NewSteps(one.id, [FULL, bare]), NewSteps(two.id, [bare]), NewSteps(one.id, [bare])]
    assert await store.episodes.add_steps("acme", batch) == [[1, 2], [1], [3]]
    expected = [replace(each, number=place) for place, each in enumerate([FULL, bare, bare], 1)]
    assert await store.episodes.steps("acme", one.id) == expected
    assert await store.episodes.steps("acme", one.id, after=1, limit=1) == expected[1:2]
    assert await store.episodes.last_step("acme", one.id) == 3


async def test_a_step_with_its_number_is_known_when_it_comes_again(store: MemoryStore) -> None:
    episode = await an_episode(store)
    third = Step("ls", NOON, number=3)
    for _ in range(2):
        assert await store.episodes.add_steps("acme", [NewSteps(episode.id, [third])]) == [[3]]
    batch = [NewSteps(episode.id, [Step("cd", NOON, number=2), Step("ls", NOON)])]
    assert await store.episodes.add_steps("acme", batch) == [[2, 4]]
    with pytest.raises(Conflict) as caught:
        await store.episodes.add_steps(
            "acme", [NewSteps(episode.id, [Step("rm", NOON), Step("rm", NOON, number=3)])]
        )
    assert caught.value.field == "steps.number"
    assert [each.tool for each in await store.episodes.steps("acme", episode.id)] == [
        *("cd", "ls", "ls"),  # all or none: the first of the refused ones is not there either
    ]


async def test_nobody_adds_to_what_is_no_episode_of_theirs(store: MemoryStore) -> None:
    episode = await an_episode(store)
    note = a_memory()
    await store.add(note, a_vector())
    step = Step("ls", NOON)
    for tenant, name in (("beta", episode.id), ("acme", note.id), ("acme", "unknown")):
        assert await store.episodes.add_steps(tenant, [NewSteps(name, [step])]) == [[]]
        assert await store.episodes.steps(tenant, name) == []
        assert await store.episodes.last_step(tenant, name) == 0
    await store.episodes.add_steps("acme", [NewSteps(episode.id, [step])])
    assert await store.episodes.steps("beta", episode.id) == []
    await store.move("acme", [Move(episode.id, MemoryState.TRASH, NOON)])
    assert await store.episodes.add_steps("acme", [NewSteps(episode.id, [step])]) == [[]]


async def test_steps_go_with_their_episode(store: MemoryStore) -> None:
    episode = await an_episode(store)
    await store.episodes.add_steps("acme", [NewSteps(episode.id, [FULL])])
    await store.delete("acme", episode.id)
    await store.add(episode, a_vector())
    assert await store.episodes.steps("acme", episode.id) == []


async def test_what_changed_since_is_told_with_all_steps(store: MemoryStore) -> None:
    one, two, three = [await an_episode(store) for _ in range(3)]
    await store.add(a_memory(), a_vector())
    await store.episodes.add_steps("acme", [NewSteps(two.id, [FULL])])
    page = await store.episodes.since("acme", 0, limit=2)
    assert [(memory.id, len(steps)) for memory, steps in page.changed] == [(one.id, 0), (two.id, 1)]
    rest = await store.episodes.since("acme", page.seq, limit=2)
    assert [memory.id for memory, _ in rest.changed] == [three.id]
    assert rest.seq == (await store.stats()).seq
    await store.delete("acme", one.id)
    await store.move("acme", [Move(two.id, MemoryState.ARCHIVED, NOON)])
    news = await store.episodes.since("acme", rest.seq, limit=10)
    assert ([memory.id for memory, _ in news.changed], list(news.gone)) == ([two.id], [one.id])
    assert not (await store.episodes.since("beta", 0, limit=10)).changed


async def test_steps_are_put_where_they_are_missing(store: MemoryStore) -> None:
    episode = await an_episode(store)
    kept = [KeptStep("acme", episode.id, replace(FULL, number=each)) for each in (1, 5)]
    before = (await store.stats()).seq
    foreign = KeptStep("beta", episode.id, kept[0].step)
    assert await store.transfer.put_steps([kept[1], foreign]) == [True, None]
    assert await store.transfer.put_steps(kept) == [True, False]
    assert [
        memory.id for memory, _ in (await store.episodes.since("acme", before, limit=9)).changed
    ]
    async with store.transfer.snapshot("acme") as snapshot:
        first = await snapshot.steps(after=(0, 0), limit=1)
        assert [(each.episode, each.step) for each in first] == [(episode.id, kept[0].step)]
        rest = await snapshot.steps(after=first[0].position, limit=9)
        assert [each.step for each in rest] == [kept[1].step]
    async with store.transfer.snapshot("beta") as snapshot:
        assert await snapshot.steps(after=(0, 0), limit=9) == []
