"""Files that only the key ring opens."""

from __future__ import annotations

import io

import pytest

from memorybank.encryption import KeyRing
from memorybank.errors import BackupDamaged, ConfigurationError
from memorybank.sealed import SealedWriter, opened

RING = KeyRing("2026", {"2025": b"a" * 32, "2026": b"b" * 32})
WHAT = "the export of nightly"
PIECE = 1024 * 1024
STORED = PIECE + 16
"""A piece and what proves it."""


def sealed(content: bytes, *, step: int = 300_000) -> bytes:
    file = io.BytesIO()
    writer = SealedWriter(file, RING, what=WHAT)
    for start in range(0, len(content), step):
        writer.write(content[start : start + step])
    writer.close()
    return file.getvalue()


def read(stored: bytes, ring: KeyRing | None = RING, what: str = WHAT) -> bytes:
    return b"".join(opened(io.BytesIO(stored), ring, what=what))


def split(stored: bytes) -> tuple[bytes, list[bytes]]:
    """Return the head, and the pieces."""
    head, _, rest = stored.partition(b"\n")
    return head + b"\n", [rest[at : at + STORED] for at in range(0, len(rest), STORED)]


@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 2 * PIECE + 7])
def test_what_was_written_is_read(size: int) -> None:
    content = bytes(number % 251 for number in range(size))
    stored = sealed(content)
    assert read(stored) == content
    assert sealed(content) != stored, "each file has a key of its own"
    assert content[:100] not in stored or size < 2


def test_a_key_that_is_active_no_more_still_opens_it() -> None:
    assert read(sealed(b"kept"), KeyRing("2027", {"2027": b"c" * 32, **RING.keys})) == b"kept"


@pytest.mark.parametrize(
    "ring", [None, KeyRing("2025", {"2025": b"a" * 32}), KeyRing("2026", {"2026": b"c" * 32})]
)
def test_another_ring_opens_nothing(ring: KeyRing | None) -> None:
    with pytest.raises(ConfigurationError, match="2026"):
        read(sealed(b"kept"), ring)


def test_what_lies_in_the_place_of_another_does_not_open() -> None:
    with pytest.raises(ConfigurationError):
        read(sealed(b"kept"), what="the export of another")


@pytest.mark.parametrize("damage", ["cut", "shorter", "doubled", "swapped", "flipped", "joined"])
def test_what_is_not_as_it_was_written_is_refused(damage: str) -> None:
    head, pieces = split(sealed(b"x" * (2 * PIECE + 5)))
    assert len(pieces) == 3
    first, second, last = pieces
    changed = {
        "cut": [first, second],
        "shorter": [first, second, last[:-1]],
        "doubled": [first, first, second, last],
        "swapped": [second, first, last],
        "flipped": [first, bytes([second[0] ^ 1]) + second[1:], last],
        "joined": [first, second, last, last],
    }[damage]
    with pytest.raises(BackupDamaged):
        read(head + b"".join(changed))


@pytest.mark.parametrize("stored", [b"", b"\x1f\x8b nothing of ours", b'{"format":"other"}\n'])
def test_what_is_no_such_file_is_refused(stored: bytes) -> None:
    with pytest.raises(BackupDamaged):
        read(stored)
