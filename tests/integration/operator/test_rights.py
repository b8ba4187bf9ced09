"""The operator works with the rights that its chart gives it, and uses every one of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from e2e.cluster.apiserver import ApiServer
from memorybank_operator import events as events_module
from memorybank_operator.api.v1alpha1.conditions import Reason
from memorybank_operator.kube import kinds
from memorybank_operator.kube.connection import Connection, from_kubeconfig
from tests.integration.operator.chart import template
from tests.integration.operator.test_objects import reconciles
from tests.integration.operator.world import CHILDREN, World, until

USER = "limited-operator"
ROLES = {"ClusterRole": "clusterroles", "Role": "roles"}
# Discovery and health, which every authenticated user may read.
FREE = {"version", "api", "apis"}


class Right(NamedTuple):
    group: str
    resource: str
    verb: str


def rights(documents: list[dict[str, Any]]) -> set[Right]:
    """Return what the roles among these documents allow."""
    return {
        Right(group, resource, verb)
        for document in documents
        if document["kind"] in ROLES
        for rule in document["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def used(audit_log: Path) -> Iterator[Right]:
    """Yield what the API server saw our user do."""
    for event in map(json.loads, audit_log.read_text().splitlines()):
        reference = event.get("objectRef")
        # A request that was refused before it was known whose it is names nobody.
        user = event["user"].get("username")
        if user != USER or reference is None or "resource" not in reference:
            continue
        parts = (reference["resource"], reference.get("subresource"))
        resource, group = "/".join(filter(None, parts)), reference.get("apiGroup", "")
        yield Right(group, resource, event["verb"])
        if event["verb"] == "patch" and event["responseStatus"]["code"] == 201:
            yield Right(group, resource, "create")


@pytest.fixture
async def limited(world: World, api_server: ApiServer, tmp_path: Path) -> Connection:
    """A connection of a user that has the rights of the chart and no others."""
    documents = template(f"watchNamespaces={{{world.namespace}}}")
    async with world.connection.session() as session:
        for document in documents:
            if document["kind"] not in (*ROLES, *(f"{kind}Binding" for kind in ROLES)):
                continue
            if "namespace" in document["metadata"]:
                document["metadata"]["namespace"] = world.namespace
            if "subjects" in document:
                document["subjects"] = [{"kind": "User", "name": USER}]
            plural = f"{document['kind'].lower()}s"
            scope = f"/namespaces/{world.namespace}" if document["kind"].startswith("Role") else ""
            path = f"/apis/rbac.authorization.k8s.io/v1{scope}/{plural}"
            async with session.post(world.connection.server + path, json=document) as response:
                assert response.status == 201, await response.text()
    file = tmp_path / "limited.kubeconfig"
    file.write_text(api_server.kubeconfig_for(USER))
    return from_kubeconfig(file)


async def test_the_charts_rights_are_enough_and_none_is_too_many(
    world: World, limited: Connection, api_server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events_module, "REPEAT_SECONDS", 0.0)
    lease: dict[str, Any] = {"lease_namespace": world.namespace, "lease_seconds": 2.0}
    async with world.operator(connection=limited, resync_interval=5.0, **lease) as operator:
        bank = await world.create()
        await world.create_key()

        async def is_made() -> bool:
            return (await world.children()).keys() == CHILDREN.keys() and bool(await world.ready())

        await until(is_made)
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
        leftovers = [_leftover(child, bank) for child in (await _kinds(world))]
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
        assert (
            operator.metrics.registry.get_sample_value(
                "memorybank_operator_api_errors_total", {"reason": "ApiForbidden"}
            )
            is None
        )
    reasons = [each["reason"] for each in await world.events()]
    assert Reason.KEY_REPLACED in reasons
    seen = {right for right in used(api_server.audit_log) if right.resource not in FREE}
    assert seen == rights(template(f"watchNamespaces={{{world.namespace}}}"))


async def _kinds(world: World) -> list[dict[str, Any]]:
    children = await world.children()
    return [body for kind, body in children.items() if kind != "PersistentVolumeClaim"]


def _leftover(child: dict[str, Any], bank: dict[str, Any]) -> dict[str, Any]:
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


def test_cluster_wide_the_rights_are_the_same() -> None:
    documents = template()
    assert rights(documents) == rights(template("watchNamespaces={team,other}"))
    names = {each["metadata"]["name"] for each in documents if each["kind"].startswith("Role")}
    assert names == {"limited-operator-leader"}, "the Lease is in the operator's own namespace"
