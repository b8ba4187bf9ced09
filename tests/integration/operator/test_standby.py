"""A bank that follows another one: what is made for it, what is told of it, and its promotion."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from memorybank_operator.api.v1alpha1.conditions import ConditionType, Reason
from memorybank_operator.kube import kinds
from memorybank_operator.reconcile.observed import BackupReading, FollowReading, Reading
from tests.integration.operator.settling import settle
from tests.integration.operator.test_backups import pod_of
from tests.integration.operator.test_volumes import reasons, until_said, until_told
from tests.integration.operator.volumes import run_pod
from tests.integration.operator.world import World, until
from tests.operator.world import BUCKET_KEYS, FOLLOWING

NOON = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
WELL = FollowReading("00000002-1a2b3c4d", 0.7, NOON)
AWAY = replace(WELL, problem="the destination does not answer")
CONDITION = ConditionType.FOLLOWING


async def test_a_standby_is_told_and_promoted_by_one_field(world: World) -> None:
    await world.put_secret("bucket", **BUCKET_KEYS)
    world.pod.said = Reading(follow=WELL)
    async with world.operator() as operator:
        await world.create(**FOLLOWING)
        await settle(world, operator)
        pod = await pod_of(world)
        assert "initContainers" not in pod
        await run_pod(world)
        told = await until_said(world, CONDITION, Reason.FOLLOWING)
        assert "s3://memories/production/notes" in told["message"]
        await until_told(world, Reason.FOLLOWING)
        await settle(world, operator)
        writes = len(world.writes())
        world.pod.said = Reading(
            follow=replace(WELL, lag_seconds=3.1, moment=NOON + timedelta(hours=1))
        )
        await settle(world, operator)
        assert len(world.writes()) == writes, "what is followed is not written down"

        world.pod.said = Reading(follow=AWAY)
        await until_said(world, CONDITION, Reason.SOURCE_UNREACHABLE)
        await until_told(world, Reason.SOURCE_UNREACHABLE)
        name = "memorybank_operator_standbys"
        registry = operator.metrics.registry
        assert registry.get_sample_value(name, {"following": "False"}) == 1.0
        bank = await world.must(kinds.MEMORY_BANK, "agents")
        assert bank["status"]["standby"] == {
            "source": "s3://memories/production/notes",
            "epoch": "00000002-1a2b3c4d",
            "lagSeconds": 5,
            "moment": "2026-01-01T12:00:00Z",
        }
        await settle(world, operator)
        writes = len(world.writes())
    async with world.operator() as operator:
        await settle(world, operator)
        assert len(world.writes()) == writes, "what lasts is not written again"

        world.pod.said = Reading(backup=BackupReading("00000001-5e6f7a8b", "restored", NOON))
        await world.change(standby={"enabled": False})
        await settle(world, operator)
        pod = await pod_of(world)
        assert [each["name"] for each in pod["initContainers"]] == ["backup-prepare", "litestream"]
        await until_told(world, Reason.PROMOTED)
        await settle(world, operator)
        bank = await world.must(kinds.MEMORY_BANK, "agents")
        assert bank["status"]["standby"] == {
            "source": "s3://memories/production/notes",
            "epoch": "00000002-1a2b3c4d",
            "promoted": True,
        }
        kept = {each["type"] for each in bank["status"]["conditions"]}
        assert CONDITION not in kept
        assert ConditionType.BACKUP_HEALTHY in kept
    assert (await reasons(world)).count(Reason.PROMOTED) == 1


async def test_the_keys_of_a_standby_wait_and_say_for_what(world: World) -> None:
    await world.put_secret("bucket", **BUCKET_KEYS)
    async with world.operator():
        await world.create(**FOLLOWING)
        await world.create_key()

        async def is_told() -> bool:
            key = await world.must(kinds.MEMORY_BANK_KEY, "app")
            conditions = (key.get("status") or {}).get("conditions", ())
            return any(
                each["reason"] == Reason.BANK_UNAVAILABLE
                and "when its spec.standby.enabled is false" in each["message"]
                for each in conditions
            )

        await until(is_told)
        assert await world.must("Secret", "app")
