"""What lets the load decide how many pods a bank has."""

from __future__ import annotations

from typing import Any

import pytest

from tests.operator.resources.test_objects import build
from tests.operator.resources.test_postgres import made
from tests.operator.world import bank

KIND = "HorizontalPodAutoscaler"
SCALED = {"autoscaling": {"maxReplicas": 5}}


def autoscaler(**autoscaling: Any) -> dict[str, Any]:
    return dict(made({"autoscaling": {"maxReplicas": 5, **autoscaling}})[KIND]["spec"])


def test_a_bank_has_none_unless_it_is_asked_for() -> None:
    assert KIND not in build()
    assert KIND not in made()


def test_it_scales_the_deployment_by_cpu_and_memory() -> None:
    assert autoscaler() == {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "agents"},
        "minReplicas": 2,
        "maxReplicas": 5,
        "metrics": [
            {
                "type": "Resource",
                "resource": {
                    "name": name,
                    "target": {"type": "Utilization", "averageUtilization": target},
                },
            }
            for name, target in (("cpu", 70), ("memory", 80))
        ],
    }


def test_what_nobody_looks_at_is_left_out() -> None:
    [metric] = autoscaler(targetMemoryUtilization=0, targetCPUUtilization=50)["metrics"]
    assert metric["resource"] == {
        "name": "cpu",
        "target": {"type": "Utilization", "averageUtilization": 50},
    }


def test_how_fast_it_scales_is_said_as_the_spec_says_it() -> None:
    down = {
        "stabilizationWindowSeconds": 60,
        "selectPolicy": "Min",
        "policies": [{"type": "Pods", "value": 1, "periodSeconds": 30}],
    }
    behavior = {"scaleUp": {"stabilizationWindowSeconds": 0}, "scaleDown": down}
    assert autoscaler(behavior=behavior)["behavior"] == {
        "scaleUp": {"stabilizationWindowSeconds": 0, "selectPolicy": "Max"},
        "scaleDown": down,
    }
    assert "behavior" not in autoscaler(behavior={})


def test_the_deployment_says_no_number_of_pods_then() -> None:
    assert "replicas" not in made(SCALED)["Deployment"]["spec"]
    assert made()["Deployment"]["spec"]["replicas"] == 1


@pytest.mark.parametrize("stopped", [{"replicas": 0}, {"hibernate": True}])
def test_a_bank_that_is_stopped_has_no_pods_and_no_autoscaler(stopped: dict[str, Any]) -> None:
    objects = made(SCALED | stopped)
    assert KIND not in objects
    assert objects["Deployment"]["spec"]["replicas"] == 0


def test_a_drain_takes_one_pod_at_a_time() -> None:
    assert made(SCALED)["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 1


def test_it_restarts_no_pod() -> None:
    templates = [made(each)["Deployment"]["spec"]["template"] for each in ({}, SCALED)]
    assert templates[0] == templates[1]


def test_a_bank_with_a_single_writer_is_refused_even_without_the_rule_of_the_crd() -> None:
    with pytest.raises(Exception, match=r"spec\.autoscaling needs storage\.engine postgres"):
        bank(SCALED)
