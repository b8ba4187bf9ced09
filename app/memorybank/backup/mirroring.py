"""A second destination: what is at the first one is brought there, object by object.

Litestream replicates a database to one place, and two of it on one database keep each other from
emptying the log. What it has written never changes, so that copies of it are as good as what it
would write; in the right order every part of them can be restored.

That the first destination has something no more is no reason to remove it: it may have been lost.
Each of them lets go of what is too old by itself.
"""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate

from memorybank.backup.bringing import Bringer, Reach, SourceMoved
from memorybank.backup.fence import FENCE
from memorybank.backup.objects import Content
from memorybank.backup.sides import (
    POINTS,
    RECORDS,
    SUFFIX,
    File,
    Side,
    in_order,
    is_of_point,
    order,
)
from memorybank.errors import BackupDamaged, Conflict

_SYNCS, _MADE_OF_SYNCS, _COPIES = 0, (1, 2, 3), 9
"""Levels of Litestream's."""
_BEHIND_ALL = "g"
"""Comes after every hexadecimal digit."""
_OLD = "what is too old to be kept"
_LEFT_AFTER = timedelta(days=1)
_logger = logging.getLogger(__name__)


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
    wanted = {path: each for path, each in source.items() if order(path) is not None}
    bring = [
        path
        for path, each in wanted.items()
        if (there := target.get(path)) is None or there.size != each.size
    ]
    gone = {path: each for path, each in target.items() if path not in wanted}
    now = max((each.written for each in target.values()), default=None)
    remove = [] if now is None else list(_outdated(gone, wanted, before=now - keep))
    points = {path.split("/")[1].removesuffix(SUFFIX) for path in gone if is_of_point(path)}
    kept = {path.split("/")[1].removesuffix(SUFFIX) for path in wanted if is_of_point(path)}
    return Pass(
        tuple(in_order(bring)),
        tuple(reversed(in_order(remove))),
        tuple(sorted(points - kept)),
    )


class Mirror:
    """Brings what is at one place to another. Its methods raise SourceMoved when a whole comparison
    is to follow at once, and BackupUnavailable; what fails by itself is told by `problem`.
    """

    def __init__(self, source: Side, target: Side, epoch: str, *, keep: timedelta) -> None:
        """`epoch` is the one that this pod replicates to."""
        self._source = source
        self._target = target
        self._epoch = epoch
        self._keep = keep
        self._bringer = Bringer(source, target)
        self._reached = 0
        """The last transaction of the epoch that is there."""
        self._ends = False
        """Whether something of the epoch was tried and is missing."""
        self._behind: dict[int, str] = {}
        """By level of the epoch, the last path of the source that is there."""

    @property
    def problem(self) -> str:
        """What cannot be brought though all else is, for people; empty when there is no such."""
        return self._bringer.problem

    @property
    def waiting_bytes(self) -> int | None:
        """How much is known to be missing there; None before it is known."""
        return self._bringer.waiting_bytes

    def go_on_from(self, other: Mirror) -> None:
        """Know what another one of the same places does, which had other keys, say."""
        self._bringer.go_on_from(other._bringer)

    async def whole(self) -> Pass:
        """Compare all of it, bring what is missing and remove what is too old."""
        self._reached, self._ends, self._behind = 0, False, {}
        there = await self._target.contents()
        wanted = await self._source.contents()
        found = compare(there, wanted, keep=self._keep)
        self._bringer.begin_anew(found.bring)
        await self._carry_fence()
        bring = set(found.bring)
        reach = Reach(path for path in there if path not in bring)
        missing = await self._bringer.bring(found.bring, wanted, reach)
        self._note((path for path in wanted if path not in missing), reach)
        await self._remove(found.remove, missing)
        await self._expire(found.points, there)
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
        bring = in_order(path for path in found if order(path) is not None)
        if not self._ends:
            self._require_continuation(bring)
        if not syncs_only:
            await self._carry_fence()
            for folder in (RECORDS, POINTS):
                there = await self._target.contents(folder)
                wanted = await self._source.contents(folder)
                bring += compare(there, wanted, keep=self._keep).bring
                found |= wanted
        bring = in_order(bring)
        reach = Reach.of(self._epoch, self._reached, ends=self._ends)
        missing = await self._bringer.bring(bring, found, reach)
        brought = tuple(path for path in bring if path not in missing)
        self._note(brought, reach)
        return brought

    def _require_continuation(self, paths: Iterable[str]) -> None:
        """Raise SourceMoved when something is missing between what is there and what is new."""
        reached = self._reached
        for file in filter(None, map(File.at, paths)):
            if file.first > reached + 1:
                raise SourceMoved(file.path)
            reached = max(reached, file.last)

    def _note(self, there: Iterable[str], reach: Reach) -> None:
        for path in there:
            file = File.at(path)
            if file is not None and file.epoch == self._epoch:
                self._reached = max(self._reached, file.last)
                own = self._source.own(path)
                self._behind[file.level] = max(self._behind.get(file.level, ""), own)
        until = reach.until(self._epoch)
        self._ends = until is not None
        self._reached = self._reached if until is None else until

    async def _carry_fence(self) -> None:
        """Tell the bank of who was promoted by the copy: it looks at the first destination."""
        fences = self._source.fences
        with self._bringer.each_by_itself(FENCE):
            fence = await asyncio.to_thread(self._target.fences.find)
            if fence is None or await asyncio.to_thread(fences.find) is not None:
                return
            try:
                await fences.put(fence)
            except Conflict as error:
                _logger.warning("a fence was found at a copy, and another: %s", error.message)

    async def _remove(self, paths: Sequence[str], missing: Collection[str]) -> None:
        """Remove what is too old, except where something of the same epoch has not arrived."""
        kept = {file.epoch for file in map(File.at, missing) if file is not None}
        gone = [
            self._target.own(path)
            for path in paths
            if (file := File.at(path)) is None or file.epoch not in kept
        ]
        with self._bringer.each_by_itself(_OLD):
            await self._target.objects.remove(gone)
            await self._target.objects.sweep("", datetime.now(UTC) - _LEFT_AFTER)

    async def _expire(self, names: Iterable[str], there: Mapping[str, Content]) -> None:
        """Remove the points that have expired, of those that are at the target alone, and what was
        never recorded.
        """
        now = max((each.written for each in there.values()), default=None)
        for name in names:
            with self._bringer.each_by_itself(f"{POINTS}/{name}{SUFFIX}"):
                if now is not None and await self._is_over(name, there, now):
                    await self._target.points.remove(name)
                    _logger.info("the recovery point %s is removed from a copy", name)

    async def _is_over(self, name: str, there: Mapping[str, Content], now: datetime) -> bool:
        try:
            point = await self._target.points.find(name)
        except BackupDamaged:  # whoever needs it may be able to read it
            return False
        if point is None:
            of_it = [each for path, each in there.items() if path.startswith(f"{POINTS}/{name}/")]
            return all(each.written < now - _LEFT_AFTER for each in of_it)
        return point.expires_at is not None and point.expires_at <= now


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
            if path.startswith(f"{RECORDS}/") and order(path) is not None:
                records.append(path)
        elif each.written < before or (file.level == _SYNCS and made.has(file)):
            yield path
        else:
            in_use.add(file.epoch)
    for path in records:
        epoch = path.removeprefix(f"{RECORDS}/").removesuffix(SUFFIX)
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
