"""Kinds of other projects, which come and go under a running operator."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from e2e.cluster import apiserver
from e2e.definitions import http_route_crd, prometheus_rule_crd, service_monitor_crd
from memorybank_operator import runtime
from memorybank_operator.kube import errors, kinds
from memorybank_operator.kube.client import KubeClient
from memorybank_operator.kube.connection import from_kubeconfig
from tests.integration.operator.conftest import define, serve_kind
from tests.integration.operator.world import World, until
from tests.support.apiserver import DEFINITIONS

GATEWAY: dict[str, Any] = {
    "gateway": {"parentRefs": [{"name": "public"}], "hostnames": ["memory.example.org"]}
}


@asynccontextmanager
async def operator_until(world: World, end: type[runtime.Ended]) -> AsyncIterator[None]:
    """Run an operator that ends by that error, once the block is through."""
    task = asyncio.current_task()
    assert task is not None
    try:
        async with world.operator():
            yield
            await asyncio.Event().wait()
    except end:
        task.uncancel()  # by which the world ends a block whose operator has ended


async def route(world: World) -> dict[str, Any] | None:
    return await world.get(kinds.HTTP_ROUTE, "agents")


async def is_waiting(world: World) -> bool:
    return bool((await world.ready()).get("reason") == "GatewayApiNotInstalled")


async def has_route(world: World) -> bool:
    return await route(world) is not None


@pytest.fixture
async def bare(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """The world of an API server that has no kind of any other project."""
    monkeypatch.setattr(runtime, "INSTALLED_SECONDS", 0.1)
    with apiserver.api_server() as server:
        connection = from_kubeconfig(server.kubeconfig)
        async with connection.session() as session:
            session.headers["User-Agent"] = "somebody"
            client = KubeClient(session, connection.server, field_manager="somebody")
            await serve_kind(client, connection, others=())
            yield World(client, connection, namespace="default", audit_log=server.audit_log)


async def test_a_bank_that_waits_for_a_gateway_goes_on_once_there_can_be_one(bare: World) -> None:
    async with operator_until(bare, runtime.KindInstalled):
        await bare.create(expose=GATEWAY)
        await until(lambda: is_waiting(bare))
        assert await bare.get("Deployment", "agents") is not None, "all else is made"
        await define(bare.connection, [http_route_crd()])
    async with operator_until(bare, runtime.WatchFailed):
        await until(lambda: has_route(bare))

        async def waits_no_more() -> bool:
            return not await is_waiting(bare)

        await until(waits_no_more)
        made = await bare.must(kinds.HTTP_ROUTE, "agents")
        await bare.delete(kinds.HTTP_ROUTE, "agents")

        async def is_back() -> bool:
            found = await route(bare)
            return found is not None and found["metadata"]["uid"] != made["metadata"]["uid"]

        await until(is_back)
        name = http_route_crd()["metadata"]["name"]
        async with bare.connection.session() as session:
            path = f"{bare.connection.server}{DEFINITIONS}/{name}"
            async with session.delete(path) as removed:
                assert removed.status == 200
    async with bare.operator():
        await until(lambda: is_waiting(bare))


async def test_a_route_leads_to_the_bank_for_as_long_as_its_spec_says(world: World) -> None:
    async with world.operator():
        await world.create(expose=GATEWAY)
        await until(lambda: has_route(world))
        made = await world.must(kinds.HTTP_ROUTE, "agents")
        assert made["spec"]["rules"][0]["backendRefs"][0]["name"] == "agents"

        async def is_addressed() -> bool:
            status = (await world.must(kinds.MEMORY_BANK, "agents"))["status"]
            return bool(status.get("url") == "https://memory.example.org")

        await until(is_addressed)
        await world.change(expose={"gateway": None})

        async def is_gone() -> bool:
            return await route(world) is None

        await until(is_gone)


async def test_a_bank_is_watched_once_the_cluster_has_the_kinds_for_it(bare: World) -> None:
    monitored = {"serviceMonitor": {}, "prometheusRule": {"labels": {"release": "prometheus"}}}

    async def waits() -> bool:
        return bool((await bare.ready()).get("reason") == "PrometheusOperatorNotInstalled")

    async with operator_until(bare, runtime.KindInstalled):
        await bare.create(monitoring=monitored)
        await until(waits)
        service = await bare.must("Service", "agents")
        assert service["metadata"]["annotations"]["prometheus.io/scrape"] == "true"
        await define(bare.connection, [service_monitor_crd()])
    await define(bare.connection, [prometheus_rule_crd()])

    async def is_served() -> bool:
        with contextlib.suppress(errors.NotFound, errors.Transient):
            await bare.client.discover(kinds.PROMETHEUS_RULE.collection())
            return True
        return False

    await until(is_served)

    async def is_watched() -> bool:
        monitor = await bare.get(kinds.SERVICE_MONITOR, "agents")
        return monitor is not None and await bare.get(kinds.PROMETHEUS_RULE, "agents") is not None

    async def waits_no_more() -> bool:
        return not await waits()

    async with bare.operator():
        await until(is_watched)
        await until(waits_no_more)
        rule = await bare.must(kinds.PROMETHEUS_RULE, "agents")
        assert rule["metadata"]["labels"]["release"] == "prometheus"
        assert rule["spec"]["groups"][0]["rules"]
        await bare.change(monitoring=None)

        async def is_gone() -> bool:
            return await bare.get(kinds.PROMETHEUS_RULE, "agents") is None

        await until(is_gone)
