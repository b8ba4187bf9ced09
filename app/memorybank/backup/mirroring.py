"""A second destination: what is at the first one is brought there, object by object.

Litestream replicates a database to one place, and two of it on one database keep each other from
emptying the log. What it has written never changes, so that copies of it are as good as what it
would write; in the right order every part of them can be restored.

That the first destination has something no more is no reason to remove it: it may have been lost.
Each of them lets go of what is too old by itself.

Paths are told here as they are in a bucket; a folder has Litestream's files elsewhere.
"""

from __future__ import annotations

import asyncio
import logging
import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate

from memorybank.backup.chain import is_epoch
from memorybank.backup.fence import Fences
from memorybank.backup.objects import Content, Objects, Place
from memorybank.backup.points import Points
from memorybank.errors import BackupDamaged, BackupUnavailable, Conflict

_RECORDS, _POINTS = "epochs", "points"
_SUFFIX = ".json"
_DATA = re.compile(r"^([^/]+)/(?:([0-9a-f]{4})|ltx/(\d+))/(([0-9a-f]{16})-([0-9a-f]{16})\.ltx)$")
"""Epoch, level of a bucket or of a folder, name, first and last transaction."""
_TOP = 1 << 64
_SYNCS, _MADE_OF_SYNCS, _COPIES = 0, (1, 2, 3), 9
"""Levels of Litestream's."""
_BEHIND_ALL = "g"
"""Comes after every hexadecimal digit."""
_LEFT_AFTER = timedelta(days=1)
_logger = logging.getLogger(__name__)


class SourceMoved(Exception):
    """What was listed is not there any more, or not all: it was put together with others."""


@dataclass(frozen=True, slots=True)
class File:
    """A file of Litestream's: what was written from one transaction to another."""

    epoch: str
    level: int
    first: int
    last: int
    name: str

    @classmethod
    def at(cls, path: str) -> File | None:
        """Return what is there; None for something else."""
        found = _DATA.match(path)
        if found is None or not is_epoch(found[1]):
            return None
        level = int(found[2], 16) if found[3] is None else int(found[3])
        return cls(found[1], level, int(found[5], 16), int(found[6], 16), found[4])

    @property
    def path(self) -> str:
        """Where it is in a bucket."""
        return f"{self.epoch}/{self.level:04x}/{self.name}"


@dataclass(frozen=True, slots=True)
class Pass:
    """What one comparison of two places asks for."""

    bring: tuple[str, ...]
    """In this order: after each of them what is there can be restored."""
    remove: tuple[str, ...]
    """Once all of those are there, in this order."""
    points: tuple[str, ...]
    """Recovery points that the source has not, and which may have expired."""


def compare(
    target: Mapping[str, Content], source: Mapping[str, Content], *, keep: timedelta
) -> Pass:
    """Return what makes the target have what the source has, and nothing that is too old.

    The target was listed first: what somebody else brought there since is not in `target`, and so
    is not looked at because it is not in an older `source`.
    """
    wanted = {path: each for path, each in source.items() if _order(path) is not None}
    bring = [
        path
        for path, each in wanted.items()
        if (there := target.get(path)) is None or there.size != each.size
    ]
    gone = {path: each for path, each in target.items() if path not in wanted}
    now = max((each.written for each in target.values()), default=None)
    remove = [] if now is None else list(_outdated(gone, wanted, before=now - keep))
    points = {path.split("/")[1].removesuffix(_SUFFIX) for path in gone if _is_of_point(path)}
    kept = {path.split("/")[1].removesuffix(_SUFFIX) for path in wanted if _is_of_point(path)}
    return Pass(
        tuple(_sorted(bring)),
        tuple(reversed(_sorted(remove))),
        tuple(sorted(points - kept)),
    )


class Side:
    """A place that is copied from or to."""

    def __init__(self, place: Place, named: str) -> None:
        """`named` is how people call it."""
        self.place = place
        self.objects = Objects(place, named=named)
        self.fences = Fences(place, named=named)
        self.points = Points(place, named=named)

    async def contents(self, folder: str = "", *, behind: str | None = None) -> dict[str, Content]:
        """Return what is in a folder of its own. Raises BackupUnavailable."""
        found = await self.objects.contents(folder, behind=behind)
        return {
            path if (file := File.at(path)) is None else file.path: each
            for path, each in found.items()
        }

    def own(self, path: str) -> str:
        """Return where something is here."""
        file = File.at(path)
        return path if file is None else f"{self.place.level(file.epoch, file.level)}/{file.name}"


class Mirror:
    """Brings what is at one place to another. Its methods raise SourceMoved when a whole comparison
    is to follow at once, and BackupUnavailable.
    """

    def __init__(self, source: Side, target: Side, epoch: str, *, keep: timedelta) -> None:
        """`epoch` is the one that this pod replicates to."""
        self._source = source
        self._target = target
        self._epoch = epoch
        self._keep = keep
        self._reached = 0
        """The last transaction of the epoch that is there."""
        self._behind: dict[int, str] = {}
        """By level of the epoch, the last path of the source that is there."""
        self.waiting_bytes: int | None = None
        """How much is known to be missing there; None before it is known."""

    async def whole(self) -> Pass:
        """Compare all of it, bring what is missing and remove what is too old."""
        self._reached, self._behind = 0, {}
        await self._carry_fence()
        there = await self._target.contents()
        wanted = await self._source.contents()
        found = compare(there, wanted, keep=self._keep)
        await self._bring(found.bring, wanted)
        await self._target.objects.remove([self._target.own(each) for each in found.remove])
        await self._expire(found.points, there)
        self._note(wanted)
        return found

    async def recent(self, *, syncs_only: bool) -> tuple[str, ...]:
        """Bring what the own epoch has that it had not when it was looked last; unless it is asked
        for the single syncs alone, also new recovery points and records. Return what was brought.
        """
        found: dict[str, Content] = {}
        for level in (_SYNCS,) if syncs_only else (_SYNCS, *_MADE_OF_SYNCS, _COPIES):
            folder = self._source.place.level(self._epoch, level)
            behind = self._behind.get(level)
            if level == _SYNCS:
                behind = f"{folder}/{self._reached:016x}-{_BEHIND_ALL}"
            found |= await self._source.contents(folder, behind=behind)
        bring = _sorted(path for path in found if _order(path) is not None)
        self._require_continuation(bring)
        if not syncs_only:
            await self._carry_fence()
            for folder in (_RECORDS, _POINTS):
                there = await self._target.contents(folder)
                wanted = await self._source.contents(folder)
                bring += compare(there, wanted, keep=self._keep).bring
                found |= wanted
        await self._bring(_sorted(bring), found)
        self._note({path: found[path] for path in bring})
        return tuple(bring)

    def _require_continuation(self, paths: Iterable[str]) -> None:
        """Raise SourceMoved when something is missing between what is there and what is new."""
        reached = self._reached
        for file in filter(None, map(File.at, paths)):
            if file.first > reached + 1:
                raise SourceMoved(file.path)
            reached = max(reached, file.last)

    async def _bring(self, paths: Iterable[str], wanted: Mapping[str, Content]) -> None:
        source, target = self._source, self._target
        missing = sum(wanted[path].size for path in paths)
        self.waiting_bytes = missing
        for path in paths:
            size = wanted[path].size
            try:
                arrived = await source.objects.copy(
                    source.own(path), target.objects, target.own(path)
                )
            except FileNotFoundError:
                raise SourceMoved(path) from None
            if arrived != size:
                raise BackupUnavailable(f"{path} did not arrive whole")
            self.waiting_bytes -= size

    def _note(self, there: Iterable[str]) -> None:
        for path in there:
            file = File.at(path)
            if file is not None and file.epoch == self._epoch:
                self._reached = max(self._reached, file.last)
                own = self._source.own(path)
                self._behind[file.level] = max(self._behind.get(file.level, ""), own)

    async def _carry_fence(self) -> None:
        """Tell the bank of who was promoted by the copy: it looks at the first destination."""
        fences = self._source.fences
        fence = await asyncio.to_thread(self._target.fences.find)
        if fence is None or await asyncio.to_thread(fences.find) is not None:
            return
        try:
            await fences.put(fence)
        except Conflict as error:
            _logger.warning("a fence was found at a copy, and there is another: %s", error.message)

    async def _expire(self, names: Iterable[str], there: Mapping[str, Content]) -> None:
        """Remove the points that have expired, of those that are at the target alone, and what was
        never recorded.
        """
        now = max((each.written for each in there.values()), default=None)
        points = self._target.points
        for name in names:
            try:
                point = await points.find(name)
            except BackupDamaged:  # whoever needs it may be able to read it
                continue
            if point is None:
                of_it = [
                    each for path, each in there.items() if path.startswith(f"{_POINTS}/{name}/")
                ]
                is_over = now is not None and all(
                    each.written < now - _LEFT_AFTER for each in of_it
                )
            else:
                expires = point.expires_at
                is_over = now is not None and expires is not None and expires <= now
            if is_over:
                await points.remove(name)
                _logger.info("the recovery point %s is removed from a copy", name)


def _outdated(
    gone: Mapping[str, Content], wanted: Mapping[str, Content], *, before: datetime
) -> Iterable[str]:
    """Yield what the source has no more and nobody needs: single syncs that are part of something
    that is kept, and what was written before a time.
    """
    made = _Made(filter(None, map(File.at, wanted)))
    in_use = {file.epoch for path in wanted if (file := File.at(path)) is not None}
    records = []
    for path, each in gone.items():
        file = File.at(path)
        if file is None:
            if path.startswith(f"{_RECORDS}/") and _order(path) is not None:
                records.append(path)
        elif each.written < before or (file.level == _SYNCS and made.has(file)):
            yield path
        else:
            in_use.add(file.epoch)
    for path in records:
        epoch = path.removeprefix(f"{_RECORDS}/").removesuffix(_SUFFIX)
        if epoch not in in_use and gone[path].written < before:
            yield path


class _Made:
    """What was made of single syncs."""

    def __init__(self, files: Iterable[File]) -> None:
        of_epoch: dict[str, list[tuple[int, int]]] = {}
        for each in files:
            if each.level in _MADE_OF_SYNCS:
                of_epoch.setdefault(each.epoch, []).append((each.first, each.last))
        self._begins: dict[str, list[int]] = {}
        self._farthest: dict[str, list[int]] = {}
        for epoch, spans in of_epoch.items():
            spans.sort()
            self._begins[epoch] = [first for first, _ in spans]
            self._farthest[epoch] = list(accumulate((last for _, last in spans), max))

    def has(self, file: File) -> bool:
        """Return whether it is a part of one of them."""
        begun = bisect_right(self._begins.get(file.epoch, ()), file.first)
        return begun > 0 and self._farthest[file.epoch][begun - 1] >= file.last


def _sorted(paths: Iterable[str]) -> list[str]:
    return sorted(paths, key=lambda path: _order(path) or ())


def _is_of_point(path: str) -> bool:
    return path.startswith(f"{_POINTS}/")


def _order(path: str) -> tuple[int, str, int, int, str] | None:
    """Return when something comes, None for what is nobody's to copy.

    Records of epochs tell what went on from what, and say nothing of what is there. Of an epoch,
    files come by the first transaction in them, and of those that begin alike the one that goes
    farthest: each goes on from where those before it end. A point counts by its record.
    """
    if path.startswith(f"{_RECORDS}/"):
        return (0, path, 0, 0, "") if path.endswith(_SUFFIX) else None
    if _is_of_point(path):
        return (3 if path.endswith(_SUFFIX) and path.count("/") == 1 else 2, path, 0, 0, "")
    file = File.at(path)
    return None if file is None else (1, file.epoch, file.first, _TOP - file.last, path)
