"""The key ring that an encrypted bank gets which names none, in use by the real service, and what
becomes of it: on a real API server, by operators that stop and go on.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from memorybank_operator import constants
from memorybank_operator.api.v1alpha1.conditions import Reason
from memorybank_operator.kube import errors, kinds
from memorybank_operator.reconcile.execute import Executor, ObservationOutdated
from memorybank_operator.reconcile.observed import ChildKey
from memorybank_operator.reconcile.steps import Mark
from memorybank_operator.runtime import Operator
from tests.integration.operator.garbage import collecting_garbage, owners
from tests.integration.operator.node import Node
from tests.integration.operator.settling import settle
from tests.integration.operator.test_named_secrets import (
    CONTENT,
    configuration,
    found,
    is_ready,
    on_disk,
    session,
)
from tests.integration.operator.world import NodeProber, Object, World, until

ENCRYPTED: dict[str, Any] = {"encryption": {"enabled": True}}
RING = "agents-key-ring"
LABELLED = {constants.LABEL_BANK: "agents"}
SECONDS = 240.0
"""For what an operator does at once, by when a very busy machine has it done."""
POLL_SECONDS = 0.2
"""Operator and test share a process: who asks all the time keeps it from working."""


@pytest.fixture
async def operator(world: World, prober: NodeProber) -> AsyncIterator[Operator]:
    async with world.operator(prober=prober) as running:
        yield running


def content(secret: Object) -> dict[str, Any]:
    """The ring in a Secret."""
    ring: dict[str, Any] = json.loads(base64.b64decode(secret["data"]["ring.json"]))
    return ring


async def put(world: World, data: dict[str, str], labels: dict[str, str] | None = None) -> Object:
    """Create the Secret by hand."""
    metadata = {"name": RING, "namespace": world.namespace, "labels": labels or {}}
    return await world.client.create(
        {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}
    )


async def write(world: World, ring: dict[str, Any]) -> None:
    """Change the ring by hand."""
    data = {"ring.json": base64.b64encode(json.dumps(ring).encode()).decode()}
    await world.client.merge(kinds.SECRET, world.namespace, name=RING, changes={"data": data})


async def until_reason(world: World, reason: Reason) -> Object:
    async def is_said() -> bool:
        return (await world.ready()).get("reason") == reason

    await until(is_said, seconds=SECONDS, what=reason, poll=POLL_SECONDS)
    return await world.ready()


async def until_made(world: World) -> None:
    async def is_made() -> bool:
        return await world.get(kinds.DEPLOYMENT, "agents") is not None

    await until(is_made, seconds=SECONDS, what="the Deployment", poll=POLL_SECONDS)


async def until_left(world: World) -> None:
    """Wait until what a deleted bank owned is collected."""

    async def is_collected() -> bool:
        return not any(owners(each) for each in (await world.children()).values())

    await until(is_collected, seconds=SECONDS, what="all collected", poll=POLL_SECONDS)


async def test_an_encrypted_bank_makes_its_ring_and_lives_through_loss_and_rotation_of_it(
    world: World, operator: Operator, node: Node, tmp_path: Path
) -> None:
    await world.create(**ENCRYPTED)
    await until(lambda: is_ready(world), seconds=SECONDS, poll=POLL_SECONDS)
    made = await world.must("Secret", RING)
    ring = content(made)
    [key] = ring["keys"].values()
    async with (
        await session(world, node) as client,
        client.post("/v1/memories", json={"content": CONTENT}) as stored,
    ):
        assert stored.status == 201

    async def is_found() -> bool:
        return CONTENT in await found(world, node)

    await until(is_found, seconds=SECONDS, poll=POLL_SECONDS)
    kept = on_disk(tmp_path)
    assert kept
    assert not any(b"observatory" in each for each in kept)

    pod = node.running["agents"].pod["metadata"]["uid"]
    await world.delete("Secret", RING)
    lost = await until_reason(world, Reason.KEY_RING_LOST)
    assert RING in lost["message"]
    assert "agents-data" in lost["message"]
    assert CONTENT in await found(world, node), "the pod goes on"
    assert await world.get("Secret", RING) is None
    await put(world, made["data"], LABELLED)
    await until(lambda: is_ready(world), seconds=SECONDS, poll=POLL_SECONDS)

    in_effect = await configuration(world)
    fresh = base64.b64encode(b"f" * 32).decode()
    await write(world, {"active": "next", "keys": ring["keys"] | {"next": fresh}})
    await until(lambda: is_ready(world, in_effect), seconds=SECONDS, poll=POLL_SECONDS)
    in_effect = await configuration(world)
    await write(world, {"active": "next", "keys": {"next": fresh}})
    await until(lambda: is_ready(world, in_effect), seconds=SECONDS, poll=POLL_SECONDS)
    assert CONTENT in await found(world, node)
    assert content(await world.must("Secret", RING))["active"] == "next", "nobody resets it"
    assert node.running["agents"].pod["metadata"]["uid"] == pod, "nothing restarted"
    told = json.dumps([await world.events(), await world.must(kinds.MEMORY_BANK, "agents")])
    assert key not in told
    assert fresh not in told


@pytest.mark.parametrize("policy", ["Retain", "Delete"])
async def test_the_ring_goes_or_stays_with_the_volume(world: World, policy: str) -> None:
    async with collecting_garbage(world):
        async with world.operator() as operator:
            await world.create(**ENCRYPTED, deletionPolicy=policy)
            await until_made(world)
            await settle(world, operator)
            ring = await world.must("Secret", RING)
            uid = (await world.must(kinds.MEMORY_BANK, "agents"))["metadata"]["uid"]
            claim = await world.must("PersistentVolumeClaim", "agents-data")
            assert owners(ring) == owners(claim) == ({uid} if policy == "Delete" else set())
        if policy == "Delete":
            # What the garbage collector takes by its owner, it takes without an operator.
            return
        async with world.operator() as operator:
            await world.delete(kinds.MEMORY_BANK, "agents")
            await until_left(world)
            await world.create(**ENCRYPTED)
            await until_made(world)
            await settle(world, operator)
        again = await world.must("Secret", RING)
        assert again["data"] == ring["data"]
        assert again["metadata"]["uid"] == ring["metadata"]["uid"]
        assert again["metadata"]["resourceVersion"] == ring["metadata"]["resourceVersion"]


async def test_a_changed_policy_moves_the_ring_to_its_bank_and_away_from_it(world: World) -> None:
    async with world.operator() as operator:
        await world.create(**ENCRYPTED)
        await until_made(world)
        before = await world.must("Secret", RING)
        uid = (await world.must(kinds.MEMORY_BANK, "agents"))["metadata"]["uid"]
        for policy, wanted in (("Delete", {uid}), ("Retain", set()), ("Delete", {uid})):
            await world.change(deletionPolicy=policy)

            async def is_moved(expected: set[str] = wanted) -> bool:
                return owners(await world.must("Secret", RING)) == expected

            await until(is_moved, seconds=SECONDS, what=policy, poll=POLL_SECONDS)
        await settle(world, operator)
    after = await world.must("Secret", RING)
    assert after["data"] == before["data"]
    assert after["metadata"]["uid"] == before["metadata"]["uid"]


async def test_a_secret_of_somebody_else_is_left_alone_until_it_is_handed_over(
    world: World,
) -> None:
    theirs = await put(world, {"their": "c3R1ZmY="})
    async with world.operator():
        await world.create(**ENCRYPTED)
        condition = await until_reason(world, Reason.NAME_CONFLICT)
        assert "label memorybank.dev/bank=agents" in condition["message"]
        assert "PersistentVolumeClaim" not in await world.children()
        left = await world.must("Secret", RING)
        assert left["metadata"]["resourceVersion"] == theirs["metadata"]["resourceVersion"]
        await world.client.merge(
            kinds.SECRET, world.namespace, name=RING, changes={"metadata": {"labels": LABELLED}}
        )
        await until_reason(world, Reason.KEY_RING_DAMAGED)
        assert "PersistentVolumeClaim" not in await world.children()
        await write(world, {"active": "a", "keys": {"a": base64.b64encode(b"a" * 32).decode()}})
        await until_made(world)
    kept = await world.must("Secret", RING)
    assert kept["data"]["their"] == "c3R1ZmY="
    assert kept["metadata"]["labels"][constants.LABEL_MANAGED_BY] == constants.FIELD_MANAGER


async def test_a_volume_without_its_ring_gets_no_other_one(world: World) -> None:
    async with collecting_garbage(world):
        async with world.operator():
            await world.create(**ENCRYPTED)
            await until_made(world)
            await world.delete(kinds.MEMORY_BANK, "agents")
            await until_left(world)
        ring = await world.delete("Secret", RING)
        async with world.operator() as operator:
            await world.create(**ENCRYPTED)
            await until_reason(world, Reason.KEY_RING_LOST)
            await settle(world, operator)
            assert await world.get("Secret", RING) is None
            assert "Deployment" not in await world.children()
            await put(world, ring["data"], LABELLED)
            await until_made(world)
    assert content(await world.must("Secret", RING)) == content(ring)


async def test_two_operators_that_begin_at_once_make_one_ring(world: World) -> None:
    """As when one takes the other for dead: each sees a bank that has nothing yet."""
    async with world.operator() as one, world.operator() as other:
        await world.create(**ENCRYPTED)

        async def is_there() -> bool:
            return await world.get("Secret", RING) is not None

        await until(is_there, seconds=SECONDS, poll=POLL_SECONDS)
        first = await world.must("Secret", RING)
        await until_made(world)
        await asyncio.gather(settle(world, one), settle(world, other))
    ring = await world.must("Secret", RING)
    assert len(content(ring)["keys"]) == 1
    assert ring["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    events = [each for each in await world.events() if each["reason"] == "KeyRingGenerated"]
    assert sum(int(each["count"]) for each in events) == 1


async def test_a_ring_that_vanishes_meanwhile_is_not_made_by_a_change_of_its_metadata(
    world: World,
) -> None:
    async with world.operator() as operator:
        await world.create(**ENCRYPTED, paused=True)
        ring = await put(world, {"ring.json": "e30="}, LABELLED)
        executor = Executor(operator.cache, world.client)
        version = ring["metadata"]["resourceVersion"]
        key, labels = ChildKey("Secret", RING), {"labels": {"x": "y"}}
        stale = Mark(key, version, labels)
        await executor.execute(stale, namespace=world.namespace)
        with pytest.raises(ObservationOutdated):  # somebody, we ourselves, changed it since
            await executor.execute(stale, namespace=world.namespace)
        await world.delete("Secret", RING)
        with pytest.raises(ObservationOutdated):
            await executor.execute(stale, namespace=world.namespace)
        assert await world.get("Secret", RING) is None
        with pytest.raises(errors.NotFound):
            await world.client.merge(kinds.SECRET, world.namespace, name=RING, changes={})
