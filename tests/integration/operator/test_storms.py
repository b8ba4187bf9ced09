"""What networks and API servers do on bad days: the operator gets through all of it by itself, ends
where it would have ended on a good day, hammers nobody, and claims nothing that it did not see.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import random
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from memorybank_operator import runtime
from memorybank_operator.handlers import watching
from memorybank_operator.kube import errors, kinds
from memorybank_operator.kube.client import KubeClient
from memorybank_operator.kube.connection import Connection
from tests.integration.operator.effort import FULL
from tests.integration.operator.garbage import collecting_garbage
from tests.integration.operator.node import Node
from tests.integration.operator.settling import settle
from tests.integration.operator.shape import shape
from tests.integration.operator.storm import (
    EVENT_FAULTS,
    REFUSALS,
    REQUEST_FAULTS,
    Request,
    Storm,
    gaps,
)
from tests.integration.operator.test_crash_points import recreate
from tests.integration.operator.world import CHILDREN, NodeProber, World, Worlds, until

BANKS = ("agents", "bees", "crows")
STORM_SECONDS = 60.0 if FULL else 6.0
SHARE, EVENT_SHARE = 0.2, 0.3
"""Of requests and of events that something happens to."""
ACTION_SECONDS = 0.4
RESYNC_SECONDS = 2.0
"""What the watches lost is found within this time."""
WRITES_PER_ACTION = 12
"""Six objects, a status, an event, and some of them again after a fault."""
WRITES_PER_SECOND = 3
"""Of one bank: its reconciles are paced to one a second, and each ends with its first failure."""

CALM_SECONDS = 2 * STORM_SECONDS + 180.0
"""The longest backoff is as long as the trouble was."""
REFUSED_SECONDS = 6.0
START_SECONDS = 300.0
"""The service's start and some faults."""

Claim = tuple[int, str]
"""Generation and revision of a bank that is said to be ready."""

CHANGES: tuple[dict[str, Any], ...] = (
    {"logging": {"level": "debug"}},
    {"logging": {"level": "info"}},
    {"image": "registry.example/app:2"},
    {"image": None},
    {"podLabels": {"team": "a"}},
    {"podLabels": None},
    {"env": [{"name": "X", "value": "1"}]},
    {"env": None},
    {"serviceAccount": {"annotations": {"example.org/x": "y"}}},
    {"deletionPolicy": "Delete"},
    {"deletionPolicy": "Retain"},
    {"hibernate": True},
    {"hibernate": False},
    {"limits": {"maxBodyBytes": 4096}},
)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have operators, and nobody else, wait for seconds where they wait for half a minute."""
    impatient_client = functools.partial(KubeClient, request_seconds=1.0)
    monkeypatch.setattr(runtime, "KubeClient", impatient_client)
    monkeypatch.setattr(watching, "REQUEST_SECONDS", 2.0)
    monkeypatch.setattr(watching, "RELOGIN_SECONDS", 0.2)
    monkeypatch.setattr(watching, "BACKOFF_MAX", 2.0)


@pytest.fixture(autouse=True)
def no_tracebacks(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing of this is unexpected."""
    yield
    assert not [
        each for each in caplog.get_records("call") if each.exc_info and "aiohttp" not in each.name
    ]


@asynccontextmanager
async def blowing(world: World, seed: int) -> AsyncIterator[tuple[Storm, Connection]]:
    storm = Storm(world.connection, seed=seed)
    async with storm.blowing() as connection:
        yield storm, connection


async def live(world: World, dice: random.Random, *, seconds: float) -> int:
    """Do what users and clumsy hands do; return how often."""
    loop = asyncio.get_running_loop()
    ends, count = loop.time() + seconds, 0
    while loop.time() < ends:
        with contextlib.suppress(AssertionError, errors.NotFound, errors.Conflict):
            await act(world, dice, dice.choice(BANKS))
        count += 1
        await asyncio.sleep(dice.uniform(0, 2 * ACTION_SECONDS))
    return count


async def act(world: World, dice: random.Random, name: str) -> None:
    match dice.randrange(8):
        case 0:
            kind = dice.choice([kind for kind in CHILDREN if kind != "PersistentVolumeClaim"])
            await world.delete(kind, name + CHILDREN[kind].removeprefix("agents"))
        case 1:
            await world.client.merge(
                kinds.SERVICE, world.namespace, name=name,
                changes={"spec": {"selector": {"app.kubernetes.io/name": "other"}}},
            )  # fmt: skip
        case 2:
            await recreate(world, name)
        case _:
            await world.change(name, **dice.choice(CHANGES))


async def fresh(world: World, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    """Return what a new bank of this spec is on a good day."""
    async with world.operator() as operator:
        await world.create(name, **spec)
        await settle(world, operator, name)
        return await shape(world, name)


@pytest.mark.proof
@pytest.mark.parametrize("number", range(5 if FULL else 1))
async def test_after_a_storm_all_is_as_on_a_good_day(
    worlds: Worlds, seed: int, number: int
) -> None:
    world, seed = worlds(), seed + number
    dice = random.Random(seed)  # noqa: S311 - no secret
    async with (
        blowing(world, seed) as (storm, connection),
        collecting_garbage(world, *BANKS),
        world.operator(connection=connection, resync_interval=RESYNC_SECONDS) as operator,
    ):
        storm.share, storm.event_share = SHARE, EVENT_SHARE
        for name in BANKS:
            await world.create(name)
        actions = len(BANKS) + await live(world, dice, seconds=STORM_SECONDS)
        # Nothing goes through for a while.
        storm.share = 1.0
        actions += await live(world, dice, seconds=STORM_SECONDS / 5)
        tried = len(storm.writes())
        storm.calm()
        calm_since = asyncio.get_running_loop().time()
        await settle(world, operator, *BANKS, seconds=CALM_SECONDS)
        took = asyncio.get_running_loop().time() - calm_since
        ends = {name: await shape(world, name) for name in BANKS}
        specs = {name: (await world.must(kinds.MEMORY_BANK, name))["spec"] for name in BANKS}
    told = ", ".join(f"{count} {fault}" for fault, count in storm.faults.most_common())
    sys.stdout.write(
        f"{actions} actions, {tried} writes tried, settled after {took:.1f} s; {told}\n"
    )
    allowed = WRITES_PER_ACTION * actions + WRITES_PER_SECOND * STORM_SECONDS * len(BANKS)
    assert tried < allowed, storm.faults
    for name in BANKS:
        assert ends[name] == await fresh(worlds(), name, specs[name])
    # The next one finds nothing to do.
    writes = world.writes()
    async with world.operator() as operator:
        await settle(world, operator, *BANKS)
    assert world.writes() == writes
    if FULL:
        codes = {str(code) for code in REFUSALS}
        assert storm.faults.keys() >= {*REQUEST_FAULTS, *EVENT_FAULTS, *codes}


async def test_who_refuses_all_writes_is_asked_ever_more_rarely(worlds: Worlds) -> None:
    answers = ((500, None), (429, 2.0), (409, None))
    tried = await asyncio.gather(*(refused(worlds(), answer) for answer in answers))
    # Twice in the first second, then at half of the pace each time; each time an object or two and
    # a status.
    for each in tried:
        assert 2 <= len(each) <= 3 * REFUSED_SECONDS
    asked = [each for each in tried[1] if "/status" not in each.path]
    assert all(gap >= 1.9 for gap in gaps(asked))


async def refused(world: World, answer: tuple[int, float | None]) -> list[Request]:
    """Return what an operator tries to write to a server that refuses it for some seconds."""
    async with (
        blowing(world, 0) as (storm, connection),
        world.operator(connection=connection) as operator,
    ):
        storm.refuse = lambda made: answer if made.is_write else None
        await world.create()

        async def has_begun() -> bool:
            return bool(storm.writes())

        await until(has_begun)
        loop = asyncio.get_running_loop()
        ends = loop.time() + REFUSED_SECONDS

        async def is_over() -> bool:
            return loop.time() > ends

        await until(is_over)
        tried = storm.writes()
        storm.refuse = lambda _made: None
        await settle(world, operator)
    assert (await world.children()).keys() == CHILDREN.keys()
    return tried


async def test_a_status_that_met_a_conflict_is_written_again(world: World) -> None:
    async with (
        blowing(world, 0) as (storm, connection),
        world.operator(connection=connection) as operator,
    ):
        await world.create()
        await settle(world, operator)
        refused: list[Request] = []

        def once(made: Request) -> tuple[int, float | None] | None:
            if not made.path.endswith("/status") or refused:
                return None
            refused.append(made)
            return 409, None

        storm.refuse = once
        await world.change(logging={"level": "debug"})

        async def is_judged() -> bool:
            return bool(refused) and bool(await world.ready())

        await until(is_judged)


async def test_a_watch_that_silently_died_is_opened_anew(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "INACTIVITY_SECONDS", 3.0)
    async with (
        blowing(world, 0) as (storm, connection),
        world.operator(connection=connection) as operator,
    ):
        await world.create()
        await settle(world, operator)
        storm.forget_watches()
        await world.change(logging={"level": "debug"})
        await until(world.ready)
    assert "debug" in (await world.must("ConfigMap", "agents-config"))["data"]["config.yaml"]


@pytest.mark.proof
async def test_in_a_storm_ready_is_claimed_by_proof_alone(
    world: World, node: Node, prober: NodeProber, seed: int
) -> None:
    dice = random.Random(seed)  # noqa: S311 - no secret
    claims: list[tuple[Claim, Claim | None]] = []

    def note(made: Request) -> None:
        claim = claimed(made)
        if claim is not None:
            claims.append((claim, prober.proven))

    async def is_ready() -> bool:
        return (await world.ready()).get("status") == "True"

    async with (
        blowing(world, seed) as (storm, connection),
        world.operator(connection=connection, prober=prober, resync_interval=RESYNC_SECONDS),
    ):
        storm.refuse = note
        await world.create()
        await until(is_ready, seconds=START_SECONDS)
        storm.share, storm.event_share = SHARE, EVENT_SHARE
        for _ in range(20 if FULL else 1):
            await dice.choice((crash, change_the_pod, lose_the_key))(world, node)
            await until(is_ready, seconds=START_SECONDS)
        storm.calm()
    assert claims
    assert all(claim == proven for claim, proven in claims), claims


def claimed(made: Request) -> Claim | None:
    """Return what is claimed by a status that says that a bank is ready."""
    if not made.path.endswith("/status") or not made.is_write:
        return None
    status = json.loads(made.body)["status"]
    ready = {each["type"]: each["status"] for each in status["conditions"]}["Ready"]
    return (status["observedGeneration"], status["revision"]) if ready == "True" else None


async def crash(world: World, node: Node) -> None:
    if "agents" in node.running:
        await node.crash("agents")


async def change_the_pod(world: World, node: Node) -> None:
    await world.change(podLabels={"time": str(random.random())})  # noqa: S311 - no secret


async def lose_the_key(world: World, node: Node) -> None:
    # Through a storm, the operator may not have heard yet that it is lost already.
    with contextlib.suppress(AssertionError, errors.NotFound):
        await world.delete("Secret", "agents-key")


async def test_a_new_bank_is_made_while_the_rest_is_not_known_yet(world: World) -> None:
    async with world.operator() as operator:
        await world.create("bees")
        await settle(world, operator, "bees")
    await world.delete("ConfigMap", "bees-config")
    async with (
        blowing(world, 0) as (storm, connection),
        world.operator(connection=connection) as operator,
    ):
        storm.refuse = lambda made: (503, None) if made.path.endswith("/pods") else None
        await world.create("crows")
        await until(lambda: world.get("Deployment", "crows"))
        assert await world.get("ConfigMap", "bees-config") is None
        assert operator._streams.missing() != ()
        storm.refuse = lambda _made: None
        await settle(world, operator, "bees", "crows")
    assert await world.get("ConfigMap", "bees-config") is not None
