"""An operator that stops dead after any of its writes while pods are replaced: by another version,
or on the way back from one that does not work. The services are real, so an update takes as long as
their starts, and only `make proof` tries it.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from memorybank_operator.api.v1alpha1.conditions import Reason
from memorybank_operator.kube import kinds
from tests.integration.operator import releases
from tests.integration.operator.effort import FULL
from tests.integration.operator.faults import DiesAfter, deaths, doomed
from tests.integration.operator.node import Node
from tests.integration.operator.settling import settle
from tests.integration.operator.world import NodeProber, World, Worlds, until

OLD, GOOD, BAD = "memorybank-app:0.1.0", "memorybank-app:0.1.2", "memorybank-app:0.1.1"
START_SECONDS = 300.0
"""A start of the service, and a deadline, while others start as well."""
DEADLINE_SECONDS = 10
"""The shortest that a bank may have."""
AT_ONCE = 3
MORE_WRITES = 12
"""What pods do meanwhile is told as it happens, and happens at other times than without a crash."""
Check = Callable[["Stage"], Awaitable[bool]]


@dataclass(frozen=True)
class Stage:
    """A world with a node."""

    world: World
    node: Node
    names: tuple[str, ...]

    async def status(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = (await self.world.must(kinds.MEMORY_BANK, name))["status"]
        return found

    async def says(self, name: str, kind: str) -> tuple[str, str]:
        """Return status and reason of a condition for the present generation."""
        found = await self.world.condition(kind, name)
        return found.get("status", ""), found.get("reason", "")


@dataclass(frozen=True)
class Update:
    """A way to another pod."""

    act: Callable[[Stage], Awaitable[object]]
    over: Check
    """Whether it came to its end."""
    names: tuple[str, ...] = ("agents",)
    writes: int = 3
    """How many there are at the least."""


async def change_to(stage: Stage, image: str) -> None:
    policy = {"deadlineSeconds": DEADLINE_SECONDS if image == BAD else 600}
    await stage.world.change(version=image.rpartition(":")[2], updatePolicy=policy)


async def runs(stage: Stage, name: str, image: str) -> bool:
    said = await stage.status(name)
    made = said.get("rollout", {}).get("current", {})
    ready = (await stage.says(name, "Ready"))[0] == "True"
    return ready and said.get("image") == image and bool(made.get("proven"))


async def runs_the_good_one(stage: Stage) -> bool:
    return all([await runs(stage, name, GOOD) for name in stage.names])


async def is_back(stage: Stage) -> bool:
    said = await stage.status("agents")
    return (
        await stage.says("agents", "Ready") == ("False", Reason.ROLLED_BACK)
        and await stage.says("agents", "Stalled") == ("True", Reason.ROLLED_BACK)
        and (await stage.says("agents", "Available"))[0] == "True"
        and said["image"] == OLD
    )


UPDATES = {
    "a version that works": Update(lambda stage: change_to(stage, GOOD), runs_the_good_one),
    "the way back": Update(lambda stage: change_to(stage, BAD), is_back, writes=6),
}


@pytest.fixture
def stages(worlds: Worlds, tmp_path: Path) -> Callable[..., Any]:
    """Make worlds with a node, where banks run the old version."""
    made = {
        GOOD: releases.release(tmp_path, "0.1.2"),
        BAD: releases.release(tmp_path, "0.1.1", releases.does_not_start),
    }
    numbers = count()

    @asynccontextmanager
    async def stage(*names: str) -> AsyncIterator[Stage]:
        world, folder = worlds(), tmp_path / str(next(numbers))
        folder.mkdir()
        node = Node(world.client, world.namespace, folder)
        node.releases |= made
        running = asyncio.create_task(node.run(list(names)))
        try:
            yield Stage(world, node, names)
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running

    return stage


@dataclass(frozen=True)
class Outcome:
    """What became of an update."""

    writes: int
    died: bool


async def play(stage: Stage, update: Update, *, writes: int | None = None) -> Outcome:
    """Play an update; with `writes`, the operator dies after as many and another one goes on."""
    world, prober = stage.world, NodeProber(stage.node)
    async with world.operator(prober=prober, app_image=OLD):
        for name in stage.names:
            await world.create(name)
        for name in stage.names:
            await until(lambda name=name: runs(stage, name, OLD), seconds=START_SECONDS)  # type: ignore[misc]
    before, died = len(world.writes()), False
    settings: dict[str, Any] = {"app_image": OLD}
    if writes is None:
        await update.act(stage)
    else:
        died = await dies(stage, update, writes)
    async with world.operator(prober=prober, **settings) as operator:
        await until(lambda: update.over(stage), seconds=START_SECONDS, what="the update's end")
        await settle(world, operator, *stage.names)
        assert await update.over(stage)
    done = len(world.writes())
    # Whoever comes now has nothing to do.
    async with world.operator(prober=prober, **settings) as operator:
        await settle(world, operator, *stage.names)
        assert await update.over(stage)
    assert world.writes()[done:] == []
    return Outcome(done - before, died)


async def dies(stage: Stage, update: Update, writes: int) -> bool:
    """Play it with an operator that dies after some writes; return whether it wrote as often."""
    fault = DiesAfter(writes)
    settings: dict[str, Any] = {"app_image": OLD}
    async with doomed(stage.world, fault, prober=NodeProber(stage.node), **settings) as operator:
        await update.act(stage)
        dead = asyncio.create_task(fault.dead.wait())

        async def is_over() -> bool:
            return dead.done() or await update.over(stage)

        await until(is_over, seconds=START_SECONDS, what="a death or the update's end")
        if not dead.done():
            await settle(stage.world, operator, *stage.names)
        dead.cancel()
        return fault.dead.is_set()


async def prove(name: str, stages: Callable[..., Any], undisturbed: int, writes: int) -> bool:
    update = UPDATES[name]
    async with stages(*update.names) as stage:
        try:
            outcome = await play(stage, update, writes=writes)
        except AssertionError as error:
            raise AssertionError(f"{name}, dead after write {writes}: {error}") from error
    assert outcome.writes <= undisturbed + MORE_WRITES, f"{name}, dead after write {writes}"
    return outcome.died


async def undisturbed(name: str, stages: Callable[..., Any]) -> int:
    update = UPDATES[name]
    async with stages(*update.names) as stage:
        outcome = await play(stage, update)
    assert outcome.writes >= update.writes
    return outcome.writes


@pytest.mark.proof
@pytest.mark.skipif(not FULL, reason="takes minutes")
@pytest.mark.parametrize("name", UPDATES)
async def test_whoever_goes_on_brings_an_update_to_its_end(
    stages: Callable[..., Any], name: str
) -> None:
    writes = await undisturbed(name, stages)
    died = await deaths(lambda each: prove(name, stages, writes, each), at_once=AT_ONCE)
    sys.stdout.write(f"{name}: {died} crash points\n")
    assert died >= UPDATES[name].writes
