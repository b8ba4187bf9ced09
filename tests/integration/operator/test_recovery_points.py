"""A MemoryBankBackup becomes a Job, and what the Job says its status; schedules make both."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from memorybank_operator.api.v1alpha1.conditions import ConditionType, Reason
from memorybank_operator.kube import errors, kinds
from memorybank_operator.reconcile.observed import Reading
from memorybank_operator.resources.labels import selector
from tests.app.backup.banks import stored
from tests.integration.operator.jobs import end, jobs, really_run, report_of, run, start
from tests.integration.operator.settling import settle
from tests.integration.operator.test_backups import WELL
from tests.integration.operator.test_volumes import reasons, until_said, until_told
from tests.integration.operator.volumes import run_pod
from tests.integration.operator.world import Object, World, until
from tests.operator.world import BACKED_UP, BUCKET_KEYS, bank
from tests.support.replication import Pod

VERIFIED = ConditionType.BACKUP_VERIFIED
MINUTELY, YEARLY = "* * * * *", "0 0 1 1 *"


def backed_up(**changes: Any) -> dict[str, Any]:
    """A spec of a bank with backups of which nothing is due."""
    never = {"verify": {"schedule": YEARLY}}
    return {"backup": BACKED_UP["backup"] | never | changes}


async def replicate(world: World, **changes: Any) -> None:
    """Have a bank whose pod replicates it. An operator runs."""
    world.pod.said = Reading(backup=WELL)
    await world.put_secret("bucket", **BUCKET_KEYS)
    await world.create(**backed_up(**changes))
    await run_pod(world)

    async def is_replicated() -> bool:
        said = (await world.must(kinds.MEMORY_BANK, "agents"))["status"].get("backup", {})
        return "epoch" in said and await world.get("Deployment", "agents") is not None

    await until(is_replicated)


async def the_job(world: World, *, number: int = 1) -> Object:
    """Wait until there are so many Jobs; return the last one by its name."""

    async def is_there() -> bool:
        return len(await jobs(world)) >= number

    await until(is_there, what=f"{number} Jobs")
    found = await jobs(world)
    assert len(found) == number
    return found[-1]


async def point(world: World, name: str = "before-the-move") -> Object:
    return await world.must(kinds.MEMORY_BANK_BACKUP, name)


def complete(body: Object) -> tuple[str, str]:
    for each in body["status"].get("conditions", ()):
        if each["type"] == "Complete":
            return each["status"], each["reason"]
    return "", ""


def point_is(
    world: World, status: str, reason: str, name: str = "before-the-move"
) -> Callable[[], Awaitable[bool]]:
    async def is_it() -> bool:
        return complete(await point(world, name)) == (status, reason)

    return is_it


async def test_a_recovery_point_is_taken_by_a_job(world: World) -> None:
    async with world.operator() as operator:
        await world.create_backup(expireAfter="720h")
        await until(point_is(world, "False", Reason.WAITING))
        await replicate(world)
        job = await the_job(world)
        await until(point_is(world, "False", Reason.TAKING))
        pod = await start(world, job)
        assert not selector(bank()).items() <= pod["metadata"]["labels"].items()
        await settle(world, operator)
        writes = len(world.writes())
        await settle(world, operator)
        assert len(world.writes()) == writes, "nothing is written while it runs"
        await end(world, job, pod, await report_of(world, job))
        await until(point_is(world, "True", Reason.TAKEN))
        taken = await point(world)
        assert taken["status"]["phase"] == "Complete"
        assert taken["status"]["point"]["memories"] == 12
        at = datetime.fromisoformat(taken["status"]["point"]["takenAt"])
        ends = datetime.fromisoformat(taken["status"]["expiresAt"])
        assert ends == at + timedelta(days=30)
        assert [each["type"] for each in taken["status"]["conditions"]] == ["Complete"]
        owners = [each["uid"] for each in job["metadata"]["ownerReferences"]]
        assert owners == [taken["metadata"]["uid"]], "it is removed with what asked for it"
        await until_told(world, Reason.BACKUP_TAKEN)

        async def is_known() -> bool:
            said = (await world.must(kinds.MEMORY_BANK, "agents"))["status"]["backup"]
            return bool(said.get("lastBackup") == "before-the-move")

        await until(is_known)
        await settle(world, operator)
        writes = len(world.writes())
        await world.client.delete(
            kinds.JOB, world.namespace,
            name=job["metadata"]["name"], uid=job["metadata"]["uid"],
        )  # fmt: skip
        await settle(world, operator)
    async with world.operator() as operator:
        await settle(world, operator)
    assert len(world.writes()) == writes, "what is taken is not taken again"
    assert await jobs(world) == []


async def test_the_pod_of_a_job_is_none_of_the_banks(world: World) -> None:
    async with world.operator() as operator:
        await replicate(world)
        await settle(world, operator)
        before = await world.must(kinds.MEMORY_BANK, "agents")
        await world.create_backup()
        await start(world, await the_job(world))
        await settle(world, operator)
        after = await world.must(kinds.MEMORY_BANK, "agents")
        assert after["status"] == before["status"]
        assert await world.condition("Available") == (
            await world.condition("Available") | {"status": "False"}
        )


async def test_a_recovery_point_that_fails_says_why_and_is_not_tried_again(world: World) -> None:
    damaged: dict[str, Any] = {
        "result": "failed",
        "error": {"code": "backup_damaged", "message": "It is damaged", "hint": "Go back."},
    }
    async with world.operator() as operator:
        await replicate(world)
        await world.create_backup()
        job = await the_job(world)
        await run(world, job, code=2, said=await report_of(world, job, **damaged))
        await until(point_is(world, "False", Reason.FAILED))
        await until_told(world, Reason.BACKUP_FAILED)
        stalled = [
            c for c in (await point(world))["status"]["conditions"] if c["type"] == "Stalled"
        ]
        assert [each["message"] for each in stalled] == ["It is damaged. Go back."]
        await world.client.delete(
            kinds.JOB, world.namespace,
            name=job["metadata"]["name"], uid=job["metadata"]["uid"],
        )  # fmt: skip
        await settle(world, operator)
        assert complete(await point(world)) == ("False", Reason.FAILED)
        assert await jobs(world) == []


async def test_words_that_are_no_report_are_told_as_words(world: World) -> None:
    async with world.operator():
        await replicate(world)
        await world.create_backup()
        await run(world, await the_job(world), code=5, said="Killed\n\tby \u202e somebody")
        await until(point_is(world, "False", Reason.FAILED))
        told = (await point(world))["status"]["conditions"][0]["message"]
        assert told == "Its pod said last: Killed by somebody"


async def test_a_spec_cannot_change_and_a_name_is_that_of_a_point(world: World) -> None:
    await world.create_backup(expireAfter="1h")
    with pytest.raises(errors.Invalid, match="make another MemoryBankBackup"):
        await world.client.merge(
            kinds.MEMORY_BANK_BACKUP, world.namespace,
            name="before-the-move", changes={"spec": {"expireAfter": "2h"}},
        )  # fmt: skip
    with pytest.raises(errors.Invalid, match=r"spec\.expireAfter must be whole hours from 1h"):
        await world.create_backup("other", expireAfter="90m")
    with pytest.raises(errors.Invalid, match=r"metadata\.name must have at most 63 characters"):
        await world.create_backup("a.b")


class Clock:
    """The time of day by which an operator keeps schedules."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


async def test_a_schedule_takes_recovery_points_and_removes_what_expired(world: World) -> None:
    clock = Clock()
    points = {"schedule": YEARLY, "expireAfter": "24h"}
    async with world.operator(now=clock) as operator:
        await replicate(world, points=points)
        await settle(world, operator)
        assert await jobs(world) == []
        clock.ahead = timedelta(days=366)
        operator._look_at(operator.cache.banks())
        job = await the_job(world, number=2)  # and one that tries the backups
        names = [each["metadata"]["name"] for each in await jobs(world)]
        year = (datetime.now(UTC) + clock.ahead).year
        assert f"agents-verify-{year}01010000" in names
        [made] = [each for each in await jobs(world) if "-take-" in each["metadata"]["name"]]
        name = f"agents-{year}01010000"
        body = await point(world, name)
        assert body["spec"] == {"bank": {"name": "agents"}, "expireAfter": "24h"}
        assert "ownerReferences" not in body["metadata"]
        at = datetime.now(UTC) + clock.ahead
        said = {"taken_at": at.isoformat(), "expires_at": (at + timedelta(days=1)).isoformat()}
        await run(world, made, said=await report_of(world, made, **said))
        await until(point_is(world, "True", Reason.TAKEN, name))

        async def is_remembered() -> bool:
            said = (await world.must(kinds.MEMORY_BANK, "agents"))["status"]["backup"]
            return bool(said.get("lastScheduled") == f"{year}-01-01T00:00:00Z")

        await until(is_remembered)
        clock.ahead += timedelta(days=1, minutes=1)
        operator._look_at(operator.cache.banks())

        async def is_removed() -> bool:
            return await world.get(kinds.MEMORY_BANK_BACKUP, name) is None

        await until(is_removed)
        await settle(world, operator)
    assert job["metadata"]["name"] in names
    writes = len(world.writes())
    async with world.operator(now=clock) as operator:
        await settle(world, operator)
    assert len(world.writes()) == writes, "what was done is not done again"


async def test_backups_are_tried_and_what_comes_of_it_is_told(world: World) -> None:
    clock = Clock()
    async with world.operator(now=clock) as operator:
        await replicate(world)
        await until_said(world, VERIFIED, Reason.NOT_VERIFIED_YET)
        clock.ahead = timedelta(days=366)
        operator._look_at(operator.cache.banks())
        job = await the_job(world)
        assert job["metadata"]["ownerReferences"][0]["kind"] == "MemoryBank"
        await run(world, job)
        await until_said(world, VERIFIED, Reason.VERIFIED)
        await until_told(world, Reason.VERIFIED)
        said = (await world.must(kinds.MEMORY_BANK, "agents"))["status"]["backup"]
        assert said["measuredRestoreSeconds"] == 1.25
        ended = (await world.must(kinds.JOB, job["metadata"]["name"]))["status"]
        assert said["lastVerified"] == ended["completionTime"]
        registry = operator.metrics.registry
        labels = {"namespace": world.namespace, "bank": "agents"}
        name = "memorybank_operator_backup_restore_seconds"
        assert registry.get_sample_value(name, labels) == 1.25
        clock.ahead += timedelta(days=366)
        operator._look_at(operator.cache.banks())
        failing = await the_job(world, number=2)
        error = {"code": "backup_damaged", "message": "It is damaged", "hint": None}
        words = await report_of(world, failing, result="failed", error=error)
        await run(world, failing, code=2, said=words)
        told = await until_said(world, VERIFIED, Reason.VERIFICATION_FAILED)
        assert "It is damaged." in told["message"]
        await until_told(world, Reason.VERIFICATION_FAILED)
        await settle(world, operator)
        writes = len(world.writes())
    async with world.operator(now=clock) as operator:
        await settle(world, operator)
    assert len(world.writes()) == writes
    assert (await reasons(world)).count(Reason.VERIFICATION_FAILED) == 1


async def test_nothing_is_begun_for_a_bank_that_is_paused_and_a_sleeping_one_is_tried(
    world: World,
) -> None:
    clock = Clock()
    async with world.operator(now=clock) as operator:
        await replicate(world)
        await world.change(paused=True)
        await settle(world, operator)
        clock.ahead = timedelta(days=366)
        await world.create_backup()
        await until(point_is(world, "False", Reason.WAITING))
        operator._look_at(operator.cache.banks())
        await settle(world, operator)
        assert await jobs(world) == []
        await world.change(paused=False, hibernate=True)
        await the_job(world, number=2)
        names = [each["metadata"]["name"] for each in await jobs(world)]
        assert ["-take-" in names[0], "-verify-" in names[1]] == [True, True]


async def test_the_services_own_command_takes_a_point_and_tries_the_backups(
    world: World, tmp_path: Path
) -> None:
    clock = Clock()
    async with world.operator(now=clock) as operator:
        world.pod.said = Reading(backup=WELL)
        on_a_volume = {"destination": {"volume": {"claimName": "backups"}}}
        await replicate(world, **on_a_volume)
        uid = (await world.must(kinds.MEMORY_BANK, "agents"))["metadata"]["uid"]
        place = tmp_path / "backups"
        place.mkdir()
        pod = Pod(
            tmp_path / "pod", {"volume": {"path": str(place)}},
            bank=f"{world.namespace}/agents", uid=uid,
        )  # fmt: skip
        await asyncio.to_thread(stored, pod, "The red house is at the lake", "Anna likes tea")
        await world.create_backup(expireAfter="24h")
        await really_run(world, await the_job(world), place, tmp_path / "take")
        await until(point_is(world, "True", Reason.TAKEN))
        said = (await point(world))["status"]["point"]
        assert said["memories"] == 2
        [copy] = (place / world.namespace / "agents" / uid / "points").rglob("*.db")
        assert hashlib.sha256(copy.read_bytes()).hexdigest() == said["sha256"]

        clock.ahead = timedelta(days=366)
        operator._look_at(operator.cache.banks())
        job = await the_job(world, number=2)
        await really_run(world, job, place, tmp_path / "verify")
        await until_said(world, VERIFIED, Reason.VERIFIED)

        for each in (place / world.namespace / "agents" / uid).rglob("*.ltx"):
            each.write_bytes(each.read_bytes()[:-100] + bytes(100))
        clock.ahead += timedelta(days=366)
        operator._look_at(operator.cache.banks())
        job = await the_job(world, number=3)
        await really_run(world, job, place, tmp_path / "damaged")
        told = await until_said(world, VERIFIED, Reason.VERIFICATION_FAILED)
        assert "last: {" not in told["message"], "the report was understood"
