"""The API server keeps the number of pods that an autoscaler decides on, from its first moment."""

from __future__ import annotations

import json
from typing import Any

import aiohttp

from memorybank_operator.kube import kinds
from tests.integration.operator.settling import settle
from tests.integration.operator.world import World
from tests.operator.world import DATABASE_URL, IN_POSTGRES

AUTOSCALING: dict[str, Any] = {"minReplicas": 1, "maxReplicas": 9}


async def pods(world: World) -> int:
    count: int = (await world.must(kinds.DEPLOYMENT, "agents"))["spec"]["replicas"]
    return count


async def scale(world: World, count: int) -> None:
    """Scale the Deployment as a HorizontalPodAutoscaler does."""
    path = kinds.DEPLOYMENT.item(world.namespace, "agents", subresource="scale")
    async with (
        world.connection.session() as session,
        session.get(world.connection.server + path) as answer,
    ):
        body = await answer.json()
        body["spec"]["replicas"] = count
        async with session.put(
            world.connection.server + path,
            data=json.dumps(body),
            params={"fieldManager": "kube-controller-manager"},
            headers={"Content-Type": "application/json"},
            timeout=aiohttp.ClientTimeout(total=60),
        ) as put:
            assert put.status == 200, await put.text()


async def test_the_number_of_pods_passes_to_the_autoscaler_and_back_and_never_jumps(
    world: World,
) -> None:
    await world.put_secret("database", url=DATABASE_URL)
    await world.create(**IN_POSTGRES, replicas=3)
    async with world.operator() as operator:
        await settle(world, operator)
        await world.change(replicas=None, autoscaling=AUTOSCALING)
        await settle(world, operator)
        assert await pods(world) == 3, "they are handed over"
        await scale(world, 5)
        await world.change(restart="again")
        await settle(world, operator)
        assert await pods(world) == 5, "nobody fights"
        await world.delete(kinds.AUTOSCALER, "agents")
        await settle(world, operator)
        assert (await world.must(kinds.AUTOSCALER, "agents"))["spec"]["maxReplicas"] == 9
        assert await pods(world) == 5
        await world.change(hibernate=True)
        await settle(world, operator)
        assert await pods(world) == 0
        assert await world.get(kinds.AUTOSCALER, "agents") is None
        await world.change(hibernate=False)
        await settle(world, operator)
        assert await pods(world) == 1, "the autoscaler makes it as many as there are to be"
        await world.change(replicas=2, autoscaling=None)
        await settle(world, operator)
        assert await pods(world) == 2
        assert await world.get(kinds.AUTOSCALER, "agents") is None
