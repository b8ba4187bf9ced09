"""What pods say of themselves at /ready: how full their disks are, what keeps them from their job,
which server they do without, whether their backups arrive, and how far behind read replicas are.

A pod is asked at its own address and not through the Service, which leads to no pod that is not
ready. The answer needs no key, and none is sent. What was read is kept in memory only: after a
restart it is read anew.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from operator import itemgetter
from typing import Any

import aiohttp

from memorybank_operator.api.v1alpha1.backup import MOST_COPIES
from memorybank_operator.engine.cache import BankKey
from memorybank_operator.engine.queue import KeyedQueue, Priority
from memorybank_operator.engine.workers import Outcome, Workers
from memorybank_operator.reconcile.observed import (
    BackupReading,
    CopyReading,
    Disk,
    FollowReading,
    Reading,
)

NEAR_PERCENT = 60
"""From this share on a disk is looked at more often than those of a crowd that has room."""
READ_PER_SECOND = 1.0
"""Readings of banks that are well, of all together, as many of those that have little room, and of
those that nobody serves. One takes some 3 ms of CPU time.
"""
URGENT_PER_SECOND = 5.0
"""Readings of banks that rely on something else than their own pod, of all together: that backups
do not arrive, or that a server says nothing, is to be told soon.
"""
SHORT_INTERVAL = 10.0
"""How often a bank is asked at most that relies on something else, that nobody serves, or whose
backups do not arrive: the cause, another one, or the end of it, is told within this time.
"""
CONNECT_SECONDS = 3.0
READ_SECONDS = 8.0
"""A service may need five for its self-test, and one to hear of its disk."""
MAX_BYTES = 64 * 1024
"""Of an answer; the real one has less than one KiB."""
MAX_COMPLAINT = 300
"""Characters of what a service says that are passed on."""
MAX_WORD = 128
"""Characters of what it says in one word."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """Whom to ask of a bank."""

    address: str
    """Base URL of the pod."""
    capacity: str
    """What the volume has: another one asks for a reading at once."""
    serves: bool
    """Whether anybody serves: a bank that nobody serves is asked at once, and more often."""
    urgent: bool = False
    """Whether the bank relies on something else than its own pod, and so is asked more often."""
    readers: tuple[str, ...] = ()
    """Base URLs of the read replicas that answer."""


class Reader:
    """Asks pods, each on a new connection."""

    async def read(self, outlook: Outlook) -> Reading | None:
        """Return what the bank's pod says of itself, and its read replicas; None when the pod says
        nothing of use.
        """
        said, *others = await asyncio.gather(*map(self._ask, (outlook.address, *outlook.readers)))
        if said is None:
            return None
        return replace(said, readers=_furthest(each.follow for each in others if each is not None))

    async def _ask(self, address: str) -> Reading | None:
        timeout = aiohttp.ClientTimeout(total=READ_SECONDS, sock_connect=CONNECT_SECONDS)
        connector = aiohttp.TCPConnector(force_close=True)
        try:
            async with (
                aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
                session.get(f"{address}/ready", allow_redirects=False) as response,
            ):
                content = await response.content.read(MAX_BYTES)
        except (aiohttp.ClientError, OSError, TimeoutError):
            return None
        return _reading(content)


def _reading(content: bytes) -> Reading | None:
    """Read an answer of /ready. Services of older versions say nothing of their disks."""
    try:
        answer: Any = json.loads(content)
    except ValueError:
        return None
    if not isinstance(answer, dict):
        return None
    return Reading(
        disk=_disk(answer.get("disk")),
        complaint=_complaint(answer.get("checks")),
        degraded=_degraded(answer.get("checks")),
        backup=_backup(answer.get("backup")),
        follow=_follow(answer.get("follow")),
    )


def _disk(said: Any) -> Disk | None:
    if not isinstance(said, dict):
        return None
    total, free = said.get("total_bytes"), said.get("free_bytes")
    if type(total) is not int or type(free) is not int or not 0 <= free <= total or total == 0:
        return None
    return Disk(total=total, free=free)


def _backup(said: Any) -> BackupReading | None:
    if not isinstance(said, dict):
        return None
    epoch, origin, problem = (said.get(each) for each in ("epoch", "origin", "problem"))
    if not (isinstance(epoch, str) and isinstance(origin, str) and isinstance(problem, str)):
        return None
    return BackupReading(
        epoch=epoch[:MAX_WORD],
        origin=origin[:MAX_WORD],
        synced_at=_moment(said.get("synced_at")),
        recoverable_from=_moment(said.get("recoverable_from")),
        problem=" ".join(problem.split())[:MAX_COMPLAINT],
        fenced=str(said.get("fenced_by") or "")[:MAX_COMPLAINT],
        copies=_copies(said.get("copies")),
    )


def _copies(said: Any) -> tuple[CopyReading, ...]:
    found = []
    for each in said[:MOST_COPIES] if isinstance(said, list) else ():
        name, problem = (
            (each.get("name"), each.get("problem")) if isinstance(each, dict) else (None, None)
        )
        if isinstance(name, str) and isinstance(problem, str):
            words = " ".join(problem.split())[:MAX_COMPLAINT]
            found.append(CopyReading(name[:MAX_WORD], _moment(each.get("copied_at")), words))
    return tuple(found)


def _follow(said: Any) -> FollowReading | None:
    if not isinstance(said, dict):
        return None
    epoch, lag, problem = (said.get(each) for each in ("epoch", "lag_seconds", "problem"))
    if not (isinstance(epoch, str) and isinstance(problem, str)):
        return None
    return FollowReading(
        epoch=epoch[:MAX_WORD],
        lag_seconds=float(lag) if isinstance(lag, int | float) else None,
        moment=_moment(said.get("written_at")),
        problem=" ".join(problem.split())[:MAX_COMPLAINT],
    )


def _furthest(said: Iterable[FollowReading | None]) -> FollowReading | None:
    """Return what the one said that is furthest behind, of those that know how far they are."""
    known = [(each.lag_seconds, each) for each in said if each and each.lag_seconds is not None]
    return max(known, key=itemgetter(0))[1] if known else None


def _moment(said: Any) -> datetime | None:
    """Read a time with its zone, in whole seconds."""
    try:
        moment = datetime.fromisoformat(said) if isinstance(said, str) else None
    except ValueError:
        return None
    return moment.replace(microsecond=0) if moment is not None and moment.tzinfo else None


def _complaint(checks: Any) -> str:
    """Return the first check that failed: those after it were not even tried."""
    for each in checks if isinstance(checks, list) else ():
        if isinstance(each, dict) and each.get("status") == "failed":
            return f"{each.get('name')}: {each.get('message')}"[:MAX_COMPLAINT]
    return ""


def _degraded(checks: Any) -> tuple[tuple[str, str], ...]:
    """Return the checks that say that something is done less well, and why."""
    return tuple(
        (str(each.get("name"))[:MAX_WORD], str(each.get("message"))[:MAX_COMPLAINT])
        for each in (checks if isinstance(checks, list) else ())
        if isinstance(each, dict) and each.get("status") == "degraded"
    )


class Readings:
    """Asks a pod of each bank that it was told about, again and again."""

    def __init__(
        self,
        reader: Reader,
        *,
        interval: float,
        changed: Callable[[BankKey], None],
        clock: Callable[[], float],
        count: int,
    ) -> None:
        """`changed` is told the banks whose disk is another one now, in size or by one percent,
        those that complain of something else, those that do without another server, those whose
        backups, or whose following of another bank, stand otherwise, and those whose read replicas
        are further behind, or nearer.
        """
        self._reader = reader
        self._interval = interval
        self._changed = changed
        self._outlooks: dict[BankKey, Outlook] = {}
        self._readings: dict[BankKey, Reading] = {}
        self._near: set[BankKey] = set()
        self._urgent: set[BankKey] = set()
        self._failing: set[BankKey] = set()
        queue: KeyedQueue[BankKey] = KeyedQueue(clock, backoff_max=interval)
        self.workers = Workers(queue, self._read, count=count, name="reading")

    def watch(self, bank: BankKey, outlook: Outlook | None) -> None:
        """Ask this pod from now on, at once if it is another one than before, or if nobody serves
        the bank any more.

        Without an outlook there is no pod to ask now: what was said of the disk last is still true,
        since nobody writes.
        """
        known = self._outlooks.get(bank)
        if outlook == known:
            return
        if known is not None:
            # What kept the pod from its job then need not be what does now, and another pod
            # replicates to another place.
            before = self.reading(bank)
            is_same_pod = outlook is not None and outlook.address == known.address
            self._readings[bank] = replace(
                before,
                complaint="",
                degraded=before.degraded if is_same_pod else (),
                backup=before.backup if is_same_pod else None,
                follow=before.follow if is_same_pod else None,
            )
        if outlook is None:
            del self._outlooks[bank]
            self._failing.discard(bank)
            self._urgent.discard(bank)
            return
        self._outlooks[bank] = outlook
        self._sort(bank, outlook)
        if known is None or not outlook.serves or known != replace(outlook, serves=known.serves):
            self.workers.add(bank, Priority.USER)

    def forget(self, bank: BankKey) -> None:
        """A bank is gone."""
        self._outlooks.pop(bank, None)
        self._readings.pop(bank, None)
        for group in (self._near, self._failing, self._urgent):
            group.discard(bank)

    def reading(self, bank: BankKey) -> Reading:
        """Return what was said last and is not known to be over."""
        return self._readings.get(bank, Reading())

    async def _read(self, bank: BankKey) -> Outcome:
        outlook = self._outlooks.get(bank)
        if outlook is None:
            return Outcome()
        said = await self._reader.read(outlook)
        if self._outlooks.get(bank) != outlook:
            return Outcome(again_after=0.0)  # nothing was said of what is to be asked for now
        if said is not None:
            before = self.reading(bank)
            now = self._readings[bank] = replace(said, disk=said.disk or before.disk)
            is_near = now.disk is not None and now.disk.used_percent >= NEAR_PERCENT
            (self._near.add if is_near else self._near.discard)(bank)
            self._sort(bank, outlook)
            if _shown(before) != _shown(now):
                self._changed(bank)
        # Spread, so that banks read together are not read together for ever.
        pause = self._pause(bank) * random.uniform(0.9, 1.0)  # noqa: S311 - no secret
        return Outcome(again_after=pause)

    def _sort(self, bank: BankKey, outlook: Outlook) -> None:
        """Note whose rate it shares."""
        (self._urgent.add if outlook.urgent else self._urgent.discard)(bank)
        said = self.reading(bank)
        is_well = outlook.serves and all(
            each is None or each.is_well for each in (said.backup, said.follow)
        )
        (self._failing.discard if is_well else self._failing.add)(bank)

    def _pause(self, bank: BankKey) -> float:
        """Return the seconds until it is asked again: those like it share a rate."""
        is_urgent = bank in self._urgent
        rate = URGENT_PER_SECOND if is_urgent else READ_PER_SECOND
        short = min(SHORT_INTERVAL, self._interval)
        if bank in self._failing:
            return max(short, len(self._failing) / rate)
        if is_urgent:
            return max(short, len(self._urgent) / rate)
        near = len(self._near)
        peers = near if bank in self._near else len(self._outlooks) - near
        return max(self._interval, peers / READ_PER_SECOND)


def _shown(reading: Reading) -> tuple[object, ...]:
    """Return what a change of which is worth a look at the bank."""
    disk, backup = reading.disk or Disk(total=0, free=0), reading.backup
    # That more arrived is not, as long as all is well.
    stand = backup and (
        backup.epoch, backup.origin, backup.recoverable_from, backup.problem, backup.is_known,
        backup.fenced,
        tuple((each.name, each.problem, each.copied_at is None) for each in backup.copies),
    )  # fmt: skip
    follow = reading.follow
    behind = follow and (follow.epoch, follow.lag_at_most, follow.problem)
    late = reading.readers and reading.readers.lag_at_most
    return disk.total, disk.used_percent, reading.complaint, reading.degraded, stand, behind, late
