"""A bank is put back in place: tried before, kept before, stopped meanwhile, and as it was when
anything fails.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from memorybank_operator.api.v1alpha1.conditions import Reason, RestorePhase
from memorybank_operator.kube import errors, kinds
from memorybank_operator.reconcile.observed import Reading
from tests.app.backup.banks import contents, stored
from tests.integration.operator.cluster import Cluster, ServingProber
from tests.integration.operator.jobs import jobs, really_run
from tests.integration.operator.settling import settle
from tests.integration.operator.test_backups import WELL
from tests.integration.operator.test_recovery_points import backed_up
from tests.integration.operator.test_volumes import reasons, until_told
from tests.integration.operator.world import Object, World, until
from tests.operator.world import BUCKET_KEYS
from tests.support.replication import Pod

MOMENT = "2026-11-22T15:00:00Z"
COMPLETE, FAILED = RestorePhase.COMPLETE, RestorePhase.FAILED


@pytest.fixture
async def cluster(world: World) -> AsyncIterator[Cluster]:
    """Runs what the operator asks for."""
    made = Cluster(world)
    world.pod.said = Reading(backup=WELL)
    await world.put_secret("bucket", **BUCKET_KEYS)
    async with made.runs():
        yield made


async def begin(world: World, **changes: Any) -> None:
    """Have a bank that serves and is replicated. An operator runs."""
    await world.create(**backed_up() | changes)

    async def is_replicated() -> bool:
        bank = await world.must(kinds.MEMORY_BANK, "agents")
        said = bank["status"].get("backup", {})
        return "epoch" in said and (await world.ready()).get("status") == "True"

    await until(is_replicated)


async def restore_of(world: World, name: str = "back") -> Object:
    return await world.must(kinds.MEMORY_BANK_RESTORE, name)


def phase_is(
    world: World, phase: RestorePhase, name: str = "back"
) -> Callable[[], Awaitable[bool]]:
    async def is_it() -> bool:
        found = await restore_of(world, name)
        same = found["status"]["observedGeneration"] == found["metadata"]["generation"]
        return same and bool(found["status"].get("phase") == phase)

    return is_it


async def message(world: World, name: str = "back") -> str:
    found = await restore_of(world, name)
    [told] = [each for each in found["status"]["conditions"] if each["type"] == "Complete"]
    return str(told["message"])


async def until_serves(world: World) -> None:
    async def serves() -> bool:
        return (await world.ready()).get("status") == "True"

    await until(serves)


def operations(cluster: Cluster) -> list[str]:
    return [each[1] for each in cluster.done]


async def test_a_bank_is_put_back_to_a_moment(world: World, cluster: Cluster) -> None:
    async with world.operator(prober=ServingProber()) as operator:
        await begin(world)
        cluster.holding.add("rewind")
        await world.create_restore(timestamp=MOMENT)
        await until(phase_is(world, RestorePhase.RESTORING))

        async def is_under_way() -> bool:
            return len(await jobs(world)) == 3

        await until(is_under_way)
        ready = await world.ready()
        assert (ready["status"], ready["reason"]) == ("False", Reason.RESTORING)
        assert "MemoryBankRestore back" in ready["message"]
        await settle(world, operator)
        writes = len(world.writes())
        await settle(world, operator)
        assert len(world.writes()) == writes, "nothing is written while it runs"
        cluster.holding.clear()
        await until(phase_is(world, COMPLETE))
        await until_serves(world)
        body = await restore_of(world)
        uid = body["metadata"]["uid"]
        assert operations(cluster) == ["verify", "take", "rewind"]
        check, take, rewind = cluster.done
        assert check[2:4] == ["--at", MOMENT]
        assert rewind[2:5] == [uid, "--at", MOMENT]
        assert rewind[5:7] == ["--data", "/data"]
        assert body["status"]["safetyBackup"] == take[2]
        assert body["status"]["restored"]["memories"] == 12
        kept = await world.must(kinds.MEMORY_BANK_BACKUP, take[2])
        assert kept["status"]["phase"] == "Complete"
        assert "ownerReferences" not in kept["metadata"]
        await until_told(world, Reason.RESTORE_STARTED)
        await until_told(world, Reason.RESTORED)
        await settle(world, operator)
    writes = len(world.writes())
    async with world.operator(prober=ServingProber()) as operator:
        await until_serves(world)
        await settle(world, operator)
    assert len(world.writes()) == writes, "what is done is not done again"


@pytest.mark.parametrize(
    ("state", "options"),
    [
        ({"epoch": "00000001-1a2b3c4d"}, ["--epoch", "00000001-1a2b3c4d"]),
        ({"backup": {"name": "before-the-move"}}, ["--point", "before-the-move"]),
        ({"latest": True}, []),
    ],
    ids=["an epoch", "a point", "the newest"],
)
async def test_a_restore_is_only_tried_when_that_is_asked_for(
    world: World, cluster: Cluster, state: dict[str, Any], options: list[str]
) -> None:
    async with world.operator(prober=ServingProber()) as operator:
        await begin(world)
        before = await world.must("Deployment", "agents")
        await world.create_restore(check=True, **state)
        await until(phase_is(world, COMPLETE))
        await settle(world, operator)
        assert operations(cluster) == ["verify"]
        assert cluster.done[0][2 : 2 + len(options)] == options
        after = await world.must("Deployment", "agents")
        assert after["metadata"]["generation"] == before["metadata"]["generation"]
        await until_told(world, Reason.CHECKED)


async def test_what_cannot_be_restored_leaves_the_bank_alone(
    world: World, cluster: Cluster
) -> None:
    async with world.operator(prober=ServingProber()) as operator:
        await begin(world)
        before = await world.must("Deployment", "agents")
        cluster.failing["verify"] = 6
        await world.create_restore(timestamp=MOMENT)
        await until(phase_is(world, FAILED))
        assert "the bank is as it was: verify failed" in await message(world)
        await settle(world, operator)
        after = await world.must("Deployment", "agents")
        assert after["metadata"]["generation"] == before["metadata"]["generation"]
        assert operations(cluster) == ["verify"]
        await until_told(world, Reason.RESTORE_FAILED)


async def test_a_restore_that_fails_lets_the_bank_run_on_as_it_was(
    world: World, cluster: Cluster
) -> None:
    async with world.operator(prober=ServingProber()):
        await begin(world)
        cluster.failing["rewind"] = 6
        await world.create_restore(timestamp=MOMENT)
        await until(phase_is(world, FAILED))
        assert await message(world) == "The bank is as it was, and runs again: rewind failed."
        await until_serves(world)


async def test_a_bank_that_cannot_be_kept_is_put_back_all_the_same(
    world: World, cluster: Cluster
) -> None:
    async with world.operator(prober=ServingProber()):
        await begin(world)
        cluster.failing["take"] = 6
        await world.create_restore(latest=True)
        await until(phase_is(world, COMPLETE))
        assert "only what was kept when it was replaced" in await message(world)
        assert "safetyBackup" not in (await restore_of(world))["status"]


async def test_restores_of_a_bank_wait_for_each_other(world: World, cluster: Cluster) -> None:
    async with world.operator(prober=ServingProber()):
        await begin(world)
        cluster.holding.add("rewind")
        await world.create_restore(timestamp=MOMENT)
        await until(phase_is(world, RestorePhase.RESTORING))
        await world.create_restore("another", latest=True)
        await until(phase_is(world, RestorePhase.PENDING, "another"))
        assert "MemoryBankRestore back of the same bank is done first" in (
            await message(world, "another")
        )
        cluster.holding.clear()
        await until(phase_is(world, COMPLETE, "another"))
        assert operations(cluster) == ["verify", "take", "rewind"] * 2


async def test_a_restore_is_taken_back(world: World, cluster: Cluster) -> None:
    async with world.operator(prober=ServingProber()):
        await begin(world)
        await world.create_restore(timestamp=MOMENT)
        await until(phase_is(world, COMPLETE))
        await world.client.merge(
            kinds.MEMORY_BANK_RESTORE, world.namespace,
            name="back", changes={"spec": {"rollback": True}},
        )  # fmt: skip
        await until(phase_is(world, RestorePhase.ROLLED_BACK))
        await until_serves(world)
        uid = (await restore_of(world))["metadata"]["uid"]
        assert cluster.done[-1][1:3] == ["undo", uid]
        await until_told(world, Reason.ROLLED_BACK_TO)


async def test_a_bank_sleeps_on_after_it_was_put_back(world: World, cluster: Cluster) -> None:
    async with world.operator(prober=ServingProber()) as operator:
        await begin(world)
        await world.change(hibernate=True)
        await settle(world, operator)
        await world.create_restore(timestamp=MOMENT)
        await until(phase_is(world, COMPLETE))
        assert (await world.must("Deployment", "agents"))["spec"]["replicas"] == 0


async def test_a_bank_stays_stopped_while_anything_has_its_volume(
    world: World, cluster: Cluster
) -> None:
    async with world.operator(prober=ServingProber()) as operator:
        await begin(world)
        cluster.holding.add("rewind")
        await world.create_restore(timestamp=MOMENT)

        async def is_under_way() -> bool:
            return len(await jobs(world)) == 3

        await until(is_under_way)
        await world.delete(kinds.MEMORY_BANK_RESTORE, "back")
        await settle(world, operator)
        assert (await world.must("Deployment", "agents"))["spec"]["replicas"] == 0
        assert (await world.ready())["reason"] == Reason.RESTORING
        cluster.holding.clear()  # the garbage collector would end it; here it ends by itself
        await until_serves(world)


async def test_a_restore_without_a_bank_waits_for_it(world: World) -> None:
    async with world.operator(prober=ServingProber()):
        await world.create_restore(timestamp=MOMENT)
        await until(phase_is(world, RestorePhase.PENDING))
        assert "there is no MemoryBank" in await message(world)
    assert await reasons(world) == []


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({}, "name one state"),
        ({"latest": False}, "name one state"),
        ({"latest": True, "timestamp": MOMENT}, "name one state"),
        ({"timestamp": "yesterday"}, "write a time with its zone"),
        ({"epoch": "1"}, "write the name of an epoch"),
        ({"backup": {"name": "A"}}, "write the name of a recovery point"),
        ({"latest": True, "check": True, "rollback": True}, "remove one of both"),
    ],
    ids=str,
)
async def test_a_wrong_restore_is_refused(world: World, spec: dict[str, Any], words: str) -> None:
    with pytest.raises(errors.Invalid, match=words):
        await world.create_restore(**spec)


async def test_a_restore_cannot_change_but_for_taking_it_back(world: World) -> None:
    await world.create_restore(timestamp=MOMENT)

    async def change(**spec: Any) -> None:
        await world.client.merge(
            kinds.MEMORY_BANK_RESTORE, world.namespace, name="back", changes={"spec": spec}
        )

    for spec in ({"check": True}, {"timestamp": None, "latest": True}, {"bank": {"name": "b"}}):
        with pytest.raises(errors.Invalid, match="make another MemoryBankRestore"):
            await change(**spec)
    await change(rollback=True)
    with pytest.raises(errors.Invalid, match="cannot be taken back"):
        await change(rollback=False)


async def test_the_services_own_commands_put_a_bank_back_and_take_that_back(
    world: World, tmp_path: Path
) -> None:
    place = tmp_path / "backups"
    place.mkdir()
    pods: list[Pod] = []

    async def run(job: Object) -> None:
        folder = tmp_path / job["metadata"]["name"]
        await really_run(world, job, place, folder, data=pods[0].data)

    cluster = Cluster(world, run)
    world.pod.said = Reading(backup=WELL)
    async with cluster.runs(), world.operator(prober=ServingProber()):
        volume = {"destination": {"volume": {"claimName": "backups"}}}
        await begin(world, **backed_up(**volume))
        uid = (await world.must(kinds.MEMORY_BANK, "agents"))["metadata"]["uid"]
        pods.append(
            Pod(
                tmp_path / "pod", {"volume": {"path": str(place)}},
                bank=f"{world.namespace}/agents", uid=uid,
            )
        )  # fmt: skip
        await asyncio.to_thread(stored, pods[0], "The red house is at the lake")
        await world.create_backup()

        async def is_taken() -> bool:
            found = await world.must(kinds.MEMORY_BANK_BACKUP, "before-the-move")
            return bool(found["status"].get("phase") == "Complete")

        await until(is_taken)
        await asyncio.to_thread(stored, pods[0], "Anna likes tea")
        await world.create_restore(backup={"name": "before-the-move"})
        await until(phase_is(world, COMPLETE))
        found = await asyncio.to_thread(contents, pods[0], pods[0].data)
        assert found == {"The red house is at the lake"}
        said = (await restore_of(world))["status"]
        assert said["restored"]["memories"] == 1
        kept = await world.must(kinds.MEMORY_BANK_BACKUP, said["safetyBackup"])
        assert kept["status"]["point"]["memories"] == 2
        await world.client.merge(
            kinds.MEMORY_BANK_RESTORE, world.namespace,
            name="back", changes={"spec": {"rollback": True}},
        )  # fmt: skip
        await until(phase_is(world, RestorePhase.ROLLED_BACK))
        found = await asyncio.to_thread(contents, pods[0], pods[0].data)
        assert found == {"The red house is at the lake", "Anna likes tea"}
        assert operations(cluster) == ["take", "verify", "take", "rewind", "undo"]
