"""A file that only the key ring opens: what leaves an encrypted bank as a whole.

It begins with a line of JSON, which names the key of the ring and holds the key of this file,
wrapped by that. What follows are pieces of the content, each encrypted by AES-256-GCM under its
number and whether it is the last one: none can be left out, doubled, moved or cut off. All of it is
bound to what the file is, so that one which lies in the place of another does not open.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from memorybank.encryption import FIELD, KEY_BYTES, KeyRing
from memorybank.errors import BackupDamaged, ConfigurationError

_PIECE = 1024 * 1024
_NONCE_BYTES = 12
_TAG_BYTES = 16
_MOST_HEAD = 1_024


class _Head(BaseModel):
    model_config = ConfigDict(frozen=True)

    format: str = Field("memory-bank-sealed", pattern="^memory-bank-sealed$")
    version: int = Field(1, ge=1, le=1)
    key_id: str = Field(max_length=63)
    wrapped: str = Field(max_length=256)


class SealedWriter:
    """Encrypts what is written into a file; `close` ends it."""

    def __init__(self, file: BinaryIO, ring: KeyRing, *, what: str) -> None:
        # Loaded here: only an encrypted bank needs it, and it takes some megabytes.
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._file = file
        self._what = what.encode()
        self._number = 0
        self._waiting = bytearray()
        key = secrets.token_bytes(KEY_BYTES)
        self._cipher = AESGCM(key)
        nonce = secrets.token_bytes(_NONCE_BYTES)
        wrapped = AESGCM(ring.keys[ring.active]).encrypt(nonce, key, self._what)
        head = _Head(key_id=ring.active, wrapped=base64.b64encode(nonce + wrapped).decode())
        file.write(head.model_dump_json().encode() + b"\n")

    def write(self, content: bytes) -> None:
        """Take some more of the content."""
        self._waiting += content
        while len(self._waiting) > _PIECE:  # the last piece is not empty, unless the file is
            self._put(bytes(self._waiting[:_PIECE]), last=False)
            del self._waiting[:_PIECE]

    def close(self) -> None:
        """Write the last piece."""
        self._put(bytes(self._waiting), last=True)

    def _put(self, piece: bytes, *, last: bool) -> None:
        self._file.write(self._cipher.encrypt(_nonce(self._number, last=last), piece, self._what))
        self._number += 1


def opened(file: BinaryIO, ring: KeyRing | None, *, what: str) -> Iterator[bytes]:
    """Yield the content of a file. Raises ConfigurationError when the ring does not open it, and
    BackupDamaged when it is not as it was written.
    """
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    bound = what.encode()
    try:
        head = _Head.model_validate_json(file.readline(_MOST_HEAD))
        wrapped = base64.b64decode(head.wrapped, validate=True)
    except (ValidationError, binascii.Error):
        raise _damaged(what) from None
    wrapping = None if ring is None else ring.keys.get(head.key_id)
    if wrapping is None:
        raise ConfigurationError(
            f"{what} needs the key {head.key_id}, which is not in the encryption key ring",
            field=FIELD,
            hint="put it back into the ring",
        )
    try:
        key = AESGCM(wrapping).decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], bound)
    except (InvalidTag, ValueError):
        raise ConfigurationError(
            f"the key {head.key_id} of the encryption key ring is not the one of {what}",
            field=FIELD,
            hint="use the ring that the bank had then",
        ) from None
    cipher = AESGCM(key)
    for number, (piece, last) in enumerate(_pieces(file)):
        try:
            yield cipher.decrypt(_nonce(number, last=last), piece, bound)
        except (InvalidTag, ValueError):
            raise _damaged(what) from None


def _pieces(file: BinaryIO) -> Iterable[tuple[bytes, bool]]:
    """Yield the pieces, and whether each is the last one."""
    piece = file.read(_PIECE + _TAG_BYTES)
    while True:
        after = file.read(_PIECE + _TAG_BYTES)
        yield piece, not after
        if not after:
            return
        piece = after


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(_NONCE_BYTES - 1, "big") + bytes([last])


def _damaged(what: str) -> BackupDamaged:
    return BackupDamaged(
        f"{what} is damaged: it does not open as it was written",
        hint="docs/service/backup.md, A damaged backup",
    )
