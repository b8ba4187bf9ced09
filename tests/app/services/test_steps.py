"""Steps on their way into a real store, which a test holds up."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from memorybank.domain.memory import MemoryType
from memorybank.domain.work.episodes import Step
from memorybank.ports import NewSteps, StepStore
from memorybank.services.work.steps import StepQueue
from tests.support.memory_samples import NOON, a_memory, a_vector
from tests.support.service import service

pytestmark = pytest.mark.slow


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
