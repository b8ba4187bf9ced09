"""Volumes grow, by an edit of the spec or by themselves, as far as the API server and the storage
let them.
"""

from __future__ import annotations

from typing import Any

from kubernetes import client as kubernetes

from memorybank_operator.api.v1alpha1.conditions import ConditionType, Reason
from memorybank_operator.kube import kinds
from memorybank_operator.reconcile.observed import Disk, Reading
from tests.integration.operator.settling import settle
from tests.integration.operator.volumes import asked, claim, make_class, run_pod, say, saying
from tests.integration.operator.world import Object, World, until


def volume(size: str, storage_class: str = "stretchy") -> dict[str, Any]:
    return {"volume": {"size": size, "storageClassName": storage_class}}


async def create_bound(
    world: World, size: str = "1Gi", storage_class: str = "stretchy", **more: Any
) -> None:
    """Create a bank, and bind its volume."""
    wanted = volume(size, storage_class)
    wanted["volume"] |= more
    await world.create(storage=wanted)

    async def is_made() -> bool:
        return await world.get(kinds.VOLUME_CLAIM, "agents-data") is not None

    await until(is_made)
    await say(world, size)


async def until_said(world: World, kind: ConditionType, reason: Reason | None) -> Object:
    """Wait until a condition has this reason, or is not there; return it."""

    async def is_said() -> bool:
        found = await world.condition(kind)
        return found.get("reason") == (None if reason is None else str(reason))

    await until(is_said, what=f"{kind} {reason}")
    return await world.condition(kind)


async def until_resizing(world: World, reason: Reason | None) -> Object:
    return await until_said(world, ConditionType.VOLUME_RESIZING, reason)


async def until_low(world: World, reason: Reason | None) -> Object:
    return await until_said(world, ConditionType.DISK_LOW, reason)


async def until_capacity(world: World, size: str) -> None:
    async def is_said() -> bool:
        status = (await world.must(kinds.MEMORY_BANK, "agents"))["status"]
        return (status.get("storage") or {}).get("capacity") == size

    await until(is_said, what=f"capacity {size}")


async def reasons(world: World) -> list[str]:
    return [each["reason"] for each in await world.events()]


async def until_told(world: World, reason: Reason) -> None:
    """Wait for an event, which follows what the status says."""

    async def is_told() -> bool:
        return reason in await reasons(world)

    await until(is_told, what=f"event {reason}")


async def test_a_growth_is_told_from_the_edit_to_its_end_by_whichever_operator_runs(
    world: World,
) -> None:
    await make_class(world, "stretchy", expandable=True)
    async with world.operator():
        await create_bound(world)
        await until_capacity(world, "1Gi")
        await world.change(storage=volume("3Gi"))
        await until_resizing(world, Reason.VOLUME_GROWING)
    assert await asked(world) == "3Gi"
    await say(world, "1Gi", conditions=saying("FileSystemResizePending"))
    async with world.operator():
        await until_resizing(world, Reason.FILE_SYSTEM_GROWS_LATER)
    await say(world, "3Gi")
    async with world.operator() as operator:
        await until_resizing(world, None)
        await settle(world, operator)
    storage = (await world.must(kinds.MEMORY_BANK, "agents"))["status"]["storage"]
    assert storage == {"capacity": "3Gi", "requested": "3Gi"}
    told = await reasons(world)
    assert (told.count(Reason.VOLUME_GROWS), told.count(Reason.VOLUME_GROWN)) == (1, 1)
    grown = [each for each in world.writes() if "persistentvolumeclaims" in each]
    assert grown == ["patch persistentvolumeclaims agents-data"] * 2  # made, and made larger


async def test_what_its_class_does_not_allow_is_not_begun_until_it_does(world: World) -> None:
    rigid = f"rigid-{world.namespace}"
    await make_class(world, rigid, expandable=False)
    async with world.operator():
        await create_bound(world, storage_class=rigid)
        await until_capacity(world, "1Gi")
        before = await claim(world)
        await world.change(storage=volume("3Gi", rigid))

        async def is_refused() -> bool:
            return (await world.ready()).get("reason") == Reason.VOLUME_NOT_EXPANDABLE

        await until(is_refused)
        message = (await world.ready())["message"]
        assert f"StorageClass {rigid} does not let volumes grow" in message
        assert "set the size back to 1Gi" in message
        assert (await claim(world))["metadata"]["resourceVersion"] == (
            before["metadata"]["resourceVersion"]
        )
        await world.client.merge(
            kinds.STORAGE_CLASS, None, name=rigid, changes={"allowVolumeExpansion": True}
        )
        await until_resizing(world, Reason.VOLUME_GROWING)
    assert await asked(world) == "3Gi"


async def test_a_volume_that_somebody_enlarged_stays_so_and_it_is_said_once(world: World) -> None:
    await make_class(world, "stretchy", expandable=True)
    async with world.operator():
        await create_bound(world)
        await until_capacity(world, "1Gi")
        larger = {"spec": {"resources": {"requests": {"storage": "5Gi"}}}}
        await world.client.merge(
            kinds.VOLUME_CLAIM, world.namespace, name="agents-data", changes=larger
        )
        await say(world, "5Gi")
        await until_capacity(world, "5Gi")
    async with world.operator() as operator:
        await settle(world, operator)
        await world.change(logging={"level": "debug"})
        await settle(world, operator)
    assert await asked(world) == "5Gi"
    storage = (await world.must(kinds.MEMORY_BANK, "agents"))["status"]["storage"]
    assert "asks for 5Gi" in storage["message"]
    assert (await reasons(world)).count(Reason.VOLUME_LARGER_THAN_SPEC) == 1
    assert Reason.DRIFT_CORRECTED not in await reasons(world)


async def test_a_growth_that_failed_is_told_and_can_be_given_up(world: World) -> None:
    await make_class(world, "stretchy", expandable=True)
    async with world.operator() as operator:
        await create_bound(world)
        await until_capacity(world, "1Gi")
        await world.change(storage=volume("900Gi"))
        await until_resizing(world, Reason.VOLUME_GROWING)
        await say(world, "1Gi", conditions=saying("ControllerResizeError", "quota exceeded"))
        condition = await until_resizing(world, Reason.VOLUME_GROWTH_FAILED)
        assert "from 1Gi to 900Gi: quota exceeded." in condition["message"]
        await until_told(world, Reason.VOLUME_GROWTH_FAILED)
        # The cure, as the runbook has it.
        await world.change(storage=volume("2Gi"))
        smaller = {"spec": {"resources": {"requests": {"storage": "2Gi"}}}}
        await world.client.merge(
            kinds.VOLUME_CLAIM, world.namespace, name="agents-data", changes=smaller
        )
        await say(world, "2Gi")
        await until_capacity(world, "2Gi")
        await until_resizing(world, None)
        await settle(world, operator)
    assert await asked(world) == "2Gi"


GI = 2**30
AUTO = {"enabled": True, "maxSize": "3Gi"}


async def test_a_volume_grows_by_itself_once_for_each_time_its_disk_is_low(world: World) -> None:
    await make_class(world, "stretchy", expandable=True)
    world.pod.said = Reading(Disk(total=GI, free=GI // 4))
    async with world.operator() as operator:
        await create_bound(world, autoGrow=AUTO)
        await run_pod(world)
        await until_capacity(world, "1Gi")
        await settle(world, operator)
        assert await world.condition(ConditionType.DISK_LOW) == {}
        world.pod.said = Reading(Disk(total=GI, free=GI // 10))
        await until_low(world, Reason.AUTO_GROWING)
    assert await asked(world) == "2Gi"
    for capacity, reason in (("1Gi", Reason.AUTO_GROWING), ("2Gi", Reason.FILE_SYSTEM_GROWS_LATER)):
        await say(world, capacity)
        async with world.operator() as operator:  # which reads the disk as it was before
            await until_low(world, reason)
            await settle(world, operator)
    assert await asked(world) == "2Gi"
    world.pod.said = Reading(Disk(total=2 * GI, free=GI))
    async with world.operator() as operator:
        await until_low(world, None)
        world.pod.said = Reading(Disk(total=2 * GI, free=0))
        await until_low(world, Reason.AUTO_GROWING)
        assert await asked(world) == "3Gi"
        await say(world, "3Gi")
        world.pod.said = Reading(Disk(total=3 * GI, free=0))
        condition = await until_low(world, Reason.MAXIMUM_REACHED)
        await settle(world, operator)
    assert "3Gi of spec.storage.volume.autoGrow.maxSize: raise that" in condition["message"]
    bank = await world.must(kinds.MEMORY_BANK, "agents")
    assert bank["spec"]["storage"]["volume"]["size"] == "1Gi"
    assert bank["metadata"]["generation"] == 1
    told = await reasons(world)
    assert told.count(Reason.VOLUME_GROWS) == told.count(Reason.VOLUME_GROWN) == 2
    assert told.count(Reason.MAXIMUM_REACHED) == 1
    written = [each for each in world.writes() if "persistentvolumeclaims" in each]
    assert len(written) == 3  # made, and made larger twice


async def test_a_growth_that_the_api_server_refuses_is_told_and_stops_nothing_else(
    world: World, api_client: kubernetes.ApiClient
) -> None:
    core = kubernetes.CoreV1Api(api_client)
    await make_class(world, "stretchy", expandable=True)
    async with world.operator() as operator:
        await create_bound(world, autoGrow=AUTO)
        await run_pod(world)
        await until_capacity(world, "1Gi")
        before = await world.ready()
        forbid_more_storage(core, world.namespace)
        await until(lambda: refuses_storage(world), what="a quota in force")
        world.pod.said = Reading(Disk(total=GI, free=0))
        condition = await until_low(world, Reason.GROWTH_REFUSED)
        assert "exceeded quota: storage" in condition["message"]
        assert await world.ready() == before
        await world.change(deletionPolicy="Delete")

        async def is_owned() -> bool:
            return "ownerReferences" in (await claim(world))["metadata"]

        await until(is_owned, what="the other change of the claim")
        assert await asked(world) == "1Gi"
        core.delete_namespaced_resource_quota("storage", world.namespace)
        await world.change(logging={"level": "debug"})  # a reason to look again
        await until_low(world, Reason.AUTO_GROWING)
        await settle(world, operator)
    assert await asked(world) == "2Gi"


async def refuses_storage(world: World) -> bool:
    """Whether the API server goes by the quota, which it hears of by a watch of its own."""
    path = world.connection.server + kinds.VOLUME_CLAIM.collection(world.namespace)
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    async with (
        world.connection.session() as session,
        session.post(
            path, params={"dryRun": "All"}, json={"metadata": {"name": "tried"}, "spec": spec}
        ) as answer,
    ):
        assert answer.status in (201, 403), await answer.text()
        return answer.status == 403


def forbid_more_storage(core: kubernetes.CoreV1Api, namespace: str) -> None:
    """Have a namespace allow for no larger volume, as the quota's controller would write it."""
    hard = {"requests.storage": "1Gi"}
    quota = kubernetes.V1ResourceQuota(
        metadata=kubernetes.V1ObjectMeta(name="storage"),
        spec=kubernetes.V1ResourceQuotaSpec(hard=hard),
    )
    core.create_namespaced_resource_quota(namespace, quota)
    core.patch_namespaced_resource_quota_status(
        "storage",
        namespace,
        {"status": {"hard": hard, "used": hard}},
    )
