"""Steps on their way into a real store, which a test holds up."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from typing_extensions import override

from memorybank.domain.memory import MemoryType
from memorybank.domain.work.episodes import Step, StepBatching
from memorybank.errors import StoreUnavailable
from memorybank.ports import NewSteps, StepStore
from memorybank.services.work.steps import MOST_WAITING, StepQueue
from tests.support.memory_samples import NOON, a_memory, a_vector
from tests.support.service import service

pytestmark = pytest.mark.slow

FULL = StepBatching().steps


class HeldUp:
    """Begins to write, and goes on when it is let."""

    def __init__(self, store: StepStore) -> None:
        self._store = store
        self.began = asyncio.Event()
        self.let = asyncio.Event()
        self.steps = store.steps
        self.last_step = store.last_step
        self.since = store.since

    async def add_steps(self, tenant: str, batch: Sequence[NewSteps]) -> list[list[int]]:
        self.began.set()
        await self.let.wait()
        return await self._store.add_steps(tenant, batch)


async def test_who_writes_what_waits_waits_for_what_is_being_written(tmp_path: Path) -> None:
    async with service(tmp_path) as bank:
        store = bank.engine.store
        episode = a_memory(type=MemoryType.EPISODE)
        await store.add(episode, a_vector())
        held = HeldUp(store.episodes)
        queue = StepQueue(held)
        first = await queue.add("acme", episode.id, [Step("ls", NOON)], last=0, wait=False)
        assert first is None
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(queue.flush_all())  # as it is done each second
            await held.began.wait()
            reader = tasks.create_task(queue.flush("acme"))
            await asyncio.sleep(0)  # its turn
            assert not reader.done()
            held.let.set()
            await reader
            assert await store.episodes.last_step("acme", episode.id) == 1
        assert queue.waiting == 0


class Away(HeldUp):
    """Says that it is away, until it is let."""

    @override
    async def add_steps(self, tenant: str, batch: Sequence[NewSteps]) -> list[list[int]]:
        if not self.let.is_set():
            raise StoreUnavailable("the database does not answer")
        return await self._store.add_steps(tenant, batch)


async def test_a_full_batch_that_cannot_be_written_is_said_to_be_queued_and_kept(
    tmp_path: Path,
) -> None:
    async with service(tmp_path) as bank:
        store = bank.engine.store
        episode = a_memory(type=MemoryType.EPISODE)
        await store.add(episode, a_vector())
        away = Away(store.episodes)
        queue = StepQueue(away)
        for number in range(FULL + 1):
            step = Step(f"step {number}", NOON)
            assert await queue.add("acme", episode.id, [step], last=number, wait=False) is None
        assert queue.waiting == FULL + 1
        away.let.set()
        await queue.flush_all()
        found = await store.episodes.steps("acme", episode.id)
        assert [each.tool for each in found] == [f"step {each}" for each in range(FULL + 1)]
        assert queue.waiting == 0


async def test_what_is_too_much_to_keep_is_refused_and_not_kept(tmp_path: Path) -> None:
    async with service(tmp_path) as bank:
        store = bank.engine.store
        episode = a_memory(type=MemoryType.EPISODE)
        await store.add(episode, a_vector())
        queue = StepQueue(Away(store.episodes))
        many = [Step("ls", NOON)] * MOST_WAITING
        assert await queue.add("acme", episode.id, many, last=0, wait=False) is None
        with pytest.raises(StoreUnavailable):
            await queue.add("acme", episode.id, [Step("pwd", NOON)], last=MOST_WAITING, wait=False)
        assert queue.waiting == MOST_WAITING
        assert await queue.add("beta", "theirs", [Step("ls", NOON)], last=0, wait=False) is None
