"""An operator that stops dead after any of its writes about a key, to the API server or to the
bank: the next one ends where an undisturbed one would have ended, and then writes nothing.

As test_crash_points.py, but with a bank that serves, and that is asked in the end which keys open
it. One bank sees all the deaths of a test.
"""

from __future__ import annotations

import base64
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import aiohttp
import pytest

from memorybank_operator.api.v1alpha1.conditions import Reason
from memorybank_operator.engine.cache import BankKey
from memorybank_operator.kube import errors, kinds
from memorybank_operator.reconcile.keyring import utc_now
from memorybank_operator.runtime import Operator
from tests.integration.operator.effort import FULL
from tests.integration.operator.faults import DiesAfter, MortalProber, doomed
from tests.integration.operator.garbage import owners
from tests.integration.operator.node import Node
from tests.integration.operator.test_keys import key_is, status_of, token_of
from tests.integration.operator.world import NodeProber, World, until

START_SECONDS = 300.0
SETTLE_SECONDS = 180.0
DRAWN = 4
Act = Callable[[World, str], Awaitable[object]]


@dataclass(frozen=True)
class Scenario:
    """Something that makes the operator write about a key."""

    act: Act
    spec: dict[str, Any] | None = field(default_factory=dict)
    """Of the key that is there before; None when there is none."""
    ahead: timedelta = timedelta()
    """How much time has passed since the key was made."""
    writes: int = 1
    """How many there are at the least."""
    opens: bool = False
    """Whether the key that was there before still opens the bank in the end."""


@dataclass(frozen=True)
class Result:
    """Where it ended."""

    conditions: tuple[tuple[str, str, str], ...]
    request: str
    former: int
    """Former keys by the status."""
    valid: tuple[tuple[str, bool], ...]
    """Of each key that the bank takes: role, and whether it ends."""
    token_opens: bool
    before_opens: bool


def changed(before: dict[str, Any] | None = None, **changes: Any) -> Act:
    async def act(world: World, name: str) -> None:
        await world.change_key(name, **changes)

    return act


async def create(world: World, name: str) -> None:
    await world.create_key(name, role="readonly")


async def lose_the_secret(world: World, name: str) -> None:
    await world.delete("Secret", name)


async def damage_the_secret(world: World, name: str) -> None:
    await world.client.merge(
        kinds.SECRET, world.namespace, name=name, changes={"data": {"token": "eA=="}}
    )


async def delete(world: World, name: str) -> None:
    """Delete the key; what it owned is collected while the operator settles."""
    await world.delete(kinds.MEMORY_BANK_KEY, name)


async def delete_and_make_again(world: World, name: str) -> None:
    """Make it again before what it owned is collected."""
    await world.delete(kinds.MEMORY_BANK_KEY, name)
    await world.create_key(name)


async def collect(world: World, key: dict[str, Any] | None, secret: dict[str, Any] | None) -> None:
    """Delete a Secret whose key is gone, for which a bare API server has nobody."""
    if secret is None or owners(secret) & ({key["metadata"]["uid"]} if key else set()):
        return
    with contextlib.suppress(errors.NotFound, errors.Conflict):
        await world.client.delete(
            kinds.SECRET, world.namespace,
            name=secret["metadata"]["name"], uid=secret["metadata"]["uid"],
        )  # fmt: skip


async def rotate_twice(world: World, name: str) -> None:
    await world.change_key(name, rotation={"request": "a"})
    await world.change_key(name, rotation={"request": "b", "overlap": "2h"})


ROTATE = "rotate on request"
SCENARIOS = {
    "create": Scenario(create, spec=None, writes=3),
    ROTATE: Scenario(changed(rotation={"request": "x"}), writes=4, opens=True),
    "rotate without overlap": Scenario(
        changed(rotation={"request": "x", "overlap": "0s"}), writes=4
    ),
    "rotate by the schedule": Scenario(
        changed(rotation={"every": "24h", "overlap": "2h"}),
        ahead=timedelta(hours=25),
        writes=4,
        opens=True,
    ),
    "rotate, and again": Scenario(rotate_twice, writes=4, opens=True),
    "change the role": Scenario(changed(role="readonly"), writes=3, opens=True),
    "let it end": Scenario(changed(expiresAt="2020-01-01T00:00:00Z"), writes=3),
    "lose the Secret": Scenario(lose_the_secret, writes=3),
    "damage the Secret": Scenario(damage_the_secret, writes=3),
    "delete": Scenario(delete, writes=1),
    "delete and make again": Scenario(delete_and_make_again, writes=3),
}


class Stage:
    """A bank that serves, and operators that look after its keys."""

    def __init__(self, world: World, node: Node) -> None:
        self.world = world
        self.node = node
        self._names = (f"key-{number}" for number in count())

    async def prepare(self) -> None:
        await self.world.create()
        async with self.world.operator(prober=NodeProber(self.node)):
            await self.world.create_key("first")
            await until(
                key_is(self.world, "True", Reason.KEY_ACCEPTED, "first"), seconds=START_SECONDS
            )

    async def play(self, scenario: Scenario, writes: int | None = None) -> tuple[Result, bool]:
        """Play a scenario; with `writes`, the operator dies after as many and another goes on.
        Return where it ended, and whether an operator died.
        """
        world, name = self.world, next(self._names)
        before, died = "", False
        if scenario.spec is not None:
            async with self._operator() as (operator, prober):
                await world.create_key(name, **scenario.spec)
                await self.settle(operator, prober, name)
                before = await token_of(world, name)

        def now() -> datetime:
            return utc_now() + scenario.ahead

        if writes is not None:
            fault = DiesAfter(writes)
            mortal = MortalProber(self.node, fault)
            async with doomed(world, fault, prober=mortal, now=now) as operator:
                await scenario.act(world, name)
                died = await fault.comes_before(self.settle(operator, mortal, name))
        async with self._operator(now) as (operator, prober):
            if writes is None:
                await scenario.act(world, name)
            await self.settle(operator, prober, name)
        done = self._writes(name)
        async with self._operator(now) as (operator, prober):
            await self.settle(operator, prober, name)
        assert self._writes(name) == done, "whoever comes now has nothing to do"
        return await self._result(name, before), died

    def _writes(self, name: str) -> list[str]:
        """Return what operators wrote about a key. Its bank has a life of its own."""
        return [each for each in self.world.writes() if each.split()[-1] == name]

    @asynccontextmanager
    async def _operator(
        self, now: Callable[[], datetime] = utc_now
    ) -> AsyncIterator[tuple[Operator, NodeProber]]:
        prober = NodeProber(self.node)
        async with self.world.operator(prober=prober, now=now) as operator:
            yield operator, prober

    async def settle(self, operator: Operator, prober: NodeProber, name: str) -> None:
        """Wait until an operator that told the bank its keys has judged this one, knows everything
        about it, and has nothing to do.
        """

        async def is_settled() -> bool:
            # First the Secret: a key that is made in between cannot be the one that owns it.
            secret = await self.world.get("Secret", name)
            key = await self.world.get(kinds.MEMORY_BANK_KEY, name)
            await collect(self.world, key, secret)
            for body in filter(None, (key, secret)):
                if not _knows(operator, body):
                    return False
            if key is None and secret is not None:
                return False
            if key is not None:
                status = key["status"]
                reconciling = [
                    c for c in status.get("conditions", ()) if c["type"] == "Reconciling"
                ]
                if status["observedGeneration"] != key["metadata"]["generation"] or reconciling:
                    return False
            depth = operator._keys.queue.depth()
            return bool(prober.told) and not depth.running and not sum(depth.waiting.values())

        await until(is_settled, seconds=SETTLE_SECONDS, what=f"an end of {name}")

    async def _result(self, name: str, before: str) -> Result:
        key = await self.world.get(kinds.MEMORY_BANK_KEY, name)
        status: dict[str, Any] = key["status"] if key is not None else {}
        rotation = status.get("rotation") or {}
        secret = await self.world.get("Secret", name)
        token = base64.b64decode(secret["data"]["token"]).decode() if secret is not None else ""
        conditions = [(c["type"], c["status"], c["reason"]) for c in status.get("conditions", ())]
        return Result(
            conditions=tuple(conditions),
            request=rotation.get("request", ""),
            former=len(rotation.get("former", ())),
            valid=tuple(sorted(await self._valid_keys(name))),
            token_opens=bool(token) and await status_of(self.node, token) == 200,
            before_opens=bool(before) and await status_of(self.node, before) == 200,
        )

    async def _valid_keys(self, name: str) -> Sequence[tuple[str, bool]]:
        """Return role and end of each key of this name that the bank itself calls valid."""
        headers = {"Authorization": f"Bearer {await token_of(self.world, 'agents-key')}"}
        address = self.node.running["agents"].address
        async with (
            aiohttp.ClientSession(address, headers=headers) as session,
            session.get("/v1/admin/keys") as answer,
        ):
            keys = (await answer.json())["keys"]
        now = datetime.now(UTC)
        return [
            (each["role"], each["expires_at"] is not None)
            for each in keys
            if each["name"] == name
            and each["revoked_at"] is None
            and (each["expires_at"] is None or datetime.fromisoformat(each["expires_at"]) > now)
        ]


def _knows(operator: Operator, body: dict[str, Any]) -> bool:
    bank = BankKey(body["metadata"]["namespace"], "agents")
    known = operator.cache.belongings(bank, {body["kind"]})
    versions = {each["metadata"]["resourceVersion"] for each in known.values()}
    return body["metadata"]["resourceVersion"] in versions


@pytest.fixture
async def stage(world: World, node: Node) -> Stage:
    made = Stage(world, node)
    await made.prepare()
    return made


async def prove(stage: Stage, name: str, *writes: int) -> None:
    """Fail unless the scenario ends as it should though its operator dies after so many writes;
    without any, after each number of them.
    """
    scenario = SCENARIOS[name]
    undisturbed, _ = await stage.play(scenario)
    assert undisturbed.before_opens == scenario.opens
    ended = name in ("delete", "let it end")
    assert undisturbed.token_opens == (not ended)
    assert len(undisturbed.valid) == (0 if ended else 1 + undisturbed.former)
    for number in writes or count(1):
        result, died = await stage.play(scenario, number)
        assert result == undisturbed, f"{name}, dead after write {number}"
        if not died and not writes:
            assert number > scenario.writes
            break


@pytest.mark.proof
@pytest.mark.parametrize("name", SCENARIOS if FULL else (ROTATE,))
async def test_whoever_goes_on_ends_where_an_undisturbed_operator_ends(
    stage: Stage, name: str
) -> None:
    await prove(stage, name)


async def test_so_it_is_after_writes_that_are_drawn_by_lot(stage: Stage, seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311 - no secret
    for name in dice.sample(sorted(SCENARIOS), DRAWN):
        await prove(stage, name, dice.randint(1, SCENARIOS[name].writes))
