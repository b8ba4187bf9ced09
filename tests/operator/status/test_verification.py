"""BackupVerified, and what the status says of backups that were restored."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from memorybank_operator.api.v1alpha1.conditions import Reason
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.engine.cache import BankKey
from memorybank_operator.metrics import MEASURED, Metrics
from memorybank_operator.reconcile.report import verification
from memorybank_operator.reconcile.schedule import stamped, verification_prefix
from memorybank_operator.resources.backup_job import build_verify_job
from tests.operator.recovery import backup_body, end_job, pod_that_said, replicated, report
from tests.operator.world import BACKED_UP, NOW, bank

SPEC = {"backup": BACKED_UP["backup"] | {"verify": {"schedule": "0 12 * * *"}}}
NOT_VERIFIED = ("Unknown", Reason.NOT_VERIFIED_YET)
VERIFIED = ("True", Reason.VERIFIED)
FAILED = ("False", Reason.VERIFICATION_FAILED)
STALE = ("False", Reason.STALE)
GOOD: dict[str, Any] = {
    "operation": "verify",
    "name": None,
    "restore_seconds": 3.5,
    "data_loss_seconds": 0.25,
}
DAMAGED: dict[str, Any] = {
    "operation": "verify", "name": None, "result": "failed",
    "error": {"code": "backup_damaged", "message": "It is damaged", "hint": None},
}  # fmt: skip
DAY = timedelta(days=1)


class Stage:
    """A bank whose backups are tried."""

    def __init__(self, spec: Mapping[str, Any] = SPEC) -> None:
        self.spec = spec
        bank_now, self.world = replicated(spec)
        self.status = bank_now.status.model_dump(mode="json", exclude_none=True)

    @property
    def bank(self) -> MemoryBank:
        return bank(self.spec, status=self.status)

    def verify(self, day: int, ended: str | None, **said: Any) -> None:
        """Let the Job of a day run, end so and say this."""
        moment = NOW + day * DAY
        name = stamped(verification_prefix(self.bank), moment)
        deployment = self.world.deployment(self.bank)
        job = build_verify_job(self.bank, deployment, name=name, size="1Mi")
        job["metadata"]["uid"] = name
        if ended is not None:
            end_job(job, ended, moment + timedelta(minutes=1))
            self.world.job_pods = (*self.world.job_pods, pod_that_said(job, report(**said)))
        self.world.jobs[name] = job

    def look(self, now: datetime = NOW) -> tuple[str, str]:
        """Let the operator say how it stands, and remember that."""
        self.status = self.world.status(self.bank, now=now)
        return verified(self.status)


def verified(status: Mapping[str, Any]) -> tuple[str, str]:
    for each in status["conditions"]:
        if each["type"] == "BackupVerified":
            return each["status"], each["reason"]
    return "", ""


def test_a_backup_that_was_tried_is_told_with_what_it_took() -> None:
    stage = Stage()
    assert stage.look() == NOT_VERIFIED
    stage.verify(1, None)
    assert stage.look() == NOT_VERIFIED
    stage.verify(1, "Complete", **GOOD)
    assert stage.look() == VERIFIED
    said = stage.status["backup"]
    assert said["lastVerification"] == "2026-01-02T12:00:00Z"
    assert said["lastVerified"] == "2026-01-02T12:01:00Z"
    assert (said["measuredRestoreSeconds"], said["measuredDataLossSeconds"]) == (3.5, 0.25)
    before = stage.status
    stage.world.jobs.clear()
    stage.world.job_pods = ()
    assert stage.look(NOW + DAY + timedelta(hours=5)) == VERIFIED
    assert stage.status == before, "nothing is written when the Job goes, nor by the clock"


def test_a_failure_stays_until_another_one_is_good() -> None:
    stage = Stage()
    stage.verify(1, "Complete", **GOOD)
    stage.look()
    stage.verify(2, "PodFailurePolicy", **DAMAGED)
    assert stage.look() == FAILED
    [message] = [e["message"] for e in stage.status["conditions"] if e["type"] == "BackupVerified"]
    assert message.endswith("not whole: It is damaged.")
    said = stage.status["backup"]
    assert said["lastVerified"] == "2026-01-02T12:01:00Z"
    assert said["lastVerification"] == "2026-01-03T12:00:00Z"
    stage.world.jobs.clear()
    assert stage.look(NOW + 9 * DAY) == FAILED
    stage.verify(10, "Complete", **GOOD)
    assert stage.look(NOW + 10 * DAY) == VERIFIED


def test_an_older_job_says_nothing_about_a_newer_one() -> None:
    stage = Stage()
    stage.verify(2, "Complete", **GOOD)
    assert stage.look() == VERIFIED
    stage.verify(1, "PodFailurePolicy", **DAMAGED)
    assert stage.look() == VERIFIED


def test_what_was_good_gets_stale_when_nothing_is_tried() -> None:
    stage = Stage()
    stage.verify(1, "Complete", **GOOD)
    stage.look()
    stage.world.jobs.clear()
    assert stage.look(NOW + 3 * DAY) == VERIFIED
    assert stage.look(NOW + 3 * DAY + timedelta(hours=1)) == STALE
    stage.verify(4, "Complete", **GOOD)
    assert stage.look(NOW + 4 * DAY + timedelta(minutes=2)) == VERIFIED


def test_a_recovery_point_was_restored_too() -> None:
    stage = Stage()
    stage.verify(1, "PodFailurePolicy", **DAMAGED)
    assert stage.look() == FAILED
    point = {
        "epoch": "e", "takenAt": "2026-01-02T13:00:00Z", "restoreSeconds": 7.0, "memories": 1,
        "tenants": 1, "keys": 0, "bytes": 1, "schemaVersion": 9, "sha256": "0" * 64,
    }  # fmt: skip
    stage.world.backups = (backup_body(status={"point": point, "observedGeneration": 1}),)
    assert stage.look() == VERIFIED
    said = stage.status["backup"]
    assert said["lastVerified"] == said["lastBackupTime"] == "2026-01-02T13:00:00Z"
    assert (said["lastBackup"], said["measuredRestoreSeconds"]) == ("before-the-move", 7.0)
    assert "measuredDataLossSeconds" not in said
    stage.world.backups = ()
    stage.look()
    assert stage.status["backup"] == said, "what was taken stays known"


def test_the_moment_that_a_schedule_made_something_for_is_remembered() -> None:
    stage = Stage()
    labels = {"app.kubernetes.io/component": "scheduled-backup"}
    made = backup_body(name="agents-202601020230", labels=labels)
    by_hand = backup_body(name="agents-202601030230")
    stage.world.backups = (made, by_hand, {**made, "spec": {"nothing": "of use"}})
    stage.look()
    stage.world.backups = ()
    stage.look()
    assert stage.status["backup"]["lastScheduled"] == "2026-01-02T02:30:00Z"


@pytest.mark.parametrize("spec", [{}, {"backup": SPEC["backup"] | {"verify": {"enabled": False}}}])
def test_nothing_is_said_where_nothing_is_tried(spec: dict[str, Any]) -> None:
    assert Stage(spec).look() == ("", "")


def test_of_another_destination_nothing_is_known() -> None:
    stage = Stage()
    stage.verify(1, "Complete", **GOOD)
    assert stage.look() == VERIFIED
    stage.world.jobs.clear()
    stage.spec = {"backup": {"destination": {"volume": {"claimName": "backups"}}}}
    assert stage.look() == NOT_VERIFIED
    assert "measuredRestoreSeconds" not in stage.status["backup"]


def test_failures_and_their_end_are_events() -> None:
    stage, told = Stage(), []
    stage.look()
    for day, said in enumerate((GOOD, GOOD, DAMAGED, DAMAGED, GOOD), 1):
        before = stage.status
        failed = "result" in said
        stage.verify(day, "PodFailurePolicy" if failed else "Complete", **said)
        stage.look(NOW + day * DAY)
        note = verification(before, stage.status)
        told.append(note and (note.reason, note.warning))
    good, bad = (Reason.VERIFIED, False), (Reason.VERIFICATION_FAILED, True)
    assert told == [good, None, bad, None, good]


def test_what_was_measured_is_in_the_metrics_until_the_bank_is_gone() -> None:
    stage, metrics, key = Stage(), Metrics(), BankKey("team", "agents")
    metrics.observe({}, _Nothing(), _Nothing(), leads=lambda: True)
    stage.verify(1, "Complete", **GOOD)
    stage.look()
    since = {"recoverableFrom": "2025-12-02T12:00:00Z"}
    metrics.bank_measures(key, {"backup": stage.status["backup"] | since})

    def seen() -> list[float | None]:
        labels = {"namespace": "team", "bank": "agents"}
        return [
            metrics.registry.get_sample_value(f"memorybank_operator_{name}", labels)
            for name in MEASURED
            if name.startswith("backup_")
        ]

    at = datetime(2026, 1, 2, 12, 1, tzinfo=UTC).timestamp()
    assert seen() == [at, 3.5, 0.25, datetime(2025, 12, 2, 12, tzinfo=UTC).timestamp()]
    metrics.bank_is_gone(key)
    assert seen() == [None] * 4


class _Nothing:
    def ages(self) -> Mapping[Any, float]:
        return {}

    def counts(self) -> Mapping[str, int]:
        return {}
