"""Where the backups of a bank are: a bucket or a folder, with a place for each epoch.

`epochs/NAME.json` is written before anything is replicated, and only if nobody has that name;
Litestream writes below `NAME/`. So what is listed is all that there is to know.

The object store is waited for in threads: its own coroutines are told of what is done by a thread
that may still be at it when the interpreter ends, and ends the process by a signal then.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, ObjectStore, S3Store
from pydantic import ValidationError

from memorybank.backup.chain import Chain, Epoch, is_epoch
from memorybank.backup.litestream import known_cause, last_words
from memorybank.errors import BackupDamaged, BackupUnavailable, Conflict, NotFound

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ClientConfig, RetryConfig, S3Config

SILENT = "the destination does not answer"
REACH_SECONDS = 40.0
"""How long those wait for a destination who cannot go on without it."""
_EPOCHS = "epochs"
_SUFFIX = ".json"
_DATA = ".ltx"
_DEBUG = "Debug source:"
"""What an object store says for programmers comes after it."""
_DEADLINES = re.compile(r"retry_timeout: [^ ,]*,?")
"""Said of each failure that was tried again, whatever it was."""
_AT_ONCE = 16
"""Records that are read side by side."""
_REMOVED_AT_ONCE = 500
_CONNECT = timedelta(seconds=5)
_READ = timedelta(seconds=10)
"""How long a server may say nothing. A process ends when the last request did."""
_RETRY: RetryConfig = {"max_retries": 3, "retry_timeout": timedelta(seconds=9)}
"""Of what fails sooner; the deadline of who asks is longer."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """A place in a bucket."""

    bucket: str
    path: str
    region: str
    endpoint: str | None = None
    path_style: bool = False
    access_key_id: str | None = None
    """Without the two: what AWS's own variables, web identities and instance profiles give."""
    secret_access_key: str | None = field(default=None, repr=False)
    ca: str | None = field(default=None, repr=False)
    """Certificates beside the system's, PEM."""

    @property
    def shown(self) -> str:
        """How people name it."""
        return f"s3://{self.bucket}/{self.path}"

    def within(self, folder: str) -> Bucket:
        """Return a place in it."""
        return replace(self, path=f"{self.path}/{folder}")

    def store(self) -> ObjectStore:
        """Return what lists, reads and writes it."""
        options: ClientConfig = {"connect_timeout": _CONNECT, "read_timeout": _READ}
        if self.endpoint is not None:
            options["allow_http"] = self.endpoint.startswith("http://")
        if self.ca is not None:
            options["root_certificate"] = self.ca
        config: S3Config = {
            "region": self.region,
            "virtual_hosted_style_request": not self.path_style,
        }
        if self.endpoint is not None:
            config["endpoint"] = self.endpoint
        if self.access_key_id is not None and self.secret_access_key is not None:
            config["access_key_id"] = self.access_key_id
            config["secret_access_key"] = self.secret_access_key
        return S3Store(
            self.bucket,
            prefix=self.path,
            config=config,
            client_options=options,
            retry_config=_RETRY,
        )

    def replica(self, epoch: str) -> Mapping[str, Any]:
        """Return what Litestream is told of an epoch."""
        told = {
            "type": "s3",
            "bucket": self.bucket,
            "path": f"{self.path}/{epoch}",
            "region": self.region,
            "endpoint": self.endpoint,
            "force-path-style": self.path_style,
            "access-key-id": self.access_key_id,
            "secret-access-key": self.secret_access_key,
        }
        return {name: value for name, value in told.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder."""

    path: Path

    @property
    def shown(self) -> str:
        """How people name it."""
        return str(self.path)

    def within(self, folder: str) -> Folder:
        """Return a place in it."""
        return Folder(self.path / folder)

    def store(self) -> ObjectStore:
        """Return what lists, reads and writes it."""
        return LocalStore(self.path, mkdir=True)

    def replica(self, epoch: str) -> Mapping[str, Any]:
        """Return what Litestream is told of an epoch."""
        return {"type": "file", "path": str(self.path / epoch)}


Place = Bucket | Folder


class Destination:
    """The epochs of one bank."""

    def __init__(self, place: Place) -> None:
        """`place` is the bank's own."""
        self._place = place

    @cached_property
    def _store(self) -> ObjectStore:
        return self._place.store()

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
        async with _answered():
            top = await asyncio.to_thread(obstore.list_with_delimiter, self._store)
            records = [
                found["path"]
                for found in await self._listed(_EPOCHS)
                if found["path"].endswith(_SUFFIX)
            ]
            reading = asyncio.Semaphore(_AT_ONCE)
            read = await asyncio.gather(*(self._read(each, reading) for each in records))
            epochs = {each.name: each for each in read if each is not None}
            for name in map(str, top["common_prefixes"]):
                if name not in epochs and is_epoch(name):
                    first = await self._first(name)
                    if first is not None:
                        epochs[name] = Epoch.unrecorded(name, began=first)
        return epochs

    async def newest(self, epochs: Mapping[str, Epoch]) -> Epoch | None:
        """Return the last epoch that something was replicated to. Raises BackupUnavailable."""
        async with _answered():
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
        async with _answered():
            for name in epochs:
                found = await self._listed(name)
                times = [each["last_modified"] for each in found if _is_data(each["path"])]
                if times:
                    written[name] = max(times)
        return Chain(epochs, written)

    async def begin(self, epoch: Epoch) -> None:
        """Write an epoch down. Raises Conflict when somebody has its name, BackupUnavailable."""
        path, content = f"{_EPOCHS}/{epoch.name}{_SUFFIX}", epoch.content()
        try:
            async with _answered():
                await asyncio.to_thread(obstore.put, self._store, path, content, mode="create")
        except FileExistsError:
            if await self._holds(path, content):  # an answer was lost, and the request repeated
                return
            raise Conflict(
                f"the epoch {epoch.name} is there already", hint="begin another one"
            ) from None

    async def remove(self, epoch: Epoch) -> int:
        """Remove an epoch; return how many objects that were. What tells of it goes last, so that
        whoever is interrupted can be followed by another one. Raises BackupUnavailable.
        """
        async with _answered():
            paths = [found["path"] for found in await self._listed(epoch.name)]
            for start in range(0, len(paths), _REMOVED_AT_ONCE):
                part = paths[start : start + _REMOVED_AT_ONCE]
                await asyncio.to_thread(obstore.delete, self._store, part)
            with _missing_is_fine():
                record = f"{_EPOCHS}/{epoch.name}{_SUFFIX}"
                await asyncio.to_thread(obstore.delete, self._store, record)
        return len(paths)

    async def _listed(self, folder: str) -> list[ObjectMeta]:
        """Return all objects in a folder."""
        return await asyncio.to_thread(
            lambda: [each for page in obstore.list(self._store, f"{folder}/") for each in page]
        )

    async def _first(self, epoch: str) -> datetime | None:
        """Return when something was replicated to an epoch; None when nothing was."""

        def first() -> datetime | None:
            for page in obstore.list(self._store, f"{epoch}/"):
                for found in page:
                    if _is_data(found["path"]):
                        return found["last_modified"]
            return None

        return await asyncio.to_thread(first)

    async def _read(self, path: str, reading: asyncio.Semaphore) -> Epoch | None:
        """Return a record; None when it was removed meanwhile."""
        content = None
        async with reading:
            with _missing_is_fine():
                content = await self._content(path)
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

    async def _holds(self, path: str, content: bytes) -> bool:
        async with _answered():
            return await self._content(path) == content

    async def _content(self, path: str) -> bytes:
        return await asyncio.to_thread(lambda: bytes(obstore.get(self._store, path).bytes()))


async def newest_bank(place: Place) -> str:
    """Return the uid of the bank that began an epoch last, of all banks of one name, whose folder
    this is. Raises NotFound, and as Destination does.
    """
    async with _answered():
        # A folder is not made by whoever looks for it.
        is_there = isinstance(place, Bucket) or place.path.is_dir()
        top = None
        if is_there:
            top = await asyncio.to_thread(obstore.list_with_delimiter, place.store())
    found: list[tuple[datetime, str]] = []
    for uid in map(str, top["common_prefixes"] if top else ()):
        epochs = await Destination(place.within(uid)).begun()
        found += [(each.began, uid) for each in epochs.values()]
    if not found:
        raise NotFound(
            f"there is no backup of a bank in {place.shown}",
            hint="correct the destination, or the namespace and name of the bank",
        )
    return max(found)[1]


def _is_data(path: str) -> bool:
    return path.endswith(_DATA)


@asynccontextmanager
async def _answered() -> AsyncIterator[None]:
    with _told():
        yield


@contextmanager
def _missing_is_fine() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        return


@contextmanager
def _told() -> Iterator[None]:
    """Turn what an object store fails with into BackupUnavailable."""
    try:
        yield
    except (AlreadyExistsError, FileExistsError) as error:
        raise FileExistsError from error
    except FileNotFoundError:
        raise BackupUnavailable("the bucket or folder of backups does not exist") from None
    except (BaseError, OSError) as error:
        said = _DEADLINES.sub("", str(error))
        words = known_cause(said) or last_words(said.partition(_DEBUG)[0])
        raise BackupUnavailable(words) from None
