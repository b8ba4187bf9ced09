"""An operator that stops dead after any of its writes about a restore, or a recovery point: the
next one ends where an undisturbed one would have ended, each Job was made once, and its volume
never had a pod of the bank beside another one.

As test_crash_points.py. One bank sees all the deaths of a test.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest

from memorybank_operator.kube import kinds
from memorybank_operator.kube.kinds import ApiKind
from memorybank_operator.reconcile.observed import Reading
from tests.integration.operator.cluster import Cluster, ServingProber
from tests.integration.operator.effort import FULL
from tests.integration.operator.faults import DiesAfter, doomed
from tests.integration.operator.settling import settle
from tests.integration.operator.test_backups import WELL
from tests.integration.operator.test_restores import begin, until_serves
from tests.integration.operator.world import World, until
from tests.operator.world import BUCKET_KEYS

DRAWN = 3
MOMENT = "2026-11-22T15:00:00Z"


@dataclass(frozen=True)
class Scenario:
    """Something that is asked for."""

    kind: ApiKind
    act: Callable[[World, str], Awaitable[object]]
    phase: str
    """In which it ends."""
    jobs: tuple[str, ...]
    """What is done for it, in order."""
    failing: tuple[str, ...] = ()
    writes: int = 4
    """How many there are at the least."""


def restore(**spec: Any) -> Callable[[World, str], Awaitable[object]]:
    async def act(world: World, name: str) -> None:
        await world.create_restore(name, **spec)

    return act


async def take(world: World, name: str) -> None:
    await world.create_backup(name)


async def take_back(world: World, name: str) -> None:
    """Ask for a restore that is taken back at once."""
    await world.create_restore(name, latest=True, rollback=True)


POINT, RESTORE = kinds.MEMORY_BANK_BACKUP, kinds.MEMORY_BANK_RESTORE
IN_PLACE = ("verify", "take", "rewind")
SCENARIOS = {
    "a recovery point": Scenario(POINT, take, "Complete", ("take",), writes=3),
    "a recovery point that fails": Scenario(POINT, take, "Failed", ("take",), ("take",), writes=3),
    "a restore": Scenario(RESTORE, restore(timestamp=MOMENT), "Complete", IN_PLACE, writes=12),
    "a restore that is only tried": Scenario(
        RESTORE, restore(latest=True, check=True), "Complete", ("verify",)
    ),
    "a restore of what is damaged": Scenario(
        RESTORE, restore(latest=True), "Failed", ("verify",), ("verify",)
    ),
    "a restore that fails": Scenario(
        RESTORE, restore(latest=True), "Failed", IN_PLACE, ("rewind",), writes=12
    ),
    "a restore of a broken bank": Scenario(
        RESTORE, restore(latest=True), "Complete", IN_PLACE, ("take",), writes=12
    ),
    "a restore that is taken back": Scenario(
        RESTORE, take_back, "RolledBack", (*IN_PLACE, "undo"), writes=14
    ),
}


class Stage:
    """A bank that serves, and operators that look after it."""

    def __init__(self, world: World, cluster: Cluster) -> None:
        self._world = world
        self._cluster = cluster
        self._names = (f"play-{number}" for number in count())

    async def play(self, scenario: Scenario, writes: int | None = None) -> bool:
        """Play a scenario; with `writes`, the operator dies after as many and another goes on.
        Return whether one died. Fail unless it ends as it should.
        """
        world, cluster, name, died = self._world, self._cluster, next(self._names), False
        before = len(cluster.done)
        cluster.failing = dict.fromkeys(scenario.failing, 6)

        async def is_over() -> bool:
            found = await world.must(scenario.kind, name)
            return bool(found["status"].get("phase") == scenario.phase)

        async def comes_to_its_end() -> None:
            await until(is_over, seconds=120)
            await until_serves(world)

        if writes is not None:
            fault = DiesAfter(writes)
            async with doomed(world, fault, prober=ServingProber()):
                await scenario.act(world, name)
                died = await fault.comes_before(comes_to_its_end())
        async with world.operator(prober=ServingProber()) as operator:
            if writes is None:
                await scenario.act(world, name)
            await comes_to_its_end()
            await settle(world, operator)
        told = len(world.writes())
        async with world.operator(prober=ServingProber()) as operator:
            await until_serves(world)
            await settle(world, operator)
        assert len(world.writes()) == told, "whoever comes now has nothing to do"
        made = [each[1] for each in cluster.done[before:]]
        assert made == list(scenario.jobs), f"dead after write {writes}"
        assert cluster.collisions == 0
        return died


@pytest.fixture
async def stage(world: World) -> AsyncIterator[Stage]:
    cluster = Cluster(world)
    world.pod.said = Reading(backup=WELL)
    await world.put_secret("bucket", **BUCKET_KEYS)
    async with cluster.runs():
        async with world.operator(prober=ServingProber()) as operator:
            await begin(world)
            await settle(world, operator)
        yield Stage(world, cluster)


async def prove(stage: Stage, name: str, *writes: int) -> None:
    """Fail unless the scenario ends as it should though its operator dies after so many writes;
    without any, after each number of them.
    """
    scenario = SCENARIOS[name]
    await stage.play(scenario)
    for number in writes or count(1):
        died = await stage.play(scenario, number)
        if not died and not writes:
            assert number > scenario.writes
            break


@pytest.mark.proof
@pytest.mark.parametrize("name", SCENARIOS if FULL else ("a recovery point",))
async def test_whoever_goes_on_ends_where_an_undisturbed_operator_ends(
    stage: Stage, name: str
) -> None:
    await prove(stage, name)


async def test_so_it_is_after_writes_that_are_drawn_by_lot(stage: Stage, seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311 - no secret
    for name in dice.sample(sorted(SCENARIOS), DRAWN):
        await prove(stage, name, dice.randint(1, SCENARIOS[name].writes))
