"""How full the disks of banks are, as their pods say.

A pod is asked at its own address and not through the Service, which leads to no pod that is not
ready, as one is not whose disk is full. The answer needs no key, and none is sent. What was read is
kept in memory only: after a restart it is read anew.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aiohttp

from memorybank_operator.engine.cache import BankKey
from memorybank_operator.engine.queue import KeyedQueue, Priority
from memorybank_operator.engine.workers import Outcome, Workers
from memorybank_operator.reconcile.observed import Disk

NEAR_PERCENT = 60
"""From this share on a disk is looked at more often than those of a crowd that has room."""
READ_PER_SECOND = 1.0
"""Readings of banks that have room, of all together, and as many of those that have little. One
takes some 3 ms of CPU time.
"""
CONNECT_SECONDS = 3.0
READ_SECONDS = 8.0
"""A service may need five for its self-test, and one to hear of its disk."""
MAX_BYTES = 64 * 1024
"""Of an answer; the real one has less than one KiB."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """Where a bank's disk is asked for."""

    address: str
    """Base URL of the pod."""
    capacity: str
    """What the volume has: another one asks for a reading at once."""


class DiskReader:
    """Asks one pod, on a new connection."""

    async def read(self, outlook: Outlook) -> Disk | None:
        """Return what the pod says of its disk, None when it says nothing of use."""
        timeout = aiohttp.ClientTimeout(total=READ_SECONDS, sock_connect=CONNECT_SECONDS)
        connector = aiohttp.TCPConnector(force_close=True)
        try:
            async with (
                aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
                session.get(f"{outlook.address}/ready", allow_redirects=False) as response,
            ):
                content = await response.content.read(MAX_BYTES)
        except (aiohttp.ClientError, OSError, TimeoutError):
            return None
        return _disk(content)


def _disk(content: bytes) -> Disk | None:
    """Read an answer of /ready. Services of older versions say nothing of their disks."""
    try:
        answer: Any = json.loads(content)
    except ValueError:
        return None
    said = answer.get("disk") if isinstance(answer, dict) else None
    if not isinstance(said, dict):
        return None
    total, free = said.get("total_bytes"), said.get("free_bytes")
    if type(total) is not int or type(free) is not int or not 0 <= free <= total or total == 0:
        return None
    return Disk(total=total, free=free)


class Disks:
    """Reads the disk of each bank that it was told about, again and again."""

    def __init__(
        self,
        reader: DiskReader,
        *,
        interval: float,
        changed: Callable[[BankKey], None],
        clock: Callable[[], float],
        count: int,
    ) -> None:
        """`changed` is told the banks whose disk is another one now, in size or by one percent."""
        self._reader = reader
        self._interval = interval
        self._changed = changed
        self._outlooks: dict[BankKey, Outlook] = {}
        self._readings: dict[BankKey, Disk] = {}
        self._near: set[BankKey] = set()
        queue: KeyedQueue[BankKey] = KeyedQueue(clock, backoff_max=interval)
        self.workers = Workers(queue, self._read, count=count, name="disk")

    def watch(self, bank: BankKey, outlook: Outlook | None) -> None:
        """Read this disk from now on, at once if it is asked for elsewhere than before.

        Without an outlook there is no pod to ask for now: what was said last is still true, since
        nobody writes.
        """
        if outlook is None:
            self._outlooks.pop(bank, None)
        elif self._outlooks.get(bank) != outlook:
            self._outlooks[bank] = outlook
            self.workers.add(bank, Priority.USER)

    def forget(self, bank: BankKey) -> None:
        """A bank is gone."""
        self._outlooks.pop(bank, None)
        self._readings.pop(bank, None)
        self._near.discard(bank)

    def reading(self, bank: BankKey) -> Disk | None:
        """Return what was said last, None when nothing was."""
        return self._readings.get(bank)

    async def _read(self, bank: BankKey) -> Outcome:
        outlook = self._outlooks.get(bank)
        if outlook is None:
            return Outcome()
        disk = await self._reader.read(outlook)
        if self._outlooks.get(bank) != outlook:
            return Outcome()  # whoever changed it has asked for another reading
        if disk is not None:
            before = self._readings.get(bank)
            self._readings[bank] = disk
            (self._near.add if disk.used_percent >= NEAR_PERCENT else self._near.discard)(bank)
            if before is None or _shown(before) != _shown(disk):
                self._changed(bank)
        # Spread, so that disks read together are not read together for ever.
        pause = self._pause(bank) * random.uniform(0.9, 1.0)  # noqa: S311 - no secret
        return Outcome(again_after=pause)

    def _pause(self, bank: BankKey) -> float:
        near = len(self._near)
        peers = near if bank in self._near else len(self._outlooks) - near
        return max(self._interval, peers / READ_PER_SECOND)


def _shown(disk: Disk) -> tuple[int, int]:
    return disk.total, disk.used_percent
