"""Keys that end by the spec, and keys whose spec this operator cannot read."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from memorybank_operator.api import crd
from memorybank_operator.api.v1alpha1.conditions import Reason
from memorybank_operator.kube import kinds
from tests.integration.operator.node import Node
from tests.integration.operator.test_key_rotation import Clock
from tests.integration.operator.test_keys import key_is, status_of, token_of
from tests.integration.operator.world import NodeProber, World, until
from tests.support.apiserver import DEFINITIONS

START_SECONDS = 300.0
LIFE_SECONDS = 3
WARNINGS = (Reason.KEY_EXPIRES_SOON, Reason.KEY_EXPIRED)
CRD_PATH = f"{DEFINITIONS}/{crd.KEYS_PLURAL}.memorybank.dev"
SPEC_FIELDS = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties"


def has_condition(world: World, kind: str, reason: str) -> Callable[[], Awaitable[bool]]:
    async def has_it() -> bool:
        key = await world.must(kinds.MEMORY_BANK_KEY, "app")
        found = {each["type"]: each["reason"] for each in key["status"].get("conditions", ())}
        return found.get(kind) == reason

    return has_it


async def test_a_key_that_ends_says_so_before_and_after_and_is_refused(
    world: World, node: Node, prober: NodeProber
) -> None:
    clock = Clock()
    async with world.operator(prober=prober, now=clock) as operator:
        await world.create()
        await world.create_key("other")
        await until(key_is(world, "True", Reason.KEY_ACCEPTED, "other"), seconds=START_SECONDS)
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        await world.create_key(expiresAt=tomorrow.isoformat())
        await until(key_is(world, "True", Reason.KEY_ACCEPTED))
        assert not await has_condition(world, "Expiring", Reason.KEY_EXPIRES_SOON)()
        clock.advance(operator, hours=23)
        await until(has_condition(world, "Expiring", Reason.KEY_EXPIRES_SOON))
        token = await token_of(world)
        assert await status_of(node, token) == 200
        clock.ahead = timedelta()  # the bank goes by its own clock
        end = datetime.now(UTC) + timedelta(seconds=LIFE_SECONDS)
        await world.change_key(expiresAt=end.isoformat())
        await until(key_is(world, "False", Reason.KEY_EXPIRED))
        assert datetime.now(UTC) >= end
        assert await has_condition(world, "Stalled", Reason.KEY_EXPIRED)()
        assert await status_of(node, token) == 401

        async def are_told() -> bool:  # the events follow the status
            told = {(each["reason"], each["type"]) for each in await world.events()}
            return told >= {(each, "Warning") for each in WARNINGS}

        await until(are_told)
        later = datetime.now(UTC) + timedelta(days=30)
        await world.change_key(expiresAt=later.isoformat())
        await until(key_is(world, "True", Reason.KEY_ACCEPTED))
        assert await status_of(node, token) == 200
        assert await token_of(world) == token


@asynccontextmanager
async def a_newer_definition(world: World) -> AsyncIterator[None]:
    """For the block, the API server takes a field that this operator does not know."""

    async def patch(operation: dict[str, Any]) -> None:
        headers = {"Content-Type": "application/json-patch+json"}
        async with (
            world.connection.session() as session,
            session.patch(
                world.connection.server + CRD_PATH, json=[operation], headers=headers
            ) as answer,
        ):
            assert answer.status == 200, await answer.text()

    field = f"{SPEC_FIELDS}/hue"
    await patch({"op": "add", "path": field, "value": {"type": "string"}})
    try:
        yield
    finally:
        await patch({"op": "remove", "path": field})


async def test_a_key_that_cannot_be_read_is_stalled_and_opens_what_it_did(
    world: World, node: Node, prober: NodeProber
) -> None:
    async with a_newer_definition(world):
        async with world.operator(prober=prober):
            await world.create()
            await world.create_key(role="readonly")
            await world.create_key("other")
            await until(key_is(world, "True", Reason.KEY_ACCEPTED), seconds=START_SECONDS)
            await until(key_is(world, "True", Reason.KEY_ACCEPTED, "other"))
            token = await token_of(world)

            async def is_unreadable() -> bool:
                changed = await world.change_key(hue="red")
                return bool(changed["spec"].get("hue") == "red")

            await until(is_unreadable)  # a definition takes its time to be in force
            await until(key_is(world, "False", Reason.INVALID_SPEC))
            assert await has_condition(world, "Stalled", Reason.INVALID_SPEC)()
            key = await world.must(kinds.MEMORY_BANK_KEY, "app")
            ready = next(each for each in key["status"]["conditions"] if each["type"] == "Ready")
            assert ready["message"].startswith("spec.hue: this version of the operator has no such")
            assert await status_of(node, token) == 200
            other = await token_of(world, "other")
            await world.delete(kinds.MEMORY_BANK_KEY, "other")

            async def is_revoked() -> bool:
                return await status_of(node, other) == 401

            await until(is_revoked)
        assert base64.b64encode(token.encode()).decode() not in str(key)
        async with world.operator(prober=prober):  # whoever comes next knows as little
            await world.create_key("third")
            await until(key_is(world, "True", Reason.KEY_ACCEPTED, "third"))
            assert await status_of(node, token) == 200
            await world.change_key(hue=None)
            await until(key_is(world, "True", Reason.KEY_ACCEPTED))
            assert await token_of(world) == token
