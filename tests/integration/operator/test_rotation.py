"""What a running pod takes: settings and the admin key change under load, and nothing restarts.
Versions of the service that take nothing get another pod for each change.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from memorybank_operator.kube import kinds
from memorybank_operator.runtime import Operator
from tests.integration.operator import releases
from tests.integration.operator.node import Node, Running
from tests.integration.operator.settling import settle
from tests.integration.operator.world import NodeProber, World, until

START_SECONDS = 300.0
KEYS = ["mb_" + letter * 43 for letter in "ab"]


@pytest.fixture
async def operator(world: World, prober: NodeProber) -> AsyncIterator[Operator]:
    async with world.operator(prober=prober) as running:
        yield running


async def proven(world: World) -> bool:
    """Whether the bank is ready by its newest generation."""
    bank, ready = await world.must(kinds.MEMORY_BANK, "agents"), await world.ready()
    newest = ready.get("observedGeneration") == bank["metadata"]["generation"]
    return newest and ready.get("status") == "True"


async def configuration(world: World) -> str:
    bank = await world.must(kinds.MEMORY_BANK, "agents")
    text: str = bank["status"]["configuration"]
    return text


def admin_key(world: World, key: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "mine", "namespace": world.namespace},
        "data": {"token": base64.b64encode(key.encode()).decode()},
    }


async def ask(address: str, keys: list[str], statuses: list[int]) -> None:
    """Write and search, all the time, with the first of the keys."""
    async with aiohttp.ClientSession(address) as client:
        while True:
            headers = {"Authorization": f"Bearer {keys[0]}"}
            for path, body in (
                ("/v1/memories", {"content": f"Note {len(statuses)} of the day"}),
                ("/v1/search", {"query": "which note?"}),
            ):
                async with client.post(path, json=body, headers=headers) as answer:
                    statuses.append(answer.status)
            await asyncio.sleep(0.05)


async def test_settings_and_the_admin_key_change_under_load_without_a_restart(
    world: World, operator: Operator, node: Node
) -> None:
    await world.client.create(admin_key(world, KEYS[0]))
    await world.create(auth={"adminKeySecretRef": {"name": "mine"}})
    await until(lambda: proven(world), seconds=START_SECONDS)
    revision = (await world.must(kinds.MEMORY_BANK, "agents"))["status"]["revision"]
    running = node.running["agents"]
    in_use, statuses = [KEYS[0]], list[int]()
    load = asyncio.create_task(ask(running.address, in_use, statuses))

    before = await configuration(world)
    await world.change(limits={"maxBodyBytes": 4096}, logging={"level": "debug"})
    await until(lambda: proven(world), seconds=START_SECONDS)
    assert await configuration(world) != before
    async with aiohttp.ClientSession(running.address) as client:
        headers = {"Authorization": f"Bearer {KEYS[0]}"}
        body = {"content": "x" * 5000}
        async with client.post("/v1/memories", json=body, headers=headers) as answer:
            assert answer.status == 413

    before = await configuration(world)
    await world.client.apply(admin_key(world, KEYS[1]))
    # Secrets of others are looked at once a minute; an edit of the bank has them looked at now.
    await world.change(deletionPolicy="Delete")

    async def is_taken() -> bool:
        return await proven(world) and await configuration(world) != before

    await until(is_taken, seconds=START_SECONDS)
    in_use[0] = KEYS[1]
    async with aiohttp.ClientSession(running.address) as client:
        for key in KEYS:
            headers = {"Authorization": f"Bearer {key}"}
            async with client.get("/v1/memories", headers=headers) as answer:
                assert answer.status == 200, "the former key is good for a while"

    begun = len(statuses)

    async def is_served() -> bool:
        assert not load.done(), "a request broke off"
        return len(statuses) > begun + 10

    await until(is_served)
    load.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await load
    assert set(statuses) == {200, 201}
    assert node.running["agents"] is running, "no pod was replaced"
    bank = await world.must(kinds.MEMORY_BANK, "agents")
    assert bank["status"]["revision"] == revision


async def test_a_version_that_takes_nothing_gets_another_pod_for_each_change_and_no_other(
    world: World, prober: NodeProber, node: Node, tmp_path: Path
) -> None:
    former = "memorybank-app:0.1.0"
    node.releases[former] = releases.release(tmp_path, "0.1.0", releases.takes_no_changes)
    async with world.operator(prober=prober, app_image=former):
        await world.create()
        await until(lambda: proven(world), seconds=START_SECONDS)
        made = (await world.must(kinds.MEMORY_BANK, "agents"))["status"]["rollout"]["current"]
        assert made["takesChanges"] is False
        running = node.running["agents"]
        await world.change(limits={"maxBodyBytes": 4096})
        await until(lambda: proven(world), seconds=START_SECONDS)
        assert node.running["agents"] is not running
        assert await status_of(node.running["agents"], await key(world)) == 413
        # A lost key is a change, too: the pod that is ready next knows the new one.
        running = node.running["agents"]
        lost = await key(world)
        await world.delete("Secret", "agents-key")
        await until(lambda: is_replaced(node, running, lost), seconds=START_SECONDS)
        await until(lambda: proven(world), seconds=START_SECONDS)

    # The next operator leaves such a pod as it is, and says so without a word about its Ready.
    running, writes = node.running["agents"], len(world.writes())
    async with world.operator(prober=prober, app_image=former) as operator:
        await settle(world, operator)
        assert world.writes()[writes:] == []
        assert node.running["agents"] is running


async def is_replaced(node: Node, running: Running, lost: str) -> bool:
    """Whether another pod serves, and does not know the lost key."""
    now = node.running.get("agents")
    if now is None or now is running or not now.ready:
        return False
    return await status_of(now, lost) == 401


async def key(world: World) -> str:
    secret = await world.must("Secret", "agents-key")
    return base64.b64decode(secret["data"]["token"]).decode()


async def status_of(running: Running, key: str) -> int:
    """How the service answers a memory of 5,000 bytes."""
    async with (
        aiohttp.ClientSession(running.address) as client,
        client.post(
            "/v1/memories",
            json={"content": "x" * 5000},
            headers={"Authorization": f"Bearer {key}"},
        ) as answer,
    ):
        return answer.status
