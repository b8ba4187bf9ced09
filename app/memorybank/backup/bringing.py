"""Bringing objects from one place to another, of which some may not let themselves be brought.

One that cannot be read or written is told by its path and tried again; what others need it for
waits, and all else is brought. So each part of what is there can be restored all the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from memorybank.backup.objects import Content
from memorybank.backup.sides import SUFFIX, File, Side, is_of_point
from memorybank.errors import BackupUnavailable

_FAIL_IN_A_ROW = 3
"""So many, one after the other, are taken for a place that is away."""
_GONE = "the first destination lists it and has it not"
_CUT = "it did not arrive whole"
_NAMED = 3


class SourceMoved(Exception):
    """What was listed is not there any more, or not all: it was put together with others."""


class Bringer:
    """Brings objects, and knows which of them failed last."""

    def __init__(self, source: Side, target: Side) -> None:
        self._source = source
        self._target = target
        self._gone: set[str] = set()
        self._left: dict[str, int] = {}
        """Bytes of what was not there in the end, by path."""
        self.failing: dict[str, str] = {}
        """Why, by path; what was tried longest ago comes first."""
        self.waiting_bytes: int | None = None
        """How much is known to be missing; None before it is known."""

    @property
    def problem(self) -> str:
        """What fails, for people; empty when nothing does."""
        paths = sorted(self.failing)
        said = [f"{path}: {self.failing[path]}" for path in paths[:_NAMED]]
        if len(paths) > _NAMED:
            said.append(f"and {len(paths) - _NAMED} more")
        return "; ".join(said)

    def go_on_from(self, other: Bringer) -> None:
        """Know what another one of the same places does."""
        self._gone, self._left, self.failing = other._gone, other._left, other.failing
        self.waiting_bytes = other.waiting_bytes

    def begin_anew(self, paths: Iterable[str]) -> None:
        """Know of what failed no more than what of it is among these, which are all there are."""
        there = set(paths) & self.failing.keys()
        self.failing = {path: words for path, words in self.failing.items() if path in there}
        self._left = {}

    @contextmanager
    def each_by_itself(self, path: str) -> Iterator[None]:
        """Let what cannot be done with something be told of that alone."""
        try:
            yield
        except BackupUnavailable as error:
            self.failing[path] = error.message
        else:
            self.failing.pop(path, None)

    async def bring(
        self, paths: Sequence[str], wanted: Mapping[str, Content], reach: Reach
    ) -> frozenset[str]:
        """Bring objects in this order, except that those which failed before are tried last; return
        which of them are not there.

        Raises SourceMoved, and BackupUnavailable when several that had not failed before do, one
        after the other.
        """
        left = {path: size for path, size in self._left.items() if path not in wanted}
        self.waiting_bytes = sum(wanted[path].size for path in paths) + sum(left.values())
        known = self.failing.keys() & set(paths)
        missing: set[str] = set()
        moved: set[str] = set()
        in_a_row = 0
        for path in paths:
            if path in known:
                reach.ends_before(path)
            elif reach.has_to_wait(path):
                missing.add(path)
            else:
                try:
                    await self._one(path, wanted[path].size)
                except FileNotFoundError:
                    moved.add(path)
                except BackupUnavailable as error:
                    in_a_row += 1
                    if in_a_row == _FAIL_IN_A_ROW:
                        raise
                    self.failing[path] = error.message
                else:
                    in_a_row = 0
                    reach.goes_on_by(path)
                    continue
                reach.ends_before(path)
                missing.add(path)
        for path in moved & self._gone:  # once it was put together with others, twice it was not
            self.failing[path] = _GONE
        self._gone = moved
        mended = await self._try_again([path for path in self.failing if path in known], wanted)
        held = missing - self.failing.keys()
        missing |= known - mended
        self._left = left | {path: wanted[path].size for path in missing}
        if moved - self.failing.keys() or (mended and held):
            raise SourceMoved
        return frozenset(missing)

    async def _try_again(self, paths: Iterable[str], wanted: Mapping[str, Content]) -> set[str]:
        """Return which of those that failed before are there now."""
        mended = set()
        in_a_row = 0
        for path in paths:
            if in_a_row == _FAIL_IN_A_ROW:
                break
            try:
                await self._one(path, wanted[path].size)
            except (FileNotFoundError, BackupUnavailable) as error:
                in_a_row += 1
                del self.failing[path]  # to the end
                self.failing[path] = getattr(error, "message", _GONE)
            else:
                in_a_row = 0
                del self.failing[path]
                mended.add(path)
        return mended

    async def _one(self, path: str, size: int) -> None:
        """Raises BackupUnavailable, and FileNotFoundError when there is none at the source."""
        source, target = self._source, self._target
        arrived = await source.objects.copy(source.own(path), target.objects, target.own(path))
        if arrived != size:
            raise BackupUnavailable(_CUT)
        if self.waiting_bytes is not None:
            self.waiting_bytes -= size


class Reach:
    """How far what is at a place goes without a gap, by epoch, once something of it is missing."""

    def __init__(self, there: Iterable[str]) -> None:
        """`there` is all that the place has."""
        self._there = there
        self._spans: dict[str, list[tuple[int, int]]] | None = None
        self._reached: dict[str, int] = {}
        """By epoch of which something is missing."""
        self._brought: dict[str, list[tuple[int, int]]] = {}
        self._points: set[str] = set()

    @classmethod
    def of(cls, epoch: str, reached: int, *, ends: bool) -> Reach:
        """Return that of one epoch, which `ends` there for what is missing already."""
        made = cls(())
        made._brought[epoch] = [(1, reached)]
        if ends:
            made._reached[epoch] = reached
        return made

    def until(self, epoch: str) -> int | None:
        """Return the last transaction without a gap; None when nothing of the epoch is missing."""
        return self._reached.get(epoch)

    def ends_before(self, path: str) -> None:
        """Note that something is missing; all that comes before it was told of."""
        file = File.at(path)
        if file is not None:
            if file.epoch not in self._reached:
                self._reached[file.epoch] = 0
                self._follow(file.epoch)
        elif is_of_point(path):
            self._points.add(_point(path))

    def goes_on_by(self, path: str) -> None:
        """Note that something is there."""
        file = File.at(path)
        if file is not None:
            self._brought.setdefault(file.epoch, []).append((file.first, file.last))
            if file.epoch in self._reached:
                self._follow(file.epoch)

    def has_to_wait(self, path: str) -> bool:
        """Return whether something goes on from what is missing, or records it."""
        file = File.at(path)
        if file is not None:
            reached = self._reached.get(file.epoch)
            return reached is not None and file.first > reached + 1
        return path.endswith(SUFFIX) and is_of_point(path) and _point(path) in self._points

    def _follow(self, epoch: str) -> None:
        """Go on as far as it goes."""
        if self._spans is None:
            self._spans = {}
            for file in filter(None, map(File.at, self._there)):
                self._spans.setdefault(file.epoch, []).append((file.first, file.last))
        reached = self._reached[epoch]
        spans = sorted(self._spans.get(epoch, []) + self._brought.get(epoch, []))
        followed = 0
        while followed < len(spans) and spans[followed][0] <= reached + 1:
            reached = max(reached, spans[followed][1])
            followed += 1
        self._reached[epoch] = reached
        self._spans[epoch], self._brought[epoch] = spans[followed:], []


def _point(path: str) -> str:
    return path.split("/")[1].removesuffix(SUFFIX)
