"""A place of backups as its objects are copied: what is there, and in which order it is brought.

Paths are told here as they are in a bucket; a folder has Litestream's files elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from memorybank.backup.chain import is_epoch
from memorybank.backup.fence import Fences
from memorybank.backup.objects import Bucket, Content, Objects, Place
from memorybank.backup.points import Points

RECORDS, POINTS = "epochs", "points"
SUFFIX = ".json"
_DATA = re.compile(r"^([^/]+)/(?:([0-9a-f]{4})|ltx/(\d+))/(([0-9a-f]{16})-([0-9a-f]{16})\.ltx)$")
"""Epoch, level of a bucket or of a folder, name, first and last transaction."""
_TOP = 1 << 64


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
        if isinstance(self.place, Bucket):
            return found
        return {
            path if (file := File.at(path)) is None else file.path: each
            for path, each in found.items()
        }

    def own(self, path: str) -> str:
        """Return where something is here."""
        file = File.at(path)
        return path if file is None else f"{self.place.level(file.epoch, file.level)}/{file.name}"


def in_order(paths: Iterable[str]) -> list[str]:
    """Return them so that of each part of them all can be restored."""
    return sorted(paths, key=lambda path: order(path) or ())


def is_of_point(path: str) -> bool:
    """Return whether it is a recovery point's."""
    return path.startswith(f"{POINTS}/")


def order(path: str) -> tuple[int, str, int, int, str] | None:
    """Return when something comes, None for what is nobody's to copy.

    Records of epochs tell what went on from what, and say nothing of what is there. Of an epoch,
    files come by the first transaction in them, and of those that begin alike the one that goes
    farthest: each goes on from where those before it end. A point counts by its record.
    """
    if path.startswith(f"{RECORDS}/"):
        return (0, path, 0, 0, "") if path.endswith(SUFFIX) else None
    if is_of_point(path):
        return (3 if path.endswith(SUFFIX) and path.count("/") == 1 else 2, path, 0, 0, "")
    file = File.at(path)
    return None if file is None else (1, file.epoch, file.first, _TOP - file.last, path)
