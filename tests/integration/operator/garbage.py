"""What the controllers of a whole cluster do about deleted banks; a bare API server has none."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from memorybank_operator.kube import errors, kinds
from tests.integration.operator.world import World

POLL_SECONDS = 0.2
ROUNDS = 500
"""How often is looked for what a bank left once it is gone: somebody may still be making more."""


def owners(body: dict[str, Any]) -> set[str]:
    """Return the uids of what owns an object."""
    return {each["uid"] for each in body["metadata"].get("ownerReferences", ())}


@asynccontextmanager
async def collecting_garbage(world: World, *names: str) -> AsyncIterator[None]:
    """During the block, delete what banks owned that are gone; `agents` when none is named."""
    world.collected = names or ("agents",)
    collecting = asyncio.create_task(_collect(world, world.collected))
    try:
        yield
    finally:
        world.collected = ()
        collecting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await collecting


async def is_collected(world: World) -> bool:
    """Tell whether nothing is left that a bank owned which is gone, if anybody collects it."""
    for name in world.collected:
        bank = await world.get(kinds.MEMORY_BANK, name)
        present = {bank["metadata"]["uid"]} if bank else set()
        if any(owners(body) - present for body in await _belongings(world, name)):
            return False
    return True


async def _collect(world: World, names: tuple[str, ...]) -> None:
    known: dict[str, set[str]] = {}
    left = dict.fromkeys(names, 0)
    while True:
        for name in names:
            bank = await world.get(kinds.MEMORY_BANK, name)
            present = {bank["metadata"]["uid"]} if bank else set()
            if known.get(name, present) != present:
                left[name] = ROUNDS
            known[name] = present
            if left[name]:
                left[name] -= 1
                await _collect_from(world, name, present)
        await asyncio.sleep(POLL_SECONDS)


async def _collect_from(world: World, name: str, present: set[str]) -> None:
    for body in await _belongings(world, name):
        if owners(body) - present:
            # Whatever is being written at the same time is looked at again in a moment.
            with contextlib.suppress(AssertionError, errors.NotFound, errors.Conflict):
                await _remove(world, body["kind"], body["metadata"]["name"])


async def _belongings(world: World, name: str) -> list[dict[str, Any]]:
    ring = await world.ring(name)
    return [*(await world.children(name)).values(), *([ring] if ring else [])]


async def _remove(world: World, kind: str, name: str) -> None:
    await world.delete(kind, name)
    # The protection of volumes in use, which another controller takes away.
    changes = {"metadata": {"finalizers": None}}
    await world.client.merge(kinds.by_kind(kind), world.namespace, name=name, changes=changes)
