"""What decides how many pods a bank has, where its spec leaves that to the load."""

from __future__ import annotations

from typing import Any

from memorybank_operator.api.v1alpha1.autoscaling import Behavior, ScalingRules
from memorybank_operator.resources import names
from memorybank_operator.resources.context import BuildContext
from memorybank_operator.resources.labels import metadata


def build_autoscaler(ctx: BuildContext) -> dict[str, Any] | None:
    """Build the HorizontalPodAutoscaler, None where the spec itself says how many pods there are,
    and for a bank that is stopped.
    """
    wanted = ctx.bank.spec.autoscaled
    if wanted is None:
        return None
    targets = {"cpu": wanted.target_cpu_utilization, "memory": wanted.target_memory_utilization}
    spec: dict[str, Any] = {
        "scaleTargetRef": {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "name": names.deployment(ctx.bank).name,
        },
        "minReplicas": wanted.min_replicas,
        "maxReplicas": wanted.max_replicas,
        "metrics": [_metric(name, target) for name, target in targets.items() if target],
    }
    behavior = _behavior(wanted.behavior) if wanted.behavior is not None else {}
    if behavior:
        spec["behavior"] = behavior
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata(ctx.bank, names.autoscaler(ctx.bank)),
        "spec": spec,
    }


def _metric(name: str, target: int) -> dict[str, Any]:
    return {
        "type": "Resource",
        "resource": {"name": name, "target": {"type": "Utilization", "averageUtilization": target}},
    }


def _behavior(behavior: Behavior) -> dict[str, Any]:
    directions = {"scaleUp": behavior.scale_up, "scaleDown": behavior.scale_down}
    return {name: _rules(each) for name, each in directions.items() if each is not None}


def _rules(wanted: ScalingRules) -> dict[str, Any]:
    """Return what is said; the API server fills in what is left out."""
    rules = wanted.model_dump(mode="json", exclude_none=True)
    return {name: value for name, value in rules.items() if value != []}
