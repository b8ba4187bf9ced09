"""A bank with backups: what its pod waits for, what replaces it, and what is told of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from memorybank_operator.api.v1alpha1.conditions import ConditionType, Reason
from memorybank_operator.kube import kinds
from memorybank_operator.reconcile.observed import BackupReading, Reading
from tests.integration.operator.settling import settle
from tests.integration.operator.test_crash_points import resync
from tests.integration.operator.test_volumes import reasons, until_said, until_told
from tests.integration.operator.volumes import run_pod
from tests.integration.operator.world import Object, World, until
from tests.operator.world import BACKED_UP, BUCKET_KEYS

NOON = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
WELL = BackupReading("00000001-1a2b3c4d", "nothing", NOON)
LOST = replace(WELL, problem="the bucket does not exist")
HEALTHY = ConditionType.BACKUP_HEALTHY


async def pod_of(world: World) -> dict[str, Any]:
    deployment = await world.must("Deployment", "agents")
    return dict(deployment["spec"]["template"]["spec"])


async def revision(world: World) -> str:
    bank = await world.must(kinds.MEMORY_BANK, "agents")
    return str(bank["status"]["revision"])


async def until_missed(world: World, words: str) -> None:
    """Wait until the bank says that a Secret is not as it should be."""

    async def is_missed() -> bool:
        ready = await world.ready()
        return ready.get("reason") == Reason.SECRET_NOT_FOUND and words in ready["message"]

    await until(is_missed, what=words)


async def test_a_bank_gets_its_pod_when_the_keys_of_its_bucket_are_whole(world: World) -> None:
    async with world.operator() as operator:
        await world.create(**BACKED_UP)
        await until_missed(world, "Secret bucket does not exist")
        await world.put_secret("bucket", **BUCKET_KEYS | {"secretAccessKey": ""})
        await resync(world)
        await settle(world, operator)
        ready = await world.ready()
        assert ready["reason"] == Reason.SECRET_INVALID
        assert "secretRef: the entry secretAccessKey of Secret bucket" in ready["message"]
        assert "Deployment" not in await world.children()
        await world.put_secret("bucket", **BUCKET_KEYS)
        # What is missing is looked for each ten seconds.

        async def is_made() -> bool:
            return "Deployment" in await world.children()

        await until(is_made)
        await settle(world, operator)
        pod = await pod_of(world)
        assert [each["name"] for each in pod["initContainers"]] == ["backup-prepare", "litestream"]
        assert (await world.condition(HEALTHY))["reason"] == Reason.BACKUP_UNKNOWN
    writes = len(world.writes())
    async with world.operator() as operator:
        await settle(world, operator)
    assert len(world.writes()) == writes, "a restarted operator writes nothing"


async def test_other_keys_and_another_destination_replace_the_pod_and_nothing_else_does(
    world: World,
) -> None:
    await world.put_secret("bucket", **BUCKET_KEYS)
    async with world.operator() as operator:
        await world.create(**BACKED_UP)
        await settle(world, operator)
        seen = [await revision(world)]
        for act, is_replaced in (
            (lambda: world.put_secret("bucket", **BUCKET_KEYS), False),
            (lambda: world.put_secret("bucket", **BUCKET_KEYS | {"accessKeyId": "other"}), True),
            (lambda: world.change(backup={"retention": "48h"}), True),
            (lambda: world.change(networkPolicy={"enabled": True}), False),
            (lambda: world.change(logging={"level": "debug"}), False),
        ):
            await act()
            await world.client.merge(
                kinds.MEMORY_BANK, world.namespace, name="agents",
                changes={"metadata": {"annotations": {"memorybank.dev/resync": str(len(seen))}}},
            )  # fmt: skip
            await settle(world, operator)
            seen.append(await revision(world))
            assert (seen[-1] != seen[-2]) is is_replaced, len(seen)


async def take_out(world: World, container: str) -> None:
    """Remove a container that starts before the service, by hand."""
    deployment = await world.must("Deployment", "agents")
    pod = deployment["spec"]["template"]["spec"]
    left = [each for each in pod["initContainers"] if each["name"] != container]
    changes: Object = {"spec": {"template": {"spec": {"initContainers": left}}}}
    await world.client.merge(kinds.DEPLOYMENT, world.namespace, name="agents", changes=changes)


async def test_what_somebody_takes_out_of_the_pod_is_put_back(world: World) -> None:
    await world.put_secret("bucket", **BUCKET_KEYS)
    async with world.operator() as operator:
        await world.create(**BACKED_UP)
        await settle(world, operator)
        before = await pod_of(world)
        await take_out(world, "litestream")
        await until_told(world, Reason.DRIFT_CORRECTED)
        await settle(world, operator)
        assert await pod_of(world) == before


async def test_backups_that_fail_and_heal_are_told_and_nothing_is_written_meanwhile(
    world: World,
) -> None:
    await world.put_secret("bucket", **BUCKET_KEYS)
    world.pod.said = Reading(backup=WELL)
    async with world.operator() as operator:
        await world.create(**BACKED_UP)
        await settle(world, operator)
        await run_pod(world)
        await until_said(world, HEALTHY, Reason.REPLICATING)
        await until_told(world, Reason.REPLICATING)
        await settle(world, operator)
        writes = len(world.writes())
        world.pod.said = Reading(backup=replace(WELL, synced_at=NOON + timedelta(minutes=59)))
        await settle(world, operator)
        assert len(world.writes()) == writes, "syncs are not written down"

        world.pod.said = Reading(backup=LOST)
        told = await until_said(world, HEALTHY, Reason.BACKUP_FAILING)
        assert "since 2026-01-01T12:00:00Z: the bucket does not exist. " in told["message"]
        await until_told(world, Reason.BACKUP_FAILING)
        bank = await world.must(kinds.MEMORY_BANK, "agents")
        assert bank["status"]["backup"]["lastSync"] == "2026-01-01T12:00:00Z"
        await settle(world, operator)
        writes = len(world.writes())
    async with world.operator() as operator:
        await settle(world, operator)
        assert len(world.writes()) == writes, "what lasts is not written again"
        world.pod.said = Reading(backup=WELL)
        await until_said(world, HEALTHY, Reason.REPLICATING)
        await settle(world, operator)
        registry = operator.metrics.registry
        name = "memorybank_operator_backups"
        assert registry.get_sample_value(name, {"healthy": "True"}) == 1.0

    async def is_told_again() -> bool:
        told = [each for each in await world.events() if each["reason"] == Reason.REPLICATING]
        return len(told) == 2  # the second by an operator that knows nothing of the first

    await until(is_told_again)


async def test_a_restore_is_told(world: World) -> None:
    await world.put_secret("bucket", **BUCKET_KEYS)
    restored = replace(WELL, epoch="00000002-5e6f7a8b", origin="backup")
    world.pod.said = Reading(backup=restored)
    async with world.operator() as operator:
        await world.create(**BACKED_UP)
        await settle(world, operator)
        await run_pod(world)
        await until_told(world, Reason.RESTORED)
        await settle(world, operator)
    bank = await world.must(kinds.MEMORY_BANK, "agents")
    uid = bank["metadata"]["uid"]
    assert bank["status"]["backup"] == {
        "destination": f"s3://memories/{world.namespace}/agents/{uid}",
        "epoch": "00000002-5e6f7a8b",
        "origin": "backup",
        "recoverableTo": "2026-01-01T12:00:00Z",
    }
    assert (await reasons(world)).count(Reason.RESTORED) == 1
