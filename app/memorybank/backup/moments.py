"""Bringing back what a bank was: at a moment, whichever of its epochs that was in, or at a recovery
point.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from memorybank.backup.chain import lineage
from memorybank.backup.destination import REACH_SECONDS, Destination
from memorybank.backup.point import Point
from memorybank.backup.points import Points
from memorybank.backup.restoring import Restorer, partial_of, require_room
from memorybank.durable import put_in_place
from memorybank.errors import BackupDamaged, MemoryBankError, NotFound

_UNPROVED = ".unproved"
_OFFER_SECONDS = 60.0
"""How long it is looked for what can be restored instead, which reads all of it."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Which state of a bank is meant."""

    at: datetime | None = None
    """The last state up to then; None for the newest one."""
    epoch: str | None = None
    """The incarnation; None for the one that the bank went on from."""
    point: str | None = None
    """The recovery point, and none of the others."""

    @property
    def is_newest(self) -> bool:
        """Whether that is meant which a bank would go on from that has lost its volume."""
        return self == Moment()


class Written(Protocol):
    """What is written down of something that can be restored."""

    @property
    def service_version(self) -> str:
        """By which it was written."""

    @property
    def schema_version(self) -> int:
        """Of that version."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What was restored."""

    epoch: str | None
    """None for a recovery point of a bank that has none."""
    txid: str | None
    """The last transaction in it, as Litestream names it."""
    point: Point | None = None


async def restore(
    destination: Destination,
    restorer: Restorer,
    moment: Moment,
    database: Path,
    *,
    check: Callable[[Written], None],
    prove: Callable[[Path], None] = lambda _restored: None,
) -> Restored:
    """Put the state of a moment where a database is to be; return what that was. `check` raises
    what keeps something from being restored, and `prove` what keeps a restored file from being what
    it should be.

    It is there as a whole, checked, or not at all. Raises NotFound, saying what can be restored;
    BackupDamaged, saying what can be instead; and as Restorer.restore and Points.fetch do.
    """
    beside = database.with_name(database.name + _UNPROVED)
    beside.unlink(missing_ok=True)  # of who was interrupted; it takes room
    partial_of(beside)
    try:
        restored = await _restored(destination, restorer, moment, beside, check=check)
        await asyncio.to_thread(prove, beside)
    except MemoryBankError as error:
        beside.unlink(missing_ok=True)
        if isinstance(error, BackupDamaged):
            await offer(error, destination, lambda point: point.name != moment.point)
        raise
    put_in_place(beside, database)
    return restored


async def offer(
    error: MemoryBankError,
    destination: Destination,
    may_be: Callable[[Point], bool] = lambda _point: True,
) -> None:
    """Let an error say which recovery point can be restored instead: the newest of those that may
    be it of which every byte is as it was.
    """
    points = Points(destination.place)
    try:
        async with asyncio.timeout(_OFFER_SECONDS):
            for each in await points.all():
                if may_be(each) and await points.is_sound(each):
                    break
            else:
                return
    except (MemoryBankError, TimeoutError):
        return
    said = (
        f"the newest recovery point that is whole is {each.name}, taken"
        f" {each.taken_at.isoformat(timespec='seconds')}: restore that (`--point {each.name}`)"
    )
    error.hint = f"{said}; or {error.hint}" if error.hint else said


async def _fetched(
    points: Points, point: Point, database: Path, *, check: Callable[[Written], None]
) -> Restored:
    check(point)
    await points.fetch(point, database)
    return Restored(point.epoch, point.txid, point)


async def _restored(
    destination: Destination,
    restorer: Restorer,
    moment: Moment,
    database: Path,
    *,
    check: Callable[[Written], None],
) -> Restored:
    points = Points(destination.place)
    if moment.point is not None:
        return await _fetched(points, await points.get(moment.point), database, check=check)
    epochs, newest = await destination.look(seconds=REACH_SECONDS)
    if newest is None:
        there = await points.all()
        if there and moment.is_newest:
            return await _fetched(points, there[0], database, check=check)
        hint = "name one of its recovery points: `memorybank backup points`" if there else None
        what = "but its recovery points" if there else "at the destination"
        raise NotFound(f"there is no backup of the bank {what}", hint=hint)
    if moment.epoch is not None:
        if moment.epoch not in epochs:
            raise NotFound(
                f"there is no epoch {moment.epoch} at the destination",
                hint="name one that `memorybank backup list` shows",
            )
        newest = epochs[moment.epoch]
    require_room(database.parent, await destination.size(newest) or 0)
    if moment.at is None:
        check(newest)
        return Restored(newest.name, await restorer.restore(newest, database))
    # An epoch begins before anything of it can be restored: then its parent has the moment.
    for each in lineage(epochs, newest):
        if each.began <= moment.at:
            check(each)
            try:
                return Restored(each.name, await restorer.restore(each, database, at=moment.at))
            except NotFound:
                continue
    raise NotFound(
        f"the backups of the bank have nothing of {moment.at.isoformat()}",
        hint="ask for a later moment: `memorybank backup list` shows since when there are any",
    )
