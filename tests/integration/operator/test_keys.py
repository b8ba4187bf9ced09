"""A MemoryBankKey opens its bank while it exists, and nothing but its Secret tells the key."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from memorybank_operator.api.v1alpha1.conditions import Reason
from memorybank_operator.kube import errors, kinds
from tests.integration.operator.node import Node
from tests.integration.operator.world import NodeProber, World, succeeds_within, until

START_SECONDS = 300.0
REVOKED_SECONDS = 2.0


async def token_of(world: World, name: str = "app") -> str:
    secret = await world.must("Secret", name)
    return base64.b64decode(secret["data"]["token"]).decode()


async def status_of(node: Node, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession(node.running["agents"].address, headers=headers) as session,
        session.get("/v1/memories") as response,
    ):
        return response.status


def key_is(
    world: World, status: str, reason: str, name: str = "app"
) -> Callable[[], Awaitable[bool]]:
    async def is_it() -> bool:
        key = await world.must(kinds.MEMORY_BANK_KEY, name)
        conditions = key["status"].get("conditions", ())
        ready: dict[str, Any] = next((c for c in conditions if c["type"] == "Ready"), {})
        return (ready.get("status"), ready.get("reason")) == (status, reason)

    return is_it


async def test_a_key_is_delivered_taken_and_revoked(
    world: World, node: Node, prober: NodeProber, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with world.operator(prober=prober):
        await world.create_key(role="readonly")
        await until(key_is(world, "False", Reason.BANK_NOT_FOUND))
        token = await token_of(world)
        await world.create()
        await until(key_is(world, "True", Reason.KEY_ACCEPTED), seconds=START_SECONDS)
        assert await status_of(node, token) == 200
        secret = await world.must("Secret", "app")
        assert {"type", "provider", "uri", "host", "port", "token"} <= secret["data"].keys()
        await world.create_key("poet", role="poet")
        await until(key_is(world, "False", Reason.KEY_REFUSED, "poet"))
        assert await status_of(node, await token_of(world, "poet")) == 401
        key = await world.must(kinds.MEMORY_BANK_KEY, "app")
        told = json.dumps([key, *await world.events()]) + caplog.text
        assert token not in told
        await world.delete(kinds.MEMORY_BANK_KEY, "app")

        async def is_refused() -> bool:
            return await status_of(node, token) == 401

        await until(is_refused)
        # Its Secret outlives it here, where nobody collects garbage: what is left is not taken.
        await world.create_key()
        await until(key_is(world, "False", Reason.WAITING_FOR_DELETION))
        assert await is_refused()
        await world.delete("Secret", "app")
        await until(key_is(world, "True", Reason.KEY_ACCEPTED))
        second = await token_of(world)
        assert second != token
    await world.delete(kinds.MEMORY_BANK_KEY, "app")
    assert await status_of(node, second) == 200, "nobody runs who could tell the bank"
    async with world.operator(prober=prober):

        async def is_revoked() -> bool:
            return await status_of(node, second) == 401

        await until(is_revoked)


async def test_a_deleted_key_is_refused_in_time(
    world: World, node: Node, prober: NodeProber
) -> None:
    async with world.operator(prober=prober):
        await world.create()

        async def delete(number: int) -> float:
            name = f"app-{number}"
            await world.create_key(name)
            await until(key_is(world, "True", Reason.KEY_ACCEPTED, name), seconds=START_SECONDS)
            token = await token_of(world, name)
            await world.delete(kinds.MEMORY_BANK_KEY, name)

            async def is_refused() -> bool:
                return await status_of(node, token) == 401

            return await until(is_refused)

        await succeeds_within(REVOKED_SECONDS, delete)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"role": "Poet"}, "write admin, developer, readonly, or a role of the bank's"),
        ({"tenant": "Of Mine"}, "write the name of a tenant"),
        ({"bankRef": {"name": "Agents"}}, "write the name of an object"),
        ({"expiresAt": "soon"}, "spec.expiresAt"),
    ],
)
async def test_a_wrong_key_is_refused_by_the_api_server(
    world: World, spec: dict[str, Any], said: str
) -> None:
    with pytest.raises(errors.Invalid, match=said):
        await world.create_key(**spec)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"bankRef": {"name": "others"}}, "spec.bankRef cannot change"),
        ({"secretName": "another"}, "spec.secretName cannot change"),
    ],
)
async def test_what_others_rely_on_cannot_change(
    world: World, change: dict[str, Any], said: str
) -> None:
    await world.create_key()
    with pytest.raises(errors.Invalid, match=said):
        await world.client.merge(
            kinds.MEMORY_BANK_KEY, world.namespace, name="app", changes={"spec": change}
        )


async def test_a_secret_that_is_refused_keeps_no_other_key_from_the_bank(
    world: World, node: Node, prober: NodeProber
) -> None:
    async with world.operator(prober=prober):
        await world.create()
        await world.create_key()
        await world.create_key("leaver")
        await until(key_is(world, "True", Reason.KEY_ACCEPTED), seconds=START_SECONDS)
        await until(key_is(world, "True", Reason.KEY_ACCEPTED, "leaver"))
        token, leaver = await token_of(world), await token_of(world, "leaver")
        await world.client.merge(
            kinds.SECRET, world.namespace, name="app", changes={"immutable": True}
        )
        await world.change_key(rotation={"request": "leaked"})
        await until(key_is(world, "False", Reason.API_INVALID))
        assert await token_of(world) == token
        assert await status_of(node, token) == 200
        await world.create_key("newcomer")
        await until(key_is(world, "True", Reason.KEY_ACCEPTED, "newcomer"))
        await world.delete(kinds.MEMORY_BANK_KEY, "leaver")

        async def is_refused() -> bool:
            return await status_of(node, leaver) == 401

        await until(is_refused)
        # Made anew once it is deleted: that is a cure.
        await world.delete("Secret", "app")
        await until(key_is(world, "True", Reason.KEY_ACCEPTED))
        assert await status_of(node, token) == 401
