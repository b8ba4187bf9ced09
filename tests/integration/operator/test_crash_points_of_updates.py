"""An operator that stops dead after any of its writes while pods are replaced: by another version,
in one bank or in a fleet of them, or on the way back from a version that does not work. The next
operator ends where an undisturbed one would have ended, and then writes nothing.

The services are real, so an update takes as long as their starts.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from memorybank_operator.api.v1alpha1.conditions import Reason
from memorybank_operator.constants import LABEL_BANK
from memorybank_operator.kube import kinds
from memorybank_operator.runtime import Operator
from memorybank_operator.status.serving import is_serving
from tests.integration.operator import releases
from tests.integration.operator.effort import FULL
from tests.integration.operator.faults import DiesAfter, deaths, doomed
from tests.integration.operator.node import Node
from tests.integration.operator.settling import settle
from tests.integration.operator.shape import shape
from tests.integration.operator.world import NodeProber, World, Worlds, until

OLD, GOOD = "memorybank-app:0.1.0", "memorybank-app:0.1.2"
STARTLESS, FRUITLESS = "memorybank-app:0.1.1", "memorybank-app:0.1.3"
"""One does not start; the other one is ready, and its canary fails."""
START_SECONDS = 300.0
"""Starts of one bank's service, and a deadline, while others start as well."""
DEADLINE_SECONDS = 10
"""The shortest that a bank may have."""
FLEET = ("bravo", "delta")
AT_ONCE = 3
MORE_WRITES = 12
"""What pods do meanwhile is told as it happens, and happens at other times than without a crash."""
Object = dict[str, Any]
Act = Callable[["Stage"], Awaitable[object]]
Check = Callable[["Stage"], Awaitable[bool]]


@dataclass(frozen=True)
class Stage:
    """A world with a node."""

    world: World
    node: Node
    names: tuple[str, ...]

    @property
    def seconds(self) -> float:
        """Enough for one bank after another to start, and to go back."""
        return START_SECONDS * len(self.names)

    async def status(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = (await self.world.must(kinds.MEMORY_BANK, name))["status"]
        return found

    async def says(self, name: str, kind: str) -> tuple[str, str]:
        """Return status and reason of a condition for the present generation."""
        found = await self.world.condition(kind, name)
        return found.get("status", ""), found.get("reason", "")


async def nothing(stage: Stage) -> None:
    """It is the operator that comes with another image."""


async def is_for_all(stage: Stage, check: Callable[[Stage, str], Awaitable[bool]]) -> bool:
    return all([await check(stage, name) for name in stage.names])


@dataclass(frozen=True)
class Update:
    """A way to another pod."""

    over: Check
    """Whether it came to its end."""
    act: Act = nothing
    names: tuple[str, ...] = ("agents",)
    image: str = OLD
    """The default of the operators that make it."""
    deadline: int = 600
    """Seconds until a bank goes back."""
    writes: int = 3
    """How many there are at the least."""


def change_to(image: str) -> Act:
    async def change(stage: Stage) -> None:
        await stage.world.change(version=image.rpartition(":")[2])

    return change


async def runs(stage: Stage, name: str, image: str) -> bool:
    said = await stage.status(name)
    made = said.get("rollout", {}).get("current", {})
    ready = (await stage.says(name, "Ready"))[0] == "True"
    return ready and said.get("image") == image and bool(made.get("proven"))


async def runs_the_good_one(stage: Stage) -> bool:
    return await is_for_all(stage, partial(runs, image=GOOD))


async def is_back(stage: Stage) -> bool:
    said = await stage.status("agents")
    return (
        await stage.says("agents", "Ready") == ("False", Reason.ROLLED_BACK)
        and await stage.says("agents", "Stalled") == ("True", Reason.ROLLED_BACK)
        and (await stage.says("agents", "Available"))[0] == "True"
        and said["image"] == OLD
    )


async def has_stopped(stage: Stage) -> bool:
    """Tell whether one bank tried the image and went back, and the others still wait."""
    pending = sorted([(await stage.says(name, "UpdatePending"))[1] for name in stage.names])
    waiting = [Reason.UPDATE_QUEUED] * (len(stage.names) - 1)
    return pending == [Reason.ROLLED_BACK, *waiting] and await is_for_all(
        stage, partial(runs, image=OLD)
    )


UPDATES = {
    "a version that works": Update(runs_the_good_one, change_to(GOOD)),
    "the way back from what does not start": Update(
        is_back, change_to(STARTLESS), deadline=DEADLINE_SECONDS, writes=6
    ),
    "the way back from what fails its canary": Update(
        is_back, change_to(FRUITLESS), deadline=DEADLINE_SECONDS, writes=6
    ),
    "a fleet in waves": Update(runs_the_good_one, names=FLEET, image=GOOD, writes=6),
    "a fleet that stops at the first failure": Update(
        has_stopped, names=FLEET, image=FRUITLESS, deadline=DEADLINE_SECONDS, writes=6
    ),
}


@dataclass
class Chronicle:
    """Every state of banks, Deployments and pods, as watches tell them."""

    states: dict[int, Object] = field(default_factory=dict)
    """By resource version, which all kinds of one API server draw from the same count."""

    async def record(self, world: World, kind: kinds.ApiKind) -> None:
        async for body in world.watch(kind):
            self.states[int(body["metadata"]["resourceVersion"])] = body

    async def catch_up(self, stage: Stage) -> None:
        """Wait until the present states are in it."""

        async def has_all() -> bool:
            present = [
                await stage.world.must(kind, name)
                for kind in (kinds.MEMORY_BANK, kinds.DEPLOYMENT)
                for name in stage.names
            ]
            return {int(x["metadata"]["resourceVersion"]) for x in present} <= self.states.keys()

        await until(has_all, what="a watch that tells of the present")

    def check(self, update: Update) -> None:
        """Fail unless one bank at a time was updated, each pod after the status said so; of a bank
        that served nobody for a moment, at any time.
        """
        images: dict[str, str] = {}
        updating: set[str] = set()
        unserved: set[str] = set()
        for _, body in sorted(self.states.items()):
            name = body["metadata"]["name"]
            if body["kind"] == kinds.POD.kind:
                if not is_serving(body):
                    unserved.add(body["metadata"]["labels"][LABEL_BANK])
                continue
            if body["kind"] == kinds.MEMORY_BANK.kind:
                conditions = {each["type"] for each in body["status"].get("conditions", ())}
                updating -= {name}
                updating |= {name} if "Updating" in conditions else set()
                assert len(updating) <= 1, f"{sorted(updating)} are updated at once"
                continue
            (container,) = body["spec"]["template"]["spec"]["containers"]
            before, images[name] = images.get(name, OLD), container["image"]
            if (before, images[name]) == (OLD, update.image) != (OLD, OLD):
                said = name in updating or name in unserved
                assert said, f"{name} is replaced before it says so"


@pytest.fixture
def stages(worlds: Worlds, tmp_path: Path) -> Callable[..., Any]:
    """Make worlds with a node, where banks run the old version."""
    made = {
        GOOD: releases.release(tmp_path, "0.1.2"),
        STARTLESS: releases.release(tmp_path, "0.1.1", releases.does_not_start),
        FRUITLESS: releases.release(tmp_path, "0.1.3", releases.does_not_search),
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

    likeness: list[Object]
    """Of all banks, in an order that does not depend on whose turn came first."""
    writes: int
    died: bool


async def play(stage: Stage, update: Update, *, writes: int | None = None) -> Outcome:
    """Play an update; with `writes`, the operator dies after as many and another one goes on."""
    world, prober = stage.world, NodeProber(stage.node)
    async with world.operator(prober=prober, app_image=OLD) as operator:
        for name in stage.names:
            await world.create(name, updatePolicy={"deadlineSeconds": update.deadline})
        await until(
            lambda: is_for_all(stage, partial(runs, image=OLD)), seconds=stage.seconds,
            what="banks that run the old version",
        )  # fmt: skip
        await settle(world, operator, *stage.names)
    before, died = len(world.writes()), False
    chronicle = Chronicle()
    watches = [
        asyncio.create_task(chronicle.record(world, kind))
        for kind in (kinds.MEMORY_BANK, kinds.DEPLOYMENT, kinds.POD)
    ]
    try:
        await chronicle.catch_up(stage)
        if writes is not None:
            died = await dies(stage, update, writes)
        async with world.operator(prober=prober, app_image=update.image, update_wave=1) as operator:
            if writes is None:
                await update.act(stage)
            await comes_to_its_end(stage, update, operator)
        done = len(world.writes())
        # Whoever comes now has nothing to do.
        async with world.operator(prober=prober, app_image=update.image, update_wave=1) as operator:
            await comes_to_its_end(stage, update, operator)
        assert world.writes()[done:] == []
        await chronicle.catch_up(stage)
    finally:
        for each in watches:
            each.cancel()
        await asyncio.gather(*watches, return_exceptions=True)
    chronicle.check(update)
    likenesses = [await likeness(world, name) for name in stage.names]
    return Outcome(sorted(likenesses, key=json.dumps), done - before, died)


async def comes_to_its_end(stage: Stage, update: Update, operator: Operator) -> None:
    """Wait until an update is over, and so it is when its operator has nothing left to do."""

    async def has_settled() -> bool:
        await settle(stage.world, operator, *stage.names)
        return await update.over(stage)

    await until(lambda: update.over(stage), seconds=stage.seconds, what="the update's end")
    await until(has_settled, seconds=stage.seconds, what="an end that lasts")


async def likeness(world: World, name: str) -> Object:
    """Return what a bank and its objects are like in the end, without the words for it: some of
    them tell what the last probe met.
    """
    found = await shape(world, name)
    status = dict(found["status"])
    status["conditions"] = [
        {key: each[key] for key in ("type", "status", "reason")} for each in status["conditions"]
    ]
    return found | {"status": status}


async def dies(stage: Stage, update: Update, writes: int) -> bool:
    """Play it with an operator that dies after some writes; return whether it wrote as often."""
    fault = DiesAfter(writes)
    prober = NodeProber(stage.node)
    async with doomed(
        stage.world, fault, prober=prober, app_image=update.image, update_wave=1
    ) as operator:
        await update.act(stage)
        return await fault.comes_before(comes_to_its_end(stage, update, operator))


async def prove(name: str, stages: Callable[..., Any], undisturbed: Outcome, writes: int) -> bool:
    """Fail unless an update ends like the undisturbed one though its operator dies after some
    writes; return whether it came to that.
    """
    about, update = f"{name}, dead after write {writes}", UPDATES[name]
    async with stages(*update.names) as stage:
        try:
            outcome: Outcome = await play(stage, update, writes=writes)
        except AssertionError as error:
            raise AssertionError(f"{about}: {error}") from error
    assert outcome.likeness == undisturbed.likeness, about
    assert outcome.writes <= undisturbed.writes + MORE_WRITES, about
    return outcome.died


async def undisturbed(name: str, stages: Callable[..., Any]) -> Outcome:
    update = UPDATES[name]
    async with stages(*update.names) as stage:
        outcome: Outcome = await play(stage, update)
    assert outcome.writes >= update.writes
    return outcome


@pytest.mark.proof
@pytest.mark.skipif(not FULL, reason="takes minutes")
@pytest.mark.parametrize("name", UPDATES)
async def test_whoever_goes_on_brings_an_update_to_its_end(
    stages: Callable[..., Any], name: str
) -> None:
    good = await undisturbed(name, stages)
    died = await deaths(lambda each: prove(name, stages, good, each), at_once=AT_ONCE)
    sys.stdout.write(f"{name}: {died} crash points\n")
    assert died >= UPDATES[name].writes


async def test_so_it_is_with_an_update_and_a_write_that_are_drawn_by_lot(
    stages: Callable[..., Any], seed: int
) -> None:
    dice = random.Random(seed)  # noqa: S311 - no secret
    name = dice.choice(list(UPDATES))
    good = await undisturbed(name, stages)
    assert await prove(name, stages, good, dice.randint(1, UPDATES[name].writes))
