"""What the operator builds for a bank's backups is what the service, which makes them, goes by."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from memorybank.backup import litestream
from memorybank.cli.parser import build_parser
from memorybank.server import mirrors
from memorybank.server.destinations import place_of
from memorybank.settings import BackupSettings, RestoreSettings, S3Settings
from memorybank_operator.api.v1alpha1.backup import S3, Backup
from memorybank_operator.configfiles.app_config import (
    BACKUP_FOLDER,
    COPY_FOLDERS,
    RESTORE_FOLDER,
    RUN_FOLDER,
)
from memorybank_operator.configfiles.secret_files import OF_BACKUPS, OF_COPIES, OF_RESTORE
from memorybank_operator.constants import BACKUP_METRICS_PORT
from memorybank_operator.resources.backup import LAST_COPY_SECONDS, LAST_SYNC_SECONDS
from memorybank_operator.status.backup import destination
from tests.contract.test_config import pod_settings
from tests.operator.resources.test_objects import build, pod_of
from tests.operator.world import BACKED_UP, POINTS_OF_POSTGRES, bank

IN_A_BUCKET = {"bucket": "memories", "path": "team/a", "region": "eu-central-1"}
ON_A_VOLUME = {"claimName": "backups", "path": "team/a"}


def loaded(backup: dict[str, Any], folder: Path) -> BackupSettings:
    """What a pod of the bank would load."""
    found = pod_settings({"backup": backup}, folder).backup
    assert found is not None
    return found


def test_every_part_of_the_spec_arrives_in_the_service(tmp_path: Path) -> None:
    backup = BACKED_UP["backup"] | {
        "syncInterval": "1h", "snapshotInterval": "120m", "retention": "87600h",
        "durability": "replicated", "whenUnreachable": "acknowledge",
    }  # fmt: skip
    found = loaded(backup, tmp_path)
    assert (found.bank, found.uid) == ("team/agents", "uid-1")
    seconds = (found.sync_seconds, found.snapshot_hours, found.retention_hours)
    assert seconds == (3600, 2, 87600)
    assert (found.durability, found.when_unreachable) == ("replicated", "acknowledge")
    assert found.metrics_port == BACKUP_METRICS_PORT
    assert found.run_dir == Path(RUN_FOLDER)
    s3 = found.s3
    assert s3 is not None
    assert str(s3.endpoint).rstrip("/") == "https://s3.data.svc:9000"
    for use in OF_BACKUPS:
        assert use.setting.rpartition(".")[0] == "backup.s3"
        assert getattr(s3, use.setting.rpartition(".")[2]) == Path(use.file)


def test_every_part_of_a_copy_arrives_in_the_service(tmp_path: Path) -> None:
    where = BACKED_UP["backup"]["destination"]["s3"] | {"bucket": "elsewhere"}
    where |= {"encryption": {"customerKeySecretRef": {"name": "bucket", "key": "customerKey"}}}
    backup = BACKED_UP["backup"] | {
        "copyInterval": "1m",
        "copies": [
            {"name": "nearby", "volume": ON_A_VOLUME},
            *({"name": f"far-{each}", "s3": where | {"path": each}} for each in ("a", "b")),
        ],
    }
    found = loaded(backup, tmp_path)
    assert found.copy_seconds == 60
    assert [each.name for each in found.copies] == ["nearby", "far-a", "far-b"]
    assert found.copies[0].volume is not None
    assert found.copies[0].volume.path == Path(f"{COPY_FOLDERS[0]}/team/a")
    for number, (each, files) in enumerate(zip(found.copies, OF_COPIES, strict=True)):
        for use in files if each.s3 else ():
            assert use.setting.rpartition(".")[0] == f"backup.copies[{number}].s3"
            assert getattr(each.s3, use.setting.rpartition(".")[2]) == Path(use.file)


def test_what_copies_has_what_it_needs_and_no_more() -> None:
    backup = BACKED_UP["backup"] | {"copies": [{"name": "nearby", "volume": ON_A_VOLUME}]}
    pod = pod_of(build(bank(BACKED_UP | {"backup": backup})))
    _, copier, last = pod["initContainers"]
    assert last["name"] == "litestream", "who is started first is stopped last"
    parsed = build_parser().parse_args(copier["args"])
    assert parsed.run == "mirror:mirror"
    mounted = [Path(each["mountPath"]) for each in copier["volumeMounts"]]
    assert {parsed.config.parent, Path(RUN_FOLDER), Path(COPY_FOLDERS[0])} <= {*mounted}
    assert not {"data", "key", "key-ring"} & {each["name"] for each in copier["volumeMounts"]}
    assert copier["resources"]["limits"]["memory"]
    without = pod_of(build(bank(BACKED_UP)))
    longer = pod["terminationGracePeriodSeconds"] - without["terminationGracePeriodSeconds"]
    assert longer == LAST_COPY_SECONDS > mirrors._LAST_SECONDS


def test_what_a_bank_in_postgres_has_is_taken_by_the_service(tmp_path: Path) -> None:
    spec = POINTS_OF_POSTGRES | {
        "bootstrap": {"restore": {"backup": "before", "fromBank": {"name": "former"}}}
    }
    settings = pod_settings(spec, tmp_path)
    assert settings.database.engine == "postgres"
    assert not settings.is_replicated
    found = settings.backup
    assert found is not None
    assert found.volume is not None
    assert str(found.volume.path) == f"{BACKUP_FOLDER}/banks"
    assert found.restore is not None
    assert (found.restore.bank, found.restore.point) == ("team/former", "before")


def test_every_part_of_a_standby_arrives_in_the_service(tmp_path: Path) -> None:
    standby = {
        "fromBank": {"name": "notes", "namespace": "production", "uid": "uid-9"},
        "destination": BACKED_UP["backup"]["destination"], "maxLag": "2m",
    }  # fmt: skip
    follows = pod_settings(BACKED_UP | {"standby": standby}, tmp_path)
    assert follows.backup is None
    assert follows.follow is not None
    assert (follows.follow.bank, follows.follow.uid) == ("production/notes", "uid-9")
    assert follows.follow.max_lag_seconds == 120
    assert follows.follow.s3 is not None
    for use in OF_RESTORE:
        assert getattr(follows.follow.s3, use.setting.rpartition(".")[2]) == Path(use.file)
    where = {"destination": {"volume": ON_A_VOLUME}}
    beside = pod_settings({"backup": where, "standby": {}}, tmp_path).follow
    assert beside is not None
    assert beside.volume is not None
    assert (beside.bank, str(beside.volume.path)) == ("team/agents", f"{RESTORE_FOLDER}/team/a")
    promoted = loaded_with(BACKED_UP | {"standby": standby | {"enabled": False}}, tmp_path)
    restore = promoted.restore
    assert restore is not None
    assert (restore.bank, restore.uid, restore.fence) == ("production/notes", "uid-9", True)
    assert restore.s3 == follows.follow.s3
    unfenced = BACKED_UP | {"standby": standby | {"enabled": False, "fence": False}}
    restore = loaded_with(unfenced, tmp_path).restore
    assert restore is not None
    assert not restore.fence


def test_every_part_of_read_replicas_arrives_in_their_service(tmp_path: Path) -> None:
    spec = BACKED_UP | {"readReplicas": {"maxLag": "2m"}, "limits": {"maxBodyBytes": 4096}}
    reads = pod_settings(spec, tmp_path, reads=True)
    assert reads.backup is None
    assert reads.limits.max_body_bytes == 4096
    assert {"agents-read", "agents-read.team.svc"} < set(reads.security.allowed_hosts)
    follow = reads.follow
    assert follow is not None
    assert (follow.bank, follow.uid, follow.max_lag_seconds) == ("team/agents", "uid-1", 120)
    assert follow.primary_url == "http://agents.team.svc:8080"
    assert follow.s3 is not None
    for use in OF_RESTORE:
        assert getattr(follow.s3, use.setting.rpartition(".")[2]) == Path(use.file)
    where = {"backup": {"destination": {"volume": ON_A_VOLUME}}, "readReplicas": {}}
    beside = pod_settings(where, tmp_path, reads=True).follow
    assert beside is not None
    assert beside.volume is not None
    assert str(beside.volume.path) == f"{RESTORE_FOLDER}/team/a"
    bank_itself = pod_settings(where, tmp_path)
    assert bank_itself.follow is None
    assert bank_itself.is_replicated


def loaded_with(spec: dict[str, Any], folder: Path) -> BackupSettings:
    """What a pod of a bank of this spec would load."""
    found = pod_settings(spec, folder).backup
    assert found is not None
    return found


def test_every_part_of_a_restore_arrives_in_the_service(tmp_path: Path) -> None:
    restore = {
        "fromBank": {"name": "former", "namespace": "production", "uid": "uid-0"},
        "destination": BACKED_UP["backup"]["destination"],
        "timestamp": "2026-11-22T15:00:00+01:00", "epoch": "00000003-12345678",
    }  # fmt: skip
    found = pod_settings(BACKED_UP | {"bootstrap": {"restore": restore}}, tmp_path).backup
    assert found is not None
    assert found.restore is not None
    assert (found.restore.bank, found.restore.uid) == ("production/former", "uid-0")
    assert found.restore.at == datetime(2026, 11, 22, 14, tzinfo=UTC)
    assert found.restore.epoch == "00000003-12345678"
    s3 = found.restore.s3
    assert s3 is not None
    for use in OF_RESTORE:
        assert use.setting.rpartition(".")[0] == "backup.restore.s3"
        assert getattr(s3, use.setting.rpartition(".")[2]) == Path(use.file)


@pytest.mark.parametrize(
    ("restore", "bank"),
    [({}, "team/agents"), ({"fromBank": {"name": "former"}}, "team/former")],
)
def test_a_restore_is_of_the_banks_own_namespace_and_destination_unless_it_says_otherwise(
    restore: dict[str, Any], bank: str, tmp_path: Path
) -> None:
    found = pod_settings(BACKED_UP | {"bootstrap": {"restore": restore}}, tmp_path).backup
    assert found is not None
    assert found.restore is not None
    assert found.restore == RestoreSettings(bank=bank)


def test_what_a_restore_reads_on_a_volume_is_mounted(tmp_path: Path) -> None:
    restore = {"destination": {"volume": ON_A_VOLUME}}
    spec = BACKED_UP | {"bootstrap": {"restore": restore}}
    found = pod_settings(spec, tmp_path).backup
    assert found is not None
    assert found.restore is not None
    assert found.restore.volume is not None
    prepare, sidecar = pod_of(build(bank(spec)))["initContainers"]
    folders = [Path(each["mountPath"]) for each in prepare["volumeMounts"]]
    assert found.restore.volume.path.parent.parent in folders
    assert Path(RESTORE_FOLDER) not in [Path(each["mountPath"]) for each in sidecar["volumeMounts"]]


def test_what_a_spec_leaves_out_is_the_same_on_both_sides(tmp_path: Path) -> None:
    least = {"destination": {"s3": {"bucket": "memories"}}}
    ours, theirs = Backup.model_validate(least), loaded(least, tmp_path)
    fields = BackupSettings.model_fields
    for name in ("sync_seconds", "snapshot_hours", "retention_hours"):
        assert getattr(ours, name) == getattr(theirs, name) == fields[name].default
    for name in ("durability", "when_unreachable"):
        assert getattr(ours, name) == getattr(theirs, name) == fields[name].default
    assert S3(bucket="memories").region == S3Settings.model_fields["region"].default
    assert fields["run_dir"].default == Path(RUN_FOLDER)


@pytest.mark.parametrize(
    ("s3", "path_style"),
    [({}, False), ({"endpoint": "http://s3:9000"}, True)]
    + [({"endpoint": "http://s3:9000", "forcePathStyle": each}, each) for each in (True, False)],
)
def test_a_bucket_is_named_in_the_path_of_a_server_of_ones_own(
    s3: dict[str, Any], path_style: bool, tmp_path: Path
) -> None:
    backup = {"destination": {"s3": {"bucket": "memories", **s3}}}
    found = loaded(backup, tmp_path).s3
    assert found is not None
    assert found.path_style is path_style


@pytest.mark.parametrize(
    ("where", "folder", "shown"),
    [
        ({"s3": IN_A_BUCKET}, "", "s3://memories/"),
        ({"s3": {"bucket": "memories"}}, "", "s3://memories/"),
        ({"volume": ON_A_VOLUME}, f"{BACKUP_FOLDER}/", "pvc://backups/"),
        ({"volume": {"claimName": "backups"}}, f"{BACKUP_FOLDER}/", "pvc://backups/"),
    ],
)
def test_the_status_tells_where_the_service_brings_them(
    where: dict[str, Any], folder: str, shown: str, tmp_path: Path
) -> None:
    backup = {"destination": where}
    place = place_of(loaded(backup, tmp_path))
    of = bank({"backup": backup})
    assert of.spec.backup is not None
    told = destination(of, of.spec.backup).removeprefix(shown)
    assert str(place.path).removeprefix(folder) == told


@pytest.mark.parametrize("spec", [BACKED_UP, {"backup": {"destination": {"volume": ON_A_VOLUME}}}])
def test_the_database_is_prepared_by_a_command_of_the_service(spec: dict[str, Any]) -> None:
    prepare, _ = pod_of(build(bank(spec)))["initContainers"]
    parsed = build_parser().parse_args(prepare["args"])
    assert parsed.run == "backup:prepare"
    mounted = [Path(each["mountPath"]) for each in prepare["volumeMounts"]]
    assert parsed.data in mounted
    assert parsed.config.parent in mounted


def test_a_pod_has_time_for_the_last_sync() -> None:
    assert litestream._SHUTDOWN_SYNC_SECONDS <= LAST_SYNC_SECONDS
