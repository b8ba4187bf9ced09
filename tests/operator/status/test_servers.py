"""What is passed on of the backups that CloudNativePG makes itself of a bank's own servers."""

from __future__ import annotations

from typing import Any

import pytest

from memorybank_operator.resources import names
from tests.operator.status.test_backup import healthy, message
from tests.operator.status.test_points_of_postgres import point_at
from tests.operator.world import NOW, POINTS_OF_POSTGRES, World, bank

CLUSTER: dict[str, Any] = {
    "storage": {"engine": "postgres", "postgres": {"cluster": {"instances": 1}}}
}
IN_A_BUCKET = {"backup": {"barmanObjectStore": {"destinationPath": "s3://servers"}}}
SNAPSHOTS: dict[str, Any] = {"backup": {"volumeSnapshot": {}}}
BY_PLUGIN = {"plugins": [{"name": "barman-cloud.cloudnative-pg.io", "isWALArchiver": True}]}
DONE: dict[str, Any] = {
    "lastSuccessfulBackup": "2026-01-01T11:00:00Z",
    "firstRecoverabilityPoint": "2025-12-25T11:00:00Z",
}


def condition(kind: str, status: str, reason: str = "", said: str = "") -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": reason, "message": said}


def status_of(
    asked: dict[str, Any], *conditions: dict[str, Any], spec: dict[str, Any] = CLUSTER, **said: Any
) -> dict[str, Any]:
    """The status of a bank whose servers somebody asked for backups of, which say this."""
    of = bank(spec, creationTimestamp=NOW.isoformat())
    world = World()
    world.converge_with_servers(of)
    live = world.children[names.postgres_cluster(of)]
    live["spec"] |= asked
    live["status"]["conditions"] += conditions
    live["status"] |= said
    world.converge(of)
    assert live["spec"].items() >= asked.items(), "what is somebody's stays as it is"
    world.run(of)
    if spec is not CLUSTER:
        world.backups = (point_at(NOW),)
    return world.status(of)


def test_servers_without_backups_have_none() -> None:
    archived = condition("ContinuousArchiving", "True")  # it says so of nothing, too
    plain = status_of({}, archived)
    assert healthy(plain) == ("", "")
    assert "backup" not in plain
    off = {"plugins": [{"name": "x", "isWALArchiver": True, "enabled": False}, {"name": "y"}]}
    assert healthy(status_of(off, archived)) == ("", "")


@pytest.mark.parametrize("asked", [IN_A_BUCKET, BY_PLUGIN, SNAPSHOTS], ids=["bucket", "plugin", ""])
def test_backups_that_are_made_are_told(asked: dict[str, Any]) -> None:
    new = status_of(asked)
    assert healthy(new) == ("Unknown", "BackupUnknown")
    well = status_of(asked, condition("LastBackupSucceeded", "True"), **DONE)
    assert healthy(well) == ("True", "ServersBackedUp")
    assert well["backup"]["servers"] == {
        "lastBackupTime": "2026-01-01T11:00:00Z", "recoverableFrom": "2025-12-25T11:00:00Z",
    }  # fmt: skip
    by_method: dict[str, Any] = {
        "lastSuccessfulBackupByMethod": {"plugin": "2026-01-01T11:30:00Z"},
        "firstRecoverabilityPointByMethod": {"plugin": "2025-12-01T00:00:00Z"},
    }
    told = status_of(asked, **DONE, **by_method)
    assert told["backup"]["servers"]["lastBackupTime"] == "2026-01-01T11:30:00Z"
    assert told["backup"]["servers"]["recoverableFrom"] == "2025-12-01T00:00:00Z"
    assert healthy(told)[0] == "True"
    odd = status_of(asked, lastSuccessfulBackup="yesterday")
    assert healthy(odd)[0] == "Unknown"


def test_what_is_not_archived_is_told_in_its_own_words() -> None:
    failing = condition(
        "ContinuousArchiving", "False", "ContinuousArchivingFailing", "exit status 4\n"
    )
    done = condition("LastBackupSucceeded", "True")
    lost = status_of(IN_A_BUCKET, failing, done, **DONE)
    assert healthy(lost) == ("False", "BackupFailing")
    assert message(lost) == "CloudNativePG does not archive what is written: exit status 4."
    assert lost["backup"]["servers"]["archiving"] is False
    assert healthy(status_of(SNAPSHOTS, failing, done, **DONE))[0] == "True", "nothing is archived"


def test_a_backup_that_failed_is_told_and_one_that_runs_is_not() -> None:
    failed = condition("LastBackupSucceeded", "False", "LastBackupFailed", "no space " * 200)
    lost = status_of(BY_PLUGIN, failed, **DONE)
    assert healthy(lost) == ("False", "BackupFailing")
    assert message(lost).startswith("The last backup by CloudNativePG has failed: no space")
    assert len(message(lost)) < 500
    runs = condition("LastBackupSucceeded", "False", "BackupStarted", "Backup started")
    assert healthy(status_of(BY_PLUGIN, runs, **DONE))[0] == "True"
    assert healthy(status_of(BY_PLUGIN, runs))[0] == "Unknown"


def test_of_both_the_worse_is_told() -> None:
    both = POINTS_OF_POSTGRES | CLUSTER
    well = status_of(IN_A_BUCKET, condition("LastBackupSucceeded", "True"), spec=both, **DONE)
    assert healthy(well) == ("True", "PointsTaken")
    assert message(well).endswith("CloudNativePG makes backups of the bank's servers.")
    assert {"destination", "lastBackup", "servers"} <= well["backup"].keys()
    lost = status_of(
        IN_A_BUCKET, condition("ContinuousArchiving", "False", "", "lost"), spec=both, **DONE
    )
    assert healthy(lost) == ("False", "BackupFailing")
