"""Recovery points: whole copies of a bank at the destination of its backups, each by itself.

`points/NAME.json` is written last, and only if nobody has that name: where it is, the point is. The
copy that it names is `points/NAME/TOKEN/memory_bank.db`, a place of its own for each attempt, so
that two who take the same name never write to one. What no record names is a leftover.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import ValidationError

from memorybank.backup.objects import Objects, Place
from memorybank.backup.point import Point, PointExport
from memorybank.backup.restoring import partial_of, require_room
from memorybank.durable import put_in_place
from memorybank.errors import BackupDamaged, Conflict, InvalidRequest, NotFound, StoreUnavailable

_FOLDER = "points"
_SUFFIX = ".json"
_TOKEN_BYTES = 4
_PIECE = 4 * 1024 * 1024
_AT_ONCE = 16
"""Records that are read side by side."""
_LEFT_AFTER = timedelta(days=1)
"""Longer than any upload takes: what is older without a record is of one that ended in between."""
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy that was brought to the destination."""

    object: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class _Kept:
    """A large object of a point, as its record has it."""

    what: str
    object: str
    bytes: int
    sha256: str


class Points:
    """The recovery points of one bank."""

    def __init__(self, place: Place, *, named: str = "") -> None:
        """`place` is the bank's own; for `named` see Objects."""
        self._objects = Objects(place, named=named)

    async def all(self) -> list[Point]:
        """Return those whose record can be read, newest first. Raises BackupUnavailable."""
        return [each for each, _ in await self._recorded()]

    async def find(self, name: str) -> Point | None:
        """Return a point. Raises BackupUnavailable, BackupDamaged."""
        content = await self._objects.read(_record(name))
        if content is None:
            return None
        try:
            return Point.model_validate_json(content)
        except ValidationError:
            raise BackupDamaged(
                f"the record of the recovery point {name} is not what was written there",
                hint="restore another point, or a moment: `memorybank backup points` and `list`",
            ) from None

    async def get(self, name: str) -> Point:
        """Return a point. Raises NotFound, and as `find` does."""
        found = await self.find(name)
        if found is None:
            raise NotFound(
                f"there is no recovery point {name} at the destination",
                hint="name one that `memorybank backup points` shows",
            )
        return found

    async def upload(self, name: str, file: Path) -> Copy:
        """Bring a file there, which is no point yet. Raises BackupUnavailable."""
        target = f"{_FOLDER}/{name}/{secrets.token_hex(_TOKEN_BYTES)}/{file.name}"
        size, digest = await asyncio.to_thread(lambda: (file.stat().st_size, sha256_of(file)))
        await self._objects.upload(target, file)
        return Copy(target, size, digest)

    async def record(self, point: Point) -> None:
        """Make a point of what was uploaded. Raises InvalidRequest when somebody else has its name,
        BackupUnavailable.
        """
        content = point.model_dump_json(exclude_none=True).encode()
        try:
            await self._objects.create(_record(point.name), content)
        except Conflict:
            raise taken(point.name) from None

    async def fetch(self, point: Point, database: Path) -> None:
        """Put the copy where a database is to be: as a whole and as it was, or not at all. Raises
        BackupUnavailable, BackupDamaged, and StoreUnavailable when the disk fails.
        """
        await self._fetch(_copy_of(point), database)

    async def fetch_export(self, point: Point, file: Path) -> PointExport:
        """Put the export of a point into a file, as it lies there; return what is known of it.
        Raises NotFound when it has none, and as `fetch` does.
        """
        export = point.export
        if export is None:
            raise NotFound(
                f"the recovery point {point.name} was taken without an export",
                hint="restore it, and export that; or take one with --export",
            )
        await self._fetch(_export_of(point, export), file)
        return export

    async def _fetch(self, kept: _Kept, target: Path) -> None:
        require_room(target.parent, kept.bytes)
        partial = partial_of(target)
        try:
            with partial.open("xb") as file:
                await self._read_through(kept, file.write)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise StoreUnavailable(
                f"{kept.what} cannot be written to {target.parent}: {error.strerror}",
                hint=f"it takes {kept.bytes:,} bytes; look at the disk",
            ) from None
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        put_in_place(partial, target)

    async def is_sound(self, point: Point) -> bool:
        """Read all of a copy; return whether it is as it was taken. Raises BackupUnavailable."""
        try:
            await self._read_through(_copy_of(point), lambda _piece: None)
        except BackupDamaged:
            return False
        return True

    async def require_export(self, point: Point) -> None:
        """Read all of the export of a point, if it has one. Raises BackupDamaged,
        BackupUnavailable.
        """
        if point.export is not None:
            await self._read_through(_export_of(point, point.export), lambda _piece: None)

    async def _read_through(self, kept: _Kept, take: Callable[[bytes], object]) -> None:
        digest = hashlib.sha256()
        size = 0
        try:
            async for piece in self._objects.pieces(kept.object, most=_PIECE):
                digest.update(piece)
                size += len(piece)
                await asyncio.to_thread(take, piece)
        except FileNotFoundError:
            raise _damaged(kept, "it is missing") from None
        problem = _difference(kept, size, digest.hexdigest())
        if problem:
            raise _damaged(kept, problem)

    async def discard(self, uploaded: Sequence[Copy]) -> None:
        """Remove what was uploaded and is to be no point. Raises BackupUnavailable."""
        await self._objects.remove([each.object for each in uploaded])

    async def remove(self, name: str) -> bool:
        """Remove a point, also one whose record cannot be read; return whether there was one. Who
        is interrupted can be followed by another one. Raises BackupUnavailable.
        """
        was_there = await self._objects.read(_record(name)) is not None
        await self._objects.remove([_record(name)])
        left = await self._objects.within(f"{_FOLDER}/{name}")
        await self._objects.remove(list(left))
        return was_there or bool(left)

    async def tidy(self, now: datetime | None = None) -> list[str]:
        """Remove the points that have expired, and what was left of those that never came about;
        return the names of the former. Without `now`, by when the newest was recorded. Raises
        BackupUnavailable.
        """
        recorded = await self._recorded()
        now = max((at for _, at in recorded), default=None) if now is None else now
        if now is None:
            return []
        expired = [each for each, _ in recorded if each.expires_at and each.expires_at <= now]
        for each in expired:
            await self.remove(each.name)
            _logger.info("the recovery point %s has expired and is removed", each.name)
        names = await self._records()
        left = [
            path
            for path, at in (await self._objects.within(_FOLDER)).items()
            if path.count("/") > 1 and path.split("/")[1] not in names and at < now - _LEFT_AFTER
        ]
        await self._objects.remove(left)
        await self._objects.sweep(_FOLDER, now - _LEFT_AFTER)
        return [each.name for each in expired]

    async def _records(self) -> Mapping[str, datetime]:
        """Return the names of all points, and when each was recorded."""
        found = await self._objects.directly_in(_FOLDER)
        return {
            path.rpartition("/")[2].removesuffix(_SUFFIX): at
            for path, at in found.items()
            if path.endswith(_SUFFIX)
        }

    async def _recorded(self) -> list[tuple[Point, datetime]]:
        reading = asyncio.Semaphore(_AT_ONCE)

        async def read(name: str) -> Point | None:
            async with reading:
                try:
                    return await self.find(name)
                except BackupDamaged as error:
                    _logger.warning("%s", error.message)
                    return None

        records = await self._records()
        points = await asyncio.gather(*map(read, records))
        found = [
            (point, at)
            for point, at in zip(points, records.values(), strict=True)
            if point is not None
        ]
        return sorted(found, key=lambda each: (each[0].taken_at, each[0].name), reverse=True)


def sha256_of(file: Path) -> str:
    """Return the checksum of a file."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def taken(name: str) -> InvalidRequest:
    """Return the error for a name that is somebody else's."""
    return InvalidRequest(
        f"there is a recovery point {name} already, of another content",
        field="name",
        hint="choose another name, or remove that one: `memorybank backup remove NAME`",
    )


def _record(name: str) -> str:
    return f"{_FOLDER}/{name}{_SUFFIX}"


def _copy_of(point: Point) -> _Kept:
    what = f"the copy of the recovery point {point.name}"
    return _Kept(what, point.object, point.bytes, point.sha256)


def _export_of(point: Point, export: PointExport) -> _Kept:
    what = f"the export of the recovery point {point.name}"
    return _Kept(what, export.object, export.bytes, export.sha256)


def _difference(kept: _Kept, size: int, digest: str) -> str:
    if size != kept.bytes:
        return f"it has {size:,} bytes, and {kept.bytes:,} were written"
    return "" if digest == kept.sha256 else "it has another checksum than was written"


def _damaged(kept: _Kept, problem: str) -> BackupDamaged:
    return BackupDamaged(f"{kept.what} is damaged: {problem}")
