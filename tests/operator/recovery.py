"""What there is around the recovery points of one bank: Jobs as their controller leaves them, and
pods that said something at their end.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from memorybank_operator import constants
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.api.v1alpha1.memorybankbackup import MemoryBankBackup
from memorybank_operator.api.v1alpha1.memorybankrestore import MemoryBankRestore
from memorybank_operator.reconcile.observed import BackupReading
from memorybank_operator.reconcile.points import Scene, stand
from tests.operator.world import BACKED_UP, NOW, World, bank, running

EPOCH = "00000002-1a2b3c4d"
REPORT: dict[str, Any] = {
    "operation": "take", "result": "ok", "name": "before-the-move", "bank": "team/agents/uid-1",
    "epoch": EPOCH, "txid": "000000000000002a", "moment": "2026-01-01T11:59:58.5Z",
    "taken_at": "2026-01-01T12:00:03.25Z", "expires_at": None, "restore_seconds": 1.25,
    "ready_seconds": 2.5, "data_loss_seconds": 0.0, "memories": 12, "tenants": 1, "keys": 2,
    "bytes": 1310720, "schema_version": 9, "key_ids": [], "sha256": "0" * 64,
    "source": {"epoch": EPOCH, "change": 42},
    "checks": [{"name": "integrity", "ok": True, "detail": ""}],
    "error": None,
}  # fmt: skip
"""What a Job says that took a recovery point."""


def backup(
    spec: Mapping[str, Any] | None = None,
    *,
    status: Mapping[str, Any] | None = None,
    **metadata: Any,
) -> MemoryBankBackup:
    """A MemoryBankBackup."""
    return MemoryBankBackup.parse(backup_body(spec, status=status, **metadata))


def backup_body(
    spec: Mapping[str, Any] | None = None,
    *,
    status: Mapping[str, Any] | None = None,
    **metadata: Any,
) -> dict[str, Any]:
    """The same as the API server shows it."""
    return {
        "apiVersion": constants.API_VERSION,
        "kind": constants.BACKUP_KIND,
        "metadata": {
            "name": "before-the-move", "namespace": "team", "uid": "uid-7", "generation": 1,
            "creationTimestamp": NOW.isoformat(),
        } | metadata,
        "spec": {"bank": {"name": "agents"}} | dict(spec or {}),
        "status": dict(status or {"observedGeneration": -1}),
    }  # fmt: skip


def restore(
    spec: Mapping[str, Any] | None = None, *, phase: str = "", **metadata: Any
) -> MemoryBankRestore:
    """A MemoryBankRestore in this phase."""
    return MemoryBankRestore.parse(restore_body(spec, phase=phase, **metadata))


def restore_body(
    spec: Mapping[str, Any] | None = None, *, phase: str = "", **metadata: Any
) -> dict[str, Any]:
    """The same as the API server shows it."""
    return {
        "apiVersion": constants.API_VERSION,
        "kind": constants.RESTORE_KIND,
        "metadata": {
            "name": "back", "namespace": "team", "uid": "uid-9", "generation": 1,
            "creationTimestamp": NOW.isoformat(),
        } | metadata,
        "spec": {"bank": {"name": "agents"}} | dict(spec or {"latest": True}),
        "status": {"observedGeneration": -1} | ({"phase": phase} if phase else {}),
    }  # fmt: skip


def replicated(spec: Mapping[str, Any] = BACKED_UP, **metadata: Any) -> tuple[MemoryBank, World]:
    """A bank that runs and is replicated, as its status says."""
    of = bank(spec, **metadata)
    world = running(of)
    world.backup = BackupReading(EPOCH, "volume", NOW)
    return bank(spec, status=world.status(of), **metadata), world


def scene(of: MemoryBank, world: World) -> Scene:
    """What there is around its recovery points, before there is any."""
    return Scene(of, copy.deepcopy(world.children))


def with_job(
    before: Scene, of: MemoryBankBackup, ended: str | None = None, said: str | None = None
) -> Scene:
    """The same when the Job was made, ended so (`Complete`, or the reason of its failure), and its
    pod said this.
    """
    step = stand(of, before, NOW).step
    assert step is not None
    return with_this_job(before, step.body, ended, said)


def with_this_job(
    before: Scene, made: Mapping[str, Any], ended: str | None = None, said: str | None = None
) -> Scene:
    """The same with any Job."""
    job = copy.deepcopy(dict(made))
    name = job["metadata"]["name"]
    job["metadata"]["uid"] = f"uid of {name}"
    if ended is not None:
        end_job(job, ended)
    pods = (*before.pods, *([] if said is None else [pod_that_said(job, said)]))
    return replace(before, jobs={**before.jobs, name: job}, pods=pods)


def end_job(job: dict[str, Any], how: str, at: datetime = NOW + timedelta(seconds=5)) -> None:
    """Say of a Job what its controller does when it is over."""
    failed = how != "Complete"
    kind, reason = ("Failed", how) if failed else ("Complete", "CompletionsReached")
    moment = at.strftime("%Y-%m-%dT%H:%M:%SZ")
    before = "FailureTarget" if failed else "SuccessCriteriaMet"
    said = {
        "status": "True",
        "reason": reason,
        "message": "Job has reached the specified backoff limit" if failed else "Reached expected",
        "lastTransitionTime": moment,
    }
    job["status"] = {"conditions": [{"type": before, **said}, {"type": kind, **said}]}


def pod_that_said(job: Mapping[str, Any], text: str, *, number: int = 1) -> dict[str, Any]:
    """A pod of a Job that ended with these words."""
    template = job["spec"]["template"]
    owner = {"kind": "Job", "name": job["metadata"]["name"], "uid": job["metadata"]["uid"]}
    ended = {"exitCode": 0, "reason": "Completed", "message": text}
    return {
        "kind": "Pod",
        "metadata": {
            **template["metadata"],
            "name": f"{job['metadata']['name']}-{number}",
            "creationTimestamp": f"2026-01-01T12:00:0{number}Z",
            "ownerReferences": [owner],
        },
        "status": {
            "phase": "Succeeded",
            "containerStatuses": [{"name": "backup", "state": {"terminated": ended}}],
        },
    }


def report(**changes: Any) -> str:
    """What a Job says that took a recovery point, or differs so."""
    return json.dumps(REPORT | changes)
