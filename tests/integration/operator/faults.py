"""Operators that something happens to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count, islice
from typing import Any

import aiohttp
from aiohttp import ClientHandlerType, ClientMiddlewareType, ClientRequest, ClientResponse
from typing_extensions import override

from memorybank_operator import runtime
from memorybank_operator.canary import Door, Prober, Proof, Target
from memorybank_operator.kube.connection import Connection
from memorybank_operator.reconcile.keyring import utc_now
from memorybank_operator.runtime import Operator
from tests.integration.operator.node import Node
from tests.integration.operator.world import NodeProber, World


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
            self.count()
            if self.dead.is_set():
                response.close()  # the kernel does so for a process that died
                await asyncio.Event().wait()
        return response

    async def comes_before(self, end: Coroutine[Any, Any, None]) -> bool:
        """Wait for death, or for another end; return whether it was death."""
        ended = asyncio.create_task(end)
        dead = asyncio.create_task(self.dead.wait())
        await asyncio.wait((ended, dead), return_when=asyncio.FIRST_COMPLETED)
        died = self.dead.is_set()
        for task in (ended, dead):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await ended
        return died

    def count(self) -> None:
        """Count a write, wherever it went."""
        self._left -= 1
        if self._left == 0:
            self.dead.set()


async def deaths(prove: Callable[[int], Coroutine[Any, Any, bool]], *, at_once: int) -> int:
    """Prove something for each number of writes after which an operator may die, some at a time,
    until one comes to its end alive; return how many died.
    """
    writes, died = count(1), 0
    while True:
        async with asyncio.TaskGroup() as group:
            proofs = [group.create_task(prove(each)) for each in islice(writes, at_once)]
        died += sum(each.result() for each in proofs)
        if not all(each.result() for each in proofs):
            return died


class DeletedBefore:
    """Somebody deletes a Secret just before a change of it arrives: the first one that is made
    while it is told to.
    """

    def __init__(self, world: World, secret: str) -> None:
        self._world = world
        self._secret = secret
        self.armed = False

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        if (
            self.armed
            and request.method == "PATCH"
            and request.url.path.endswith(f"/secrets/{self._secret}")
        ):
            self.armed = False
            await self._world.delete("Secret", self._secret)
        return await handler(request)


class MortalProber(NodeProber):
    """Tells banks their keys until the operator dies; that counts as a write, too."""

    def __init__(self, node: Node, fault: DiesAfter) -> None:
        super().__init__(node)
        self._fault = fault

    @override
    async def probe(self, target: Target) -> Proof:
        if self._fault.dead.is_set():
            await asyncio.Event().wait()
        return await super().probe(target)

    @override
    async def set_keys(
        self, door: Door, keys: Sequence[Mapping[str, Any]]
    ) -> Sequence[Mapping[str, Any]]:
        if self._fault.dead.is_set():
            await asyncio.Event().wait()
        answers = await super().set_keys(door, keys)
        self._fault.count()
        if self._fault.dead.is_set():
            await asyncio.Event().wait()
        return answers


def faulty(world: World, fault: ClientMiddlewareType) -> Connection:
    """Return a connection like the world's own, with a fault."""
    real = world.connection
    return FaultyConnection(real.server, real.ssl, real.token, fault=fault)


@asynccontextmanager
async def doomed(
    world: World,
    fault: DiesAfter,
    *,
    prober: Prober | None = None,
    now: Callable[[], datetime] = utc_now,
    **changes: Any,
) -> AsyncIterator[Operator]:
    """Run an operator that the fault may stop dead; at the end of the block it is dead anyway."""
    settings = world.settings(shutdown_grace=0.0, **changes)
    async with runtime.operator(
        settings, faulty(world, fault), prober=prober, now=now, reader=world.pod
    ) as made:
        running = asyncio.create_task(made.run(asyncio.Event()))
        try:
            yield made
        finally:
            fault.dead.set()
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
