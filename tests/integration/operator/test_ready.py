"""A bank is Ready when, and only while, it proves that it does its job; the service is real."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest

from memorybank_operator.api.v1alpha1.conditions import Reason
from memorybank_operator.canary import PROJECT
from memorybank_operator.kube import kinds
from memorybank_operator.runtime import Operator
from tests.integration.operator.node import Node
from tests.integration.operator.settling import settle
from tests.integration.operator.test_objects import reconciles
from tests.integration.operator.world import NodeProber, World, succeeds_within, until

START_SECONDS = 300.0
"""A start of the service: Python, the model, and whatever else this machine does."""
NOTICED_SECONDS = 3.0
"""An interval of the canary, and what comes of it."""


@pytest.fixture
async def operator(world: World, prober: NodeProber) -> AsyncIterator[Operator]:
    async with world.operator(prober=prober) as running:
        yield running


@dataclass
class Watcher:
    """Sees every state of a bank."""

    claims: list[bool] = field(default_factory=list)
    """Of each state that says Ready=True, whether the last probe had proven it."""
    said: list[str] = field(default_factory=list)
    """The status of Ready in each state, empty when that is not about the newest generation."""
    version: str = ""

    async def catch_up(self, world: World) -> None:
        """Wait until it saw the present state: what comes next is to be judged by what was proven
        then.
        """

        async def has_seen_it() -> bool:
            bank = await world.must(kinds.MEMORY_BANK, "agents")
            return bool(bank["metadata"]["resourceVersion"] == self.version)

        await until(has_seen_it)


@pytest.fixture(autouse=True)
async def watcher(world: World, prober: NodeProber) -> AsyncIterator[Watcher]:
    """Record every state that a watcher sees, through creation, breakage and repair, and fail when
    one says Ready=True while the last probe did not prove that very state.
    """
    seen = Watcher()
    recorder = asyncio.create_task(_record(world, prober, seen))
    yield seen
    await seen.catch_up(world)
    recorder.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await recorder
    assert seen.claims
    assert all(seen.claims)


async def becomes(world: World, status: str, *, seconds: float = START_SECONDS) -> dict[str, Any]:
    """Wait for the Ready condition to have a status; return it."""
    await until(lambda: is_ready(world, status), seconds=seconds, what=f"Ready={status}")
    return await world.ready()


async def is_ready(world: World, status: str) -> bool:
    """Tell whether the Ready condition has a status."""
    return (await world.ready()).get("status") == status


async def test_a_bank_becomes_ready_by_proof(world: World, operator: Operator, node: Node) -> None:
    await world.create()
    ready = await becomes(world, "True")
    assert ready["reason"] == Reason.CANARY_PASSED
    bank = await world.must(kinds.MEMORY_BANK, "agents")
    assert bank["status"]["phase"] == "Running"
    assert bank["status"]["version"]
    assert await world.condition("Reconciling") == {}


async def test_a_proof_leaves_nothing_behind(world: World, operator: Operator, node: Node) -> None:
    await world.create()
    await becomes(world, "True")
    token = base64.b64decode((await world.must("Secret", "agents-key"))["data"]["token"]).decode()
    headers = {"Authorization": f"Bearer {token}"}
    address = node.running["agents"].address
    async with aiohttp.ClientSession(address, headers=headers) as session:
        leftover = {"content": "left behind", "project": PROJECT}
        async with session.post("/v1/memories", json=leftover) as stored:
            assert stored.status == 201

        async def is_clean() -> bool:
            async with session.get(f"/v1/memories?project={PROJECT}") as answer:
                return not (await answer.json())["memories"]

        await until(is_clean)


async def test_a_service_that_fails_takes_ready_away_within_an_interval(
    world: World, operator: Operator, node: Node, watcher: Watcher
) -> None:
    await world.create()
    await becomes(world, "True")

    async def crash(_number: int) -> float:
        await watcher.catch_up(world)
        await node.freeze()  # nobody but the canary can notice
        await node.crash("agents")
        took = await until(lambda: is_ready(world, "False"))
        ready = await world.ready()
        assert ready["reason"] == Reason.CANARY_FAILED
        assert "cannot be reached" in ready["message"]
        node.thaw()
        # A new pod has to prove itself anew.
        assert (await becomes(world, "True"))["reason"] == Reason.CANARY_PASSED
        return took

    await succeeds_within(NOTICED_SECONDS, crash)


async def test_a_new_generation_is_proven_before_it_is_ready(
    world: World, operator: Operator, node: Node, watcher: Watcher
) -> None:
    await world.create()
    await becomes(world, "True")
    await watcher.catch_up(world)
    await world.change(logging={"level": "debug"})
    await becomes(world, "True")
    bank = await world.must(kinds.MEMORY_BANK, "agents")
    assert bank["status"]["observedGeneration"] == bank["metadata"]["generation"]
    (pod,) = (await world.client.discover(kinds.POD.collection(world.namespace)))["items"]
    assert pod["metadata"]["annotations"]["memorybank.dev/revision"] == bank["status"]["revision"]


async def test_a_replaced_key_works_and_the_lost_one_does_for_a_while(
    world: World, operator: Operator, node: Node, watcher: Watcher
) -> None:
    await world.create()
    await becomes(world, "True")
    await watcher.catch_up(world)
    seen = len(watcher.said)
    lost = await world.delete("Secret", "agents-key")

    async def is_replaced() -> bool:
        found = await world.get("Secret", "agents-key")
        return found is not None and found["data"]["token"] != lost["data"]["token"]

    await until(is_replaced)

    async def was_doubted() -> bool:  # for a moment
        return "Unknown" in watcher.said[seen:]

    await until(was_doubted)
    await becomes(world, "True")
    new = await world.must("Secret", "agents-key")
    wrong = {"data": {"token": base64.b64encode(b"mb_" + b"w" * 43).decode()}}
    address = node.running["agents"].address
    async with aiohttp.ClientSession(address) as session:
        for secret, expected in ((new, 200), (lost, 200), (wrong, 401)):
            token = base64.b64decode(secret["data"]["token"]).decode()
            headers = {"Authorization": f"Bearer {token}"}
            async with session.get("/v1/memories", headers=headers) as answer:
                assert answer.status == expected


async def test_a_ready_bank_left_alone_is_not_written_to(
    world: World, operator: Operator, node: Node
) -> None:
    await world.create()
    await becomes(world, "True")
    await settle(world, operator)
    writes, passed = world.writes(), _canaries(operator)

    async def proved_three_times_more() -> bool:
        operator._look_at(operator.cache.banks())
        return _canaries(operator) >= passed + 3

    await until(proved_three_times_more)
    assert world.writes() == writes


async def test_a_restarted_operator_proves_a_ready_bank_again_without_a_write(
    world: World, node: Node, prober: NodeProber
) -> None:
    async with world.operator(prober=prober) as before:
        await world.create()
        await becomes(world, "True")
        await settle(world, before)
    writes = world.writes()
    async with world.operator(prober=prober) as operator:

        async def is_proven() -> bool:
            return _canaries(operator) >= 2 and reconciles(operator) >= 2

        await until(is_proven)
    assert world.writes() == writes


async def test_a_stopped_bank_keeps_its_memories(
    world: World, operator: Operator, node: Node, watcher: Watcher
) -> None:
    await world.create()
    await becomes(world, "True")
    await watcher.catch_up(world)
    token = base64.b64decode((await world.must("Secret", "agents-key"))["data"]["token"]).decode()
    headers = {"Authorization": f"Bearer {token}"}
    memory = {"content": "the safe opens with 4711"}
    async with (
        aiohttp.ClientSession(node.running["agents"].address, headers=headers) as session,
        session.post("/v1/memories", json=memory) as stored,
    ):
        assert stored.status == 201
    await world.change(replicas=0)

    async def is_stopped() -> bool:
        return (await world.ready()).get("reason") == Reason.SCALED_TO_ZERO and not node.running

    await until(is_stopped)
    await world.change(replicas=1)
    await becomes(world, "True")
    async with (
        aiohttp.ClientSession(node.running["agents"].address, headers=headers) as session,
        session.post("/v1/search", json={"query": "how to open the safe"}) as answer,
    ):
        (found, *_) = (await answer.json())["results"]
    assert found["memory"]["content"] == "the safe opens with 4711"


async def _record(world: World, prober: NodeProber, seen: Watcher) -> None:
    async for bank in world.watch(kinds.MEMORY_BANK):
        said = _said(bank)
        seen.said.append(said)
        if said == "True":
            claim = (bank["metadata"]["generation"], bank["status"]["revision"])
            seen.claims.append(prober.proven == claim)
        seen.version = bank["metadata"]["resourceVersion"]


def _said(bank: dict[str, Any]) -> str:
    """Return the status of Ready, empty when it is not about the newest generation."""
    status = bank["status"]
    if status.get("observedGeneration") != bank["metadata"]["generation"]:
        return ""
    ready = {each["type"]: each["status"] for each in status.get("conditions", ())}
    return str(ready.get("Ready", ""))


def _canaries(operator: Operator) -> float:
    registry = operator.metrics.registry
    passed = registry.get_sample_value("memorybank_operator_canaries_total", {"result": "passed"})
    return passed or 0.0
