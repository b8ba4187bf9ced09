"""Bringing back what a bank was at a moment, whichever of its epochs that was in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from memorybank.backup.chain import Epoch, lineage
from memorybank.backup.destination import REACH_SECONDS, Destination
from memorybank.backup.restoring import Restorer
from memorybank.errors import NotFound


@dataclass(frozen=True, slots=True)
class Moment:
    """Which state of a bank is meant."""

    at: datetime | None = None
    """The last state up to then; None for the newest one."""
    epoch: str | None = None
    """The incarnation; None for the one that the bank went on from."""


async def restore(
    destination: Destination,
    restorer: Restorer,
    moment: Moment,
    database: Path,
    *,
    check: Callable[[Epoch], None],
) -> Epoch:
    """Put the state of a moment where a database is to be; return the epoch that it was in. `check`
    raises what keeps an epoch from being restored.

    It is there as a whole, checked, or not at all. Raises NotFound, saying what can be restored,
    and as Restorer.restore does.
    """
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
    if moment.at is None:
        check(newest)
        await restorer.restore(newest, database)
        return newest
    # An epoch begins before anything of it can be restored: then its parent has the moment.
    for each in lineage(epochs, newest):
        if each.began <= moment.at:
            check(each)
            try:
                await restorer.restore(each, database, at=moment.at)
            except NotFound:
                continue
            return each
    raise NotFound(
        f"the backups of the bank have nothing of {moment.at.isoformat()}",
        hint="ask for a later moment: `memorybank backup list` shows since when there are any",
    )
