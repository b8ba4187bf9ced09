"""The read replicas in the status, and what they lack: by what their Deployment and pods say."""

from __future__ import annotations

from datetime import datetime, timedelta

from memorybank_operator.api.v1alpha1.conditions import Reason
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.api.v1alpha1.status import ReadReplicasStatus
from memorybank_operator.reconcile.observed import KubeObject, Observed
from memorybank_operator.resources import names
from memorybank_operator.status.pods import diagnose
from memorybank_operator.status.serving import is_running, staying
from memorybank_operator.status.verdict import Verdict, find

COMPLETE = "NewReplicaSetAvailable"
"""Why a Deployment is progressing once its newest pods were all ready, and ever since."""
STARTING = timedelta(minutes=5)
"""What a start takes at the most, as the probe of the container has it: the bank is restored."""


def readers_status(bank: MemoryBank, observed: Observed) -> ReadReplicasStatus | None:
    """Return what there is of them; None for a bank without."""
    if bank.spec.readers is None:
        return None
    counts = observed.children.get(names.read_replicas(bank), {}).get("status", {})
    ready = counts.get("readyReplicas", 0)
    return ReadReplicasStatus(
        url=names.read_url(bank),
        replicas=counts.get("replicas", 0),
        ready_replicas=ready,
        lag_seconds=_lag(bank, observed) if ready else None,
    )


def _lag(bank: MemoryBank, observed: Observed) -> int | None:
    """Return how far they are behind; what is known until one of them says it again."""
    known = bank.status.read_replicas
    if observed.readers is not None:
        return observed.readers.lag_at_most
    return None if known is None else known.lag_seconds


def without_readers(bank: MemoryBank, observed: Observed, now: datetime) -> Verdict | None:
    """Say that nobody answers where the read replicas should, and why; that they have still to
    start is not worth a word.
    """
    live = observed.children.get(names.read_replicas(bank))
    if bank.spec.readers is None or live is None or not live["spec"].get("replicas"):
        return None
    status = live.get("status") or {}
    progressing = find(status.get("conditions"), "Progressing")
    if status.get("readyReplicas") or progressing is None:
        return None
    if progressing["status"] == "True" and progressing.get("reason") != COMPLETE:
        return None
    pods = staying(observed.read_pods)
    trouble = diagnose(pods)
    if trouble is None and any(_starts(pod, now) for pod in pods):
        return None
    why = (
        "None runs, or all are further behind than spec.readReplicas.maxLag "
        f"({bank.spec.readers.max_lag}): `kubectl -n {bank.namespace} describe deployment "
        f"{names.read_replicas(bank).name}` says more."
        if trouble is None
        else trouble.message
    )
    return Verdict(
        "True",
        Reason.READ_REPLICAS_UNAVAILABLE,
        f"No read replica answers at {names.read_url(bank)}; the bank itself does. {why}",
    )


def _starts(pod: KubeObject, now: datetime) -> bool:
    """Tell whether a pod was made a short while ago, and does not run yet."""
    made = datetime.fromisoformat(pod["metadata"]["creationTimestamp"])
    return not is_running(pod) and now - made < STARTING
