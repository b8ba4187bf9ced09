"""An operator that stops dead after any of its writes: the next one ends where an undisturbed one
would have ended, and then writes nothing.

The pattern is Sieve's (OSDI'22). Each scenario is run once undisturbed, then again for each number
of writes, until an operator gets through with the scenario before it dies.
"""

from __future__ import annotations

import base64
import random
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from memorybank_operator import constants
from memorybank_operator.kube import kinds
from memorybank_operator.reconcile.observed import BackupReading, Disk, Reading
from tests.integration.operator.effort import FULL
from tests.integration.operator.faults import DiesAfter, deaths, doomed
from tests.integration.operator.garbage import collecting_garbage, owners
from tests.integration.operator.servers import load_model, start_database
from tests.integration.operator.settling import settle
from tests.integration.operator.shape import shape
from tests.integration.operator.volumes import make_class, run_pod, say
from tests.integration.operator.world import World, Worlds, until
from tests.operator.world import BACKED_UP, BUCKET_KEYS, DATABASE_URL, IN_POSTGRES

SPARE_WRITES = 4
"""One is repeated whose answer was lost, and steps between are said that were passed over."""
ALWAYS_FULL = ("create", "create encrypted", "hibernate")
"""What is tried after every write in any case."""
DRAWN = 10
"""Scenarios of which one write each is tried in any case."""
AT_ONCE = 4
"""Crash points of one scenario that are tried at the same time, each in a namespace of its own."""
Act = Callable[[World], Awaitable[object]]
OWN_KEY = "mb_" + "k" * 43
NEXT_KEY = "mb_" + "n" * 43


@dataclass(frozen=True)
class Scenario:
    """Something that makes the operator write."""

    act: Act
    spec: dict[str, Any] | None = field(default_factory=dict)
    """Of the bank that is there before; None when there is none."""
    prepare: Act | None = None
    """What else is there before."""
    writes: int = 1
    """How many there are at the least."""
    waiting: dict[str, Any] | None = None
    """A change that is judged, and waits, before."""


def changed(before: dict[str, Any] | None = None, *, writes: int = 1, **changes: Any) -> Scenario:
    return Scenario(lambda world: world.change(**changes), spec=before or {}, writes=writes)


async def create(world: World) -> None:
    await world.create()


async def make_stretchy(world: World) -> None:
    await make_class(world, "stretchy", expandable=True)


async def own_key(world: World) -> None:
    await world.client.create(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "mine", "namespace": world.namespace},
            "data": {"token": base64.b64encode(OWN_KEY.encode()).decode()},
        }
    )


async def rotate_own_key(world: World) -> None:
    """Put another key into the Secret, and have the operator look."""
    data = {"token": base64.b64encode(NEXT_KEY.encode()).decode()}
    await world.client.merge(kinds.SECRET, world.namespace, name="mine", changes={"data": data})
    await resync(world)


async def resync(world: World) -> None:
    """Ask for a look at everything."""
    await world.client.merge(
        kinds.MEMORY_BANK, world.namespace, name="agents",
        changes={"metadata": {"annotations": {constants.ANNOTATION_RESYNC: "now"}}},
    )  # fmt: skip


async def meddle_and_resync(world: World) -> None:
    await meddle(world)
    await resync(world)


async def bind_and_grow(world: World) -> None:
    """Bind the volume, as its provisioner would, then ask for more."""
    await say(world, "1Gi")
    await world.change(storage={"volume": {"size": "2Gi"}})


async def fill_the_disk(world: World) -> None:
    """Bind the volume and run a pod, whose disk is full until its volume is larger."""
    await say(world, "1Gi")
    world.pod.said = Reading(Disk(total=2**30, free=0))
    await run_pod(world)


async def lose(world: World, *kinds_lost: str) -> None:
    children = await world.children()
    for kind in kinds_lost:
        await world.delete(kind, children[kind]["metadata"]["name"])


async def lose_the_key(world: World) -> None:
    await lose(world, "Secret")


async def lose_nearly_everything(world: World) -> None:
    await lose(world, "Deployment", "Secret", "ConfigMap", "Service", "ServiceAccount")


async def leave_something(world: World) -> None:
    """Make what an older operator made for this bank and this one does not want."""
    config = await world.must("ConfigMap", "agents-config")
    metadata = {key: config["metadata"][key] for key in ("namespace", "labels", "ownerReferences")}
    await world.client.create(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata | {"name": "agents-old"}}
    )


async def meddle(world: World) -> None:
    """Change things by hand."""
    await world.client.merge(
        kinds.SERVICE, world.namespace, name="agents",
        changes={"spec": {"selector": {"app.kubernetes.io/name": "other"}}},
    )  # fmt: skip
    await world.client.merge(
        kinds.CONFIG_MAP, world.namespace, name="agents-config",
        changes={"data": {"config.yaml": "mine: true\n"}},
    )  # fmt: skip


async def break_the_fence(world: World) -> None:
    """Let everybody in by hand."""
    await world.client.merge(
        kinds.NETWORK_POLICY, world.namespace, name="agents", changes={"spec": {"ingress": [{}]}}
    )


async def lose_the_ring(world: World) -> None:
    await world.delete("Secret", "agents-key-ring")


async def delete(world: World) -> None:
    """Delete the bank, and wait until what it owned is collected."""
    await world.delete(kinds.MEMORY_BANK, "agents")

    async def is_collected() -> bool:
        ring = await world.ring()
        left = [*(await world.children()).values(), *([ring] if ring else [])]
        return not any(owners(body) for body in left)

    await until(is_collected)


async def recreate(world: World, name: str = "agents") -> None:
    """Delete the bank, and make it again before what it owned is collected."""
    await world.delete(kinds.MEMORY_BANK, name)
    await world.create(name)


async def recreate_encrypted(world: World, policy: str) -> None:
    """Delete an encrypted bank, and make it again before what it owned is collected."""
    await world.delete(kinds.MEMORY_BANK, "agents")
    await world.create(**ENCRYPTED, deletionPolicy=policy)


async def start_own_database(world: World) -> None:
    await start_database(world, DATABASE_URL)


async def wake_with_own_database(world: World) -> None:
    await start_own_database(world)
    await world.change(hibernate=None)


async def recreate_in_postgres(world: World) -> None:
    """Delete a bank in PostgreSQL, and make it again before what it owned is collected."""
    await world.delete(kinds.MEMORY_BANK, "agents")
    await world.create(**IN_POSTGRES)


async def approve(world: World) -> None:
    """Approve what waits."""
    bank = await world.must(kinds.MEMORY_BANK, "agents")
    await world.change(updatePolicy={"approved": bank["status"]["plan"]["id"]})


async def lose_what_waits(world: World) -> None:
    """Delete what is made from the spec while another one waits."""
    await lose(world, "Deployment", "ConfigMap")


async def pause_change_and_resume(world: World) -> None:
    await world.change(paused=True, logging={"level": "debug"})
    await world.change(paused=False)


def everything(*acts: Act) -> Act:
    async def act(world: World) -> None:
        for each in acts:
            await each(world)

    return act


async def name_database(world: World) -> None:
    await world.put_secret("database", url=DATABASE_URL)


async def name_another_database(world: World) -> None:
    """Name another one, and have the operator look."""
    await world.put_secret("database", url=f"{DATABASE_URL}2")
    await resync(world)


async def name_bucket(world: World) -> None:
    await world.put_secret("bucket", **BUCKET_KEYS)


async def name_other_keys(world: World) -> None:
    """Put other keys for the bucket into their Secret, and have the operator look."""
    await world.put_secret("bucket", **BUCKET_KEYS | {"secretAccessKey": "another"})
    await resync(world)


async def lose_the_bucket(world: World) -> None:
    """Run a pod whose backups do not arrive."""
    said = BackupReading("00000001-1a2b3c4d", "nothing", problem="the bucket does not exist")
    world.pod.said = Reading(backup=said)
    await run_pod(world)


GROWING: dict[str, Any] = {"storage": {"volume": {"size": "1Gi", "storageClassName": "stretchy"}}}
GROWING_BY_ITSELF = {
    "storage": {
        "volume": GROWING["storage"]["volume"] | {"autoGrow": {"enabled": True, "maxSize": "2Gi"}}
    }
}
SUPERVISED = {"updatePolicy": {"mode": "Supervised"}}
FENCE: dict[str, Any] = {"enabled": True, "allowFrom": [{"namespace": "ingress"}]}
OWN_CHROMA: dict[str, Any] = {"provider": "chroma", "chroma": {"managed": {}}}
AUTOSCALING: dict[str, Any] = {"minReplicas": 1, "maxReplicas": 5}
OWN_POSTGRES: dict[str, Any] = {"storage": {"engine": "postgres", "postgres": {"cluster": {}}}}
OWN_OLLAMA: dict[str, Any] = {
    "provider": "ollama", "model": "m", "ollama": {"managed": {}},
}  # fmt: skip
EXPOSED: dict[str, Any] = {"ingress": {"host": "memory.example.org"}}
GATEWAY: dict[str, Any] = {
    "gateway": {"parentRefs": [{"name": "public"}], "hostnames": ["memory.example.org"]}
}
BALANCED: dict[str, Any] = {"service": {"type": "LoadBalancer"}}
ENCRYPTED: dict[str, Any] = {"encryption": {"enabled": True}}
REFERENCE = {"adminKeySecretRef": {"name": "mine"}}
SCENARIOS = {
    "create": Scenario(create, spec=None, writes=7),
    "create under Delete": Scenario(
        lambda world: world.create(deletionPolicy="Delete"), spec=None, writes=7
    ),
    "create with an own key": Scenario(
        everything(own_key, lambda world: world.create(auth=REFERENCE)), spec=None, writes=7
    ),
    "create encrypted": Scenario(lambda world: world.create(**ENCRYPTED), spec=None, writes=8),
    "create encrypted under Delete": Scenario(
        lambda world: world.create(**ENCRYPTED, deletionPolicy="Delete"), spec=None, writes=8
    ),
    "let volume and key ring go with the bank": Scenario(
        lambda world: world.change(deletionPolicy="Delete"), spec=ENCRYPTED, writes=2
    ),
    "keep volume and key ring after all": Scenario(
        lambda world: world.change(deletionPolicy="Retain"),
        spec={**ENCRYPTED, "deletionPolicy": "Delete"},
        writes=2,
    ),
    "lose the key ring": Scenario(lose_the_ring, spec=ENCRYPTED, writes=2),
    "delete an encrypted bank": Scenario(delete, spec=ENCRYPTED, writes=0),
    "delete an encrypted bank and make it again": Scenario(
        lambda world: recreate_encrypted(world, "Retain"), spec=ENCRYPTED, writes=7
    ),
    "delete an encrypted bank with everything and make it again": Scenario(
        lambda world: recreate_encrypted(world, "Delete"),
        spec={**ENCRYPTED, "deletionPolicy": "Delete"},
        writes=8,
    ),
    "create stopped": Scenario(lambda world: world.create(replicas=0), spec=None, writes=7),
    "change the configuration": changed(logging={"level": "debug", "format": "text"}),
    "change the image": changed(image="registry.example/app:2"),
    "change the version": changed(version="2"),
    "change resources": changed(resources={"limits": {"memory": "1Gi"}}),
    "change placement": changed(nodeSelector={"disk": "fast"}, priorityClassName="high"),
    "change labels and variables": changed(
        podLabels={"team": "a"}, env=[{"name": "X", "value": "1"}]
    ),
    "change the service account": changed(serviceAccount={"annotations": {"example.org/x": "y"}}),
    "fence a bank in": changed(networkPolicy=FENCE, writes=2),
    "change the fence": changed(
        {"networkPolicy": FENCE},
        networkPolicy={"allowFrom": [{"cidr": "10.20.0.0/16", "ports": ["metrics"]}]},
    ),
    "take the fence away": changed({"networkPolicy": FENCE}, networkPolicy=None, writes=2),
    "create fenced": Scenario(lambda world: world.create(networkPolicy=FENCE), spec=None, writes=8),
    "put a fence back": Scenario(break_the_fence, spec={"networkPolicy": FENCE}, writes=1),
    "hold up the drain of a node": changed(podDisruptionBudget={"maxUnavailable": 0}, writes=2),
    "let a node be drained again": changed(
        {"podDisruptionBudget": {"minAvailable": 1}}, podDisruptionBudget=None, writes=2
    ),
    "give a bank an own Chroma": changed(vector=OWN_CHROMA, writes=5),
    "create with an own Chroma": Scenario(
        lambda world: world.create(vector=OWN_CHROMA), spec=None, writes=10
    ),
    "change the own Chroma": changed(
        {"vector": OWN_CHROMA},
        vector={"chroma": {"managed": {"resources": {"limits": {"memory": "3Gi"}}}}},
        writes=2,
    ),
    "take the own Chroma away": changed({"vector": OWN_CHROMA}, vector=None, writes=6),
    "let the own Chroma sleep": changed({"vector": OWN_CHROMA}, hibernate=True, writes=3),
    "create in PostgreSQL": Scenario(
        lambda world: world.create(**IN_POSTGRES, replicas=3),
        spec=None,
        prepare=name_database,
        writes=7,
    ),
    "create with its own PostgreSQL": Scenario(
        lambda world: world.create(**OWN_POSTGRES), spec=None, writes=5
    ),
    "use the own PostgreSQL": Scenario(start_own_database, spec=OWN_POSTGRES, writes=2),
    "wake with its own PostgreSQL": Scenario(
        wake_with_own_database, spec={**OWN_POSTGRES, "hibernate": True}, writes=3
    ),
    "find the database late": Scenario(name_database, spec=IN_POSTGRES, writes=3),
    "change connections to PostgreSQL": Scenario(
        lambda world: world.change(storage={"postgres": {"readers": 8}}),
        spec=IN_POSTGRES,
        prepare=name_database,
        writes=3,
    ),
    "move to another database": Scenario(
        name_another_database,
        spec={**IN_POSTGRES, "networkPolicy": FENCE},
        prepare=name_database,
        writes=2,
    ),
    "run more pods": Scenario(
        lambda world: world.change(replicas=3), spec=IN_POSTGRES, prepare=name_database, writes=3
    ),
    "run a single pod again": Scenario(
        lambda world: world.change(replicas=1),
        spec={**IN_POSTGRES, "replicas": 3},
        prepare=name_database,
        writes=3,
    ),
    "let the load decide how many pods run": Scenario(
        lambda world: world.change(replicas=None, autoscaling=AUTOSCALING),
        spec={**IN_POSTGRES, "replicas": 3},
        prepare=name_database,
        writes=4,
    ),
    "decide by oneself how many pods run": Scenario(
        lambda world: world.change(autoscaling=None),
        spec={**IN_POSTGRES, "autoscaling": AUTOSCALING},
        prepare=name_database,
        writes=4,
    ),
    "let a bank with an autoscaler sleep": Scenario(
        lambda world: world.change(hibernate=True),
        spec={**IN_POSTGRES, "autoscaling": AUTOSCALING},
        prepare=name_database,
        writes=3,
    ),
    "wake a bank with an autoscaler": Scenario(
        lambda world: world.change(hibernate=False),
        spec={**IN_POSTGRES, "autoscaling": AUTOSCALING, "hibernate": True},
        prepare=name_database,
        writes=3,
    ),
    "delete in PostgreSQL and make again": Scenario(
        recreate_in_postgres,
        spec={**IN_POSTGRES, "deletionPolicy": "Delete"},
        prepare=name_database,
        writes=6,
    ),
    "create with an own Ollama": Scenario(
        lambda world: world.create(embedding=OWN_OLLAMA), spec=None, writes=9
    ),
    "load the model of a new bank": Scenario(load_model, spec={"embedding": OWN_OLLAMA}, writes=2),
    "give a bank an own Ollama": changed(embedding=OWN_OLLAMA, writes=4),
    "load the model of a bank": Scenario(
        load_model, spec={}, waiting={"embedding": OWN_OLLAMA}, writes=3
    ),
    "take an own Ollama away that loads": changed(
        {"embedding": OWN_OLLAMA}, embedding=None, writes=6
    ),
    "expose a bank": changed(expose=EXPOSED, writes=3),
    "expose it under another name": changed(
        {"expose": EXPOSED}, expose={"ingress": {"host": "other.example.org"}}, writes=3
    ),
    "expose it no more": changed({"expose": EXPOSED}, expose=None, writes=3),
    "expose it by a gateway as well": changed({"expose": EXPOSED}, expose=GATEWAY, writes=2),
    "expose it by a gateway no more": changed(
        {"expose": GATEWAY}, expose={"gateway": None}, writes=3
    ),
    "expose it by a load balancer": changed(expose=BALANCED, writes=2),
    "give its load balancer an address": Scenario(
        lambda world: world.give_address(), spec={"expose": BALANCED}, writes=2
    ),
    "give its load balancer up": Scenario(
        lambda world: world.change(expose={"service": {"type": "ClusterIP"}}),
        spec={"expose": BALANCED},
        writes=2,
    ),
    "create with backups": Scenario(
        lambda world: world.create(**BACKED_UP), spec=None, prepare=name_bucket, writes=7
    ),
    "give a bank backups": Scenario(
        lambda world: world.change(**BACKED_UP), prepare=name_bucket, writes=4
    ),
    "find the keys of backups late": Scenario(name_bucket, spec=BACKED_UP, writes=3),
    "change the keys of backups": Scenario(
        name_other_keys, spec=BACKED_UP, prepare=name_bucket, writes=2
    ),
    "let backups fail": Scenario(lose_the_bucket, spec=BACKED_UP, prepare=name_bucket, writes=1),
    "let a bank with backups sleep": Scenario(
        lambda world: world.change(hibernate=True), spec=BACKED_UP, prepare=name_bucket, writes=2
    ),
    "take backups away": Scenario(
        lambda world: world.change(backup=None), spec=BACKED_UP, prepare=name_bucket, writes=4
    ),
    "change several objects at once": changed(
        limits={"maxBodyBytes": 4096},
        serviceAccount={"annotations": {"example.org/x": "y"}},
        deletionPolicy="Delete",
    ),
    "take a field back": changed({"podLabels": {"team": "a"}, "restart": "1"}, podLabels=None),
    "let the volume go with the bank": changed(deletionPolicy="Delete"),
    "keep the volume after all": changed({"deletionPolicy": "Delete"}, deletionPolicy="Retain"),
    "grow the volume": Scenario(bind_and_grow, spec=GROWING, prepare=make_stretchy, writes=2),
    "let the volume grow by itself": Scenario(
        fill_the_disk, spec=GROWING_BY_ITSELF, prepare=make_stretchy, writes=2
    ),
    "use an own key": Scenario(
        lambda world: world.change(auth=REFERENCE), prepare=own_key, writes=2
    ),
    "use a generated key again": Scenario(
        lambda world: world.change(auth={"adminKeySecretRef": None}),
        spec={"auth": REFERENCE},
        prepare=own_key,
        writes=1,
    ),
    "rotate an own key": Scenario(rotate_own_key, spec={"auth": REFERENCE}, prepare=own_key),
    "re-sync": Scenario(meddle_and_resync, writes=3),
    "protect from deletion": changed(deletionProtection=True),
    "break the spec and repair it": Scenario(
        everything(lambda world: world.change(auth=REFERENCE), own_key), writes=2
    ),
    "hibernate": changed(hibernate=True),
    "wake": changed({"hibernate": True}, hibernate=False),
    "scale to zero": changed(replicas=0),
    "restart": changed(restart="2026-01-01"),
    "hold a change": changed(SUPERVISED, lifecycle={"drainSeconds": 7}, image="app:2"),
    "approve a change": Scenario(
        approve, spec=SUPERVISED, waiting={"lifecycle": {"drainSeconds": 7}}, writes=3
    ),
    "lose what a change waits for": Scenario(
        lose_what_waits, spec=SUPERVISED, waiting={"lifecycle": {"drainSeconds": 7}}, writes=2
    ),
    "give a change up": Scenario(
        lambda world: world.change(lifecycle={"drainSeconds": 1}),
        spec=SUPERVISED,
        waiting={"lifecycle": {"drainSeconds": 7}},
    ),
    "refuse a version": changed({"version": "2.0.0"}, version="1.0.0"),
    "pause, change and resume": Scenario(pause_change_and_resume),
    "lose the key": Scenario(lose_the_key),
    "lose nearly everything": Scenario(lose_nearly_everything, writes=6),
    "put hand-made changes back": Scenario(meddle, writes=2),
    "remove what an older operator left": Scenario(leave_something),
    "delete": Scenario(delete, writes=0),
    "delete under Delete": Scenario(delete, spec={"deletionPolicy": "Delete"}, writes=0),
    "delete and make again": Scenario(recreate, writes=8),
    "delete everything and make again": Scenario(
        recreate, spec={"deletionPolicy": "Delete"}, writes=7
    ),
}


@dataclass(frozen=True)
class Result:
    """What became of a scenario."""

    shape: dict[str, Any]
    writes: list[str]
    """Of all operators since the scenario began."""
    died: bool
    keys: tuple[str | None, str | None, str | None]
    """The admin key before the scenario, when the operator died, and in the end."""
    rings: tuple[str | None, str | None, str | None]
    """The generated key ring at these times."""


async def play(world: World, scenario: Scenario, *, writes: int | None = None) -> Result:
    """Play a scenario; with `writes`, the operator dies after as many and another one goes on."""
    async with collecting_garbage(world):
        if scenario.prepare is not None:
            await scenario.prepare(world)
        if scenario.spec is not None:
            async with world.operator() as operator:
                await world.create(**scenario.spec)
                await settle(world, operator)
                if scenario.waiting is not None:
                    await world.change(**scenario.waiting)
                    await settle(world, operator)
        before, first_key, first_ring = len(world.writes()), await key(world), await ring(world)
        died = writes is not None and await dies(world, scenario, writes)
        if writes is None:
            async with world.operator() as operator:
                await scenario.act(world)
                await settle(world, operator)
        second_key, second_ring = await key(world), await ring(world)
        async with world.operator() as operator:
            await settle(world, operator)
        done = world.writes()[before:]
        # And once more: whoever comes now has nothing to do.
        async with world.operator() as operator:
            await settle(world, operator)
        assert world.writes()[before:] == done
        keys = (first_key, second_key, await key(world))
        rings = (first_ring, second_ring, await ring(world))
        return Result(await shape(world), done, died, keys, rings)


async def key(world: World) -> str | None:
    secret = await world.get("Secret", "agents-key")
    return None if secret is None else str(secret["data"]["token"])


async def ring(world: World) -> str | None:
    secret = await world.ring()
    return None if secret is None else str(secret["data"]["ring.json"])


async def dies(world: World, scenario: Scenario, writes: int) -> bool:
    """Play it with an operator that dies after some writes; return whether it wrote as often."""
    fault = DiesAfter(writes)
    async with doomed(world, fault) as operator:
        await scenario.act(world)
        return await fault.comes_before(settle(world, operator))


async def prove(name: str, worlds: Worlds, undisturbed: Result, writes: int) -> bool:
    """Fail unless the scenario ends like the undisturbed one though its operator dies after some
    writes; return whether it came to that.
    """
    result = await play(worlds(), SCENARIOS[name], writes=writes)
    about = f"{name}, dead after write {writes}: {result.writes}"
    assert result.shape == undisturbed.shape, about
    before, when_dead, after = result.keys
    if when_dead not in (None, before):
        assert after == when_dead, f"{about}: a key that was stored is the one that counts"
    before, when_dead, after = result.rings
    if when_dead not in (None, before) or (before and "everything" not in name):
        assert after == when_dead, f"{about}: a ring that was stored is the one that counts"
    # The next one does what is left; its judgement may take another way to the same end.
    assert len(result.writes) <= len(undisturbed.writes) + SPARE_WRITES, about
    return result.died


@pytest.mark.proof
@pytest.mark.parametrize("name", SCENARIOS if FULL else ALWAYS_FULL)
async def test_whoever_goes_on_ends_where_an_undisturbed_operator_ends(
    worlds: Worlds, name: str
) -> None:
    undisturbed = await play(worlds(), SCENARIOS[name])
    assert len(undisturbed.writes) >= SCENARIOS[name].writes
    died = await deaths(lambda each: prove(name, worlds, undisturbed, each), at_once=AT_ONCE)
    sys.stdout.write(f"{name}: {died} crash points\n")
    assert died >= SCENARIOS[name].writes


async def test_so_it_is_after_writes_that_are_drawn_by_lot(worlds: Worlds, seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311 - no secret
    for name in dice.sample(sorted(SCENARIOS), DRAWN):
        undisturbed = await play(worlds(), SCENARIOS[name])
        await prove(name, worlds, undisturbed, dice.randint(1, len(undisturbed.writes) or 1))
