"""The operator works with the rights that its chart gives it, and uses every one of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from e2e.cluster import apiserver
from e2e.cluster.apiserver import ApiServer
from memorybank_operator import events as events_module
from memorybank_operator.api.v1alpha1.conditions import Reason
from memorybank_operator.kube import kinds
from memorybank_operator.kube.client import KubeClient
from memorybank_operator.kube.connection import Connection, from_kubeconfig
from memorybank_operator.reconcile.observed import Reading
from memorybank_operator.runtime import Operator
from tests.integration.operator.chart import NAMESPACE, template
from tests.integration.operator.conftest import serve_kind
from tests.integration.operator.jobs import jobs, report_of, run
from tests.integration.operator.test_backups import WELL
from tests.integration.operator.test_objects import reconciles
from tests.integration.operator.test_recovery_points import Clock
from tests.integration.operator.volumes import run_pod
from tests.integration.operator.world import CHILDREN, OPTIONAL, World, Worlds, until
from tests.operator.world import DATABASE_URL, IN_POSTGRES

USER = "limited-operator"
DEFAULTS = "memorybank-operator-defaults"
EDGE: dict[str, Any] = {
    "deletionPolicy": "Snapshot",
    "networkPolicy": {"enabled": True},
    "podDisruptionBudget": {"maxUnavailable": 0},
    "expose": {
        "ingress": {"host": "memory.example.org"},
        "gateway": {"parentRefs": [{"name": "public"}], "hostnames": ["memory.example.org"]},
    },
    "monitoring": {"serviceMonitor": {}, "prometheusRule": {}},
    "vector": {"provider": "chroma", "chroma": {"managed": {}}},
    "backup": {
        "destination": {"volume": {"claimName": "backups"}},
        "verify": {"enabled": False},
        "points": {"schedule": "0 0 1 1 *", "expireAfter": "1h"},
    },
}
"""What makes the objects that a bank has only if its spec asks for them."""
CROWD = IN_POSTGRES | {"autoscaling": {"maxReplicas": 3}}
"""Of another bank: what one with a volume cannot have."""
APART: dict[str, Any] = {"storage": {"engine": "postgres", "postgres": {"cluster": {}}}}
"""Of a third one, which stays without a pod: nobody runs its servers of PostgreSQL here."""
BANKS = {"agents": EDGE, "crowd": CROWD, "apart": APART}
KEPT = {"PersistentVolumeClaim", "Cluster"}
"""What holds data is never deleted."""
ROLES = {"ClusterRole": "clusterroles", "Role": "roles"}
# Discovery and health, which every authenticated user may read.
FREE = {"version", "api", "apis"}


class Right(NamedTuple):
    where: str
    """A namespace; empty for the whole cluster."""
    group: str
    resource: str
    verb: str
    name: str
    """Of the one object; empty for all of them."""


def rights(documents: list[dict[str, Any]]) -> set[Right]:
    """Return what the roles among these documents allow."""
    return {
        Right(document["metadata"].get("namespace", ""), group, resource, verb, name)
        for document in documents
        if document["kind"] in ROLES
        for rule in document["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        for name in rule.get("resourceNames", [""])
    }


def used(audit_log: Path) -> set[Right]:
    """Return what the API server saw our user do, and let it do."""
    found = set()
    # A last line that is still being written is none of ours.
    lines, _, _ = audit_log.read_text().rpartition("\n")
    for event in map(json.loads, lines.splitlines()):
        reference = event.get("objectRef")
        # A request that was refused before it was known whose it is names nobody.
        user = event["user"].get("username")
        if user != USER or reference is None or reference.get("resource", "version") in FREE:
            continue
        code = event["responseStatus"]["code"]
        assert code != 403, f"{event['verb']} {event['requestURI']} was forbidden"
        right = Right(
            reference.get("namespace", ""),
            reference.get("apiGroup", ""),
            "/".join(filter(None, (reference["resource"], reference.get("subresource")))),
            event["verb"],
            reference.get("name", ""),
        )
        found.add(right)
        if right.verb == "patch" and code == 201:
            found.add(right._replace(verb="create"))
    return found


def unused(granted: set[Right], done: set[Right]) -> set[Right]:
    """Return the rights that allow nothing of what was done."""
    return {
        right
        for right in granted
        if not any(
            right[1:4] == each[1:4]
            and right.where in ("", each.where)
            and right.name in ("", each.name)
            for each in done
        )
    }


async def grant(world: World, documents: list[dict[str, Any]]) -> None:
    """Give our user what the chart gives the operator, and nothing else."""
    async with world.connection.session() as session:
        for document in documents:
            if document["kind"] not in (*ROLES, *(f"{kind}Binding" for kind in ROLES)):
                continue
            if "subjects" in document:
                document["subjects"] = [{"kind": "User", "name": USER}]
            namespace = document["metadata"].get("namespace")
            scope = f"/namespaces/{namespace}" if namespace else ""
            path = f"/apis/rbac.authorization.k8s.io/v1{scope}/{document['kind'].lower()}s"
            async with session.post(world.connection.server + path, json=document) as response:
                assert response.status == 201, await response.text()


async def until_allowed(world: World, granted: set[Right]) -> None:
    """Wait until the API server goes by the roles, which it hears of by a watch of its own."""
    path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    async with world.connection.session() as session:
        for right in granted:
            resource, _, subresource = right.resource.partition("/")
            attributes = {
                "namespace": right.where, "group": right.group, "resource": resource,
                "subresource": subresource, "verb": right.verb, "name": right.name,
            }  # fmt: skip
            body = {"spec": {"user": USER, "resourceAttributes": attributes}}

            async def is_allowed(body: dict[str, Any] = body) -> bool:
                async with session.post(world.connection.server + path, json=body) as response:
                    return bool((await response.json())["status"]["allowed"])

            await until(is_allowed, what=str(right))


@dataclass(frozen=True)
class Ground:
    """Where the operator runs, and what it may do there."""

    world: World
    """The namespace that banks are in."""
    home: World
    """The operator's own."""
    granted: set[Right]
    limited: Connection
    """Of a user that has the rights of the chart and no others."""
    audit_log: Path
    namespaces: tuple[str, ...]


async def ground(
    server: ApiServer, world: World, home: World, folder: Path, *namespaces: str
) -> Ground:
    documents = template(
        *(["watchNamespaces={" + ",".join(namespaces) + "}"] if namespaces else [])
    )
    for document in documents:
        if document["metadata"].get("namespace") == NAMESPACE:
            document["metadata"]["namespace"] = home.namespace
    granted = rights(documents)
    await grant(world, documents)
    await until_allowed(world, granted)
    file = folder / "limited.kubeconfig"
    file.write_text(server.kubeconfig_for(USER))
    return Ground(
        world, home, granted, from_kubeconfig(file), server.audit_log, namespaces
    )  # fmt: skip


async def test_in_chosen_namespaces_the_charts_rights_are_enough_and_none_is_too_many(
    world: World, worlds: Worlds, api_server: ApiServer, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    home = worlds()
    await act(await ground(api_server, world, home, tmp_path, world.namespace), monkeypatch)


async def test_cluster_wide_the_charts_rights_are_enough_and_none_is_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with apiserver.api_server() as server:
        connection = from_kubeconfig(server.kubeconfig)
        async with connection.session() as session:
            client = KubeClient(session, connection.server, field_manager="somebody")
            await serve_kind(client, connection)
            path = f"{connection.server}/api/v1/namespaces"
            for name in ("team", "home"):
                async with session.post(path, json={"metadata": {"name": name}}) as response:
                    assert response.status == 201, await response.text()
            world = World(client, connection, namespace="team", audit_log=server.audit_log)
            await act(
                await ground(server, world, world.in_namespace("home"), tmp_path), monkeypatch
            )


async def act(on: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the operator do all that it can do; compare that with what it may."""
    monkeypatch.setattr(events_module, "REPEAT_SECONDS", 0.0)
    world = on.world
    settings: dict[str, Any] = {
        "lease_namespace": on.home.namespace,
        "lease_seconds": 6.0,
        "defaults": f"{on.home.namespace}/{DEFAULTS}",
        "namespaces": on.namespaces,
        "resync_interval": 5.0,
    }
    await write_defaults(on.home, "{}")
    clock = Clock()
    world.pod.said = Reading(backup=WELL)
    async with world.operator(connection=on.limited, now=clock, **settings) as operator:
        await world.put_secret("database", url=DATABASE_URL)
        for name, spec in BANKS.items():
            await world.create(name, **spec)
        await world.create_key()

        async def is_made() -> bool:
            made = {kind for name in BANKS for kind in await world.children(name)}
            judged = [await world.ready(name) for name in BANKS]
            return made == (CHILDREN | OPTIONAL).keys() and all(judged)

        await until(is_made)
        await run_pod(world)
        await take_and_remove(world, operator, clock)
        await change_defaults_again_and_again(on.home)
        # The same drift twice: an event is made, then counted up.
        for value in ("1", "2"):
            await world.client.merge(
                kinds.CONFIG_MAP, world.namespace, name="agents-config",
                changes={"data": {"config.yaml": value}},
            )  # fmt: skip

            async def is_put_back(value: str = value) -> bool:
                found = await world.must("ConfigMap", "agents-config")
                return bool(found["data"]["config.yaml"] != value)

            await until(is_put_back)
        await world.client.merge(
            kinds.SECRET, world.namespace, name="agents-key", changes={"data": {"uri": "eA=="}}
        )

        async def is_whole() -> bool:
            return bool((await world.must("Secret", "agents-key"))["data"]["uri"] != "eA==")

        await until(is_whole)
        # What an older operator made and this one does not want, copied while all is there.
        leftovers = [_leftover(child) for child in (await _kinds(world))]
        await world.delete("Secret", "agents-key")
        for leftover in leftovers:
            await world.client.create(leftover)

        async def are_removed() -> bool:
            left = [await world.get(each["kind"], "agents-old") for each in leftovers]
            return not any(left)

        await until(are_removed)
        count = reconciles(operator)

        async def looked() -> bool:
            return reconciles(operator) > count

        operator._look_at(operator.cache.banks())
        await until(looked)
    reasons = [each["reason"] for each in await world.events()]
    assert Reason.KEY_REPLACED in reasons
    assert unused(on.granted, used(on.audit_log)) == set()


async def take_and_remove(world: World, operator: Operator, clock: Clock) -> None:
    """Have a recovery point taken by the schedule, and removed as it is over."""

    async def is_replicated() -> bool:
        return "epoch" in (await world.must(kinds.MEMORY_BANK, "agents"))["status"]["backup"]

    await until(is_replicated)
    clock.ahead = timedelta(days=366)
    operator._look_at(operator.cache.banks())

    async def is_begun() -> bool:
        return bool(await jobs(world))

    await until(is_begun)
    [job] = await jobs(world)
    await run(world, job, said=await report_of(world, job, expires_at="2026-01-01T00:00:00Z"))

    await world.create_restore(bank="nobody", latest=True)

    async def is_removed() -> bool:
        path = kinds.MEMORY_BANK_BACKUP.collection(world.namespace)
        return not (await world.client.discover(path))["items"]

    await until(is_removed)


async def write_defaults(home: World, text: str) -> None:
    await home.client.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": DEFAULTS, "namespace": home.namespace},
            "data": {"defaults.yaml": text},
        }
    )


async def change_defaults_again_and_again(home: World) -> None:
    """The same document twice, with another in between: an event is made, then counted up."""
    for number, text in enumerate(("version: a", "version: b", "version: a")):
        await write_defaults(home, text)

        async def is_told(count: int = number + 1) -> bool:
            return sum(int(each["count"]) for each in await home.events()) > count

        await until(is_told)


async def _kinds(world: World) -> list[dict[str, Any]]:
    children = await world.children("crowd") | await world.children()
    return [body for kind, body in children.items() if kind not in KEPT]


def _leftover(child: dict[str, Any]) -> dict[str, Any]:
    """Return an object like this child under another name."""
    metadata = child["metadata"]
    copy = {key: value for key, value in child.items() if key != "status"}
    copy["metadata"] = {
        "name": "agents-old",
        "namespace": metadata["namespace"],
        "labels": metadata["labels"],
        "ownerReferences": metadata["ownerReferences"],
    }
    if child["kind"] == "Service":
        copy["spec"] = {key: child["spec"][key] for key in ("ports", "selector")}
    return copy
