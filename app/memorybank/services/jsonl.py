"""From a stream of bytes, gzip or not, to lines; in bounded memory whatever comes."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Iterator

from memorybank.errors import InvalidRequest
from memorybank.schemas.transfer import MAX_LINE_BYTES

_MAGIC = b"\x1f\x8b"
_GZIP = zlib.MAX_WBITS | 16
_MOST = 1024 * 1024
"""Bytes that are decompressed at a time: a megabyte of zeros is a kilobyte of gzip."""


async def lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the lines, each with its line feed; the last one may lack it.

    Raises InvalidRequest for a line that is too long and for gzip that is damaged or cut.
    """
    reader = _Unpacker()
    pending = bytearray()
    async for chunk in chunks:
        for plain in reader.feed(chunk):
            pending += plain
            start = 0
            while (end := pending.find(b"\n", start)) >= 0:
                _check(end + 1 - start)
                yield bytes(pending[start : end + 1])
                start = end + 1
            del pending[:start]
            _check(len(pending))
    reader.finish()
    if pending:
        yield bytes(pending)


def _check(length: int) -> None:
    if length > MAX_LINE_BYTES:
        raise InvalidRequest(
            f"a line is longer than {MAX_LINE_BYTES} bytes",
            hint="send an export of a memory bank; nothing in one is that long",
        )


class _Unpacker:
    """Passes plain bytes on and decompresses gzip, told apart by how the stream begins."""

    def __init__(self) -> None:
        self._head = b""
        self._decided = False
        self._inflate: zlib._Decompress | None = None

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield what the chunk adds, in pieces of bounded size."""
        if not self._decided:
            self._head += chunk
            if len(self._head) < len(_MAGIC):
                return
            chunk, self._decided = self._head, True
            if chunk.startswith(_MAGIC):
                self._inflate = zlib.decompressobj(_GZIP)
        if self._inflate is None:
            yield chunk
            return
        yield from self._inflated(self._inflate, chunk)

    def finish(self) -> None:
        """Raise InvalidRequest unless the compressed stream is whole."""
        if self._inflate is not None and not self._inflate.eof:
            raise InvalidRequest(
                "the gzip stream ends too early", hint="the file was cut: fetch it again"
            )

    def _inflated(self, inflate: zlib._Decompress, chunk: bytes) -> Iterator[bytes]:
        while chunk:
            if inflate.eof:  # several gzip files in a row are one, too
                self._inflate = inflate = zlib.decompressobj(_GZIP)
            try:
                plain = inflate.decompress(chunk, _MOST)
            except zlib.error:
                raise InvalidRequest(
                    "the gzip stream is damaged", hint="fetch the file again"
                ) from None
            chunk = inflate.unconsumed_tail or inflate.unused_data
            if plain:
                yield plain
