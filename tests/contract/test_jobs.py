"""The commands that the operator has Jobs run are the service's; what they say is understood."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from memorybank.backup.point import Point, PointExport
from memorybank.backup.report import MOST_BYTES, Check, Failure, Report
from memorybank.cli.parser import EXIT_CODES, build_parser
from memorybank.schemas.backups import BackupMark
from memorybank_operator.reconcile.jobs import MAX_REPORT, read_report
from memorybank_operator.reconcile.points import identity, point_of
from memorybank_operator.resources.backup import SCRATCH_FOLDER
from memorybank_operator.resources.backup_job import (
    CONTAINER,
    HOPELESS,
    build_check_job,
    build_rewind_job,
    build_take_job,
    build_undo_job,
    build_verify_job,
)
from tests.contract.test_config import pod_settings
from tests.operator.recovery import backup, replicated, restore
from tests.operator.world import BACKED_UP, NOW, POINTS_OF_POSTGRES, bank, running

POINT = Point(
    name="before-the-move", object="points/before-the-move/x/memory_bank.db",
    bank="team/agents/uid-1", epoch="00000002-1a2b3c4d", txid="000000000000002a",
    moment=datetime(2026, 1, 1, tzinfo=UTC), taken_at=datetime(2026, 1, 2, tzinfo=UTC),
    expires_at=datetime(2026, 2, 1, tzinfo=UTC), change=42, memories=12, tenants=1, keys=2,
    key_ids=("2026-01-01",), bytes=1310720, sha256="0" * 64, service_version="0.1.0",
    schema_version=9,
    export=PointExport(object="points/x/y/z", memories=12, bytes=4096, sha256="1" * 64),
)  # fmt: skip


def parsed(job: dict[str, Any]) -> argparse.Namespace:
    """What the service makes of a Job's arguments."""
    [container] = job["spec"]["template"]["spec"]["containers"]
    assert container["name"] == CONTAINER
    return build_parser().parse_args(container["args"])


def test_a_job_takes_the_point_that_was_asked_for() -> None:
    of, world = replicated()
    wanted = backup({"expireAfter": "720h"})
    found = parsed(build_take_job(of, wanted, world.deployment(of), size="2048Mi"))
    assert (found.run, found.name, found.id) == ("backup:take", "before-the-move", "uid-7")
    assert found.expire_hours == 720
    assert found.scratch == Path(SCRATCH_FOLDER)
    assert found.url == "http://agents.team.svc:8080"
    assert found.token_file == Path("/etc/memorybank-key/token")
    assert found.config == Path("/etc/memorybank/config.yaml")
    assert found.termination_log == Path("/dev/termination-log")
    with_export = backup({"expireAfter": "720h", "export": "JSONL"})
    exporting = parsed(build_take_job(of, with_export, world.deployment(of), size="2048Mi"))
    assert (found.export, exporting.export) == (False, True)
    leaving = of.model_copy(
        update={"metadata": of.metadata.model_copy(update={"deletion_timestamp": NOW})}
    )
    last = parsed(build_take_job(leaving, wanted, world.deployment(of), size="2048Mi"))
    assert (found.wait, last.wait) == (0, 300)
    for_ever = parsed(build_take_job(of, backup(), world.deployment(of), size="2048Mi"))
    assert for_ever.expire_hours is None


def test_a_job_tries_the_newest_state() -> None:
    of, world = replicated()
    found = parsed(build_verify_job(of, world.deployment(of), name="x", size="1Mi"))
    assert found.run == "backup:verify"
    assert (found.at, found.epoch, found.point) == (None, None, None)
    assert found.scratch == Path(SCRATCH_FOLDER)


@pytest.mark.parametrize(
    ("state", "at", "epoch", "point"),
    [
        ({"latest": True}, None, None, None),
        ({"timestamp": "2026-01-01T11:00:00Z"}, datetime(2026, 1, 1, 11, tzinfo=UTC), None, None),
        ({"epoch": "00000001-5be90a13"}, None, "00000001-5be90a13", None),
        ({"backup": {"name": "before"}}, None, None, "before"),
    ],
    ids=["the newest", "a moment", "an epoch", "a point"],
)
def test_a_bank_is_put_back_to_the_state_that_was_tried(
    state: dict[str, Any], at: datetime | None, epoch: str | None, point: str | None
) -> None:
    of, world = replicated()
    wanted = restore(state, uid="0b5c1f9a-7d30-4b3c-9b53-0f6f1f0a5e11")
    tried = parsed(build_check_job(of, wanted, world.deployment(of), size="1Mi"))
    done = parsed(build_rewind_job(of, wanted, world.deployment(of), size="1Mi"))
    assert (tried.run, done.run) == ("backup:verify", "backup:rewind")
    for found in (tried, done):
        assert (found.at, found.epoch, found.point) == (at, epoch, point)
    undone = parsed(build_undo_job(of, wanted, world.deployment(of), size="1Mi"))
    assert undone.run == "backup:undo"
    assert done.id == undone.id == wanted.metadata.uid
    for found in (done, undone):
        assert found.data == Path("/data")
        assert found.config == Path("/etc/memorybank/config.yaml")


@pytest.mark.parametrize("operation", ["take", "verify", "rewind", "undo"])
def test_jobs_of_a_bank_in_postgres_name_room_and_ask_no_service(operation: str) -> None:
    of = bank(POINTS_OF_POSTGRES)
    world = running(of)
    wanted = restore({"backup": {"name": "before"}})
    deployment = world.deployment(of)
    job = {
        "take": build_take_job(of, backup(), deployment, size=""),
        "verify": build_verify_job(of, deployment, name="x", size=""),
        "rewind": build_rewind_job(of, wanted, deployment, size=""),
        "undo": build_undo_job(of, wanted, deployment, size=""),
    }[operation]
    found = parsed(job)
    assert found.run == f"backup:{operation}"
    assert found.scratch == Path(SCRATCH_FOLDER)
    assert found.config == Path("/etc/memorybank/config.yaml")
    assert getattr(found, "url", None) is None
    assert getattr(found, "point", None) == ("before" if operation == "rewind" else None)


def test_what_a_service_says_of_a_point_is_understood() -> None:
    of, _ = replicated()
    said = Report(operation="take", result="ok", bank=identity(of))
    said.tell_point(POINT)
    said.restore_seconds, said.ready_seconds, said.data_loss_seconds = 1.25, 2.5, 0.0
    said.checks = [Check.of("integrity", ""), Check.of("recall", "")]
    found = read_report(said.text())
    assert found is not None
    assert found.is_about("take", identity(of), POINT.name)
    told = point_of(found)
    assert told is not None
    assert (told.memories, told.sha256, told.key_ids) == (12, "0" * 64, ("2026-01-01",))
    assert found.expires_at == POINT.expires_at
    assert told.export is not None
    assert (told.export.memories, told.export.bytes) == (12, 4096)
    said.tell_point(POINT.model_copy(update={"epoch": None, "txid": None}))
    found = read_report(said.text())
    assert found is not None
    assert point_of(found) == told.model_copy(update={"epoch": None, "txid": None})


def test_why_a_service_failed_is_understood() -> None:
    error = Failure(code="backup_damaged", message="It is damaged", hint="Go back")
    said = Report(operation="verify", bank="team/agents/uid-1", error=error)
    found = read_report(said.text())
    assert found is not None
    assert found.trouble == "It is damaged. Go back"


def test_a_mark_beside_it_disturbs_nobody() -> None:
    fields: dict[str, Any] = {
        name: each.get_default() for name, each in BackupMark.model_fields.items()
    }
    assert "txid" in fields
    text = json.loads(Report(operation="verify", bank="a/b/c").text()) | {"source": {"any": 1}}
    assert read_report(json.dumps(text)) is not None


def test_both_mean_the_same_by_sizes_and_exit_codes() -> None:
    assert MAX_REPORT == MOST_BYTES
    told = {int(word) for word in EXIT_CODES.replace("\n", " ").split() if word.isdecimal()}
    assert set(HOPELESS) <= told
    assert 5 not in HOPELESS


@pytest.mark.parametrize("name", ["agents-202601020230", "a", "0", "a" * 63])
def test_a_new_bank_begins_with_the_point_that_its_spec_names(name: str, tmp_path: Path) -> None:
    spec = BACKED_UP | {"bootstrap": {"restore": {"backup": name}}}
    found = pod_settings(spec, tmp_path).backup
    assert found is not None
    assert found.restore is not None
    assert found.restore.point == name
