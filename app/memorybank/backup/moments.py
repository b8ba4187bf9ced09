"""Bringing back what a bank was: at a moment, whichever of its epochs that was in, or at a recovery
point.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from memorybank.backup.chain import lineage
from memorybank.backup.destination import REACH_SECONDS, Destination
from memorybank.backup.point import Point
from memorybank.backup.points import Points
from memorybank.backup.restoring import Restorer, require_room
from memorybank.errors import NotFound


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

    epoch: str
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
) -> Restored:
    """Put the state of a moment where a database is to be; return what that was. `check` raises
    what keeps something from being restored.

    It is there as a whole, checked, or not at all. Raises NotFound, saying what can be restored,
    and as Restorer.restore does.
    """
    if moment.point is not None:
        points = Points(destination.place)
        point = await points.get(moment.point)
        check(point)
        await points.fetch(point, database)
        return Restored(point.epoch, point.txid, point)
    epochs, newest = await destination.look(seconds=REACH_SECONDS)
    if newest is None:
        raise NotFound("there is no backup of the bank at the destination")
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
