"""A bank that is deleted under deletionPolicy Snapshot stays until its last recovery point is
taken; its volume goes after that, and never before.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import count
from typing import Any

import pytest

from memorybank_operator import constants
from memorybank_operator.api.v1alpha1.conditions import Reason
from memorybank_operator.kube import kinds
from memorybank_operator.reconcile import final
from memorybank_operator.reconcile.observed import Reading
from tests.integration.operator.cluster import Cluster, ServingProber
from tests.integration.operator.effort import FULL
from tests.integration.operator.faults import DiesAfter, doomed
from tests.integration.operator.garbage import collecting_garbage, owners
from tests.integration.operator.settling import settle
from tests.integration.operator.test_backups import WELL
from tests.integration.operator.test_restores import begin
from tests.integration.operator.test_volumes import until_told
from tests.integration.operator.world import Object, World, until
from tests.operator.world import BUCKET_KEYS

WRITES = 7
"""At the least: a recovery point, its Job, its statuses, the bank's, events, the finalizer."""
DRAWN = 3


@pytest.fixture
async def cluster(world: World) -> AsyncIterator[Cluster]:
    """Runs what the operator asks for, and collects what banks leave."""
    made = Cluster(world)
    world.pod.said = Reading(backup=WELL)
    await world.put_secret("bucket", **BUCKET_KEYS)
    async with collecting_garbage(world), made.runs():
        yield made


async def kept(world: World, **changes: Any) -> Object:
    """Have a bank that serves, is replicated and has the finalizer. An operator runs."""
    await begin(world, deletionPolicy="Snapshot", **changes)
    bank = await world.must(kinds.MEMORY_BANK, "agents")
    assert bank["metadata"]["finalizers"] == [constants.FINALIZER]
    return bank


async def until_gone(world: World) -> None:
    async def is_gone() -> bool:
        return await world.get(kinds.MEMORY_BANK, "agents") is None

    await until(is_gone)


async def until_volume_gone(world: World) -> None:
    async def is_gone() -> bool:
        return await world.get("PersistentVolumeClaim", "agents-data") is None

    await until(is_gone)


async def until_waits(world: World) -> None:
    async def does_it() -> bool:
        ready = await world.ready()
        return (ready.get("status"), ready.get("reason")) == ("False", Reason.FINAL_BACKUP)

    await until(does_it)


async def volume(world: World) -> Object:
    return await world.must("PersistentVolumeClaim", "agents-data")


def point(bank: Object) -> str:
    return f"agents-final-{bank['metadata']['uid'][:8]}"


async def test_a_deleted_bank_runs_on_until_its_last_recovery_point_is_taken(
    world: World, cluster: Cluster
) -> None:
    async with world.operator(prober=ServingProber()) as operator:
        bank = await kept(world)
        cluster.holding.add("take")
        before = await world.must("Deployment", "agents")
        await world.delete(kinds.MEMORY_BANK, "agents")
        await until_waits(world)
        found = await world.must(kinds.MEMORY_BANK, "agents")
        assert found["status"]["phase"] == "Deleting"
        assert point(bank) in (await world.ready())["message"]
        await settle(world, operator)
        writes = len(world.writes())
        await settle(world, operator)
        assert len(world.writes()) == writes, "nothing is written while it is taken"
        after = await world.must("Deployment", "agents")
        assert after["metadata"]["generation"] == before["metadata"]["generation"]
        assert owners(await volume(world)) == set()
        cluster.holding.clear()
        await until_gone(world)
        taken = await world.must(kinds.MEMORY_BANK_BACKUP, point(bank))
        assert taken["status"]["phase"] == "Complete"
        assert "ownerReferences" not in taken["metadata"]
        assert [each[1:3] for each in cluster.done] == [["take", point(bank)]]
        await until_volume_gone(world)
        await until_told(world, Reason.FINAL_BACKUP_TAKEN)
        await settle(world, operator)


async def test_the_volume_stays_when_it_cannot_be_taken(world: World, cluster: Cluster) -> None:
    async with world.operator(prober=ServingProber()) as operator:
        bank = await kept(world)
        cluster.failing["take"] = 6
        await world.delete(kinds.MEMORY_BANK, "agents")
        await until_gone(world)
        await until_told(world, Reason.FINAL_BACKUP_FAILED)
        await settle(world, operator)
        assert owners(await volume(world)) == set()
        failed = await world.must(kinds.MEMORY_BANK_BACKUP, point(bank))
        assert failed["status"]["phase"] == "Failed"


async def test_the_volume_stays_when_it_takes_too_long(
    world: World, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world.operator(prober=ServingProber()) as operator:
        await kept(world)
        cluster.holding.add("take")
        monkeypatch.setattr(final, "WITHIN", timedelta(seconds=3))
        await world.delete(kinds.MEMORY_BANK, "agents")
        await until_gone(world)
        await until_told(world, Reason.FINAL_BACKUP_FAILED)
        await settle(world, operator)
        assert owners(await volume(world)) == set()


async def test_what_a_deletion_in_the_foreground_takes_away_is_put_back(
    world: World, cluster: Cluster
) -> None:
    """The garbage collector deletes what the bank owns as soon as it is deleted, and is done before
    the bank is let go.
    """
    swept = ("Deployment", "Service")
    async with world.operator(prober=ServingProber()) as operator:
        await kept(world)
        cluster.holding.add("take")
        before = {kind: await world.must(kind, "agents") for kind in swept}
        bank = await world.must(kinds.MEMORY_BANK, "agents")
        path = kinds.MEMORY_BANK.collection(world.namespace)
        options = {"propagationPolicy": "Foreground"}
        async with (
            world.connection.session() as session,
            session.delete(f"{world.connection.server}{path}/agents", json=options) as response,
        ):
            assert response.status == 200, await response.text()
        for kind in swept:
            await world.delete(kind, "agents")
        await until_waits(world)
        await settle(world, operator)
        assert await world.get("Deployment", "agents") is None, "it would be deleted again"
        await world.client.merge(
            kinds.MEMORY_BANK, world.namespace,
            name="agents", changes={"metadata": {"finalizers": [constants.FINALIZER]}},
        )  # fmt: skip

        async def is_back() -> bool:
            found = [await world.get(kind, "agents") for kind in swept]
            return all(found)

        await until(is_back)
        for kind in swept:
            again = await world.must(kind, "agents")
            assert again["metadata"]["uid"] != before[kind]["metadata"]["uid"]
            assert owners(again) == {bank["metadata"]["uid"]}
        cluster.holding.clear()
        await until_gone(world)
        await until_volume_gone(world)


@pytest.mark.parametrize("policy", ["Retain", "Delete"])
async def test_another_policy_lets_a_deleted_bank_go_at_once(
    world: World, cluster: Cluster, policy: str
) -> None:
    async with world.operator(prober=ServingProber()) as operator:
        await kept(world)
        cluster.holding.add("take")
        await world.delete(kinds.MEMORY_BANK, "agents")
        await until_waits(world)
        await world.change(deletionPolicy=policy)
        await until_gone(world)
        if policy == "Delete":
            await until_volume_gone(world)
        else:
            await settle(world, operator)
            assert owners(await volume(world)) == set()


async def test_a_policy_that_changes_takes_the_finalizer_along_and_no_others(
    world: World, cluster: Cluster
) -> None:
    async def has(*finalizers: str) -> None:
        async def they_are() -> bool:
            found = (await world.must(kinds.MEMORY_BANK, "agents"))["metadata"]
            return set(found.get("finalizers", ())) == set(finalizers)

        await until(they_are)

    other = "example.org/other"
    async with world.operator(prober=ServingProber()):
        await kept(world)
        await world.client.merge(
            kinds.MEMORY_BANK, world.namespace,
            name="agents", changes={"metadata": {"finalizers": [constants.FINALIZER, other]}},
        )  # fmt: skip
        await world.change(deletionPolicy="Retain")
        await has(other)
        await world.change(deletionPolicy="Snapshot")
        await has(other, constants.FINALIZER)
        await world.delete(kinds.MEMORY_BANK, "agents")
        await has(other)
        assert len(cluster.done) == 1
        await world.client.merge(
            kinds.MEMORY_BANK, world.namespace,
            name="agents", changes={"metadata": {"finalizers": None}},
        )  # fmt: skip
        await until_gone(world)


async def test_a_bank_stays_while_no_operator_runs(world: World, cluster: Cluster) -> None:
    async with world.operator(prober=ServingProber()):
        await kept(world)
    await world.delete(kinds.MEMORY_BANK, "agents")
    found = await world.must(kinds.MEMORY_BANK, "agents")
    assert found["metadata"]["deletionTimestamp"]
    async with world.operator(prober=ServingProber()):
        await until_gone(world)
        await until_volume_gone(world)
    assert [each[1] for each in cluster.done] == ["take"]


async def test_in_a_namespace_that_is_being_deleted_nothing_is_waited_for(
    world: World, cluster: Cluster
) -> None:
    async with world.operator(prober=ServingProber()) as operator:
        await kept(world)
        await settle(world, operator)
        path = f"{world.connection.server}/api/v1/namespaces/{world.namespace}"
        async with world.connection.session() as session, session.delete(path) as response:
            assert response.status == 200, await response.text()
        await world.delete(kinds.MEMORY_BANK, "agents")
        await until_gone(world)
        assert owners(await volume(world)) == set()
    assert cluster.done == []


@pytest.mark.proof
@pytest.mark.parametrize("fails", [False, True], ids=["taken", "failed"])
async def test_whoever_goes_on_after_a_crash_ends_where_an_undisturbed_operator_ends(
    world: World, cluster: Cluster, seed: int, fails: bool
) -> None:
    """After each write, or after some that are drawn by lot."""
    dice = random.Random(seed)  # noqa: S311 - no secret
    drawn = sorted(dice.sample(range(1, WRITES + 1), DRAWN))
    for writes in count(1) if FULL else drawn:
        cluster.failing = {}
        before = len(cluster.done)
        async with world.operator(prober=ServingProber()) as operator:
            bank = await kept(world)
            await settle(world, operator)
        cluster.failing = {"take": 6} if fails else {}
        fault = DiesAfter(writes)
        async with doomed(world, fault, prober=ServingProber()):
            await world.delete(kinds.MEMORY_BANK, "agents")
            died = await fault.comes_before(until_gone(world))
        async with world.operator(prober=ServingProber()) as operator:
            await until_gone(world)
            if not fails:
                await until_volume_gone(world)
            await settle(world, operator)
        made = [each[1:3] for each in cluster.done[before:]]
        assert made == [["take", point(bank)]], f"dead after write {writes}"
        if fails:
            assert owners(await volume(world)) == set()
        if not died:
            assert writes > WRITES
            break
