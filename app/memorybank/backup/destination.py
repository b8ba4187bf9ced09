"""The epochs of a bank at the destination of its backups.

`epochs/NAME.json` is written before anything is replicated, and only if nobody has that name;
Litestream writes below `NAME/`. So what is listed is all that there is to know.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from pydantic import ValidationError

from memorybank.backup.chain import Chain, Epoch, is_epoch
from memorybank.backup.litestream import last_in
from memorybank.backup.objects import Bucket, Objects, Place
from memorybank.backup.points import Points
from memorybank.errors import BackupDamaged, BackupUnavailable, Conflict, NotFound

SILENT = "the destination does not answer"
REACH_SECONDS = 40.0
"""How long those wait for a destination who cannot go on without it."""
_EPOCHS = "epochs"
_SUFFIX = ".json"
_DATA = ".ltx"
_REACHED = "reached"
_AT_ONCE = 16
"""Records that are read side by side."""
_SYNCS, _COPIES = 0, 9
"""Levels of Litestream's that have the last files of an epoch: single syncs of some minutes, and
whole copies. Between them are those that were made of the former, ever so many.
"""
_HEADER = struct.Struct(">4s4xII")
"""Magic, page size, pages: how a file of Litestream begins."""
_MAGIC = b"LTX1"


class Destination:
    """The epochs of one bank."""

    def __init__(self, place: Place) -> None:
        """`place` is the bank's own."""
        self.place = place
        self._objects = Objects(place)

    async def look(self, *, seconds: float) -> tuple[Mapping[str, Epoch], Epoch | None]:
        """Return the epochs, and the last one that something was replicated to, within so many
        seconds. Raises BackupUnavailable and BackupDamaged.
        """
        try:
            async with asyncio.timeout(seconds):
                epochs = await self.begun()
                return epochs, await self.newest(epochs)
        except TimeoutError:
            raise BackupUnavailable(SILENT) from None

    async def begun(self) -> dict[str, Epoch]:
        """Return the epochs that there are. Raises BackupUnavailable and BackupDamaged.

        What is no epoch of ours is left alone. A record that cannot be read any more is an error:
        to go on without it might be to go on from an older one. An epoch that could not be
        recorded, since nothing could be written then, is known by what was replicated later.
        """
        folders = await self._objects.folders()
        records = [
            path for path in await self._objects.directly_in(_EPOCHS) if path.endswith(_SUFFIX)
        ]
        reading = asyncio.Semaphore(_AT_ONCE)
        read = await asyncio.gather(*(self._read(each, reading) for each in records))
        epochs = {each.name: each for each in read if each is not None}
        for name in folders:
            if name not in epochs and is_epoch(name):
                first = await self._first(name)
                if first is not None:
                    epochs[name] = Epoch.unrecorded(name, began=first)
        return epochs

    async def newest(self, epochs: Mapping[str, Epoch]) -> Epoch | None:
        """Return the last epoch that something was replicated to. Raises BackupUnavailable."""
        for each in sorted(epochs.values(), key=lambda each: each.order, reverse=True):
            if await self._first(each.name) is not None:
                return each
        return None

    async def chain(self) -> Chain:
        """Return the epochs, and when each was written to last. Lists all that there is. Raises
        BackupUnavailable and BackupDamaged.
        """
        epochs = await self.begun()
        written: dict[str, datetime] = {}
        for name in epochs:
            found = await self._objects.within(name)
            times = [at for path, at in found.items() if path.endswith(_DATA)]
            if times:
                written[name] = max(times)
        return Chain(epochs, written)

    async def since(self, line: Sequence[Epoch]) -> datetime | None:
        """Return from when on every moment can be restored, of epochs of which each went on from
        the next; None while there is no whole copy to begin with. Raises BackupUnavailable.

        It is when the oldest whole copy had arrived: a state has arrived after it was one.
        """
        for each in reversed(line):
            copies = await self._objects.within(self.place.level(each.name, _COPIES))
            times = [at for path, at in copies.items() if path.endswith(_DATA)]
            if times:
                # A bucket tells whole seconds.
                return min(times).replace(microsecond=0) + timedelta(seconds=1)
        return None

    async def size(self, epoch: Epoch) -> int | None:
        """Return how large the database of an epoch was last, None when that cannot be told. Raises
        BackupUnavailable.
        """
        for level in (_SYNCS, _COPIES):
            folder = self.place.level(epoch.name, level)
            files = [path for path in await self._objects.within(folder) if path.endswith(_DATA)]
            if files:
                break
        else:
            return None
        # Named by the first and the last transaction that is in them.
        newest = max(files, key=lambda path: path.rpartition("/")[2].rpartition("-")[2])
        try:
            content = await self._objects.head(newest, _HEADER.size)
        except BackupUnavailable:  # there is no such part of what is empty; who restores it says so
            return None
        if len(content) < _HEADER.size:
            return None
        magic, page, pages = _HEADER.unpack(content)
        return page * pages if magic == _MAGIC else None

    async def begin(self, epoch: Epoch) -> None:
        """Write an epoch down. Raises Conflict when somebody has its name, BackupUnavailable."""
        try:
            await self._objects.create(_record(epoch), epoch.content())
        except Conflict:
            raise Conflict(
                f"the epoch {epoch.name} is there already", hint="begin another one"
            ) from None

    async def reach(self, epoch: Epoch) -> None:
        """Write something into the folder of an epoch. Raises BackupUnavailable."""
        await self._objects.write(f"{epoch.name}/{_REACHED}", b"")

    async def forget_ahead(self, epoch: Epoch) -> None:
        """Remove whole copies that have more than what had arrived one by one, before somebody goes
        on from the latter: theirs would be other transactions of the same numbers. Raises
        BackupUnavailable.
        """
        syncs = await self._objects.within(self.place.level(epoch.name, _SYNCS))
        newest = max(filter(None, map(_last, syncs)), default="")
        copies = await self._objects.within(self.place.level(epoch.name, _COPIES))
        await self._objects.remove([each for each in copies if (_last(each) or "") > newest])

    async def remove(self, epoch: Epoch) -> int:
        """Remove an epoch; return how many objects that were. What tells of it goes last, so that
        whoever is interrupted can be followed by another one. Raises BackupUnavailable.
        """
        paths = list(await self._objects.within(epoch.name))
        await self._objects.remove(paths)
        await self._objects.remove([_record(epoch)])
        return len(paths)

    async def _first(self, epoch: str) -> datetime | None:
        """Return when something was replicated to an epoch; None when nothing was."""
        return await self._objects.first(epoch, _DATA)

    async def _read(self, path: str, reading: asyncio.Semaphore) -> Epoch | None:
        """Return a record; None when it was removed meanwhile."""
        async with reading:
            content = await self._objects.read(path)
        if content is None:
            return None
        try:
            return Epoch.model_validate_json(content)
        except ValidationError:
            raise BackupDamaged(
                f"{path} at the destination of backups is not what was written there",
                hint="put it back from a copy of the destination, or move it away to go on without"
                " that epoch",
            ) from None


async def newest_bank(place: Place, *, but: str | None = None) -> str:
    """Return the uid of the bank that began an epoch last, of all banks of one name, whose folder
    this is, but for one; one that has no epochs, as it is in PostgreSQL, counts by its recovery
    points. Raises NotFound, and as Destination does.
    """
    # A folder is not made by whoever looks for it.
    is_there = isinstance(place, Bucket) or place.path.is_dir()
    found: list[tuple[datetime, str]] = []
    for uid in await Objects(place).folders() if is_there else ():
        if uid == but:
            continue
        of_bank = place.within(uid)
        epochs = await Destination(of_bank).begun()
        points = [] if epochs else await Points(of_bank).all()
        found += [(each.began, uid) for each in epochs.values()]
        found += [(each.taken_at, uid) for each in points]
    if not found:
        raise NotFound(
            f"there is no backup of a bank in {place.shown}",
            hint="correct the destination, or the namespace and name of the bank",
        )
    return max(found)[1]


def _last(path: str) -> str | None:
    """Return the last transaction in a file of Litestream's; None for another file."""
    return last_in(path.rpartition("/")[2])


def _record(epoch: Epoch) -> str:
    return f"{_EPOCHS}/{epoch.name}{_SUFFIX}"
