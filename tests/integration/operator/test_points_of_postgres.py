"""Recovery points of a bank in a real PostgreSQL: taken, tried, put back to and taken back, by the
service's own commands in the Jobs that the operator makes.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from memorybank_operator.api.v1alpha1.conditions import ConditionType, Reason, RestorePhase
from memorybank_operator.kube import errors, kinds
from memorybank_operator.kube.client import with_status
from tests.app.backup.banks import OnServer, contents, store
from tests.integration.operator.cluster import Cluster, ServingProber
from tests.integration.operator.jobs import really_run
from tests.integration.operator.servers import start_database
from tests.integration.operator.settling import settle
from tests.integration.operator.test_recovery_points import Clock
from tests.integration.operator.test_restores import operations, phase_is, restore_of
from tests.integration.operator.test_volumes import until_said
from tests.integration.operator.world import Object, World, until
from tests.operator.world import POINTS_OF_POSTGRES
from tests.support import postgres

HEALTHY, VERIFIED = ConditionType.BACKUP_HEALTHY, ConditionType.BACKUP_VERIFIED
YEARLY = "0 0 1 1 *"
CLUSTER: dict[str, Any] = {
    "storage": {"engine": "postgres", "postgres": {"cluster": {"instances": 1}}}
}


@pytest.fixture
def url(world: World) -> Iterator[str]:
    """The address of a database of this test's own."""
    yield postgres.server().database(world.namespace)
    postgres.server().drop(world.namespace)


def backed_up(schedule: str = YEARLY) -> dict[str, Any]:
    """A spec of a bank with recovery points, of which none is due."""
    backup = POINTS_OF_POSTGRES["backup"]
    # Longer than tests are ahead of the time.
    kept = {"schedule": schedule, "expireAfter": "87600h"}
    points = {"points": kept, "verify": {"schedule": YEARLY}}
    return POINTS_OF_POSTGRES | {"backup": backup | points}


async def until_serving(world: World) -> None:
    async def serves() -> bool:
        return (await world.ready()).get("status") == "True"

    await until(serves)


async def bank_in(world: World, url: str, tmp_path: Path) -> tuple[OnServer, Path]:
    """Return the bank as its pod would open it, and the folder of the volume of its backups."""
    uid = (await world.must(kinds.MEMORY_BANK, "agents"))["metadata"]["uid"]
    place = tmp_path / "backups"
    place.mkdir()
    of = OnServer(
        tmp_path / "pod", {"volume": {"path": str(place)}}, url,
        bank=f"{world.namespace}/agents", uid=uid,
    )  # fmt: skip
    content = json.loads(of.config.read_text())
    of.config.write_text(json.dumps(content | {"embedding": {}}))
    return of, place


async def test_the_services_own_commands_take_points_and_put_a_bank_back(
    world: World, url: str, tmp_path: Path
) -> None:
    clock = Clock()
    files = tmp_path / "url"
    files.write_text(url)

    async def run(job: Object) -> None:
        folder = tmp_path / job["metadata"]["name"]
        environ = {"MEMORY_BANK_DATABASE__URL_FILE": str(files)}
        await really_run(world, job, tmp_path / "backups", folder, environ=environ)

    cluster = Cluster(world, run)
    await world.put_secret("database", url=url)
    async with (
        cluster.runs(),
        world.operator(prober=ServingProber(), now=clock) as operator,
    ):
        await world.create(**backed_up())
        await until_serving(world)
        await until_said(world, HEALTHY, Reason.BACKUP_UNKNOWN)
        of, _ = await bank_in(world, url, tmp_path)
        await asyncio.to_thread(store, of, ["The red house is at the lake"])
        await world.create_backup(expireAfter="24h")
        await until_said(world, HEALTHY, Reason.POINTS_TAKEN)
        await until_said(world, VERIFIED, Reason.VERIFIED)
        taken = await world.must(kinds.MEMORY_BANK_BACKUP, "before-the-move")
        assert taken["status"]["point"]["memories"] == 1
        assert "epoch" not in taken["status"]["point"]

        await asyncio.to_thread(store, of, ["Anna likes tea"])
        await world.create_restore(latest=True)
        await until(phase_is(world, RestorePhase.FAILED))
        assert "spec.backup.name: " in str((await restore_of(world))["status"])
        await world.create_restore(name="to", backup={"name": "before-the-move"})
        await until(phase_is(world, RestorePhase.COMPLETE, "to"), seconds=120)
        found = await asyncio.to_thread(contents, of, of.data)
        assert found == {"The red house is at the lake"}
        said = (await restore_of(world, "to"))["status"]
        assert said["restored"]["memories"] == 1
        kept = await world.must(kinds.MEMORY_BANK_BACKUP, said["safetyBackup"])
        assert kept["status"]["point"]["memories"] == 2
        await world.client.merge(
            kinds.MEMORY_BANK_RESTORE, world.namespace,
            name="to", changes={"spec": {"rollback": True}},
        )  # fmt: skip
        await until(phase_is(world, RestorePhase.ROLLED_BACK, "to"), seconds=120)
        found = await asyncio.to_thread(contents, of, of.data)
        assert found == {"The red house is at the lake", "Anna likes tea"}
        assert operations(cluster) == ["take", "verify", "take", "rewind", "undo"]

        # The year after: one is taken, and the newest is tried.
        await until_serving(world)
        await asyncio.to_thread(store, of, ["Bert has the key"])
        clock.ahead = timedelta(days=366)
        operator._look_at(operator.cache.banks())

        async def both_are_done() -> bool:
            return sorted(operations(cluster)[5:]) == ["take", "verify"]

        await until(both_are_done, seconds=120)

        async def is_known() -> bool:
            status = (await world.must(kinds.MEMORY_BANK, "agents"))["status"]["backup"]
            return bool(status["lastBackup"].startswith("agents-2"))

        await until(is_known)


async def test_points_that_are_not_taken_are_told(world: World, url: str, tmp_path: Path) -> None:
    clock = Clock()
    cluster = Cluster(world)
    await world.put_secret("database", url=url)
    cluster.failing["take"] = 5
    async with (
        cluster.runs(),
        world.operator(prober=ServingProber(), now=clock) as operator,
    ):
        await world.create(**backed_up())
        await until_serving(world)
        await settle(world, operator)
        assert operations(cluster) == [], "nothing is tried before there is anything"
        clock.ahead = timedelta(days=366)
        operator._look_at(operator.cache.banks())
        told = await until_said(world, HEALTHY, Reason.BACKUP_FAILING)
        assert "no recovery point was taken yet" in told["message"]
        assert (await world.ready())["status"] == "True"


async def test_servers_of_the_banks_own_do_not_sleep_while_it_is_put_back(
    world: World, url: str
) -> None:
    cluster = Cluster(world)
    async with cluster.runs(), world.operator(prober=ServingProber()):
        await world.create(**backed_up() | CLUSTER)

        async def has_servers() -> bool:
            return await world.get(kinds.POSTGRES_CLUSTER, "agents-postgres") is not None

        await until(has_servers)
        await start_database(world, url)
        await until_serving(world)
        await world.create_backup()
        await until_said(world, HEALTHY, Reason.POINTS_TAKEN)
        cluster.holding.add("rewind")
        await world.create_restore(backup={"name": "before-the-move"})
        await until(phase_is(world, RestorePhase.RESTORING))
        deployment = await world.must("Deployment", "agents")
        assert deployment["spec"]["replicas"] == 0
        live = await world.must(kinds.POSTGRES_CLUSTER, "agents-postgres")
        assert live["metadata"]["annotations"]["cnpg.io/hibernation"] == "off"
        cluster.holding.clear()
        await until(phase_is(world, RestorePhase.COMPLETE))


async def test_backups_by_the_servers_own_operator_are_told(world: World, url: str) -> None:
    """Asked for by somebody else in the Cluster, whose definition is the real one."""
    name = "agents-postgres"
    plugins = [
        {
            "name": "barman-cloud.cloudnative-pg.io",
            "isWALArchiver": True,
            "parameters": {"barmanObjectName": "store"},
        }
    ]

    async def say(*conditions: tuple[str, str, str], **said: Any) -> None:
        """Have their operator say this of its backups."""
        found = await world.must(kinds.POSTGRES_CLUSTER, name)
        told = [
            {
                "type": kind, "status": status, "reason": reason, "message": f"{reason} it is",
                "lastTransitionTime": found["metadata"]["creationTimestamp"],
            }
            for kind, status, reason in conditions
        ]  # fmt: skip
        others = [each for each in found["status"]["conditions"] if each["type"] == "Ready"]
        status = found["status"] | {"conditions": [*others, *told]} | said
        await world.client.apply_status(with_status(found, status))

    async with Cluster(world).runs(), world.operator(prober=ServingProber()) as operator:
        await world.create(**CLUSTER)

        async def has_servers() -> bool:
            return await world.get(kinds.POSTGRES_CLUSTER, name) is not None

        await until(has_servers)
        await start_database(world, url)
        await until_serving(world)
        assert "backup" not in (await world.must(kinds.MEMORY_BANK, "agents"))["status"]
        await world.client.merge(
            kinds.POSTGRES_CLUSTER,
            world.namespace,
            name=name,
            changes={"spec": {"plugins": plugins}},
        )
        await until_said(world, HEALTHY, Reason.BACKUP_UNKNOWN)
        archived = ("ContinuousArchiving", "True", "ContinuousArchivingSuccess")
        done = ("LastBackupSucceeded", "True", "LastBackupSucceeded")
        await say(archived, done, lastSuccessfulBackup="2026-01-01T11:00:00Z")
        await until_said(world, HEALTHY, Reason.SERVERS_BACKED_UP)
        said = (await world.must(kinds.MEMORY_BANK, "agents"))["status"]["backup"]
        assert said == {"servers": {"archiving": True, "lastBackupTime": "2026-01-01T11:00:00Z"}}
        await settle(world, operator)
        writes = len(world.writes())
        await settle(world, operator)
        assert len(world.writes()) == writes
        await say(("ContinuousArchiving", "False", "ContinuousArchivingFailing"), done)
        told = await until_said(world, HEALTHY, Reason.BACKUP_FAILING)
        assert told["message"].endswith("ContinuousArchivingFailing it is.")
        assert (await world.ready())["status"] == "True"
        live = await world.must(kinds.POSTGRES_CLUSTER, name)
        assert live["spec"]["plugins"][0]["isWALArchiver"], "what is somebody's stays"


@pytest.mark.parametrize(
    "without", [{"points": None}, {"durability": "replicated"}, {"snapshotInterval": "12h"}]
)
async def test_what_only_replicated_banks_have_is_refused(
    world: World, without: dict[str, Any]
) -> None:
    spec = backed_up()
    spec["backup"] = {**POINTS_OF_POSTGRES["backup"], **without}
    with pytest.raises(errors.Invalid, match=r"spec\.backup\."):
        await world.create(**spec)
