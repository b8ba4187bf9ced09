"""The export of a copy of a bank: the document that `GET /v1/export` writes, of all tenants."""

from __future__ import annotations

import asyncio
import json
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from memorybank.auth.principal import Face, Principal
from memorybank.backup.point import PointExport
from memorybank.backup.points import Copy
from memorybank.configuration import key_ring
from memorybank.domain.keys import Role
from memorybank.domain.tenants import DEFAULT_TENANT
from memorybank.encryption import KeyRing
from memorybank.errors import StoreUnavailable
from memorybank.schemas.transfer import ExportQuery
from memorybank.sealed import SealedWriter, opened
from memorybank.server.backups import points_of
from memorybank.server.services import Services
from memorybank.services.exporting import GZIP_LEVEL, GZIP_WINDOW
from memorybank.settings import Settings

_PLAIN, _SEALED = "memory_bank.jsonl.gz", "memory_bank.jsonl.gz.sealed"
_PIECE = 1024 * 1024
_EVERYTHING = ExportQuery(all_tenants=True, embeddings=True, gzip=False)
"""Compressed here, so that the last piece is the end line as it stands."""


@dataclass(frozen=True, slots=True)
class Archive:
    """Writes the export of a copy, which is to be beside a recovery point; of an encrypted bank,
    sealed.
    """

    folder: Path
    ring: KeyRing | None
    bank: str
    name: str
    """Of the point."""

    @property
    def file(self) -> Path:
        """Where it is written."""
        return self.folder / (_PLAIN if self.ring is None else _SEALED)

    async def write(self, services: Services) -> int:
        """Write it; return how many memories it has. Raises StoreUnavailable."""
        try:
            with self.file.open("xb") as file:
                if self.ring is None:
                    last = await _compressed(services, file.write)
                else:
                    seal = SealedWriter(file, self.ring, what=_what(self.bank, self.name))
                    last = await _compressed(services, seal.write)
                    seal.close()
        except OSError as error:
            raise StoreUnavailable(
                f"the export cannot be written to {self.folder}: {error.strerror}",
                hint="name a folder with more room by --scratch",
            ) from None
        return int(json.loads(last)["counts"].get("memory", 0))

    def told(self, memories: int, uploaded: Copy) -> PointExport:
        """Return what is written down of it, once it is at the destination."""
        return PointExport(
            object=uploaded.object,
            memories=memories,
            bytes=uploaded.bytes,
            sha256=uploaded.sha256,
            key_id=None if self.ring is None else self.ring.active,
        )


@contextmanager
def exported(
    settings: Settings, name: str, *, within: Path | None, compressed: bool
) -> Iterator[Iterator[bytes]]:
    """Bring the export of a point into a folder, or to where temporary files are, and give what is
    in it. Raises NotFound, BackupUnavailable, BackupDamaged, ConfigurationError, StoreUnavailable.
    """
    points = points_of(settings)
    point = asyncio.run(points.get(name))
    with tempfile.TemporaryDirectory(prefix=".memorybank-", dir=within) as folder:
        brought = Path(folder) / _PLAIN
        export = asyncio.run(points.fetch_export(point, brought))
        with brought.open("rb") as source:
            if export.key_id is None:
                pieces = iter(lambda: source.read(_PIECE), b"")
            else:
                pieces = opened(source, key_ring(settings), what=_what(point.bank, name))
            yield pieces if compressed else _inflated(pieces)


def _inflated(pieces: Iterator[bytes]) -> Iterator[bytes]:
    gzip = zlib.decompressobj(GZIP_WINDOW)
    for piece in pieces:
        yield gzip.decompress(piece)


def _what(bank: str, name: str) -> str:
    return f"the export of the recovery point {name} of {bank}"


async def _compressed(services: Services, put: Callable[[bytes], object]) -> bytes:
    """Write the export, compressed; return its last line."""
    caller = Principal(DEFAULT_TENANT, "recovery-point", Role.ADMIN.scopes, face=Face.INTERNAL)
    gzip = zlib.compressobj(GZIP_LEVEL, wbits=GZIP_WINDOW)
    piece = b""
    async with aclosing(await services.exports.begin(caller, _EVERYTHING)) as pieces:
        async for piece in pieces:
            put(gzip.compress(piece))
    put(gzip.flush())
    return piece
