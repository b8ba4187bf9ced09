"""Objects in a bucket or in a folder, whichever it is.

The object store is waited for in threads: its own coroutines are told of what is done by a thread
that may still be at it when the interpreter ends, and ends the process by a signal then.
"""

from __future__ import annotations

import asyncio
import queue
import re
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, ObjectStore, S3Store

from memorybank.backup.litestream import DENIED, known_cause, last_words
from memorybank.errors import BackupUnavailable, Conflict

if TYPE_CHECKING:
    from obstore import Bytes, GetResult
    from obstore.store import ClientConfig, RetryConfig, S3Config

_DEBUG = "Debug source:"
"""What an object store says for programmers comes after it."""
_DEADLINES = re.compile(r"retry_timeout: [^ ,]*,?")
"""Said of each failure that was tried again, whatever it was."""
_OR_KEY = ", or what is there is encrypted by a customer key which is not the one that is named"
"""Servers say the same of both."""
_REMOVED_AT_ONCE = 500
_CONNECT = timedelta(seconds=5)
_READ = timedelta(seconds=10)
"""How long a server may say nothing. A process ends when the last request did."""
_LARGE_READ = timedelta(seconds=60)
"""The same where megabytes are sent first."""
_RETRY: RetryConfig = {"max_retries": 3, "retry_timeout": timedelta(seconds=9)}
"""Of what fails sooner; the deadline of who asks is longer."""
_PART = 8 * 1024 * 1024
_PARTS = 9_000
"""A server takes ten thousand parts of one object."""
_PARTS_AT_ONCE = 4
_WHOLE = 1024 * 1024
"""Up to this size an object is copied by one request that reads and one that writes."""
_COPIED_PART = 5 * 1024 * 1024
"""The smallest that a server takes. One of them is sent while the next one is put together."""
_PIECE = 512 * 1024
_PIECES_PASSED = 1
"""Pieces of what is copied that wait in memory to be written."""
_PASS_SECONDS = 1.0


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
    kms_key_id: str | None = None
    """The server encrypts by this key of its own."""
    customer_key: str | None = field(default=None, repr=False)
    """Or by this one, in base64, which it has from each request."""

    @property
    def shown(self) -> str:
        """How people name it."""
        return f"s3://{self.bucket}/{self.path}"

    def within(self, folder: str) -> Bucket:
        """Return a place in it."""
        return replace(self, path=f"{self.path}/{folder}")

    def store(self, silent: timedelta = _READ) -> ObjectStore:
        """Return what lists, reads and writes it, by a server that may be silent for so long."""
        options: ClientConfig = {"connect_timeout": _CONNECT, "read_timeout": silent}
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
        if self.kms_key_id is not None:
            config["server_side_encryption"] = "aws:kms"
            config["sse_kms_key_id"] = self.kms_key_id
        if self.customer_key is not None:
            config["server_side_encryption"] = "sse-c"
            config["sse_customer_key_base64"] = self.customer_key
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
            "sse-kms-key-id": self.kms_key_id,
            "sse-customer-key": self.customer_key,
        }
        return {name: value for name, value in told.items() if value is not None}

    def level(self, epoch: str, level: int) -> str:
        """Return where Litestream keeps the files of a level of an epoch."""
        return f"{epoch}/{level:04x}"


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

    def store(self, silent: timedelta = _READ) -> ObjectStore:  # it never is
        """Return what lists, reads and writes it."""
        return LocalStore(self.path, mkdir=True)

    def replica(self, epoch: str) -> Mapping[str, Any]:
        """Return what Litestream is told of an epoch."""
        return {"type": "file", "path": str(self.path / epoch)}

    def level(self, epoch: str, level: int) -> str:
        """Return where Litestream keeps the files of a level of an epoch."""
        return f"{epoch}/ltx/{level}"


Place = Bucket | Folder


@dataclass(frozen=True, slots=True)
class Content:
    """What is known of an object without reading it."""

    size: int
    written: datetime
    """By the clock of the place."""


class Objects:
    """What is in a place. Every method raises BackupUnavailable when it cannot be told."""

    def __init__(self, place: Place, *, named: str = "") -> None:
        """`named` is said of what fails here, where there are several places."""
        self._place = place
        self._named = named

    async def folders(self) -> list[str]:
        """Return the names of the folders at the top."""
        with self._told():
            found = await asyncio.to_thread(obstore.list_with_delimiter, self._store)
        return [str(each) for each in found["common_prefixes"]]

    async def directly_in(self, folder: str) -> dict[str, datetime]:
        """Return what is in a folder and in none below it: paths, and when each was written."""
        with self._told():
            found = await asyncio.to_thread(obstore.list_with_delimiter, self._store, f"{folder}/")
        return {each["path"]: each["last_modified"] for each in found["objects"]}

    async def within(self, folder: str) -> dict[str, datetime]:
        """Return all that is in a folder and below it."""

        def listed() -> dict[str, datetime]:
            pages = obstore.list(self._store, f"{folder}/")
            return {each["path"]: each["last_modified"] for page in pages for each in page}

        with self._told():
            return await asyncio.to_thread(listed)

    async def sizes(self, folder: str, *, behind: str | None = None) -> dict[str, int]:
        """Return how large what is in a folder and below it is; with `behind`, of the paths that
        come later in their order.
        """
        found = await self.contents(folder, behind=behind)
        return {path: each.size for path, each in found.items()}

    async def contents(self, folder: str, *, behind: str | None = None) -> dict[str, Content]:
        """Return what is in a folder, or in all, and below it, likewise."""

        def listed() -> dict[str, Content]:
            pages = obstore.list(self._store, f"{folder}/" if folder else None, offset=behind)
            return {
                each["path"]: Content(each["size"], each["last_modified"])
                for page in pages
                for each in page
            }

        with self._told():
            return await asyncio.to_thread(listed)

    async def first(self, folder: str, suffix: str) -> datetime | None:
        """Return when something of this suffix was written into a folder; None without any."""

        def first() -> datetime | None:
            for page in obstore.list(self._store, f"{folder}/"):
                for found in page:
                    if found["path"].endswith(suffix):
                        return found["last_modified"]
            return None

        with self._told():
            return await asyncio.to_thread(first)

    async def read(self, path: str) -> bytes | None:
        """Return a small object; None when there is none."""
        return await asyncio.to_thread(self.read_now, path)

    def read_now(self, path: str) -> bytes | None:
        """Return a small object; None when there is none. For a thread that may wait."""
        with self._told():
            try:
                return bytes(obstore.get(self._store, path).bytes())
            except FileNotFoundError:
                return None

    async def head(self, path: str, size: int) -> bytes:
        """Return the first bytes of an object."""
        with self._told():
            return await asyncio.to_thread(
                lambda: bytes(obstore.get_range(self._store, path, start=0, length=size))
            )

    async def create(self, path: str, content: bytes) -> None:
        """Write a small object. Raises Conflict when there is another one."""
        try:
            with self._told():
                await asyncio.to_thread(obstore.put, self._store, path, content, mode="create")
        except FileExistsError:
            if await self.read(path) == content:  # an answer was lost, and the request repeated
                return
            raise Conflict(f"there is another {path} already") from None

    async def write(self, path: str, content: bytes) -> None:
        """Write a small object, in place of the one that is there."""
        with self._told():
            await asyncio.to_thread(obstore.put, self._store, path, content, mode="overwrite")

    async def upload(self, path: str, file: Path) -> None:
        """Write a large object, a part at a time."""

        def put() -> None:
            part = max(_PART, -(-file.stat().st_size // _PARTS))
            obstore.put(self._patient, path, file, chunk_size=part, max_concurrency=_PARTS_AT_ONCE)

        with self._told():
            await asyncio.to_thread(put)

    async def pieces(self, path: str, *, most: int) -> AsyncIterator[bytes]:
        """Yield a large object. Raises FileNotFoundError when there is none."""
        with self._told(missing=True):
            found = await asyncio.to_thread(obstore.get, self._patient, path)
            stream = iter(found.stream(min_chunk_size=most))
        while True:
            with self._told():
                piece = await asyncio.to_thread(next, stream, None)
            if piece is None:
                return
            yield bytes(piece)

    async def copy(self, path: str, target: Objects, other: str) -> int:
        """Bring an object of any size to another place and path, a piece at a time; return how much
        of it is there. Raises FileNotFoundError when there is none.
        """
        with self._told(missing=True):
            found = await asyncio.to_thread(obstore.get, self._patient, path)
        size = found.meta["size"]
        if size > _WHOLE:
            return await self._pass_pieces(found, size, target, other)
        with self._told():
            content = await asyncio.to_thread(found.bytes)
        if len(content) == size:
            await target._put_whole(other, content)
        return len(content)

    async def _put_whole(self, path: str, content: Bytes) -> None:
        """Write a small object by a single request."""
        with self._told():
            await asyncio.to_thread(
                obstore.put, self._patient, path, content, mode="overwrite", use_multipart=False
            )

    async def _pass_pieces(self, found: GetResult, size: int, target: Objects, other: str) -> int:
        """Bring what was asked for; return how much of it is there."""
        # An object store that writes asks for the next piece where none can be waited for.
        passed: queue.Queue[bytes | Exception | None] = queue.Queue(_PIECES_PASSED)
        ended = threading.Event()
        part = max(_COPIED_PART, -(-size // _PARTS))

        def read() -> None:
            try:
                with self._told():
                    for each in found.stream(min_chunk_size=_PIECE):
                        _pass_on(passed, bytes(each), ended)
                _pass_on(passed, None, ended)
            except Exception as error:  # whoever writes raises it
                _pass_on(passed, error, ended)

        def pieces() -> Iterator[bytes]:
            while (piece := passed.get()) is not None:
                if isinstance(piece, Exception):
                    raise piece
                yield piece

        def write() -> int:
            try:
                with target._told():
                    obstore.put(
                        target._patient, other, pieces(), chunk_size=part, max_concurrency=1
                    )
                    return int(obstore.head(target._patient, other)["size"])
            finally:
                ended.set()

        _, arrived = await asyncio.gather(asyncio.to_thread(read), asyncio.to_thread(write))
        return arrived

    async def remove(self, paths: Sequence[str]) -> None:
        """Remove objects, whether they are there or not."""
        for start in range(0, len(paths), _REMOVED_AT_ONCE):
            part = list(paths[start : start + _REMOVED_AT_ONCE])
            with self._told(), suppress(FileNotFoundError):
                await asyncio.to_thread(obstore.delete, self._store, part)

    async def sweep(self, folder: str, before: datetime) -> None:
        """Remove what was left in a folder by uploads that were interrupted then. In a bucket that
        is done by a rule of its own.
        """
        place = self._place
        if isinstance(place, Folder):
            with self._told():
                await asyncio.to_thread(_sweep, place.path / folder, before)

    @contextmanager
    def _told(self, *, missing: bool = False) -> Iterator[None]:
        """Turn what an object store fails with into BackupUnavailable; with `missing`, it is
        another matter that there is no such thing.
        """
        try:
            yield
        except (AlreadyExistsError, FileExistsError) as error:
            raise FileExistsError from error
        except FileNotFoundError as error:
            words = known_cause(_said(error))
            if missing and words is None:
                raise
            words = words or "the bucket or folder of backups does not exist"
            raise BackupUnavailable(self._prefix + words) from None
        except (BaseError, OSError) as error:
            said = _said(error)
            words = known_cause(said) or last_words(said.partition(_DEBUG)[0])
            if words == DENIED and isinstance(self._place, Bucket) and self._place.customer_key:
                words += _OR_KEY
            raise BackupUnavailable(self._prefix + words) from None

    @property
    def _prefix(self) -> str:
        return f"{self._named}: " if self._named else ""

    @cached_property
    def _store(self) -> ObjectStore:
        return self._place.store()

    @cached_property
    def _patient(self) -> ObjectStore:
        return self._place.store(_LARGE_READ)


def _said(error: Exception) -> str:
    """Return what an object store said, without the limits of time that it goes by."""
    return _DEADLINES.sub("", str(error))


def _pass_on(
    passed: queue.Queue[bytes | Exception | None],
    piece: bytes | Exception | None,
    ended: threading.Event,
) -> None:
    """Give a piece to who writes, unless nobody does any more."""
    while not ended.is_set():
        with suppress(queue.Full):
            passed.put(piece, timeout=_PASS_SECONDS)
            return


def _sweep(folder: Path, before: datetime) -> None:
    """Remove the parts of files, which have a name of their own until they are whole."""
    for each in folder.rglob("*#*"):
        if each.stat().st_mtime < before.timestamp():
            each.unlink()
