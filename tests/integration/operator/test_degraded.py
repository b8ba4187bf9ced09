"""A bank that loses what it can be without serves on, says what it lacks, and heals by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from memorybank_operator.api.v1alpha1.conditions import Reason
from tests.integration.operator.node import Node
from tests.integration.operator.world import NodeProber, World, until
from tests.support.embedding_server import MODEL, EmbeddingServer

START_SECONDS = 300.0
TOLD_SECONDS = 60.0


@pytest.fixture
async def embedding() -> AsyncIterator[EmbeddingServer]:
    server = EmbeddingServer()
    server.start()
    yield server
    server.close()


def lacks(world: World, reason: str) -> Callable[[], Awaitable[bool]]:
    async def does_it() -> bool:
        ready = await world.ready()
        assert ready.get("status") != "False", ready
        return str((await world.condition("Degraded")).get("reason", "")) == reason

    return does_it


async def test_a_bank_whose_embedding_service_goes_says_so_and_is_well_when_it_is_back(
    world: World, node: Node, prober: NodeProber, embedding: EmbeddingServer
) -> None:
    async with world.operator(prober=prober):
        await world.create(
            embedding={
                "provider": "openai",
                "model": MODEL,
                "dimensions": 384,
                "openai": {"baseUrl": f"{embedding.url}/v1"},
                "retries": 0,
                "breakerFailures": 1,
                "breakerSeconds": 1,
            }
        )

        async def is_ready() -> bool:
            return (await world.ready()).get("status") == "True"

        await until(is_ready, seconds=START_SECONDS)
        assert await world.condition("Degraded") == {}
        embedding.stop()
        await until(lacks(world, Reason.EMBEDDING_UNAVAILABLE), seconds=TOLD_SECONDS)
        told = await world.condition("Degraded")
        assert "found by their words alone: the embedding service cannot" in told["message"]

        async def is_an_event() -> bool:
            reasons = [each["reason"] for each in await world.events()]
            return reasons.count(Reason.EMBEDDING_UNAVAILABLE) == 1

        await until(is_an_event)
        assert (await world.ready())["status"] == "True"
        writes = len(world.writes())
        passed = prober.passed

        async def proves_itself_again() -> bool:
            return prober.passed >= passed + 3

        await until(proves_itself_again, seconds=TOLD_SECONDS)
        assert len(world.writes()) == writes, "what lasts is not written again"
        embedding.start()
        await until(lacks(world, ""), seconds=TOLD_SECONDS)
