"""Checks of what the operator says in conditions, where no other check finds it by itself."""

from __future__ import annotations

from collections.abc import Iterator

from memorybank_operator.kube import kinds
from memorybank_operator.plugin import advice
from memorybank_operator.plugin.doctor.findings import Finding, place
from memorybank_operator.plugin.doctor.snapshot import Snapshot
from memorybank_operator.plugin.summary import TROUBLES, Object, conditions, is_current, is_of

FOUND_OTHERWISE = frozenset(
    {
        "AdminKeySecretNotFound",
        "BackupVolumeNotFound",
        "CloudNativePGNotInstalled",
        "ContainerConfigError",
        "CrashLoopBackOff",
        "GatewayApiNotInstalled",
        "ImagePullBackOff",
        "PodCreationFailed",
        "PrometheusOperatorNotInstalled",
        "SecretNotFound",
        "StorageClassNotFound",
        "TlsSecretNotFound",
        "Unschedulable",
        "VolumeLost",
        "VolumePending",
    }
)
"""Reasons whose cause other checks see in the objects themselves, also without an operator."""
AT_WORK = frozenset(
    {
        "AwaitingApproval",
        "CanaryPassed",
        "DatabaseStarting",
        "Deleting",
        "DeploymentProgressing",
        "FinalBackup",
        "Hibernated",
        "ModelLoading",
        "Paused",
        "PodNotReady",
        "Progressing",
        "Reloading",
        "Restoring",
        "ScaledToZero",
        "Verifying",
    }
)
"""Reasons not to be ready that pass by themselves, or that somebody asked for."""


def banks_are_ready(snapshot: Snapshot) -> Iterator[Finding]:
    """A bank that is not ready says why; one that is may have trouble beside."""
    for bank in snapshot.banks:
        told = conditions(bank)
        ready, stalled = told.get("Ready", {}), "Stalled" in told
        reason = str(ready.get("reason", ""))
        if not is_current(bank):
            continue
        # Causes lie in objects, which not everybody may read.
        new = reason not in FOUND_OTHERWISE or bool(snapshot.hidden)
        if ready.get("status") != "True" and new and (stalled or reason not in AT_WORK):
            yield _of(bank, "A bank is not ready", ready)
        for kind, bad in TROUBLES.items():
            each = told.get(kind, {})
            if kind != "Available" and each.get("status") == bad:
                yield _of(bank, f"{kind} of a bank is {bad}", each)


def keys_open(snapshot: Snapshot) -> Iterator[Finding]:
    """Each key is taken by its bank, and does not end soon."""
    for bank in snapshot.banks:
        for key in _those_of(snapshot, bank, kinds.MEMORY_BANK_KEY):
            told = conditions(key)
            ready, expiring = told.get("Ready", {}), told.get("Expiring", {})
            where = f"-n {key['metadata']['namespace']}"
            if "Stalled" in told:
                cure = ready.get("message", "").rpartition(": ")[2] or f"kubectl get mbkey {where}"
                yield _said(key, "MemoryBankKey", "A key does not open its bank", ready, cure)
            elif expiring.get("status") == "True":
                cure = f"kubectl edit mbkey {key['metadata']['name']} {where}: spec.expiresAt"
                yield _said(key, "MemoryBankKey", "A key ends soon", expiring, cure)


def points_and_restores_succeed(snapshot: Snapshot) -> Iterator[Finding]:
    """No recovery point and no restore failed."""
    for bank in snapshot.banks:
        for kind, what in (
            (kinds.MEMORY_BANK_BACKUP, "A recovery point could not be taken"),
            (kinds.MEMORY_BANK_RESTORE, "A restore failed"),
        ):
            for each in _those_of(snapshot, bank, kind):
                stalled = conditions(each).get("Stalled")
                if stalled:
                    cure = f"{advice.RUNBOOK}#failed; delete it once it is read"
                    yield _said(each, kind.kind, what, stalled, cure)


def _those_of(snapshot: Snapshot, bank: Object, kind: kinds.ApiKind) -> Iterator[Object]:
    for each in snapshot.of(kind):
        same = each["metadata"]["namespace"] == bank["metadata"]["namespace"]
        if same and is_of(bank["metadata"]["name"], each):
            yield each


def _of(bank: Object, what: str, condition: Object) -> Finding:
    metadata = bank["metadata"]
    cure = advice.cure(
        condition.get("reason", ""), name=metadata["name"], namespace=metadata["namespace"]
    )
    return _said(bank, "MemoryBank", what, condition, cure)


def _said(of: Object, kind: str, what: str, condition: Object, cure: str) -> Finding:
    told = ": ".join(filter(None, (condition.get("reason"), condition.get("message"))))
    return Finding(what, place(of, kind), " ".join(told.split()), cure)
