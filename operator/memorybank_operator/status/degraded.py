"""Degraded: the bank serves without something that it uses, and says what that costs; or with fewer
pods than it is to have. Present only while it is True.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from memorybank_operator.api.v1alpha1.conditions import ConditionType, Reason
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.reconcile.observed import Observed
from memorybank_operator.resources import names
from memorybank_operator.resources.backend import CHROMA, OLLAMA
from memorybank_operator.status.pods import diagnose
from memorybank_operator.status.readers import without_readers
from memorybank_operator.status.serving import is_serving, serving, staying
from memorybank_operator.status.verdict import Verdict, find

CONSEQUENCES = {
    "embedder": (
        Reason.EMBEDDING_UNAVAILABLE,
        "New memories are taken, and all are found by their words alone",
    ),
    "search": (
        Reason.VECTORS_UNAVAILABLE,
        "Memories are taken and found; meanings are compared roughly",
    ),
    "consolidation": (
        Reason.CONSOLIDATION_FAILING,
        "Memories are taken and found; few are not made of many",
    ),
}
"""By the service's check that says `degraded`."""
TAKEN = frozenset({"Accepted", "ResolvedRefs"})
"""Conditions by which a Gateway says that a route leads where it should."""
OF_OBJECTS = frozenset(
    {
        Reason.PODS_MISSING,
        Reason.ROUTE_REFUSED,
        Reason.AUTOSCALER_UNAVAILABLE,
        Reason.READ_REPLICAS_UNAVAILABLE,
    }
)
"""What the bank's objects say, whether the service says anything or not."""
MAX_WORDS = 300
"""Characters of what an autoscaler says that are passed on."""
UNTIL_FIGURES = timedelta(minutes=5)
"""The first figures of new pods take an autoscaler some minutes."""
OWN_SERVERS = {Reason.EMBEDDING_UNAVAILABLE: OLLAMA, Reason.VECTORS_UNAVAILABLE: CHROMA}
"""Whose fault it may be, where the bank has a server of its own."""
OTHERWISE = (Reason.SERVICE_DEGRADED, "The service does its job less well")


def judge_degraded(
    bank: MemoryBank, observed: Observed, *, now: datetime
) -> Iterator[tuple[ConditionType, Verdict]]:
    """Yield what the bank lacks; nothing when it has all, and while it does not serve at all."""
    if not serving(observed.pods):
        return
    verdict = (
        _without_a_service(bank, observed)
        or _without_pods(bank, observed)
        or _without_a_route(bank, observed)
        or _without_autoscaler(bank, observed, now)
        or without_readers(bank, observed, now)
    )
    if verdict is not None:
        yield ConditionType.DEGRADED, verdict


def _without_a_service(bank: MemoryBank, observed: Observed) -> Verdict | None:
    """Say what the bank lacks, as its pod said when it was asked last, or when it was probed."""
    if observed.degraded:
        return _verdict(bank, observed, observed.degraded[0])
    known = bank.status.condition(ConditionType.DEGRADED)
    if observed.canary is None or (not observed.canary.ok and not observed.canary.degraded):
        # Nobody has said otherwise since: a restarted operator, or a probe that got no answer.
        if known is None or known.reason in OF_OBJECTS:
            return None
        return Verdict(known.status, known.reason, known.message)
    if not observed.canary.degraded:
        return None
    return _verdict(bank, observed, observed.canary.degraded[0])


def _verdict(bank: MemoryBank, observed: Observed, said: tuple[str, str]) -> Verdict:
    check, why = said
    reason, consequence = CONSEQUENCES.get(check, OTHERWISE)
    message = f"{consequence}: {why}.{_of_own_server(bank, observed, reason)}"
    return Verdict("True", reason, message)


def _without_pods(bank: MemoryBank, observed: Observed) -> Verdict | None:
    """Say why some of several pods do not serve; that they only need time is not worth a word."""
    wanted = observed.children.get(names.deployment(bank), {}).get("spec", {}).get("replicas", 0)
    present = staying(observed.pods)
    trouble = diagnose(pod for pod in present if not is_serving(pod))
    served = sum(map(is_serving, present))
    if trouble is None or not served < wanted:
        return None
    return Verdict(
        "True", Reason.PODS_MISSING, f"{served} of {wanted} pods serve. {trouble.message}"
    )


def _without_a_route(bank: MemoryBank, observed: Observed) -> Verdict | None:
    """Say what the first Gateway says that does not take the bank's route as it is now.

    https://gateway-api.sigs.k8s.io/geps/gep-1364/: a Gateway that nobody looks after says nothing.
    """
    route = observed.children.get(names.http_route(bank))
    if bank.spec.expose.gateway is None or route is None:
        return None
    for parent in route.get("status", {}).get("parents") or ():
        for each in parent.get("conditions") or ():
            is_news = each.get("observedGeneration") == route["metadata"]["generation"]
            if each["type"] in TAKEN and each["status"] == "False" and is_news:
                message = (
                    f"{bank.spec.expose.url} does not lead here: Gateway "
                    f"{parent['parentRef']['name']} does not take the HTTPRoute {bank.name} "
                    f"({each['type']}=False, {each['reason']}): {each['message']}"
                )
                return Verdict("True", Reason.ROUTE_REFUSED, message)
    return None


def _without_autoscaler(bank: MemoryBank, observed: Observed, now: datetime) -> Verdict | None:
    """Say that nobody decides how many pods there are, when that has been so for a while."""
    status = observed.children.get(names.autoscaler(bank), {}).get("status") or {}
    active = find(status.get("conditions"), "ScalingActive")
    if bank.spec.autoscaled is None or active is None or active["status"] != "False":
        return None
    if now - datetime.fromisoformat(active["lastTransitionTime"]) < UNTIL_FIGURES:
        return None
    words = " ".join(str(active.get("message") or active.get("reason")).split())[:MAX_WORDS]
    return Verdict(
        "True",
        Reason.AUTOSCALER_UNAVAILABLE,
        f"The number of pods stays as it is, since the autoscaler cannot tell the load: {words}",
    )


def _of_own_server(bank: MemoryBank, observed: Observed, reason: Reason) -> str:
    """Say where to look when a server of the bank's own has no pod that is ready."""
    backend = OWN_SERVERS.get(reason)
    if backend is None:
        return ""
    server = observed.children.get(backend.server(bank))
    if server is None or server.get("status", {}).get("readyReplicas"):
        return ""
    return (
        f" StatefulSet {backend.server(bank).name} has no pod that is ready: `kubectl -n "
        f"{bank.namespace} describe pod {backend.pod(bank)}` says why."
    )
