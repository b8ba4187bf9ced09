"""Degraded: the bank serves without something that it uses, and says what that costs. Present only
while it is True.
"""

from __future__ import annotations

from collections.abc import Iterator

from memorybank_operator.api.v1alpha1.conditions import ConditionType, Reason
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.reconcile.observed import Observed
from memorybank_operator.resources import names
from memorybank_operator.status.serving import serving
from memorybank_operator.status.verdict import Verdict

CONSEQUENCES = {
    "embedder": (
        Reason.EMBEDDING_UNAVAILABLE,
        "New memories are taken, and all are found by their words alone",
    ),
    "search": (
        Reason.VECTORS_UNAVAILABLE,
        "Memories are taken and found; meanings are compared roughly",
    ),
}
"""By the service's check that says `degraded`."""
OTHERWISE = (Reason.SERVICE_DEGRADED, "The service does its job less well")


def judge_degraded(bank: MemoryBank, observed: Observed) -> Iterator[tuple[ConditionType, Verdict]]:
    """Yield what the bank lacks, as it said when it was probed last; nothing when it has all."""
    if not serving(observed.pods):
        return
    known = bank.status.condition(ConditionType.DEGRADED)
    if observed.canary is None or (not observed.canary.ok and not observed.canary.degraded):
        # Nobody has said otherwise since: a restarted operator, or a probe that got no answer.
        if known is not None:
            yield ConditionType.DEGRADED, Verdict(known.status, known.reason, known.message)
    elif observed.canary.degraded:
        check, why = observed.canary.degraded[0]
        reason, consequence = CONSEQUENCES.get(check, OTHERWISE)
        message = f"{consequence}: {why}.{_of_own_chroma(bank, observed, reason)}"
        yield ConditionType.DEGRADED, Verdict("True", reason, message)


def _of_own_chroma(bank: MemoryBank, observed: Observed, reason: Reason) -> str:
    """Say where to look when the bank's own Chroma server has no pod that is ready."""
    server = observed.children.get(names.chroma(bank))
    if reason is not Reason.VECTORS_UNAVAILABLE or server is None:
        return ""
    if server.get("status", {}).get("readyReplicas"):
        return ""
    return (
        f" StatefulSet {names.chroma(bank).name} has no pod that is ready: `kubectl -n "
        f"{bank.namespace} describe pod {names.chroma(bank).name}-0` says why."
    )
