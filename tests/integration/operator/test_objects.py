"""The operator makes a bank's objects on a real API server, keeps them so, writes nothing else."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest

from memorybank_operator import constants
from memorybank_operator.api.v1alpha1.conditions import Reason
from memorybank_operator.engine.cache import BankKey
from memorybank_operator.kube import kinds
from memorybank_operator.runtime import Operator
from tests.integration.operator.faults import DeletedBefore, faulty
from tests.integration.operator.settling import settle
from tests.integration.operator.world import CHILDREN, World, succeeds_within, until

DRIFT_SECONDS = 2.0
"""Within this time, what was deleted is back."""
CHANGE_SECONDS = 1.0
"""Within this time, a change of the spec is in the objects."""


@pytest.fixture
async def operator(world: World) -> AsyncIterator[Operator]:
    async with world.operator() as running:
        yield running


async def bank_with_objects(
    world: World, name: str = "agents", **spec: Any
) -> dict[str, dict[str, Any]]:
    await world.create(name, **spec)

    async def is_said() -> bool:
        return bool(await world.ready(name))

    await until(is_said)
    return await world.children(name)


def reconciles(operator: Operator) -> float:
    """How many reconciles came to their end."""
    registry = operator.metrics.registry
    done = registry.get_sample_value("memorybank_operator_reconciles_total", {"result": "done"})
    return done or 0.0


async def test_a_bank_gets_all_its_objects(world: World, operator: Operator) -> None:
    children = await bank_with_objects(world)
    assert children.keys() == CHILDREN.keys()
    bank = await world.must(kinds.MEMORY_BANK, "agents")
    for kind, child in children.items():
        owners = [each["uid"] for each in child["metadata"].get("ownerReferences", ())]
        assert owners == ([] if kind == "PersistentVolumeClaim" else [bank["metadata"]["uid"]])


async def test_a_volume_that_shall_go_with_its_bank_is_owned_by_it(
    world: World, operator: Operator
) -> None:
    children = await bank_with_objects(world, deletionPolicy="Delete")
    owner = children["PersistentVolumeClaim"]["metadata"]["ownerReferences"][0]
    assert owner["kind"] == "MemoryBank"


async def test_a_new_bank_is_not_ready_and_says_what_it_waits_for(
    world: World, operator: Operator
) -> None:
    await bank_with_objects(world)
    ready = await world.ready()
    assert (ready["status"], ready["reason"]) == ("False", Reason.DEPLOYMENT_PROGRESSING)
    assert (await world.condition("Reconciling"))["status"] == "True"


@pytest.mark.parametrize("kind", [k for k in CHILDREN if k != "PersistentVolumeClaim"])
async def test_a_deleted_object_is_made_again(world: World, operator: Operator, kind: str) -> None:
    await bank_with_objects(world)
    deleted = await world.delete(kind, CHILDREN[kind])

    async def is_back() -> bool:
        found = await world.get(kind, CHILDREN[kind])
        return found is not None and found["metadata"]["uid"] != deleted["metadata"]["uid"]

    await until(is_back)


async def test_what_is_deleted_is_back_in_time(world: World, operator: Operator) -> None:
    async def lose(number: int) -> float:
        name = f"bank-{number}"
        await bank_with_objects(world, name)
        await world.delete("ConfigMap", f"{name}-config")

        async def is_back() -> bool:
            return await world.get("ConfigMap", f"{name}-config") is not None

        return await until(is_back)

    await succeeds_within(DRIFT_SECONDS, lose)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("ConfigMap", {"data": {"config.yaml": "environment: mine\n"}}),
        ("Service", {"spec": {"selector": {"app.kubernetes.io/name": "other"}}}),
        ("Service", {"metadata": {"labels": {"memorybank.dev/bank": "other"}}}),
        ("ConfigMap", {"metadata": {"labels": {"app.kubernetes.io/managed-by": "me"}}}),
        ("ServiceAccount", {"automountServiceAccountToken": True}),
        ("Deployment", {"spec": {"replicas": 0}}),
        ("Deployment", {"spec": {"template": {"spec": {"serviceAccountName": "default"}}}}),
        ("Secret", {"metadata": {"ownerReferences": None}}),
    ],
)
async def test_what_somebody_changes_is_put_back(
    world: World, operator: Operator, kind: str, changes: dict[str, Any]
) -> None:
    before = (await bank_with_objects(world))[kind]
    await world.client.merge(
        kinds.by_kind(kind), world.namespace, name=CHILDREN[kind], changes=changes
    )

    async def is_as_before() -> bool:
        now = await world.must(kind, CHILDREN[kind])
        return _wanted(now) == _wanted(before)

    await until(is_as_before)


def _wanted(body: dict[str, Any]) -> dict[str, Any]:
    """Return an object without what the API server counts and notes."""
    noise = {"managedFields", "resourceVersion", "generation"}
    metadata = {key: value for key, value in body["metadata"].items() if key not in noise}
    return {**body, "metadata": metadata, "status": None}


async def test_what_somebody_adds_stays(world: World, operator: Operator) -> None:
    await bank_with_objects(world)
    extra = {"metadata": {"annotations": {"example.org/note": "mine"}}}
    await world.client.merge(kinds.SERVICE, world.namespace, name="agents", changes=extra)
    await world.delete("ConfigMap", "agents-config")

    async def is_back() -> bool:
        return await world.get("ConfigMap", "agents-config") is not None

    await until(is_back)
    service = await world.must("Service", "agents")
    assert service["metadata"]["annotations"]["example.org/note"] == "mine"


async def test_a_changed_spec_reaches_the_objects(world: World, operator: Operator) -> None:
    async def change(number: int) -> float:
        name = f"bank-{number}"
        await bank_with_objects(world, name)
        await world.change(name, logging={"level": "debug"}, image="registry.example/app:2")

        async def is_changed() -> bool:
            children = await world.children(name)
            (container,) = children["Deployment"]["spec"]["template"]["spec"]["containers"]
            config = children["ConfigMap"]["data"]["config.yaml"]
            return "level: debug" in config and container["image"] == "registry.example/app:2"

        return await until(is_changed)

    await succeeds_within(CHANGE_SECONDS, change)


async def test_a_field_removed_from_the_spec_leaves_the_objects(
    world: World, operator: Operator
) -> None:
    await bank_with_objects(world, podLabels={"team": "blue"})
    await world.change(podLabels=None)

    async def is_gone() -> bool:
        deployment = await world.must("Deployment", "agents")
        return "team" not in deployment["spec"]["template"]["metadata"]["labels"]

    await until(is_gone)


async def test_an_idle_bank_is_written_to_by_nobody(world: World) -> None:
    async with world.operator(resync_interval=10.0) as operator:
        await bank_with_objects(world)
        await settle(world, operator)

        before, writes = reconciles(operator), world.writes()
        # Bring the looks without an occasion forward: all of what there is, many times over.
        for _ in range(20):
            operator._look_at(operator.cache.banks())
            count = reconciles(operator)

            async def looked(count: float = count) -> bool:
                return reconciles(operator) > count

            await until(looked)
        assert reconciles(operator) >= before + 20
        assert world.writes() == writes


async def test_a_resync_finds_what_no_watch_told(world: World, operator: Operator) -> None:
    service = (await bank_with_objects(world, replicas=0))["Service"]
    # As after a lost event: the operator takes what it once saw for the newest there is.
    newest = {**service, "metadata": {**service["metadata"], "resourceVersion": str(2**62)}}
    operator.cache.put(newest)
    await world.client.merge(
        kinds.SERVICE, world.namespace, name="agents",
        changes={"spec": {"selector": {"app.kubernetes.io/name": "other"}}},
    )  # fmt: skip
    await resync(world, "after the outage")
    mended = await world.must("Service", "agents")
    assert mended["spec"]["selector"] == service["spec"]["selector"]


async def resync(world: World, text: str) -> None:
    """Ask for a re-sync and wait for its echo."""
    await world.client.merge(
        kinds.MEMORY_BANK, world.namespace, name="agents",
        changes={"metadata": {"annotations": {constants.ANNOTATION_RESYNC: text}}},
    )  # fmt: skip

    async def is_echoed() -> bool:
        bank = await world.must(kinds.MEMORY_BANK, "agents")
        return bool(bank["status"].get("resync") == text)

    await until(is_echoed)


async def test_a_restarted_operator_writes_nothing(world: World) -> None:
    async with world.operator() as operator:
        await bank_with_objects(world)
        await settle(world, operator)
    writes = world.writes()
    async with world.operator() as operator:

        async def looked(operator: Operator = operator) -> bool:
            return reconciles(operator) >= 1

        await until(looked)
        await settle(world, operator)
    assert world.writes() == writes


async def test_what_happened_while_no_operator_ran_is_made_good(world: World) -> None:
    async with world.operator():
        await bank_with_objects(world)
    await world.delete("Service", "agents")
    await world.change(logging={"level": "debug"})
    async with world.operator():

        async def is_good() -> bool:
            children = await world.children()
            if "Service" not in children:
                return False
            return "level: debug" in children["ConfigMap"]["data"]["config.yaml"]

        await until(is_good)


async def test_a_lost_key_is_replaced_and_an_event_says_so(
    world: World, operator: Operator
) -> None:
    before = await bank_with_objects(world)
    lost = await world.delete("Secret", "agents-key")

    async def is_replaced() -> bool:
        return await world.get("Secret", "agents-key") is not None

    await until(is_replaced)
    new = await world.must("Secret", "agents-key")
    token = base64.b64decode(new["data"]["token"]).decode()
    assert len(token) == 46
    assert new["data"]["token"] != lost["data"]["token"]

    async def is_told() -> bool:
        return any(each["reason"] == Reason.KEY_REPLACED for each in await world.events())

    await until(is_told)
    for event in await world.events():
        assert token not in event["message"]
    deployment = await world.must("Deployment", "agents")
    assert deployment["spec"]["template"] == before["Deployment"]["spec"]["template"], "no roll"


async def test_a_key_that_is_thrown_away_while_its_secret_is_put_back_does_not_come_back(
    world: World,
) -> None:
    fault = DeletedBefore(world, "agents-key")
    async with world.operator(connection=faulty(world, fault)):
        before = await bank_with_objects(world)
        fault.armed = True
        unlabelled = {"metadata": {"labels": {"app.kubernetes.io/name": None}}}
        await world.client.merge(
            kinds.SECRET, world.namespace, name="agents-key", changes=unlabelled
        )

        async def is_replaced() -> bool:
            secret = await world.get("Secret", "agents-key")
            uid = before["Secret"]["metadata"]["uid"]
            return secret is not None and secret["metadata"]["uid"] != uid

        await until(is_replaced)
        new = await world.must("Secret", "agents-key")
        assert new["data"]["token"] != before["Secret"]["data"]["token"]


async def test_an_object_of_somebody_else_is_left_alone_and_named(
    world: World, operator: Operator
) -> None:
    theirs = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "agents-config", "namespace": world.namespace},
        "data": {"mine": "yes"},
    }
    made = await world.client.create(theirs)
    await world.create()

    async def is_stalled() -> bool:
        return (await world.condition("Stalled")).get("reason") == Reason.NAME_CONFLICT

    await until(is_stalled)
    assert "ConfigMap agents-config" in (await world.ready())["message"]
    assert await world.must("ConfigMap", "agents-config") == made


async def test_a_missing_storage_class_is_named_and_waited_for(
    world: World, operator: Operator
) -> None:
    name = f"fast-{world.namespace}"
    await world.create(storage={"volume": {"storageClassName": name}})

    async def is_missed() -> bool:
        return (await world.ready()).get("reason") == Reason.STORAGE_CLASS_NOT_FOUND

    await until(is_missed)
    assert name in (await world.ready())["message"]
    await world.client.create(
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": name},
            "provisioner": "example.org/none",
        }
    )

    async def is_made() -> bool:
        return "PersistentVolumeClaim" in await world.children()

    await until(is_made)


async def test_a_missing_key_secret_is_named_and_waited_for(
    world: World, operator: Operator
) -> None:
    await world.create(auth={"adminKeySecretRef": {"name": "mine"}})

    async def is_missed() -> bool:
        return (await world.ready()).get("reason") == Reason.ADMIN_KEY_SECRET_NOT_FOUND

    await until(is_missed)
    token = base64.b64encode(b"mb_" + b"a" * 43).decode()
    await world.client.create(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "mine", "namespace": world.namespace},
            "data": {"token": token},
        }
    )

    async def is_used() -> bool:
        found = await world.get("Secret", "agents-key")
        return found is not None and found["data"]["token"] == token

    await until(is_used)


async def test_a_bank_that_is_being_deleted_is_not_written_to(
    world: World, operator: Operator
) -> None:
    await bank_with_objects(world)
    await world.client.merge(
        kinds.MEMORY_BANK, world.namespace, name="agents",
        changes={"metadata": {"finalizers": ["example.org/hold"]}},
    )  # fmt: skip
    await settle(world, operator)
    await world.delete(kinds.MEMORY_BANK, "agents")

    async def is_leaving() -> bool:
        bank = operator.cache.bank(_key(world))
        return bank is not None and "deletionTimestamp" in bank["metadata"]

    # Else it may hear first that the Service is gone, by another watch.
    await until(is_leaving)
    writes = world.writes()
    await world.delete("Service", "agents")

    async def is_known() -> bool:
        return "Service" not in {
            key.kind for key in operator.cache.belongings(_key(world), {"Service"})
        }

    await until(is_known)
    operator._look_at([_key(world)])

    async def has_looked() -> bool:
        depth = operator._banks.queue.depth()
        return not depth.running and not sum(depth.waiting.values())

    await until(has_looked)
    assert world.writes() == writes
    assert await world.get("Service", "agents") is None


def _key(world: World) -> BankKey:
    return BankKey(world.namespace, "agents")


async def test_a_recreated_bank_takes_the_volume_of_its_namesake(
    world: World, operator: Operator
) -> None:
    before = await bank_with_objects(world)
    await world.delete(kinds.MEMORY_BANK, "agents")

    async def is_known() -> bool:
        return operator.cache.bank(_key(world)) is None

    await until(is_known)
    # No garbage collector runs here: do what it does.
    for kind in CHILDREN:
        if kind != "PersistentVolumeClaim":
            await world.delete(kind, CHILDREN[kind])
    after = await bank_with_objects(world)
    assert after.keys() == CHILDREN.keys()

    def uid(objects: dict[str, Any], kind: str) -> str:
        return str(objects[kind]["metadata"]["uid"])

    assert uid(after, "PersistentVolumeClaim") == uid(before, "PersistentVolumeClaim")
    assert uid(after, "Deployment") != uid(before, "Deployment")
    assert any(each["reason"] == Reason.VOLUME_ADOPTED for each in await world.events())


async def test_what_a_former_bank_left_is_waited_for(world: World, operator: Operator) -> None:
    await bank_with_objects(world)
    await world.delete(kinds.MEMORY_BANK, "agents")
    await world.create()

    async def is_waiting() -> bool:
        return (await world.ready()).get("reason") == Reason.WAITING_FOR_DELETION

    await until(is_waiting)
    for kind in CHILDREN:
        if kind != "PersistentVolumeClaim":
            await world.delete(kind, CHILDREN[kind])

    async def is_made() -> bool:
        return (await world.ready()).get("reason") == Reason.DEPLOYMENT_PROGRESSING

    await until(is_made)
    assert (await world.children()).keys() == CHILDREN.keys()


async def test_a_paused_bank_is_left_as_it_is(world: World, operator: Operator) -> None:
    await bank_with_objects(world)
    await world.change(paused=True)

    async def is_paused() -> bool:
        return (await world.condition("Paused")).get("status") == "True"

    await until(is_paused)
    await settle(world, operator)
    writes = world.writes()
    await world.delete("Service", "agents")
    await world.change(paused=False)

    async def is_back() -> bool:
        return await world.get("Service", "agents") is not None

    await until(is_back)
    await settle(world, operator)
    assert [w for w in world.writes()[len(writes) :] if "services" in w] == [
        "patch services agents"
    ]
