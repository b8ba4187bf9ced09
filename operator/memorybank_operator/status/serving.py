"""Which pods of a bank serve at a moment, as one word that changes whenever one of them restarts or
is replaced.
"""

from __future__ import annotations

from collections.abc import Iterable

from memorybank_operator.constants import ANNOTATION_REVISION
from memorybank_operator.reconcile.observed import KubeObject


def serving(pods: Iterable[KubeObject]) -> str:
    """Name pod and container of everyone who gets requests through the Service; empty when nobody
    does.
    """
    return ",".join(sorted(_identity(pod) for pod in pods if is_serving(pod)))


def still_serves(before: str, now: str) -> bool:
    """Tell by two such words whether somebody who served then serves on, or nobody did or does."""
    return not set(before.split(",")).isdisjoint(now.split(","))


def staying(pods: Iterable[KubeObject]) -> list[KubeObject]:
    """Return those that are not on their way out."""
    return [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]


def is_serving(pod: KubeObject) -> bool:
    """Tell whether a Service sends requests to this pod."""
    if pod["metadata"].get("deletionTimestamp"):
        return False
    conditions = pod.get("status", {}).get("conditions", ())
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def serves_as(pod: KubeObject, revision: str) -> bool:
    """Tell whether a Service sends requests to this pod, and it is of this revision."""
    annotations = pod["metadata"].get("annotations") or {}
    return is_serving(pod) and annotations.get(ANNOTATION_REVISION) == revision


def is_running(pod: KubeObject) -> bool:
    """Tell whether a pod has a container that listens, and is not on its way out."""
    if pod["metadata"].get("deletionTimestamp"):
        return False
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return any(status.get("started") for status in statuses)


def _identity(pod: KubeObject) -> str:
    statuses = pod["status"].get("containerStatuses", ())
    containers = "+".join(str(status.get("containerID", "")) for status in statuses)
    return f"{pod['metadata']['uid']}/{containers}"
