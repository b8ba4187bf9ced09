"""Secrets that a spec names, in use by the real service: an encrypted bank and its key ring."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from memorybank_operator.api.v1alpha1.conditions import Reason
from memorybank_operator.kube import kinds
from memorybank_operator.runtime import Operator
from tests.integration.operator.node import Node
from tests.integration.operator.world import NodeProber, World, until

START_SECONDS = 300.0
"""A start of the service: Python, the model, and whatever else this machine does."""
ENCRYPTION = {"enabled": True, "keySecretRef": {"name": "ring", "key": "ring.json"}}
CONTENT = "The vault of the observatory opens at dusk"


@pytest.fixture
async def operator(world: World, prober: NodeProber) -> AsyncIterator[Operator]:
    async with world.operator(prober=prober) as running:
        yield running


async def put_ring(world: World, active: str, keys: dict[str, bytes]) -> None:
    encoded = {name: base64.b64encode(key).decode() for name, key in keys.items()}
    text = json.dumps({"active": active, "keys": encoded})
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "ring", "namespace": world.namespace},
        "data": {"ring.json": base64.b64encode(text.encode()).decode()},
    }
    if await world.get("Secret", "ring") is None:
        await world.client.create(body)
    else:
        await world.client.apply(body)


async def is_ready(world: World, other_than: str | None = None) -> bool:
    """Whether the newest generation is proven, by another configuration than this one."""
    bank = await world.must(kinds.MEMORY_BANK, "agents")
    ready = await world.ready()
    proven = ready.get("status") == "True"
    newest = ready.get("observedGeneration") == bank["metadata"]["generation"]
    return proven and newest and bank["status"].get("configuration") != other_than


async def configuration(world: World) -> str:
    bank = await world.must(kinds.MEMORY_BANK, "agents")
    text: str = bank["status"]["configuration"]
    return text


async def session(world: World, node: Node) -> aiohttp.ClientSession:
    token = base64.b64decode((await world.must("Secret", "agents-key"))["data"]["token"]).decode()
    headers = {"Authorization": f"Bearer {token}"}
    return aiohttp.ClientSession(node.running["agents"].address, headers=headers)


async def found(world: World, node: Node) -> list[str]:
    async with (
        await session(world, node) as client,
        client.post("/v1/search", json={"query": "when does the vault open"}) as answer,
    ):
        body: dict[str, Any] = await answer.json()
        assert answer.status == 200, body
        return [each["memory"]["content"] for each in body["results"]]


def on_disk(folder: Path) -> list[bytes]:
    """Return what the database's files hold."""
    return [each.read_bytes() for each in folder.rglob("memory_bank.db*") if each.is_file()]


async def test_an_encrypted_bank_waits_for_its_ring_and_lives_through_its_rotation(
    world: World, operator: Operator, node: Node, tmp_path: Path
) -> None:
    await world.create(encryption=ENCRYPTION)

    async def is_missed() -> bool:
        return (await world.ready()).get("reason") == Reason.SECRET_NOT_FOUND

    await until(is_missed)
    assert "spec.encryption.keySecretRef" in (await world.ready())["message"]
    assert "Deployment" not in await world.children()

    old, new = os.urandom(32), os.urandom(32)
    await put_ring(world, "old", {"old": old})
    await until(lambda: is_ready(world), seconds=START_SECONDS)
    async with (
        await session(world, node) as client,
        client.post("/v1/memories", json={"content": CONTENT}) as stored,
    ):
        assert stored.status == 201

    async def is_found() -> bool:
        return CONTENT in await found(world, node)

    await until(is_found)
    kept = on_disk(tmp_path)
    assert kept
    assert not any(b"observatory" in content for content in kept)

    pod = node.running["agents"].pod["metadata"]["uid"]
    in_effect = await configuration(world)
    await put_ring(world, "new", {"old": old, "new": new})
    # Secrets of others are looked at once a minute; an edit of the bank has them looked at now.
    await world.change(deletionPolicy="Delete")
    await until(lambda: is_ready(world, in_effect), seconds=START_SECONDS)
    in_effect = await configuration(world)
    # What took effect wrapped everything by the new key, so the old one can go.
    await put_ring(world, "new", {"new": new})
    await world.change(deletionPolicy="Retain")
    await until(lambda: is_ready(world, in_effect), seconds=START_SECONDS)
    assert CONTENT in await found(world, node)
    assert node.running["agents"].pod["metadata"]["uid"] == pod, "nothing restarted"
    for event in await world.events():
        assert base64.b64encode(new).decode() not in event["message"]
