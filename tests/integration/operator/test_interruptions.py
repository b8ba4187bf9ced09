"""Whatever request, answer or event is lost: the operator ends at the same place and writes no
more. What stops the operator itself is in test_crash_points.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse

from memorybank_operator.kube import kinds
from tests.integration.operator.faults import faulty
from tests.integration.operator.settling import settle
from tests.integration.operator.test_process import CREATION_WRITES
from tests.integration.operator.world import CHILDREN, World, until


class FailsOnce:
    """Lets some writes through and fails the next one; `answered` after the server did it."""

    def __init__(self, number: int, fail: Callable[[], None], *, answered: bool) -> None:
        self._left = number
        self._fail = fail
        self._answered = answered
        self.failed = asyncio.Event()

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        if request.method == "GET":
            return await handler(request)
        self._left -= 1
        if self._left != 0:
            return await handler(request)
        if self._answered:
            (await handler(request)).close()
        self.failed.set()
        self._fail()
        raise AssertionError("unreachable")


def _reset() -> None:
    raise aiohttp.ServerDisconnectedError


def _time_out() -> None:
    raise TimeoutError


@pytest.mark.parametrize("answered", [False, True], ids=["request lost", "answer lost"])
@pytest.mark.parametrize("fail", [_reset, _time_out])
@pytest.mark.parametrize("write", range(1, CREATION_WRITES + 1))
async def test_a_creation_survives_the_loss_of_any_request_or_answer(
    world: World, write: int, fail: Callable[[], None], answered: bool
) -> None:
    fault = FailsOnce(write, fail, answered=answered)
    async with world.operator(connection=faulty(world, fault)) as operator:
        await world.create()
        await settle(world, operator)
    assert fault.failed.is_set()
    assert (await world.children()).keys() == CHILDREN.keys()
    assert (await world.ready())["reason"] == "DeploymentProgressing"
    bank = await world.must(kinds.MEMORY_BANK, "agents")
    assert bank["status"]["observedGeneration"] == bank["metadata"]["generation"]


async def test_a_change_whose_event_is_lost_is_found_within_the_interval(world: World) -> None:
    async with world.operator(resync_interval=2.0) as operator:
        await world.create()
        await settle(world, operator)
        seen: list[str] = []
        remove = operator.cache.remove

        def lose(body: Any) -> None:
            seen.append(body["kind"])

        operator.cache.remove = lose  # type: ignore[method-assign]
        await world.delete("Service", "agents")

        async def is_lost() -> bool:
            return "Service" in seen  # by the watch, and once more by a list

        await until(is_lost)
        operator.cache.remove = remove  # type: ignore[method-assign]

        async def is_made_again() -> bool:
            return await world.get("Service", "agents") is not None

        await until(is_made_again)
