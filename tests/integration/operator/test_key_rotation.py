"""Keys are replaced while they are used: no request is refused in the overlap, all are after it,
and at no time does anything but the Secret tell a key.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from prometheus_client import generate_latest

from memorybank_operator.api.v1alpha1.conditions import Reason
from memorybank_operator.engine.cache import BankKey
from memorybank_operator.kube import errors, kinds
from memorybank_operator.runtime import Operator
from tests.integration.operator.faults import DeletedBefore, faulty
from tests.integration.operator.node import Node
from tests.integration.operator.test_keys import key_is, status_of, token_of
from tests.integration.operator.world import NodeProber, World, until

START_SECONDS = 300.0
PAUSE_SECONDS = 0.005


@dataclass
class Clock:
    """The time of day, that a test moves on."""

    ahead: timedelta = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def advance(self, operator: Operator, **by: int) -> None:
        """Let time pass, and have the operator look."""
        self.ahead += timedelta(**by)
        operator._look_at(list(operator.cache.banks()))


@dataclass
class Agent:
    """Whoever reads the key from the Secret and calls, again and again."""

    answers: list[int] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)

    async def work(self, world: World, node: Node) -> None:
        async with aiohttp.ClientSession(node.running["agents"].address) as session:
            while True:
                token = await token_of(world)
                if token not in self.tokens:
                    self.tokens.append(token)
                headers = {"Authorization": f"Bearer {token}"}
                async with session.get("/v1/memories", headers=headers) as response:
                    self.answers.append(response.status)
                await asyncio.sleep(PAUSE_SECONDS)


@asynccontextmanager
async def an_agent(world: World, node: Node) -> AsyncIterator[Agent]:
    agent = Agent()
    working = asyncio.create_task(agent.work(world, node))
    try:
        yield agent
    finally:
        working.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await working


async def rotation_of(world: World) -> dict[str, Any]:
    key = await world.must(kinds.MEMORY_BANK_KEY, "app")
    found: dict[str, Any] = key["status"].get("rotation") or {}
    return found


def request_is_done(world: World, text: str) -> Callable[[], Awaitable[bool]]:
    async def is_it() -> bool:
        return (await rotation_of(world)).get("request") == text

    return is_it


def token_is_other(world: World, than: str) -> Callable[[], Awaitable[bool]]:
    async def is_it() -> bool:
        return await token_of(world) != than

    return is_it


def is_refused(node: Node, token: str) -> Callable[[], Awaitable[bool]]:
    async def is_it() -> bool:
        return await status_of(node, token) == 401

    return is_it


def former_are(world: World, count: int) -> Callable[[], Awaitable[bool]]:
    async def is_it() -> bool:
        return len((await rotation_of(world)).get("former", ())) == count

    return is_it


async def test_a_key_is_rotated_on_request_under_load(
    world: World, node: Node, prober: NodeProber, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    clock, told = Clock(), []
    async with world.operator(prober=prober, now=clock) as operator:
        await world.create()
        await world.create_key(role="readonly", rotation={"overlap": "10m"})
        await until(key_is(world, "True", Reason.KEY_ACCEPTED), seconds=START_SECONDS)
        before = await world.must(kinds.MEMORY_BANK_KEY, "app")
        first = await token_of(world)
        async with an_agent(world, node) as agent:

            async def has_begun() -> bool:
                return bool(agent.answers)

            await until(has_begun)
            await world.change_key(rotation={"request": "leaked"})
            await until(request_is_done(world, "leaked"))
            after = await world.must(kinds.MEMORY_BANK_KEY, "app")
            second = await token_of(world)
            seen = len(agent.answers)

            async def has_called() -> bool:
                return second in agent.tokens and len(agent.answers) > seen + 5

            await until(has_called)
        assert set(agent.answers) == {200}, "a request was refused"
        assert agent.tokens == [first, second]
        assert after["status"]["keyId"] != before["status"]["keyId"]
        (former,) = after["status"]["rotation"]["former"]
        assert former["keyId"] == before["status"]["keyId"]
        until_then = datetime.fromisoformat(former["until"]) - clock()
        assert timedelta(minutes=9) < until_then <= timedelta(minutes=10)
        assert await status_of(node, first) == await status_of(node, second) == 200
        clock.advance(operator, minutes=11)
        await until(is_refused(node, first))
        await until(former_are(world, 0))
        assert await status_of(node, second) == 200
        told = [await world.must(kinds.MEMORY_BANK_KEY, "app"), before, after]
        events = await world.events()
        (rotated,) = [each for each in events if each["reason"] == Reason.KEY_ROTATED]
        assert rotated["involvedObject"]["kind"] == "MemoryBankKey"
        assert before["status"]["keyId"] in rotated["message"]
        secret = await world.must("Secret", "app")
        metrics = generate_latest(operator.metrics.registry).decode()
    text = json.dumps([*told, *events, secret["metadata"]]) + metrics + caplog.text
    for token in (first, second):
        assert token not in text
        assert base64.b64encode(token.encode()).decode() not in text


async def test_a_secret_that_is_thrown_away_while_its_key_is_rotated_takes_the_key_with_it(
    world: World, node: Node, prober: NodeProber
) -> None:
    fault = DeletedBefore(world, "app")
    async with world.operator(connection=faulty(world, fault), prober=prober):
        await world.create()
        await world.create_key(rotation={"overlap": "10m"})
        await until(key_is(world, "True", Reason.KEY_ACCEPTED), seconds=START_SECONDS)
        first = await token_of(world)
        fault.armed = True
        await world.change_key(rotation={"request": "leaked"})
        await until(is_refused(node, first))
        assert not fault.armed
        await until(request_is_done(world, "leaked"))
        assert await status_of(node, await token_of(world)) == 200
        assert (await rotation_of(world)).get("former", []) == []


async def test_a_key_is_rotated_by_its_schedule_also_when_nobody_looked_in_time(
    world: World, node: Node, prober: NodeProber
) -> None:
    clock = Clock()
    async with world.operator(prober=prober, now=clock) as operator:
        await world.create()
        await world.create_key(rotation={"every": "24h", "overlap": "1h"})
        await until(key_is(world, "True", Reason.KEY_ACCEPTED), seconds=START_SECONDS)
        rotation = await rotation_of(world)
        last, due = (datetime.fromisoformat(rotation[each]) for each in ("last", "next"))
        assert due - last == timedelta(hours=24)
        first = await token_of(world)
        clock.advance(operator, hours=23)
        clock.advance(operator, hours=1)
        await until(token_is_other(world, first))
        second = await token_of(world)
        await until(former_are(world, 1))
    clock.ahead += timedelta(days=3)
    async with world.operator(prober=prober, now=clock):
        await until(token_is_other(world, second))
        third = await token_of(world)
        await until(is_refused(node, first))

        async def is_told() -> bool:
            rotation = await rotation_of(world)
            return datetime.fromisoformat(rotation["next"]) > clock()

        await until(is_told)
        assert await status_of(node, second) == await status_of(node, third) == 200


async def test_a_key_without_overlap_is_refused_at_once_and_a_shorter_overlap_counts(
    world: World, node: Node, prober: NodeProber
) -> None:
    async with world.operator(prober=prober):
        await world.create()
        await world.create_key(rotation={"overlap": "10m"})
        await until(key_is(world, "True", Reason.KEY_ACCEPTED), seconds=START_SECONDS)
        first = await token_of(world)
        await world.change_key(rotation={"request": "a"})
        await until(request_is_done(world, "a"))
        assert await status_of(node, first) == 200
        await world.change_key(rotation={"overlap": "0s"})
        await until(is_refused(node, first))
        second = await token_of(world)
        await world.change_key(rotation={"request": "b"})
        await until(request_is_done(world, "b"))
        assert await is_refused(node, second)()
        assert await status_of(node, await token_of(world)) == 200


async def test_a_rotation_waits_for_a_bank_that_serves(
    world: World, node: Node, prober: NodeProber
) -> None:
    async with world.operator(prober=prober) as operator:
        await world.create()
        await world.create_key()
        await until(key_is(world, "True", Reason.KEY_ACCEPTED), seconds=START_SECONDS)
        first = await token_of(world)
        await world.change(hibernate=True)

        async def has_stopped() -> bool:
            # A pod that still ends would take the new key as well.
            pods = operator.cache.belongings(BankKey(world.namespace, "agents"), {"Pod"})
            return (await world.ready()).get("reason") == Reason.HIBERNATED and not pods

        await until(has_stopped)
        await world.change_key(rotation={"request": "asleep"})
        await until(key_is(world, "False", Reason.BANK_UNAVAILABLE))
        assert await token_of(world) == first, "agents would be refused by the bank as it wakes"
        await world.change(hibernate=False)
        await until(request_is_done(world, "asleep"), seconds=START_SECONDS)
        assert await token_of(world) != first
        assert await status_of(node, first) == 200


@pytest.mark.parametrize(
    ("rotation", "said"),
    [
        ({"every": "30d"}, "spec.rotation.every.*write a span of time"),
        ({"every": "59s", "overlap": "1s"}, "spec.rotation.every must be at least 1m"),
        ({"every": "1h"}, "spec.rotation.overlap must be shorter than spec.rotation.every"),
        ({"overlap": "721h"}, "spec.rotation.overlap must be at most 720h"),
        ({"overlap": "-1s"}, "spec.rotation.overlap.*write a span of time"),
        ({"overlap": "9999999h"}, "spec.rotation.overlap"),
        ({"request": "x" * 129}, "spec.rotation.request"),
    ],
)
async def test_a_wrong_rotation_is_refused_by_the_api_server(
    world: World, rotation: dict[str, Any], said: str
) -> None:
    with pytest.raises(errors.Invalid, match=said):
        await world.create_key(rotation=rotation)
