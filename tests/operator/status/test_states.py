"""Each state of a bank, and what people and tools make of its status."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.gitops.argocd import health
from tests.operator.status.kstatus import kstatus, kubectl_wait
from tests.operator.status.states import (
    ASKED_FOR,
    STATES,
    foreign_service,
    happened,
    late,
    seen,
)
from tests.operator.world import NOW, bank, running, running_pod


def condition(resource: dict[str, Any], kind: str) -> dict[str, Any]:
    conditions = resource["status"]["conditions"]
    return next((each for each in conditions if each["type"] == kind), {})


@pytest.mark.parametrize("name", STATES)
def test_people_and_tools_see_the_state_as_it_is(name: str) -> None:
    state = STATES[name]
    resource = seen(state)
    ready = condition(resource, "Ready")
    assert (ready["status"], ready["reason"]) == (state.ready, state.reason)
    assert state.words in ready["message"]
    assert kstatus(resource) == state.kstatus
    assert health(resource)["status"] == state.argo
    assert kubectl_wait(resource) is (state.ready == "True")
    assert resource["status"]["phase"] == state.phase
    assert condition(resource, "UpdatePending").get("reason", "") == state.pending


@pytest.mark.parametrize("name", STATES)
def test_the_shape_of_conditions_follows_kstatus(name: str) -> None:
    resource = seen(STATES[name])
    generation = resource["metadata"]["generation"]
    assert resource["status"]["observedGeneration"] == generation
    conditions = resource["status"]["conditions"]
    kinds = [each["type"] for each in conditions]
    assert kinds == sorted(set(kinds))
    assert {"Ready", "Available"} <= set(kinds)
    assert not {"Reconciling", "Stalled"} <= set(kinds)
    assert all(each["observedGeneration"] == generation for each in conditions)
    assert all(
        each["status"] == "True"
        for each in conditions
        if each["type"] in {"Reconciling", "Stalled", "Paused"}
    )
    if "Reconciling" in kinds or "Stalled" in kinds:
        assert condition(resource, "Ready")["status"] != "True"


@pytest.mark.parametrize("name", STATES)
def test_a_second_look_changes_nothing(name: str) -> None:
    state = STATES[name]
    world, of, metadata = happened(state)
    first = world.status(of, failure=state.failure)
    again = bank(state.now or state.spec, status=first, **metadata)
    later = NOW + timedelta(seconds=30)
    assert world.status(again, failure=state.failure, now=later) == first


@pytest.mark.parametrize(
    "name", [name for name, state in STATES.items() if state.kstatus == "InProgress"]
)
def test_what_takes_too_long_is_stalled_except_where_it_was_asked_for(name: str) -> None:
    state = STATES[name]
    as_seen = late(state)
    asked_for = state.reason in ASKED_FOR
    assert kstatus(as_seen) == ("InProgress" if asked_for else "Failed")
    ready = condition(as_seen, "Ready")
    assert (ready["status"], ready["reason"]) == (state.ready, state.reason)


def test_every_problem_is_told_those_first_that_somebody_has_to_cure() -> None:
    of = bank({"auth": {"adminKeySecretRef": {"name": "mine"}}})
    world = running(bank())
    foreign_service(world, of)
    status = world.status(of)
    ready = next(each for each in status["conditions"] if each["type"] == "Ready")
    assert ready["reason"] == "NameConflict"
    assert "Secret mine does not exist" in ready["message"]
    assert ready["message"].index("Service agents") < ready["message"].index("Secret mine")


def test_ready_is_about_the_pod_that_serves_even_if_others_are_on_their_way_out() -> None:
    of = bank()
    world = running(of)
    leaving = running_pod(world.deployment(of)["spec"]["template"], uid="pod-0")
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    world.pods.append(leaving)
    world.canary = replace(world.passed(of))
    ready = next(each for each in world.status(of)["conditions"] if each["type"] == "Ready")
    assert ready["status"] == "True"
