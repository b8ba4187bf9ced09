"""How the number of pods passes from the spec to the autoscaler, and back."""

from __future__ import annotations

from typing import Any

import pytest

from memorybank_operator.reconcile.observed import ChildKey
from memorybank_operator.reconcile.steps import Apply, Delete, Plan, Share
from tests.operator.world import IN_POSTGRES, World, bank, running

SCALED = IN_POSTGRES | {"autoscaling": {"maxReplicas": 5}}
AUTOSCALER = ChildKey("HorizontalPodAutoscaler", "agents")


def lines(planned: Plan) -> list[str]:
    found = []
    for step in planned.steps:
        match step:
            case Share(body):
                found.append(f"share {body['spec']}")
            case Apply(body):
                found.append(f"apply {body['kind']}")
            case Delete(key):
                found.append(f"delete {key.kind}")
            case _:
                found.append(str(step))
    return found


def pods(world: World) -> int:
    count: int = world.deployment(bank())["spec"]["replicas"]
    return count


def scaled(spec: dict[str, Any] | None = None, *, count: int = 4) -> World:
    """A world in which the autoscaler has made so many pods."""
    of = bank(SCALED | (spec or {}))
    world = running(of)
    world.deployment(of)["spec"]["replicas"] = count
    world.run(of)
    return world


def test_the_pods_that_there_are_stay_when_the_load_is_to_decide() -> None:
    world = running(bank(IN_POSTGRES | {"replicas": 3}))
    planned = world.plan(bank(SCALED, generation=2))
    assert lines(planned) == [
        "share {'replicas': 3}", "apply Deployment", "apply HorizontalPodAutoscaler",
    ]  # fmt: skip
    world.converge(bank(SCALED, generation=2))
    assert pods(world) == 3


def test_of_a_single_pod_nothing_has_to_be_kept() -> None:
    world = running(bank(IN_POSTGRES))
    assert not any(line.startswith("share") for line in lines(world.plan(bank(SCALED))))


@pytest.mark.parametrize("count", [1, 2, 5])
def test_whatever_the_autoscaler_decides_is_let_be(count: int) -> None:
    world = scaled(count=count)
    assert world.plan(bank(SCALED)).steps == ()
    world.converge(bank(SCALED | {"restart": "again"}, generation=2))
    assert pods(world) == count


def test_what_somebody_changes_in_the_autoscaler_is_put_back() -> None:
    world = scaled()
    world.children[AUTOSCALER]["spec"]["maxReplicas"] = 50
    assert lines(world.plan(bank(SCALED))) == ["apply HorizontalPodAutoscaler"]


def test_the_spec_decides_again_when_the_autoscaler_goes() -> None:
    world = scaled()
    planned = world.plan(bank(IN_POSTGRES | {"replicas": 3}, generation=2))
    assert lines(planned) == ["apply Deployment", "delete HorizontalPodAutoscaler"]
    world.converge(bank(IN_POSTGRES | {"replicas": 3}, generation=2))
    assert pods(world) == 3


def test_a_bank_sleeps_without_its_autoscaler_and_wakes_with_it() -> None:
    world = scaled()
    world.converge(bank(SCALED | {"hibernate": True}, generation=2))
    assert (pods(world), AUTOSCALER in world.children) == (0, False)
    world.converge(bank(SCALED, generation=3))
    assert (pods(world), AUTOSCALER in world.children) == (1, True)


def test_a_bank_whose_change_waits_wakes_all_the_same() -> None:
    supervised = SCALED | {"updatePolicy": {"mode": "Supervised"}}
    world = running(bank(supervised))
    status = world.status(bank(supervised))
    asleep = bank(supervised | {"hibernate": True}, status=status, generation=2)
    world.converge(asleep)
    world.pods = []
    awake = bank(supervised, status=status, generation=3)
    world.converge(awake)
    assert pods(world) == 1


def test_a_ready_bank_stays_so_while_pods_come_and_go() -> None:
    world = scaled(count=2)
    world.pods.pop()
    world.deployment(bank())["metadata"]["generation"] += 1  # seen by nobody yet
    ready = {each["type"]: each["status"] for each in world.status(bank(SCALED))["conditions"]}
    assert ready == {"Available": "True", "Ready": "True"}
