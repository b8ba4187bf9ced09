"""Which one of several operators writes: the holder of a Lease.

All of them watch, so that whoever takes over knows everything already; only the leader reconciles.
The guarantee is the usual one of Leases, made of three times: a leader that could not renew for
two thirds of the Lease's duration writes nothing more and ends; others wait for the whole of it
after the last renewal that they saw. The third in between is for clocks that run unevenly and for
requests on their way. No clock is compared with another machine's.

A process that was stopped and goes on has a clock that went on: every write asks it first.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol

from memorybank_operator.kube import errors, kinds
from memorybank_operator.kube.client import KubeClient, Object

NAME = "memorybank-operator"
RENEW_SHARE = 2 / 3
"""Of the duration: how long a leader goes on without a renewal (client-go: 10 of 15 s)."""
RETRY_SHARE = 2 / 15
"""Of the duration: the pause between two attempts (client-go: 2 of 15 s)."""

logger = logging.getLogger(__name__)


def uninterrupted() -> float:
    """Return seconds of a clock that goes on while the process or the machine is suspended."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Leadership(Protocol):
    """Says whether this operator may write."""

    leading: asyncio.Event

    async def run(self) -> None:
        """Stand for election until the end; return only when leadership was lost."""

    def write_seconds(self) -> float:
        """Return for how many seconds a write may still be under way; 0 forbids it."""

    async def release(self) -> None:
        """Let somebody else lead at once."""


class Alone:
    """There is no other operator."""

    def __init__(self) -> None:
        self.leading = asyncio.Event()

    async def run(self) -> None:
        """See Leadership."""
        self.leading.set()
        await asyncio.Event().wait()

    def write_seconds(self) -> float:
        """See Leadership."""
        return math.inf

    async def release(self) -> None:
        """See Leadership."""


class Candidate:
    """Holds the Lease, or waits for it."""

    def __init__(
        self,
        client: KubeClient,
        *,
        namespace: str,
        identity: str,
        seconds: float,
        clock: Callable[[], float] = uninterrupted,
    ) -> None:
        """`client` must not ask this object for leave to write; `seconds`: the Lease's duration."""
        self.leading = asyncio.Event()
        self._client = client
        self._namespace = namespace
        self._identity = identity
        self._seconds = seconds
        self._clock = clock
        self._held: Object | None = None
        """The Lease as this process wrote it last."""
        self._renewed = -math.inf
        """When the last renewal that succeeded was begun."""
        self._rival: tuple[str, float] = ("", -math.inf)
        """The rival's last known renewal, by resourceVersion, and when it was first seen."""
        self._announced = ""

    async def run(self) -> None:
        """See Leadership."""
        while True:
            await self._attempt()
            if self.leading.is_set() and (self._held is None or self.write_seconds() <= 0):
                return
            await asyncio.sleep(self._seconds * RETRY_SHARE)

    def write_seconds(self) -> float:
        """See Leadership."""
        return max(0.0, self._renewed + self._seconds * RENEW_SHARE - self._clock())

    async def release(self) -> None:
        """See Leadership. When this fails, the others wait for the Lease to run out."""
        if self._held is None or self.write_seconds() <= 0:
            return
        self._renewed = -math.inf
        self.leading.clear()
        try:
            await self._write(self._held, holderIdentity="", leaseDurationSeconds=1)
        except errors.KubeError as error:
            logger.warning("the Lease was not released: %s", error)

    async def _attempt(self) -> None:
        """Renew or take the Lease; afterwards `_held` says whether it is ours."""
        began = self._clock()
        # An answer that comes after that is worth nothing: it would extend what is over.
        patience = self.write_seconds() if self.leading.is_set() else self._seconds * RENEW_SHARE
        try:
            async with asyncio.timeout(patience):
                self._held = await self._renew() or await self._take()
        except errors.KubeError as error:
            logger.warning("%s", error)
        except TimeoutError:
            logger.warning("the API server did not answer about the Lease within %.1f s", patience)
        else:
            if self._held is not None:
                self._renewed = began
                if not self.leading.is_set():
                    logger.info("leading, as %s", self._identity)
                self.leading.set()

    async def _renew(self) -> Object | None:
        if self._held is None:
            return None
        try:
            return await self._write(self._held, renewTime=_now())
        except (errors.Conflict, errors.NotFound):
            return None  # written by somebody else, or deleted: look at what is there

    async def _take(self) -> Object | None:
        """Take the Lease if it is free; return None when somebody else holds it."""
        lease = await self._client.get(kinds.LEASE, self._namespace, NAME)
        if self.leading.is_set() and (lease is None or _holder(lease) != self._identity):
            return None  # whoever took it is the leader now, or may be
        try:
            if lease is None:
                return await self._client.create(self._lease())
            if _holder(lease) != self._identity and not self._is_free(lease):
                return None
            return await self._write(lease, **self._terms(lease))
        except errors.Conflict:
            return None

    def _is_free(self, lease: Object) -> bool:
        holder, version = _holder(lease), lease["metadata"]["resourceVersion"]
        if not holder:
            return True
        if holder != self._announced:
            self._announced = holder
            logger.info("waiting: %s leads", holder)
        if version != self._rival[0]:
            self._rival = (version, self._clock())
        seconds = float(lease["spec"].get("leaseDurationSeconds") or self._seconds)
        return self._clock() - self._rival[1] >= seconds

    def _terms(self, lease: Object | None) -> dict[str, Any]:
        """Return the spec of a Lease that begins to be ours."""
        spec = {} if lease is None else lease["spec"]
        return {
            "holderIdentity": self._identity,
            # Whole seconds, as the API wants them: rounded up, so that the others wait long enough.
            "leaseDurationSeconds": math.ceil(self._seconds),
            "acquireTime": _now(),
            "renewTime": _now(),
            "leaseTransitions": int(spec.get("leaseTransitions") or 0) + (lease is not None),
        }

    def _lease(self) -> Object:
        return {
            "apiVersion": kinds.LEASE.api_version,
            "kind": kinds.LEASE.kind,
            "metadata": {"name": NAME, "namespace": self._namespace},
            "spec": self._terms(None),
        }

    async def _write(self, lease: Object, **spec: Any) -> Object:
        """Change the Lease unless somebody changed it before. Raises Conflict then."""
        version = {"resourceVersion": lease["metadata"]["resourceVersion"]}
        return await self._client.merge(
            kinds.LEASE, self._namespace, name=NAME, changes={"metadata": version, "spec": spec}
        )


def _holder(lease: Object) -> str:
    return str(lease["spec"].get("holderIdentity") or "")


def _now() -> str:
    """Return the time as the API writes a MicroTime. For people: nothing is decided by it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
