"""Read replicas of a bank: when they are made, made anew and taken away, what is told of them, and
what becomes of a bank whose name they would take.
"""

from __future__ import annotations

from typing import Any

from memorybank_operator.api.v1alpha1.conditions import ConditionType, Reason
from memorybank_operator.kube import kinds
from memorybank_operator.kube.client import with_status
from memorybank_operator.reconcile.observed import FollowReading, Reading
from tests.integration.operator.settling import settle
from tests.integration.operator.test_volumes import reasons, until_said, until_told
from tests.integration.operator.world import Object, World, until
from tests.operator.world import BACKED_UP, BUCKET_KEYS

READ: dict[str, Any] = BACKED_UP | {"readReplicas": {"replicas": 2, "maxLag": "30s"}}
OBJECTS = {
    "ConfigMap": "agents-read-config",
    "Service": "agents-read",
    "PodDisruptionBudget": "agents-read",
    "Deployment": "agents-read",
}
WELL = FollowReading("00000001-1a2b3c4d", 0.7)


async def readers(world: World) -> Object:
    return await world.must(kinds.DEPLOYMENT, "agents-read")


async def present(world: World) -> set[str]:
    """Which kinds of objects of read replicas there are."""
    return {kind for kind, name in OBJECTS.items() if await world.get(kind, name) is not None}


async def serve(world: World, deployment: str, pod: str) -> None:
    """Play the controller and the node: a pod of that Deployment serves."""
    made = await world.must(kinds.DEPLOYMENT, deployment)
    template = made["spec"]["template"]
    name = {"name": pod, "namespace": world.namespace}
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**template["metadata"], **name},
        "spec": {**template["spec"], "terminationGracePeriodSeconds": 0},
    }
    running = {"name": "memorybank", "image": "x", "imageID": "x", "restartCount": 0}
    at = "2026-01-01T00:00:00Z"
    status = {
        "phase": "Running",
        "podIP": "192.0.2.1",
        "podIPs": [{"ip": "192.0.2.1"}],
        "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": at}],
        "containerStatuses": [running | {"ready": True, "started": True}],
    }
    await world.client.apply_status(with_status(await world.client.create(body), status))


async def count(world: World, ready: int) -> None:
    """Play the controller: so many of two read replicas are ready, and the newest once were."""
    deployment = await readers(world)
    complete = {
        "type": "Progressing",
        "status": "True",
        "reason": "NewReplicaSetAvailable",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    status = {
        "observedGeneration": deployment["metadata"]["generation"],
        "conditions": [complete],
        "replicas": 2,
        **({"readyReplicas": ready, "availableReplicas": ready} if ready else {}),
    }
    await world.client.apply_status(with_status(deployment, status))


async def told(world: World) -> Object | None:
    bank = await world.must(kinds.MEMORY_BANK, "agents")
    found: Object | None = bank["status"].get("readReplicas")
    return found


async def test_they_are_made_when_the_bank_serves_follow_its_changes_and_sleep_with_it(
    world: World,
) -> None:
    await world.put_secret("bucket", **BUCKET_KEYS)
    async with world.operator() as operator:
        await world.create(**READ)
        await settle(world, operator)
        assert await present(world) == {"Service", "PodDisruptionBudget"}

        await serve(world, "agents", "agents-0")
        await settle(world, operator)
        assert await present(world) == OBJECTS.keys()
        bank = await world.must(kinds.MEMORY_BANK, "agents")
        first = await readers(world)
        assert [each["uid"] for each in first["metadata"]["ownerReferences"]] == [
            bank["metadata"]["uid"]
        ]
        assert first["spec"]["replicas"] == 2

        await world.change(restart="again", readReplicas={"replicas": 3})
        await settle(world, operator)
        kept = await readers(world)
        assert kept["spec"]["replicas"] == 2, "nothing of them changes before the bank serves anew"
        assert kept["spec"]["template"] == first["spec"]["template"]
        await world.delete(kinds.POD, "agents-0")
        await serve(world, "agents", "agents-1")
        await settle(world, operator)
        after = await readers(world)
        assert after["spec"]["replicas"] == 3
        assert after["spec"]["template"] != first["spec"]["template"]

        await world.change(readReplicas={"replicas": 1})
        await settle(world, operator)
        assert (await readers(world))["spec"]["replicas"] == 1

        await world.change(hibernate=True)
        await settle(world, operator)
        assert (await readers(world))["spec"]["replicas"] == 0
        await world.delete(kinds.POD, "agents-1")
        await world.change(hibernate=False)
        await settle(world, operator)
        assert (await world.must(kinds.DEPLOYMENT, "agents"))["spec"]["replicas"] == 1
        assert (await readers(world))["spec"]["replicas"] == 0, "the bank wakes before them"
        await serve(world, "agents", "agents-2")
        await settle(world, operator)
        assert (await readers(world))["spec"]["replicas"] == 1

        await world.change(readReplicas=None)
        await settle(world, operator)
        assert await present(world) == set()
        assert await told(world) is None
        assert await world.must(kinds.DEPLOYMENT, "agents")


async def test_what_is_told_of_them_is_how_many_answer_and_how_far_they_are_behind(
    world: World,
) -> None:
    await world.put_secret("bucket", **BUCKET_KEYS)
    world.pod.said = Reading(readers=WELL)
    url = f"http://agents-read.{world.namespace}.svc:8080"
    async with world.operator() as operator:
        await world.create(**READ)
        await settle(world, operator)
        await serve(world, "agents", "agents-0")
        await settle(world, operator)
        await serve(world, "agents-read", "agents-read-0")
        await serve(world, "agents-read", "agents-read-1")
        await count(world, 2)
        await settle(world, operator)
        assert await told(world) == {
            "url": url, "replicas": 2, "readyReplicas": 2, "lagSeconds": 5,
        }  # fmt: skip
        labels = {"namespace": world.namespace, "bank": "agents"}
        name, registry = "memorybank_operator_read_replicas_lag_seconds", operator.metrics.registry
        assert registry.get_sample_value(name, labels) == 5.0

        world.pod.said = Reading(readers=FollowReading(WELL.epoch, 21.0))

        async def is_late() -> bool:
            return (await told(world) or {}).get("lagSeconds") == 30

        await until(is_late)
        assert registry.get_sample_value(name, labels) == 30.0
        await settle(world, operator)
        writes = len(world.writes())
    async with world.operator() as operator:
        await settle(world, operator)
        assert len(world.writes()) == writes, "what lasts is not written again"

        await world.delete(kinds.POD, "agents-read-0")
        await world.delete(kinds.POD, "agents-read-1")
        await count(world, 0)
        lack = await until_said(world, ConditionType.DEGRADED, Reason.READ_REPLICAS_UNAVAILABLE)
        assert url in lack["message"]
        await until_told(world, Reason.READ_REPLICAS_UNAVAILABLE)
        assert await told(world) == {"url": url, "replicas": 2, "readyReplicas": 0}
        await settle(world, operator)
        registry = operator.metrics.registry
        assert registry.get_sample_value(name, labels) is None

        await serve(world, "agents-read", "agents-read-2")
        await count(world, 1)

        async def is_well() -> bool:
            return await world.condition(ConditionType.DEGRADED) == {}

        await until(is_well)
        assert (await world.condition(ConditionType.AVAILABLE))["status"] == "True"
        await world.delete(kinds.POD, "agents-0")
        await settle(world, operator)
        available = await world.condition(ConditionType.AVAILABLE)
        assert available["status"] == "False", "their pods are not the bank's"
    assert (await reasons(world)).count(Reason.READ_REPLICAS_UNAVAILABLE) == 1


async def test_a_bank_of_that_name_and_what_it_has_are_left_alone(world: World) -> None:
    await world.put_secret("bucket", **BUCKET_KEYS)
    async with world.operator() as operator:
        await world.create("agents-read")
        await settle(world, operator, "agents-read")
        await world.create(**BACKED_UP)
        await settle(world, operator)
        await serve(world, "agents", "agents-0")
        await settle(world, operator)
        theirs = await readers(world)
        await world.change(readReplicas={"replicas": 2})
        await settle(world, operator)
        ready = await world.ready()
        assert (ready["status"], ready["reason"]) == ("False", Reason.NAME_CONFLICT)
        assert "agents-read exists and is not this bank's" in ready["message"]
        assert await readers(world) == theirs
        assert (await world.ready("agents-read"))["reason"] != Reason.NAME_CONFLICT

        await world.change(readReplicas=None)
        await settle(world, operator)
        assert (await world.ready())["reason"] != Reason.NAME_CONFLICT
        assert await readers(world) == theirs


async def test_a_bank_whose_name_read_replicas_have_says_so(world: World) -> None:
    await world.put_secret("bucket", **BUCKET_KEYS)
    async with world.operator() as operator:
        await world.create(**READ)
        await settle(world, operator)
        await serve(world, "agents", "agents-0")
        await settle(world, operator)
        theirs = await readers(world)
        await world.create("agents-read")
        await settle(world, operator, "agents", "agents-read")
        ready = await world.ready("agents-read")
        assert (ready["status"], ready["reason"]) == ("False", Reason.NAME_CONFLICT)
        assert await readers(world) == theirs
        assert (await world.ready())["reason"] != Reason.NAME_CONFLICT
