"""Cluster-wide defaults on the real API server: taken while they change, refused as a whole when
something is wrong, and remembered over a restart of the operator.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from hypothesis import HealthCheck, given, settings

from memorybank_operator.api.defaults import FILE, parse
from memorybank_operator.api.v1alpha1.conditions import Reason
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.kube import kinds
from memorybank_operator.resources.build import build_all
from memorybank_operator.resources.context import BuildContext, RenderSettings
from memorybank_operator.resources.effective import effective
from memorybank_operator.runtime import Operator
from tests.integration.operator import releases
from tests.integration.operator.effort import FULL
from tests.integration.operator.garbage import collecting_garbage
from tests.integration.operator.node import Node
from tests.integration.operator.settling import settle
from tests.integration.operator.test_specs import KEY, assert_taken
from tests.integration.operator.test_updates import OLD, START_SECONDS, is_ready, is_told, runs
from tests.integration.operator.world import NodeProber, World, until
from tests.operator.strategies import defaults

NAME = "defaults"
RECORD = "defaults-in-force"
BROKEN = "resources: {limits: {memory: lots}}"
WORDS = "resources.limits.memory: not a quantity"


async def write(world: World, text: str) -> None:
    """Change the document, as people do."""
    await world.client.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": NAME, "namespace": world.namespace},
            "data": {FILE: text},
        }
    )


@asynccontextmanager
async def following(world: World, **changes: Any) -> AsyncIterator[Operator]:
    where = f"{world.namespace}/{NAME}"
    async with world.operator(defaults=where, **changes) as operator:
        yield operator


async def record(world: World) -> dict[str, str]:
    found = await world.get("ConfigMap", RECORD)
    return dict((found or {}).get("data") or {})


async def pod(world: World) -> dict[str, Any]:
    found: dict[str, Any] = (await world.must("Deployment", "agents"))["spec"]["template"]["spec"]
    return found


def limits(world: World, memory: str) -> Callable[[], Awaitable[bool]]:
    async def are_so() -> bool:
        found = await world.get("Deployment", "agents")
        if found is None:
            return False
        [container] = found["spec"]["template"]["spec"]["containers"]
        return bool(container["resources"]["limits"]["memory"] == memory)

    return are_so


def is_refused(world: World) -> Callable[[], Awaitable[bool]]:
    async def is_so() -> bool:
        return WORDS in (await record(world)).get("refused", "")

    return is_so


def refused(operator: Operator) -> float | None:
    return operator.metrics.registry.get_sample_value("memorybank_operator_defaults_refused")


async def test_banks_take_them_and_each_change_and_nothing_of_a_wrong_one(world: World) -> None:
    await write(world, "resources: {limits: {memory: 1Gi}}\nregistry: mirror.example:5000")
    async with following(world) as operator:
        await world.create()
        await until(limits(world, "1Gi"))
        assert (await pod(world))["containers"][0]["image"].startswith("mirror.example:5000/")
        await write(world, "resources: {limits: {memory: 2Gi}}\nnodeSelector: {disk: ssd}")
        await until(limits(world, "2Gi"))
        assert (await pod(world))["nodeSelector"] == {"disk": "ssd"}
        await settle(world, operator)
        bank = await world.must(kinds.MEMORY_BANK, "agents")
        assert bank["status"]["rollout"]["current"]["defaults"]["nodeSelector"] == {"disk": "ssd"}

        await write(world, f"{BROKEN}\nnodeSelector: {{disk: hdd}}")
        await until(is_refused(world))
        assert refused(operator) == 1.0
        await settle(world, operator)
        assert (await pod(world))["nodeSelector"] == {"disk": "ssd"}
        assert parse({FILE: (await record(world))[FILE]}).node_selector == {"disk": "ssd"}
        await until(lambda: is_told(world, Reason.DEFAULTS_ACCEPTED, Reason.DEFAULTS_REFUSED))
    told = {each["reason"]: each for each in await world.events()}
    assert told[Reason.DEFAULTS_ACCEPTED]["involvedObject"]["name"] == NAME
    warning = told[Reason.DEFAULTS_REFUSED]
    assert (warning["type"], WORDS in warning["message"]) == ("Warning", True)

    # An operator that starts with the wrong one works by what was in force before it.
    writes = len(world.writes())
    async with following(world) as operator:
        await settle(world, operator)
        assert world.writes()[writes:] == []
        assert refused(operator) == 1.0
        await world.delete("Deployment", "agents")
        await until(limits(world, "2Gi"))
        await write(world, "")
        await until(limits(world, "512Mi"))
        await settle(world, operator)
        assert "nodeSelector" not in await pod(world)
        assert await record(world) == {FILE: ""}
        assert refused(operator) == 0.0

        # Deleted by mistake, they stay in force.
        await write(world, "resources: {limits: {memory: 3Gi}}")
        await until(limits(world, "3Gi"))
        await world.delete("ConfigMap", NAME)

        async def is_missed() -> bool:
            return "does not exist" in (await record(world)).get("refused", "")

        await until(is_missed)
        await settle(world, operator)
        assert await limits(world, "3Gi")()


async def test_an_operator_that_never_had_good_ones_does_not_begin_until_it_has(
    world: World,
) -> None:
    await write(world, BROKEN)
    async with following(world, lease_namespace=world.namespace) as operator:
        await world.create()

        async def is_waiting() -> bool:
            if not operator.port:
                return False  # not served yet
            url = f"http://127.0.0.1:{operator.port}/readyz"
            async with aiohttp.ClientSession() as session, session.get(url) as response:
                return response.status == 503 and WORDS in await response.text()

        await until(is_waiting)
        assert await world.get(kinds.LEASE, "memorybank-operator") is None
        await write(world, "resources: {limits: {memory: 1Gi}}")
        await until(limits(world, "1Gi"))


async def test_a_new_volume_gets_the_default_class_and_a_kept_one_keeps_its_own(
    world: World,
) -> None:
    for name in ("quick", "slow"):
        await world.client.apply(
            {
                "apiVersion": "storage.k8s.io/v1",
                "kind": "StorageClass",
                "metadata": {"name": name},
                "provisioner": "example.org/none",
            }
        )
    await write(world, "storage: {volume: {storageClassName: quick}}")

    own = {"volume": {"storageClassName": "slow"}}
    async with following(world) as operator, collecting_garbage(world, "agents", "other"):
        await world.create()
        await world.create("other", storage=own)
        await settle(world, operator, "agents", "other")
        classes = [await storage_class(world, name) for name in ("agents", "other")]
        assert classes == ["quick", "slow"]
        await write(world, "storage: {volume: {storageClassName: slow}}")
        await until(is_in_force(world, "slow"))
        await settle(world, operator, "agents", "other")
        # What follows them has nothing to say about the class.
        for name in ("agents", "other"):
            await world.delete(kinds.MEMORY_BANK, name)
        await until(partial(is_alone, world))
        for name in ("agents", "other"):
            await world.create(name)
        await settle(world, operator, "agents", "other")
        for name in ("agents", "other"):
            ready = await world.ready(name)
            assert ready["reason"] == Reason.DEPLOYMENT_PROGRESSING, ready
        assert [await storage_class(world, name) for name in ("agents", "other")] == classes


async def storage_class(world: World, bank: str) -> str:
    return str(
        (await world.must("PersistentVolumeClaim", f"{bank}-data"))["spec"]["storageClassName"]
    )


def is_in_force(world: World, words: str) -> Callable[[], Awaitable[bool]]:
    async def is_so() -> bool:
        return words in (await record(world)).get(FILE, "")

    return is_so


async def is_alone(world: World) -> bool:
    """Only the volumes are left."""
    left = [await world.children(name) for name in ("agents", "other")]
    return all(each.keys() == {"PersistentVolumeClaim"} for each in left)


async def test_another_default_version_is_a_fleets_update(
    world: World, node: Node, prober: NodeProber, tmp_path: Path
) -> None:
    node.releases["memorybank-app:0.1.2"] = releases.release(tmp_path, "0.1.2")
    await write(world, "")
    async with following(world, prober=prober, app_image=OLD, update_wave=0) as operator:
        await world.create()
        await until(lambda: is_ready(world), seconds=START_SECONDS)
        await write(world, 'version: "0.1.2"')

        async def waits() -> bool:
            pending = await world.condition("UpdatePending")
            return pending.get("reason") == Reason.UPDATE_QUEUED and await is_ready(world)

        await until(waits)
        await settle(world, operator)
        assert (await pod(world))["containers"][0]["image"] == OLD
    async with following(world, prober=prober, app_image=OLD, update_wave=1):
        await until(lambda: runs(world, "agents", "memorybank-app:0.1.2"), seconds=START_SECONDS)
        await until(lambda: is_ready(world), seconds=START_SECONDS)
        await until(lambda: is_told(world, Reason.UPDATE_BEGINS))


@pytest.mark.proof
@settings(
    max_examples=300 if FULL else 15, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(given=defaults)
async def test_what_is_taken_as_a_default_gives_objects_that_the_api_server_takes(
    world: World, given: dict[str, Any]
) -> None:
    parsed = parse({FILE: yaml.safe_dump(given)})
    body = {"name": "agents", "namespace": world.namespace, "uid": str(uuid.uuid4())}
    of = MemoryBank.parse({"metadata": body | {"generation": 1}})
    context = BuildContext(
        effective(of, parsed), RenderSettings("memorybank-app:0.1.0", "cluster.local", parsed),
        admin_key=KEY, volume_size="1Gi", storage_class=parsed.storage.volume.storage_class_name,
    )  # fmt: skip
    await assert_taken(world, build_all(context))
