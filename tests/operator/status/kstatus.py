"""What tools make of a resource, ported so that a table can ask them all.

kstatus: sigs.k8s.io/cli-utils pkg/kstatus/status, Compute for a kind without rules of its own;
Flux and Helm 4 wait by it. What Argo CD makes of it: tests/gitops.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def kstatus(resource: Mapping[str, Any]) -> str:
    """Terminating, InProgress, Failed or Current."""
    metadata, status = resource["metadata"], resource.get("status") or {}
    if metadata.get("deletionTimestamp"):
        return "Terminating"
    observed = status.get("observedGeneration")
    if observed is not None and observed != metadata["generation"]:
        return "InProgress"
    conditions = status.get("conditions", ())
    for condition in conditions:
        if condition["type"] == "Reconciling" and condition["status"] == "True":
            return "InProgress"
        if condition["type"] == "Stalled" and condition["status"] == "True":
            return "Failed"
    for condition in conditions:
        if condition["type"] == "Ready":
            return "Current" if condition["status"] == "True" else "InProgress"
    return "Current"


def kubectl_wait(resource: Mapping[str, Any], kind: str = "Ready") -> bool:
    """Whether `kubectl wait` for a condition of this type returns."""
    generation = resource["metadata"]["generation"]
    status = resource.get("status") or {}
    for condition in status.get("conditions", ()):
        if condition["type"] == kind:
            observed = condition.get("observedGeneration", status.get("observedGeneration"))
            return bool(observed == generation and condition["status"] == "True")
    return False
