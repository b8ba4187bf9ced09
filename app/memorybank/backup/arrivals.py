"""What was replicated to an epoch, file by file, as it arrives."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from memorybank.backup import ltx
from memorybank.backup.chain import is_epoch
from memorybank.backup.fence import Fences
from memorybank.backup.ltx import Changes
from memorybank.backup.objects import Bucket, Objects, Place
from memorybank.errors import BackupUnavailable, Fenced

_NAME = re.compile(r"/([0-9a-f]+)/([0-9a-f]{16})-([0-9a-f]{16})\.ltx$")
_SNAPSHOTS = 9
"""A level of whole databases: those are restored."""
_AT_ONCE = 8
"""Files that are read side by side."""


@dataclass(frozen=True, slots=True)
class Part:
    """A file with some transactions in a row."""

    path: str
    level: int
    first: int
    last: int
    size: int


class Arrivals:
    """Looks at a destination that somebody else writes to."""

    def __init__(self, place: Place) -> None:
        self._objects = Objects(place)
        self._fences = Fences(place)
        self._first_level = "0000" if isinstance(place, Bucket) else "ltx/0"

    async def require_open(self) -> None:
        """Raise Fenced when another bank was promoted in the place of this one, in whose epochs
        nothing comes any more that counts; BackupUnavailable.
        """
        fence = await asyncio.to_thread(self._fences.find)
        if fence is not None:
            raise Fenced(fence.told, hint="follow that one: docs/service/standby.md, Promotion")

    async def epochs(self) -> list[str]:
        """Return the names of the epochs that something was replicated to, which may be nothing
        whole yet. Raises BackupUnavailable.
        """
        return [name for name in await self._objects.folders() if is_epoch(name)]

    async def after(self, epoch: str, last: int, *, all_levels: bool) -> list[Part]:
        """Return the files that go on from a transaction, one from the other; none when there is
        nothing new. Raises BackupUnavailable and Missing.

        What was joined into larger files is gone from the first level after some minutes; the
        other levels are looked at when something is missing there, or with `all_levels`.
        """
        found = await self._listed(f"{epoch}/{self._first_level}", after=last)
        way = list(_way(found, last))
        if all_levels or (found and not way):
            found = [each for each in await self._listed(epoch) if each.level != _SNAPSHOTS]
            way = list(_way(found, last))
            if not way and any(each.last > last for each in found):
                raise Missing(last)
        return way

    async def newest(self, epoch: str) -> int:
        """Return the last transaction that arrived one by one; 0 before any. Raises
        BackupUnavailable.
        """
        found = await self._listed(f"{epoch}/{self._first_level}")
        return max((each.last for each in found), default=0)

    async def read(self, parts: Sequence[Part]) -> list[Changes]:
        """Return what is in files. Raises BackupUnavailable, BackupDamaged and Missing."""
        reading = asyncio.Semaphore(_AT_ONCE)

        async def changes(part: Part) -> Changes:
            async with reading:
                content = await self._objects.read(part.path)
            if content is None:
                raise Missing(part.first - 1)
            return await asyncio.to_thread(ltx.read, content, part.path)

        return list(await asyncio.gather(*map(changes, parts)))

    async def _listed(self, folder: str, *, after: int | None = None) -> list[Part]:
        # Behind all that begin with it: a letter that no number has.
        behind = None if after is None else f"{folder}/{after:016x}-g"
        found = await self._objects.sizes(folder, behind=behind)
        return [part for each in found.items() if (part := _part(*each))]


class Missing(BackupUnavailable):
    """What follows a transaction is not at the destination any more."""

    def __init__(self, last: int) -> None:
        super().__init__(f"what follows the transaction {last} is not at the destination any more")


def joined(changes: Iterable[Changes]) -> Changes:
    """Return changes in a row as one; there is at least one."""
    first, *others = changes
    pages = dict(first.pages)
    last = first
    for last in others:
        pages |= last.pages
    count = last.pages_after
    return Changes(
        first.first, last.last, last.page_bytes, count, last.written_at,
        {number: page for number, page in pages.items() if number <= count},
    )  # fmt: skip


def _way(found: Sequence[Part], last: int) -> Iterator[Part]:
    """Yield the fewest files that lead on from a transaction."""
    ordered = sorted(found, key=lambda each: (each.first, each.last))
    at = 0
    best: Part | None = None
    while True:
        while at < len(ordered) and ordered[at].first <= last + 1:
            if best is None or ordered[at].last > best.last:
                best = ordered[at]
            at += 1
        if best is None or best.last <= last:
            return
        yield best
        last = best.last


def _part(path: str, size: int) -> Part | None:
    named = _NAME.search(path)
    if named is None:
        return None
    level, first, last = named.groups()
    return Part(path, int(level, 16), int(first, 16), int(last, 16), size)
