"""Changes of the pod: approved before they are made, taken back when they do not work, and made for
many banks one after another. The services and their versions are real.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from memorybank_operator.api.v1alpha1.conditions import Reason
from memorybank_operator.canary import PROJECT
from memorybank_operator.kube import kinds
from memorybank_operator.runtime import Operator
from tests.integration.operator import releases
from tests.integration.operator.node import Node
from tests.integration.operator.settling import settle
from tests.integration.operator.world import NodeProber, World, until

START_SECONDS = 300.0
"""A start of the service: Python, the model, and whatever else this machine does."""
OLD, NEW = "memorybank-app:0.1.0", "memorybank-app:0.2.0"
FLEET = ["one", "two", "three"]
FACT = "The boiler is serviced in March."
SUPERVISED = {"mode": "Supervised"}


async def status(world: World, name: str = "agents") -> dict[str, Any]:
    found: dict[str, Any] = (await world.must(kinds.MEMORY_BANK, name))["status"]
    return found


async def plan_of(world: World, name: str = "agents") -> dict[str, Any]:
    """Wait for a plan; return it."""
    await until(lambda: has_plan(world, name), what="a plan")
    found: dict[str, Any] = (await status(world, name))["plan"]
    return found


async def has_plan(world: World, name: str = "agents") -> bool:
    return "plan" in await status(world, name)


def says(
    world: World, kind: str, reason: Reason, name: str = "agents"
) -> Callable[[], Awaitable[bool]]:
    async def is_said() -> bool:
        return (await world.condition(kind, name)).get("reason") == reason

    return is_said


async def template(world: World, name: str = "agents") -> dict[str, Any]:
    found: dict[str, Any] = (await world.must("Deployment", name))["spec"]["template"]
    return found


async def test_a_change_waits_for_its_approval_and_only_for_that_one(world: World) -> None:
    async with world.operator() as operator:
        await world.create(updatePolicy=SUPERVISED)
        await settle(world, operator)
        before, config = await template(world), await world.must("ConfigMap", "agents-config")

        await world.change(
            lifecycle={"drainSeconds": 7}, serviceAccount={"annotations": {"a/b": "c"}}
        )
        first = await plan_of(world)
        await settle(world, operator)
        assert await template(world) == before
        account = await world.must("ServiceAccount", "agents")
        assert account["metadata"]["annotations"]["a/b"] == "c"
        assert [each["kind"] for each in first["objects"]] == ["ConfigMap", "Deployment"]
        pending = await world.condition("UpdatePending")
        assert (pending["reason"], pending["status"]) == (Reason.AWAITING_APPROVAL, "True")

        # What is lost meanwhile comes back as it was.
        await world.delete("ConfigMap", "agents-config")
        await world.delete("Deployment", "agents")
        await until(lambda: has_all(world))
        await settle(world, operator)
        assert (await world.must("ConfigMap", "agents-config"))["data"] == config["data"]
        assert await template(world) == before
        assert (await plan_of(world))["id"] == first["id"]

        # An approval of what was is none of what is.
        await world.change(
            lifecycle={"drainSeconds": 8}, updatePolicy=SUPERVISED | {"approved": first["id"]}
        )
        await settle(world, operator)
        second = await plan_of(world)
        assert second["id"] != first["id"]
        assert await template(world) == before
        assert first["id"] in (await world.condition("UpdatePending"))["message"]

        await world.change(updatePolicy=SUPERVISED | {"approved": second["id"]})
        await settle(world, operator)
        assert not await has_plan(world)
        assert await world.condition("UpdatePending") == {}
        assert (await template(world))["metadata"] != before["metadata"]
    waiting = [each for each in await world.events() if each["reason"] == Reason.AWAITING_APPROVAL]
    assert [each["type"] for each in waiting] in ([], ["Normal"])


async def has_all(world: World) -> bool:
    return len(await world.children()) == 6


@pytest.fixture
async def operator(world: World, prober: NodeProber) -> AsyncIterator[Operator]:
    async with world.operator(prober=prober, app_image=OLD) as running:
        yield running


async def is_ready(world: World, name: str = "agents") -> bool:
    return (await world.ready(name)).get("status") == "True"


async def test_a_version_that_does_not_start_is_taken_back_and_a_good_one_heals(
    world: World, operator: Operator, node: Node, tmp_path: Path
) -> None:
    node.releases["memorybank-app:0.1.1"] = releases.release(
        tmp_path, "0.1.1", releases.does_not_start
    )
    node.releases["memorybank-app:0.1.2"] = releases.release(tmp_path, "0.1.2")
    await world.create(updatePolicy={"deadlineSeconds": 10})
    await until(lambda: is_ready(world), seconds=START_SECONDS)

    await world.change(version="0.1.1")
    await until(says(world, "Ready", Reason.ROLLED_BACK), seconds=START_SECONDS)
    await until(says(world, "Available", Reason.POD_AVAILABLE), seconds=START_SECONDS)
    ready = await world.ready()
    assert "Image memorybank-app:0.1.1 did not prove itself within 10 s" in ready["message"]
    assert (await world.condition("Stalled"))["reason"] == Reason.ROLLED_BACK
    said = await status(world)
    assert (said["image"], said["version"]) == (OLD, "0.1.0")
    assert said["rollout"]["rejected"]["image"] == "memorybank-app:0.1.1"

    await world.change(version="0.1.2", updatePolicy={"deadlineSeconds": 600})
    await until(lambda: is_ready(world), seconds=START_SECONDS)
    rollout = (await status(world))["rollout"]
    assert (rollout["current"]["version"], rollout["previous"]["version"]) == ("0.1.2", "0.1.0")
    assert "rejected" not in rollout

    # Back to an older minor version, which may know less of the database.
    await world.change(version="0.0.9")
    await until(says(world, "Stalled", Reason.VERSION_REFUSED))
    assert await is_available(world)
    assert (await status(world))["image"] == "memorybank-app:0.1.2"


async def is_available(world: World) -> bool:
    return (await world.condition("Available")).get("status") == "True"


async def client(world: World, node: Node) -> aiohttp.ClientSession:
    """Who stores memories in the bank, and reads them."""
    token = base64.b64decode((await world.must("Secret", "agents-key"))["data"]["token"]).decode()
    headers = {"Authorization": f"Bearer {token}"}
    return aiohttp.ClientSession(node.running["agents"].address, headers=headers)


async def store(world: World, node: Node, content: str) -> None:
    async with (
        await client(world, node) as session,
        session.post("/v1/memories", json={"content": content}) as answer,
    ):
        assert answer.status == 201


async def contents(world: World, node: Node) -> list[str]:
    async with await client(world, node) as session, session.get("/v1/memories") as answer:
        memories = (await answer.json())["memories"]
    return [each["content"] for each in memories if each["project"] != PROJECT]


@pytest.fixture
async def migrated(world: World, operator: Operator, node: Node, tmp_path: Path) -> int:
    """The schema from which a version migrated a bank with a memory, that does not work."""
    node.releases[NEW] = releases.release(
        tmp_path, "0.2.0", releases.migrates, releases.does_not_search
    )
    await world.create()
    await until(lambda: is_ready(world), seconds=START_SECONDS)
    await store(world, node, FACT)
    before: int = (await status(world))["rollout"]["current"]["schemaVersion"]
    return before


async def test_a_version_that_migrated_and_does_not_work_is_taken_back_with_the_database(
    world: World, migrated: int, node: Node
) -> None:
    await world.change(version="0.2.0", updatePolicy={"deadlineSeconds": 10})
    await until(says(world, "Ready", Reason.ROLLED_BACK), seconds=START_SECONDS)

    async def is_served() -> bool:
        running = node.running.get("agents")
        if running is None or not running.ready:
            return False
        return bool(running.pod["spec"]["containers"][0]["image"] == OLD)

    await until(is_served, seconds=START_SECONDS)
    assert (await status(world))["image"] == OLD
    assert await contents(world, node) == [FACT]


async def test_a_version_that_migrated_the_database_is_not_taken_back_once_it_was_written_to(
    world: World, migrated: int, node: Node
) -> None:
    before = migrated
    await world.change(version="0.2.0")
    await until(says(world, "Ready", Reason.CANARY_FAILED), seconds=START_SECONDS)
    await store(world, node, "Written on the new schema.")
    await world.change(updatePolicy={"deadlineSeconds": 10})
    await until(says(world, "Stalled", Reason.ROLLBACK_REFUSED), seconds=START_SECONDS)
    stalled = await world.condition("Stalled")
    assert f"migrated the database from schema {before} to {before + 1}" in stalled["message"]
    assert (await status(world))["image"] == NEW
    assert await contents(world, node) == ["Written on the new schema.", FACT]


@pytest.fixture
async def fleet(world: World, tmp_path: Path) -> AsyncIterator[Node]:
    made = Node(world.client, world.namespace, tmp_path)
    running = asyncio.create_task(made.run(FLEET))
    yield made
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def test_an_upgraded_operator_stops_at_the_first_bank_that_does_not_work(
    world: World, fleet: Node, tmp_path: Path
) -> None:
    prober = NodeProber(fleet)
    async with world.operator(prober=prober, app_image=OLD):
        for name in FLEET:
            await world.create(name, updatePolicy={"deadlineSeconds": 10})
        await until(lambda: all_ready(world), seconds=START_SECONDS)
    pods = {name: fleet.running[name].pod["metadata"]["uid"] for name in FLEET}

    # The same operator again has nothing to do.
    writes = len(world.writes())
    async with world.operator(prober=prober, app_image=OLD) as operator:
        await settle(world, operator, *FLEET)
        assert world.writes()[writes:] == []

    bad = "memorybank-app:0.1.1"
    fleet.releases[bad] = releases.release(tmp_path, "0.1.1", releases.does_not_start)
    async with world.operator(prober=prober, app_image=bad, update_wave=1) as operator:

        async def has_failed() -> bool:
            return stands(operator) == {"waiting": 2.0, "rolling": 0.0, "failed": 1.0}

        await until(has_failed, seconds=START_SECONDS)
        await until(lambda: all_ready(world), seconds=START_SECONDS)
        await until(lambda: is_held_back(world))
        same = [fleet.running[x].pod["metadata"]["uid"] == pods[x] for x in FLEET]
        assert sorted(same) == [False, True, True]
        await until(lambda: is_told(world, Reason.UPDATE_BEGINS, Reason.ROLLED_BACK))

    # A new leader knows of the failure from the banks' status alone, and begins nothing.
    async with world.operator(prober=prober, app_image=bad, update_wave=1) as operator:
        await until(lambda: all_ready(world), seconds=START_SECONDS)
        await settle(world, operator, *FLEET)
        assert [fleet.running[x].pod["metadata"]["uid"] == pods[x] for x in FLEET] == same

    good = "memorybank-app:0.1.2"
    fleet.releases[good] = releases.release(tmp_path, "0.1.2")
    for name in FLEET:  # a busy machine may take longer to start a good one
        await world.change(name, updatePolicy={"deadlineSeconds": 600})
    async with world.operator(prober=prober, app_image=good, update_wave=1) as operator:
        for name in FLEET:
            await until(partial(runs, world, name, good), seconds=START_SECONDS)
        await until(lambda: all_ready(world), seconds=START_SECONDS)

        async def is_over() -> bool:
            return stands(operator) == {"waiting": 0.0, "rolling": 0.0, "failed": 0.0}

        await until(is_over)


async def is_told(world: World, *reasons: Reason) -> bool:
    """Whether there are events of these reasons, which follow what they are about."""
    return set(reasons) <= {each["reason"] for each in await world.events()}


async def is_held_back(world: World) -> bool:
    """Whether one bank of the fleet went back, and all others wait."""
    said = [(await world.condition("UpdatePending", name)).get("reason") for name in FLEET]
    return sorted(map(str, said)) == [
        Reason.ROLLED_BACK, Reason.UPDATE_QUEUED, Reason.UPDATE_QUEUED,
    ]  # fmt: skip


async def all_ready(world: World) -> bool:
    return all([await is_ready(world, name) for name in FLEET])


async def runs(world: World, name: str, image: str) -> bool:
    said = await status(world, name)
    made = said.get("rollout", {}).get("current", {})
    return bool(said.get("image") == image and made.get("proven") and "plan" not in said)


def stands(operator: Operator) -> dict[str, float | None]:
    return {
        stand: operator.metrics.registry.get_sample_value(
            "memorybank_operator_updates", {"stand": stand}
        )
        for stand in ("waiting", "rolling", "failed")
    }
