"""What the status says of a bank with several pods, while some of them come, go or fail."""

from __future__ import annotations

import copy
from datetime import timedelta
from typing import Any

import pytest

from memorybank_operator.resources import names
from tests.operator.world import IN_POSTGRES, NOW, World, bank, running, running_pod, unready

THREE = IN_POSTGRES | {"replicas": 3}
CRASHED = {"waiting": {"reason": "CrashLoopBackOff"}}


def conditions(world: World, **status: Any) -> dict[str, tuple[str, str]]:
    found = world.status(bank(THREE, **status))["conditions"]
    return {each["type"]: (each["status"], each["reason"]) for each in found}


@pytest.fixture
def world() -> World:
    return running(bank(THREE))


def test_three_pods_that_serve_are_a_ready_bank(world: World) -> None:
    assert conditions(world) == {
        "Available": ("True", "PodAvailable"),
        "Ready": ("True", "CanaryPassed"),
    }


def test_a_pod_that_goes_or_comes_leaves_it_ready(world: World) -> None:
    before = conditions(world)
    gone = world.pods.pop()
    world.deployment(bank(THREE))["status"] |= {"replicas": 3, "availableReplicas": 2}
    assert conditions(world) == before
    fresh = running_pod(gone, "pod-4")
    unready(fresh, {"running": {}})
    world.pods.append(fresh)
    assert conditions(world) == before, "it only needs time"


def test_it_is_to_prove_itself_anew_when_nobody_serves_who_did_then(world: World) -> None:
    world.pods = [running_pod(each, f"new-{number}") for number, each in enumerate(world.pods)]
    assert conditions(world)["Ready"] == ("Unknown", "Verifying")


def test_pods_that_cannot_serve_are_told_and_the_bank_is_ready(world: World) -> None:
    unready(world.pods[0], CRASHED, lastState={"terminated": {"exitCode": 1, "message": "no room"}})
    said = conditions(world)
    assert (said["Ready"][0], said["Degraded"]) == ("True", ("True", "PodsMissing"))
    status = world.status(bank(THREE))
    [message] = [each["message"] for each in status["conditions"] if each["type"] == "Degraded"]
    assert message.startswith("2 of 3 pods serve. ")
    assert message.endswith("no room")
    world.pods = running(bank(THREE)).pods
    assert "Degraded" not in conditions(world, status=status), "it has all of them again"


def test_what_it_lacks_counts_for_more_than_how_many_lack_it(world: World) -> None:
    unready(world.pods[0], CRASHED, lastState={"terminated": {"exitCode": 1}})
    world.canary = world.passed(bank(THREE), degraded=(("embedder", "no route"),))
    assert conditions(world)["Degraded"] == ("True", "EmbeddingUnavailable")


def test_a_crashing_pod_of_a_bank_with_one_is_no_shortage() -> None:
    world = running(bank(IN_POSTGRES))
    unready(world.pods[0], CRASHED, lastState={"terminated": {"exitCode": 1}})
    found = world.status(bank(IN_POSTGRES))["conditions"]
    assert {each["type"] for each in found} == {"Available", "Ready", "Reconciling"}


def test_while_a_pod_of_the_revision_before_is_there_the_change_is_not_done(world: World) -> None:
    old = copy.deepcopy(world.pods[0])
    old["metadata"] |= {"uid": "old", "name": "agents-old"}
    old["metadata"]["annotations"]["memorybank.dev/revision"] = "before"
    world.pods.append(old)
    world.deployment(bank(THREE))["status"] |= {"replicas": 4}
    world.canary = world.passed(bank(THREE))
    assert conditions(world)["Ready"] == ("False", "DeploymentProgressing")
    old["metadata"]["deletionTimestamp"] = "2026-01-01T12:00:00Z"
    world.canary = world.passed(bank(THREE))
    assert conditions(world)["Ready"][0] == "True"


@pytest.mark.parametrize(
    ("minutes", "status", "told"),
    [(6, "False", True), (4, "False", False), (6, "True", False)],
)
def test_an_autoscaler_that_cannot_tell_the_load_is_told_after_a_while(
    minutes: int, status: str, told: bool
) -> None:
    of = bank(IN_POSTGRES | {"autoscaling": {"maxReplicas": 5}})
    world = running(of)
    since = (NOW - timedelta(minutes=minutes)).isoformat()
    active = {
        "type": "ScalingActive", "status": status, "lastTransitionTime": since,
        "reason": "FailedGetResourceMetric", "message": "no metrics known for pods",
    }  # fmt: skip
    world.children[names.autoscaler(of)]["status"] = {"conditions": [active]}
    found = {each["type"]: each for each in world.status(of)["conditions"]}
    assert found["Ready"]["status"] == "True"
    assert ("Degraded" in found) == told
    if told:
        assert found["Degraded"]["reason"] == "AutoscalerUnavailable"
        assert found["Degraded"]["message"].endswith(": no metrics known for pods")
