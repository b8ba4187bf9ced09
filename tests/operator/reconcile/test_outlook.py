"""Which pod is asked how full a bank's disk is, and what keeps the bank from its job."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from memorybank_operator.readings import Outlook
from memorybank_operator.reconcile.proof import outlook
from tests.operator.world import BACKED_UP, IN_POSTGRES, World, bank, running, running_pod, unready


def world_with(address: str = "10.0.0.7") -> World:
    world = running(bank())
    world.pods[0]["status"]["podIP"] = address
    return world


def asked(world: World) -> Outlook | None:
    return outlook(bank(), world.observed())


def test_the_pod_is_asked_at_its_own_address_ready_or_not() -> None:
    world = world_with()
    assert asked(world) == Outlook("http://10.0.0.7:8080", "1Gi", serves=True)
    unready(world.pods[0], {"running": {}}, started=True)
    assert asked(world) == Outlook("http://10.0.0.7:8080", "1Gi", serves=False)
    assert asked(world_with("fd00::7")) == Outlook("http://[fd00::7]:8080", "1Gi", serves=True)


@pytest.mark.parametrize(
    "spec",
    [
        IN_POSTGRES,
        {"embedding": {"provider": "ollama", "ollama": {"url": "http://ollama:11434"}}},
        {"embedding": {"provider": "openai"}},
        {"vector": {"provider": "chroma", "chroma": {"url": "http://chroma:8000"}}},
    ],
)
def test_a_bank_that_relies_on_a_server_is_asked_more_often(spec: dict[str, Any]) -> None:
    of = bank(spec)
    world = running(of)
    world.pods[0]["status"]["podIP"] = "10.0.0.7"
    found = outlook(of, world.observed())
    assert found is not None
    assert found.urgent
    assert found.serves
    unready(world.pods[0], {"running": {}}, started=True)
    assert outlook(of, world.observed()) == replace(found, serves=False)


def test_a_volume_that_grew_makes_another_outlook() -> None:
    world = world_with()
    world.volume_claim(bank())["status"]["capacity"] = {"storage": "2Gi"}
    assert asked(world) == Outlook("http://10.0.0.7:8080", "2Gi", serves=True)


def test_a_bank_with_backups_is_asked_for_them() -> None:
    found = outlook(bank(BACKED_UP), world_with().observed())
    assert found == Outlook("http://10.0.0.7:8080", "1Gi", serves=True, urgent=True)


def leaving(pod: dict[str, Any]) -> None:
    pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"


def starting(pod: dict[str, Any]) -> None:
    unready(pod, {"waiting": {"reason": "ContainerCreating"}})


def without_an_address(pod: dict[str, Any]) -> None:
    del pod["status"]["podIP"]


def of_somebody_else(pod: dict[str, Any]) -> None:
    pod["metadata"]["annotations"] = {}


@pytest.mark.parametrize("change", [leaving, starting, without_an_address, of_somebody_else])
def test_nobody_is_asked_who_cannot_answer_for_the_bank(change: Any) -> None:
    world = world_with()
    change(world.pods[0])
    assert asked(world) is None


def test_the_newest_of_two_pods_is_asked() -> None:
    world = world_with()
    newer = running_pod(world.deployment(bank())["spec"]["template"], uid="pod-2")
    newer["status"]["podIP"] = "10.0.0.8"
    newer["metadata"]["creationTimestamp"] = "2026-01-01T12:00:00Z"
    world.pods[0]["metadata"]["creationTimestamp"] = "2026-01-01T11:00:00Z"
    for pods in ([world.pods[0], newer], [newer, world.pods[0]]):
        world.pods = pods
        assert asked(world) == Outlook("http://10.0.0.8:8080", "1Gi", serves=True)
