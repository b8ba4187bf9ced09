"""How long a bank may take, and when each of its conditions changed last."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from memorybank_operator.reconcile.steps import Problem
from tests.operator.world import NOW, World, bank, running, unready

MINUTE = timedelta(minutes=1)
WAITING = {"waiting": {"reason": "ContainerCreating"}}


def broken() -> World:
    world = running(bank())
    unready(world.pods[0], WAITING)
    world.deployment(bank())["status"]["availableReplicas"] = 0
    return world


def conditions(status: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["type"]: each for each in status["conditions"]}


def look(world: World, before: dict[str, Any] | None, at: timedelta, **more: Any) -> dict[str, Any]:
    generation = more.pop("generation", 1)
    spec = more.pop("spec", None)
    of = bank(spec, status=before, generation=generation)
    return world.status(of, now=NOW + at, **more)


def text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def test_the_deadline_counts_from_when_the_wait_began() -> None:
    world = broken()
    status = look(world, None, MINUTE * 0)
    for minute in range(1, 10):
        status = look(world, status, MINUTE * minute)
        assert "Reconciling" in conditions(status)
    status = look(world, status, MINUTE * 10)
    stalled = conditions(status)["Stalled"]
    assert stalled["reason"] == "ProgressDeadlineExceeded"
    assert stalled["message"] == "Not ready within 600 s. The pod is being started."
    assert "Reconciling" not in conditions(status)


def test_a_stalled_bank_stays_so_until_it_is_ready() -> None:
    world = broken()
    stalled = look(world, look(world, None, MINUTE * 0), MINUTE * 10)
    assert look(world, stalled, MINUTE * 11) == stalled
    ready = look(running(bank()), stalled, MINUTE * 12)
    assert conditions(ready)["Ready"]["status"] == "True"
    assert "Stalled" not in conditions(ready)


def test_a_new_generation_gets_a_new_deadline() -> None:
    world = broken()
    waiting = look(world, None, MINUTE * 0)
    for before in (waiting, look(world, waiting, MINUTE * 10)):
        changed = look(world, before, MINUTE * 11, generation=2)
        assert conditions(changed)["Reconciling"]["lastTransitionTime"] == text(NOW + MINUTE * 11)
        later = look(world, changed, MINUTE * 20, generation=2)
        assert "Reconciling" in conditions(later)


def test_what_waiting_cannot_cure_is_stalled_at_once_and_recovers_when_it_is_gone() -> None:
    world = running(bank())
    problem = Problem("NameConflict", "Service agents is taken", terminal=True)
    stalled = look(world, None, MINUTE * 0, failure=problem)
    assert conditions(stalled)["Stalled"]["reason"] == "NameConflict"
    cured = look(broken(), stalled, MINUTE * 30)
    assert conditions(cured)["Reconciling"]["lastTransitionTime"] == text(NOW + MINUTE * 30)
    assert "Stalled" not in conditions(cured)


def test_times_move_only_with_the_status_of_their_condition() -> None:
    world = running(bank())
    ready = look(world, None, MINUTE * 0)
    failed = look(broken(), ready, MINUTE * 1)
    assert conditions(failed)["Ready"]["lastTransitionTime"] == text(NOW + MINUTE)
    world.canary = world.passed(bank(), ok=False, message="no answer")
    still = look(world, failed, MINUTE * 2)
    assert conditions(still)["Ready"]["reason"] == "CanaryFailed"
    assert conditions(still)["Ready"]["lastTransitionTime"] == text(NOW + MINUTE)
    assert conditions(still)["Available"]["lastTransitionTime"] == text(NOW + MINUTE * 2)


def test_times_are_whole_seconds_in_utc() -> None:
    status = look(running(bank()), None, timedelta(microseconds=123456))
    assert conditions(status)["Ready"]["lastTransitionTime"] == text(NOW)
