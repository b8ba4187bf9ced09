"""Events on a real API server: told once, counted up, and never a flood."""

from __future__ import annotations

from typing import Any

import pytest

from memorybank_operator import events as module
from memorybank_operator.events import Events
from memorybank_operator.kube import kinds
from memorybank_operator.kube.client import KubeClient
from memorybank_operator.reconcile.steps import Note
from tests.integration.operator.world import World

BROKEN = Note("CanaryFailed", "it does not answer", warning=True)
HEALED = Note("CanaryPassed", "it answers")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def events(client: KubeClient, clock: Clock) -> Events:
    return Events(client, clock=clock, instance="pod-1")


@pytest.fixture
async def bank(world: World) -> dict[str, Any]:
    return await world.create()


async def test_an_event_is_on_its_bank_as_kubectl_describe_looks_for_it(
    world: World, events: Events, bank: dict[str, Any]
) -> None:
    await events.tell(bank, BROKEN)
    (event,) = await world.events()
    assert event["involvedObject"]["uid"] == bank["metadata"]["uid"]
    assert event["involvedObject"]["kind"] == "MemoryBank"
    assert (event["type"], event["reason"], event["message"]) == (
        "Warning", "CanaryFailed", "it does not answer",
    )  # fmt: skip
    assert event["count"] == 1
    assert event["source"]["component"] == "memorybank-operator"


async def test_a_repeated_event_is_counted_and_written_rarely(
    world: World, events: Events, bank: dict[str, Any], clock: Clock
) -> None:
    for _ in range(50):
        await events.tell(bank, BROKEN)
    (event,) = await world.events()
    assert event["count"] == 1
    clock.now += module.REPEAT_SECONDS
    await events.tell(bank, BROKEN)
    (event,) = await world.events()
    assert event["count"] == 51


async def test_a_flapping_bank_does_not_flood_the_server(
    world: World, events: Events, bank: dict[str, Any], clock: Clock
) -> None:
    for number in range(100):
        await events.tell(bank, Note("CanaryFailed", f"reason {number}", warning=True))
    assert len(await world.events()) == module.BURST
    clock.now += 2 / module.PER_SECOND
    for number in range(100, 110):
        await events.tell(bank, Note("CanaryFailed", f"reason {number}", warning=True))
    assert len(await world.events()) == module.BURST + 2


async def test_an_event_that_the_server_forgot_is_made_anew(
    world: World, events: Events, bank: dict[str, Any], clock: Clock
) -> None:
    await events.tell(bank, HEALED)
    (event,) = await world.events()
    await world.client.delete(
        kinds.EVENT, world.namespace,
        name=event["metadata"]["name"], uid=event["metadata"]["uid"],
    )  # fmt: skip
    clock.now += module.REPEAT_SECONDS
    await events.tell(bank, HEALED)
    assert await world.events() == []
    await events.tell(bank, HEALED)
    assert len(await world.events()) == 1


async def test_an_event_that_cannot_be_written_stops_nobody(
    world: World, events: Events, bank: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    bank["metadata"]["namespace"] = "nowhere"
    await events.tell(bank, BROKEN)
    assert "was not written" in caplog.text
