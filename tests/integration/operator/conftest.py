"""What the operator's integration tests share: a world of their own on the real API server."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import uuid
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client as kubernetes

from e2e.cluster.apiserver import ApiServer
from e2e.definitions import (
    http_route_crd,
    postgres_cluster_crd,
    prometheus_rule_crd,
    service_monitor_crd,
)
from memorybank_operator.api import crd
from memorybank_operator.kube import errors, kinds
from memorybank_operator.kube.client import KubeClient
from memorybank_operator.kube.connection import Connection, from_kubeconfig
from memorybank_operator.kube.kinds import ApiKind
from tests.integration.operator import effort
from tests.integration.operator.node import Node
from tests.integration.operator.world import NodeProber, World, Worlds, until
from tests.support.apiserver import DEFINITIONS

DEFAULT_CLASS = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {
        "name": "standard",
        "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
    },
    "provisioner": "example.org/none",
}

OTHERS = {
    kinds.HTTP_ROUTE: http_route_crd,
    kinds.POSTGRES_CLUSTER: postgres_cluster_crd,
    kinds.SERVICE_MONITOR: service_monitor_crd,
    kinds.PROMETHEUS_RULE: prometheus_rule_crd,
}
"""CRDs of other projects."""

FAREWELL_SECONDS = 5.0
CANCELLATIONS, CANCELLED_SECONDS = 10, 0.5


@pytest.fixture(autouse=True)
async def farewells() -> AsyncIterator[None]:
    """A test's loop ends when its connections have: TLS says farewell after `close`.

    A connection that was closed in the middle of a watch belongs to no session any more, so only
    the loop's own table, which has no public name, knows of it.
    """
    yield
    await end_tasks()
    transports: Mapping[int, asyncio.Transport] = asyncio.get_running_loop()._transports  # type: ignore[attr-defined]

    async def have_ended() -> bool:
        return all(each.is_closing() for each in list(transports.values()))

    with contextlib.suppress(AssertionError):  # who does not answer the farewell goes without
        await until(have_ended, seconds=FAREWELL_SECONDS)
    for each in list(transports.values()):
        each.abort()
    await asyncio.sleep(0)


async def end_tasks() -> None:
    """End what an operator left that ended by an error: kopf's tasks, which may take a cancellation
    for one of their own, and would keep the loop for ever.
    """
    for _ in range(CANCELLATIONS):
        left = asyncio.all_tasks() - {asyncio.current_task()}
        if not left:
            return
        for each in left:
            each.cancel()
        await asyncio.wait(left, timeout=CANCELLED_SECONDS)


@pytest.fixture
def seed() -> int:
    """Decides what a test leaves to chance; printed, as what a failing test prints is shown."""
    chosen = effort.new_seed()
    sys.stdout.write(f"{effort.SEED_VARIABLE}={chosen}\n")
    return chosen


@pytest.fixture
def connection(api_server: ApiServer) -> Connection:
    """With full rights."""
    return from_kubeconfig(api_server.kubeconfig)


@pytest.fixture
async def client(connection: Connection) -> AsyncIterator[KubeClient]:
    """The operator's own client, as somebody else's."""
    async with connection.session() as session:
        session.headers["User-Agent"] = "somebody"
        yield KubeClient(session, connection.server, field_manager="somebody")


@pytest.fixture
async def served(client: KubeClient, connection: Connection) -> None:
    """The MemoryBank kind is served, and there is a default storage class."""
    await serve_kind(client, connection)


async def serve_kind(
    client: KubeClient, connection: Connection, others: Collection[ApiKind] = tuple(OTHERS)
) -> None:
    """Have an API server serve what banks need, and those kinds of other projects."""
    with contextlib.suppress(errors.Conflict):  # another test was here first
        await client.create(DEFAULT_CLASS)
    await define(connection, crd.build_all())
    await define(connection, [OTHERS[each]() for each in others])

    async def is_served() -> bool:
        with contextlib.suppress(errors.NotFound, errors.Transient):
            # Discovery names a kind before it is served.
            for each in (*kinds.OURS_ALONE, *others):
                await client.discover(each.collection())
            return True
        return False

    await until(is_served)


async def define(connection: Connection, definitions: Iterable[Mapping[str, Any]]) -> None:
    """Create CustomResourceDefinitions that are not there yet."""
    async with connection.session() as session:
        for each in definitions:
            async with session.post(connection.server + DEFINITIONS, json=each) as response:
                assert response.status in (201, 409), await response.text()


@pytest.fixture
def world(
    served: None, client: KubeClient, connection: Connection, namespace: str, api_server: ApiServer
) -> World:
    """A namespace to act in."""
    return World(client, connection, namespace=namespace, audit_log=api_server.audit_log)


@pytest.fixture
def worlds(world: World, api_client: kubernetes.ApiClient) -> Worlds:
    """Make worlds like this one, each in a namespace of its own."""

    def make() -> World:
        name = f"test-{uuid.uuid4().hex[:10]}"
        kubernetes.CoreV1Api(api_client).create_namespace(
            kubernetes.V1Namespace(metadata=kubernetes.V1ObjectMeta(name=name))
        )
        return world.in_namespace(name)

    return make


@pytest.fixture
async def node(world: World, tmp_path: Path) -> AsyncIterator[Node]:
    """Runs the Deployment `agents`, as controllers and a kubelet would."""
    made = Node(world.client, world.namespace, tmp_path)
    running = asyncio.create_task(made.run(["agents"]))
    yield made
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


@pytest.fixture
def prober(node: Node) -> NodeProber:
    """Reaches banks on the node."""
    return NodeProber(node)
