"""What the status says of the recovery points of a bank in PostgreSQL."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.reconcile.points import Scene, missing, scheduled, stand
from memorybank_operator.reconcile.restores import Stage, advance
from memorybank_operator.status.point import point_status
from tests.operator.recovery import (
    REPORT,
    backup,
    backup_body,
    report,
    restore,
    scene,
    with_job,
)
from tests.operator.status.test_backup import healthy, message
from tests.operator.world import NOW, POINTS_OF_POSTGRES, World, bank, running

PLACE = "pvc://backups/banks/team/agents/uid-1"
MADE = NOW - timedelta(minutes=30)
HOUR = timedelta(hours=1)


def of_bank(spec: dict[str, Any] | None = None, **status: Any) -> MemoryBank:
    """A bank that was made at half past eleven, has served, and takes points on the hour."""
    return bank(
        POINTS_OF_POSTGRES | (spec or {}),
        status={"observedGeneration": 1, "version": "0.1.0", "backup": {"destination": PLACE}}
        | status,
        creationTimestamp=MADE.isoformat(),
    )


def point_at(at: datetime, *, failed: str = "") -> dict[str, Any]:
    """A MemoryBankBackup that the schedule asked for, which was taken or failed."""
    body = scheduled(of_bank(), at)
    said = {
        "type": "Complete", "status": "False", "reason": "Failed", "message": failed,
        "lastTransitionTime": at.isoformat(),
    }  # fmt: skip
    point = {
        "takenAt": (at + timedelta(seconds=5)).isoformat(), "restoreSeconds": 1.0,
        "memories": 1, "tenants": 1, "keys": 1, "bytes": 10, "schemaVersion": 8, "sha256": "0" * 64,
    }  # fmt: skip
    status = {"phase": "Failed", "conditions": [said]} if failed else {"point": point}
    made = backup_body(body["spec"], status=status, name=body["metadata"]["name"])
    made["metadata"]["labels"] = body["metadata"]["labels"]
    return made


def status_of(
    *points: dict[str, Any], now: datetime = NOW, of: MemoryBank | None = None
) -> dict[str, Any]:
    of = of_bank() if of is None else of
    world = running(of)
    world.backups = points
    return world.status(of, now=now)


def test_before_the_first_point_nothing_is_known_and_later_it_is_late() -> None:
    new = status_of()
    assert healthy(new) == ("Unknown", "BackupUnknown")
    assert message(new) == (
        f"No recovery point was brought to {PLACE} yet: see spec.backup.points.schedule."
    )
    assert new["backup"] == {"destination": PLACE}
    late = status_of(now=MADE + 2 * HOUR + timedelta(seconds=1))
    assert healthy(late) == ("False", "BackupFailing")
    assert "for two periods of spec.backup.points.schedule" in message(late)


def test_a_bank_is_well_while_its_newest_point_is_not_older_than_two_periods() -> None:
    taken = point_at(NOW)
    for later, wanted in ((timedelta(), "True"), (2 * HOUR, "True"), (3 * HOUR, "False")):
        found = status_of(taken, now=NOW + later)
        assert healthy(found)[0] == wanted
    well = status_of(taken)
    assert healthy(well) == ("True", "PointsTaken")
    assert well["backup"]["lastBackup"] == "agents-202601011200"
    assert message(well) == message(status_of(taken, now=NOW + HOUR)), "no time goes on in it"


def test_a_point_that_fails_is_told_until_one_is_taken() -> None:
    failed = point_at(NOW + HOUR, failed="The bucket is away (backup_unavailable)")
    found = status_of(point_at(NOW), failed, now=NOW + HOUR)
    assert healthy(found) == ("False", "BackupFailing")
    assert message(found) == (
        f"No recovery point gets to {PLACE}, the newest is of 2026-01-01T12:00:05Z: The bucket is "
        "away (backup_unavailable)."
    )
    alone = status_of(failed, now=NOW + HOUR)
    assert "no recovery point was taken yet" in message(alone)
    again = status_of(point_at(NOW), failed, point_at(NOW + 2 * HOUR), now=NOW + 2 * HOUR)
    assert healthy(again) == ("True", "PointsTaken")
    asked_for = point_at(NOW + HOUR, failed="it was tried by hand")
    asked_for["metadata"]["labels"] = {}
    assert healthy(status_of(point_at(NOW), asked_for, now=NOW + HOUR))[0] == "True"


def test_a_bank_that_is_to_have_no_pod_says_nothing_of_it() -> None:
    assert healthy(status_of(of=of_bank({"hibernate": True}))) == ("", "")


def deployed(of: MemoryBank) -> Scene:
    return scene(of, running(of))


def test_a_job_takes_a_point_of_a_bank_that_has_served() -> None:
    of = of_bank()
    found = stand(backup(), deployed(of), NOW)
    assert found.step is not None
    unserved = of_bank(version="")
    assert "has served it yet" in missing(deployed(unserved))
    assert "has served it yet" in missing(Scene(of)), "there is no Deployment to make it from"


def test_a_job_waits_until_the_pods_have_what_a_changed_spec_names() -> None:
    """Else it is told of a bucket by the settings, and has none of the Secrets for that."""
    changed = of_bank(observedGeneration=0)
    waiting = stand(backup(), deployed(changed), NOW)
    assert (waiting.phase, waiting.step) == ("Pending", None)
    assert "was changed, and is not as its spec says yet" in waiting.message


def test_what_a_job_says_of_a_bank_without_epochs_is_a_point() -> None:
    of = of_bank()
    said = report(epoch=None, txid=None, source=None)
    taken = stand(backup(), with_job(deployed(of), backup(), "Complete", said), NOW)
    assert taken.point is not None
    assert taken.point.epoch is None
    told = point_status(backup(), taken, NOW)
    assert "epoch" not in told["point"]
    assert told["point"]["memories"] == REPORT["memories"]


def test_nothing_is_asked_of_servers_that_sleep() -> None:
    cluster = {"storage": {"engine": "postgres", "postgres": {"cluster": {"instances": 1}}}}
    asleep = of_bank(cluster | {"hibernate": True})
    world = World()
    world.converge_with_servers(of_bank(cluster))
    found = stand(backup(), scene(asleep, world), NOW)
    assert found.step is None
    assert "hibernated" in found.message
    elsewhere = of_bank({"hibernate": True})
    assert stand(backup(), deployed(elsewhere), NOW).step is not None


@pytest.mark.parametrize(
    "state", [{"latest": True}, {"timestamp": "2026-01-01T11:00:00Z"}], ids=["latest", "moment"]
)
def test_a_bank_is_put_back_to_a_point_and_to_nothing_else(state: dict[str, Any]) -> None:
    of = of_bank()
    stage = Stage(deployed(of), {}, is_stopped=False)
    refused = advance(restore(state), stage)
    assert (refused.phase, refused.step) == ("Failed", None)
    assert refused.message.startswith("spec.backup.name: ")
    begun = advance(restore({"backup": {"name": "before"}}), stage)
    assert (begun.phase, begun.step is not None) == ("Checking", True)
