"""Whatever cuts an operator off, wherever: the next one ends at the same place and writes no more.

The pattern is Sieve's (OSDI'22): stop after each write, lose each answer, fail each request.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import ClientHandlerType, ClientMiddlewareType, ClientRequest, ClientResponse
from typing_extensions import override

from memorybank_operator import runtime
from memorybank_operator.kube import kinds
from memorybank_operator.kube.connection import Connection
from memorybank_operator.runtime import Operator
from tests.integration.operator.test_objects import reconciles
from tests.integration.operator.world import CHILDREN, World, until

CREATION_WRITES = 7
"""Six objects and a status."""


@dataclass(frozen=True)
class FaultyConnection(Connection):
    """A connection on which something happens to the writes."""

    fault: ClientMiddlewareType = field(kw_only=True)

    @override
    def session(
        self, *middlewares: ClientMiddlewareType, connections: int = 32
    ) -> aiohttp.ClientSession:
        return super().session(*middlewares, self.fault, connections=connections)


class DiesAfter:
    """Lets some writes through; then nothing goes out any more and no answer comes back."""

    def __init__(self, writes: int) -> None:
        self._left = writes
        self.dead = asyncio.Event()

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        if self.dead.is_set():
            await asyncio.Event().wait()
        response = await handler(request)
        if request.method != "GET":
            self._left -= 1
            if self._left == 0:
                self.dead.set()
                response.close()  # the kernel does so for a process that died
                await asyncio.Event().wait()
        return response


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


def faulty(world: World, fault: ClientMiddlewareType) -> Connection:
    real = world.connection
    return FaultyConnection(real.server, real.ssl, real.token, fault=fault)


@asynccontextmanager
async def killed(world: World, fault: DiesAfter) -> AsyncIterator[None]:
    """Run an operator until it dies of the fault, during the block or after it."""
    settings = world.settings(shutdown_grace=0.0)
    async with runtime.operator(settings, faulty(world, fault)) as made:
        running = asyncio.create_task(made.run(asyncio.Event()))
        yield
        async with asyncio.timeout(20):
            await fault.dead.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running


async def settled(world: World, operator: Operator) -> dict[str, Any]:
    """Wait until the bank's objects are all there and two more looks write nothing; return them."""

    async def is_said() -> bool:
        return bool(await world.ready()) and (await world.children()).keys() == CHILDREN.keys()

    await until(is_said)
    for _ in range(2):
        count, writes = reconciles(operator), world.writes()
        operator._look_at(operator.cache.banks())

        async def looked(count: float = count) -> bool:
            return reconciles(operator) > count

        await until(looked)
    assert world.writes() == writes
    return await world.children()


@pytest.mark.parametrize("write", range(1, CREATION_WRITES + 1))
async def test_a_creation_cut_off_after_any_write_is_carried_on(world: World, write: int) -> None:
    fault = DiesAfter(write)
    async with killed(world, fault):
        await world.create()
    before = await world.children()
    async with world.operator() as operator:
        after = await settled(world, operator)
    # What was made is kept, above all the key.
    for kind, body in before.items():
        assert after[kind]["metadata"]["uid"] == body["metadata"]["uid"]
    if "Secret" in before:
        assert after["Secret"]["data"] == before["Secret"]["data"]
    assert len(world.writes()) == CREATION_WRITES


@pytest.mark.parametrize("write", range(1, 6))
async def test_a_replacement_of_a_lost_key_cut_off_after_any_write_is_carried_on(
    world: World, write: int
) -> None:
    async with world.operator() as operator:
        await world.create()
        await settled(world, operator)
    await world.delete("Secret", "agents-key")
    await world.delete("ConfigMap", "agents-config")
    await world.delete("Service", "agents")
    fault = DiesAfter(write)
    async with killed(world, fault):
        pass
    kept = await world.get("Secret", "agents-key")
    async with world.operator() as operator:
        after = await settled(world, operator)
    if kept is not None:
        assert after["Secret"]["data"] == kept["data"]


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
        await settled(world, operator)
    assert fault.failed.is_set()
    assert (await world.ready())["reason"] == "DeploymentProgressing"
    bank = await world.must(kinds.MEMORY_BANK, "agents")
    assert bank["status"]["observedGeneration"] == bank["metadata"]["generation"]


async def test_a_change_whose_event_is_lost_is_found_within_the_interval(world: World) -> None:
    async with world.operator(resync_interval=2.0) as operator:
        await world.create()
        await settled(world, operator)
        seen: list[str] = []
        remove = operator.cache.remove

        def lose(body: Any) -> None:
            seen.append(body["kind"])

        operator.cache.remove = lose  # type: ignore[method-assign]
        await world.delete("Service", "agents")

        async def is_lost() -> bool:
            return seen == ["Service"]

        await until(is_lost)
        operator.cache.remove = remove  # type: ignore[method-assign]
        await settled(world, operator)
