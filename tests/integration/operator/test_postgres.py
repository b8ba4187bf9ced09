"""A bank in a real PostgreSQL: what becomes of it when the database's address, password and server
change or are not there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Container, Iterator
from typing import Any

import pytest

from memorybank_operator import constants
from memorybank_operator.api.v1alpha1.conditions import Reason
from memorybank_operator.kube import kinds
from memorybank_operator.runtime import Operator
from tests.integration.operator.node import Node
from tests.integration.operator.servers import start_database
from tests.integration.operator.test_named_secrets import (
    CONTENT,
    START_SECONDS,
    configuration,
    found,
    is_ready,
    session,
)
from tests.integration.operator.world import NodeProber, World, until
from tests.operator.world import IN_POSTGRES
from tests.support import postgres
from tests.support.postgres import OWNER, PASSWORD, Server

OF_ITS_OWN: dict[str, Any] = {
    "storage": {"engine": "postgres", "postgres": {"cluster": {"instances": 2}}}
}
OTHER_PASSWORD = "q-not-a-secret"


@pytest.fixture
async def operator(world: World, prober: NodeProber) -> AsyncIterator[Operator]:
    async with world.operator(prober=prober) as running:
        yield running


@pytest.fixture
def database() -> Iterator[Server]:
    """A server that may be stopped, with an empty database for a bank, and another one."""
    started = postgres.own_server()
    for name in ("memories", "others"):
        started.database(name)
    yield started
    postgres.remove(started)


async def store(world: World, node: Node) -> None:
    async with (
        await session(world, node) as client,
        client.post("/v1/memories", json={"content": CONTENT}) as stored,
    ):
        assert stored.status == 201, await stored.text()


async def look(world: World, text: str) -> None:
    """Have the operator look now, which it does once a minute where a spec names Secrets."""
    await world.client.merge(
        kinds.MEMORY_BANK, world.namespace, name="agents",
        changes={"metadata": {"annotations": {constants.ANNOTATION_RESYNC: text}}},
    )  # fmt: skip


def pod(node: Node) -> str:
    return str(node.running["agents"].pod["metadata"]["uid"])


async def until_ready(world: World, other_than: str | None = None) -> None:
    await until(lambda: is_ready(world, other_than), seconds=START_SECONDS)


async def reason(world: World) -> Any:
    return (await world.ready()).get("reason")


async def test_a_bank_waits_for_its_address_and_takes_another_password_without_a_restart(
    world: World, operator: Operator, node: Node, database: Server
) -> None:
    await world.create(**IN_POSTGRES)

    async def is_missed() -> bool:
        return bool(await reason(world) == Reason.SECRET_NOT_FOUND)

    await until(is_missed)
    assert "spec.storage.postgres.urlSecretRef" in (await world.ready())["message"]
    assert "Deployment" not in await world.children()

    await world.put_secret("database", url=database.url("memories"))
    await until_ready(world)
    assert "PersistentVolumeClaim" not in await world.children()
    assert "storage" not in (await world.must(kinds.MEMORY_BANK, "agents"))["status"]
    await store(world, node)
    assert CONTENT in await found(world, node)

    before, in_effect = pod(node), await configuration(world)
    database.execute(f"ALTER ROLE {OWNER} PASSWORD '{OTHER_PASSWORD}'")
    database.cut("memories")
    await world.put_secret("database", url=database.url("memories", password=OTHER_PASSWORD))
    await look(world, "password")
    await until_ready(world, in_effect)
    assert CONTENT in await found(world, node)
    assert pod(node) == before, "nothing restarted"

    other = database.url("others", password=OTHER_PASSWORD)
    await world.put_secret("database", url=other)
    await look(world, "database")

    async def is_replaced() -> bool:
        running = node.running.get("agents")
        return running is not None and pod(node) != before and await is_ready(world)

    await until(is_replaced, seconds=START_SECONDS)
    assert await found(world, node) == [], "it is another database"
    for event in await world.events():
        assert PASSWORD not in event["message"]
        assert OTHER_PASSWORD not in event["message"]


async def test_a_bank_outlives_its_database_and_is_found_again_by_another_one(
    world: World, operator: Operator, node: Node, database: Server
) -> None:
    await world.put_secret("database", url=database.url("memories"))
    await world.create(**IN_POSTGRES, deletionPolicy="Delete")
    await until_ready(world)
    await store(world, node)
    before = pod(node)

    postgres.kill(database)

    async def is_ill() -> bool:
        return bool((await world.ready())["status"] != "True")

    await until(is_ill)
    again = postgres.start(database.folder, initialised=True)
    try:
        await until_ready(world)
        assert CONTENT in await found(world, node)
        assert pod(node) == before, "nothing restarted"
        await recreate(world)
        await until_ready(world)
        assert CONTENT in await found(world, node), "the database was left alone"
    finally:
        postgres.kill(again)


async def test_a_bank_waits_for_its_own_servers_and_finds_what_they_kept_when_it_is_made_again(
    world: World, operator: Operator, node: Node, database: Server
) -> None:
    await world.create(**OF_ITS_OWN)

    async def is_awaited() -> bool:
        return bool(await reason(world) == Reason.DATABASE_STARTING)

    await until(is_awaited)
    cluster = await world.must(kinds.POSTGRES_CLUSTER, "agents-postgres")
    assert cluster["spec"]["instances"] == 2
    assert "Deployment" not in await world.children()
    await start_database(world, database.url("memories"))
    await until_ready(world)
    await store(world, node)

    await recreate(world, OF_ITS_OWN, kept={"Cluster"})
    await until_ready(world)
    again = await world.must(kinds.POSTGRES_CLUSTER, "agents-postgres")
    assert again["metadata"]["uid"] == cluster["metadata"]["uid"]
    assert CONTENT in await found(world, node)
    for event in await world.events():
        assert PASSWORD not in event["message"]


async def test_a_bank_is_searched_in_its_own_servers_by_what_these_begin_with(
    world: World, operator: Operator, node: Node, database: Server
) -> None:
    await world.create(**OF_ITS_OWN, vector={"provider": "pgvector"})

    async def is_there() -> bool:
        return await world.get(kinds.POSTGRES_CLUSTER, "agents-postgres") is not None

    await until(is_there)
    cluster = await world.must(kinds.POSTGRES_CLUSTER, "agents-postgres")
    for statement in cluster["spec"]["bootstrap"]["initdb"]["postInitApplicationSQL"]:
        database.execute(statement, "memories")  # as a superuser, like CloudNativePG
    await start_database(world, database.url("memories"))
    await until_ready(world)
    await store(world, node)
    assert CONTENT in await found(world, node)


async def recreate(
    world: World, spec: dict[str, Any] = IN_POSTGRES, kept: Container[str] = ()
) -> None:
    """Delete the bank with everything that it owns, and make it again."""
    await world.delete(kinds.MEMORY_BANK, "agents")

    async def is_gone() -> bool:
        return await world.get(kinds.MEMORY_BANK, "agents") is None

    await until(is_gone)
    for kind, body in (await world.children()).items():  # nobody else collects them here
        if kind not in kept:
            await world.delete(kind, body["metadata"]["name"])
    await world.create(**spec)
