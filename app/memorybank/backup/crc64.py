"""The CRC-64 of ISO 3309, as Go computes it, by table and for many places at a time.

A checksum of two parts in a row follows from those of the parts: the first one goes through as many
zeros as the second has bytes, which is a linear map. So words of eight bytes are summed side by
side, then pairs of them, pairs of pairs, and so on.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

_POLYNOMIAL = 0xD800000000000000
_WORD = 8
_ONES = 0xFFFFFFFFFFFFFFFF

Words = npt.NDArray[np.uint64]


def crc64(data: bytes) -> int:
    """Return the checksum."""
    # Zeros in front change nothing of what begins with zero: so any length becomes a power of two.
    words = max(1, -(-len(data) // _WORD))
    count = 1 << (words - 1).bit_length()
    padded = np.zeros(count * _WORD, np.uint8)
    padded[count * _WORD - len(data) :] = np.frombuffer(data, np.uint8)
    sums = _through(_zeros(0), padded.view("<u8"))
    for level in range(1, count.bit_length()):
        sums = _through(_zeros(level), sums[0::2]) ^ sums[1::2]
    begun = _through_bytes(_ONES, len(data))
    return int(sums[0]) ^ begun ^ _ONES


def _through_bytes(value: int, zeros: int) -> int:
    """Return what becomes of a checksum that meets so many zeros."""
    table = _byte_table()
    for _ in range(zeros % _WORD):
        value = int(table[value & 0xFF]) ^ (value >> 8)
    words, level = zeros // _WORD, 0
    while words:
        if words & 1:
            value = int(_through(_zeros(level + 1), np.array([value], np.uint64))[0])
        words >>= 1
        level += 1
    return value


def _through(tables: Words, values: Words) -> Words:
    """Apply a linear map, given by what it makes of each byte in each of the eight places."""
    octets = np.ascontiguousarray(values, "<u8").view(np.uint8).reshape(-1, _WORD)
    out: Words = tables[0][octets[:, 0]]
    for place in range(1, _WORD):
        out ^= tables[place][octets[:, place]]
    return out


@cache
def _byte_table() -> Words:
    table = np.arange(256, dtype=np.uint64)
    for _ in range(8):
        odd = (table & np.uint64(1)).astype(bool)
        table >>= np.uint64(1)
        table[odd] ^= np.uint64(_POLYNOMIAL)
    return table


@cache
def _zeros(level: int) -> Words:
    """Return the map of so many zeros: of a word at levels 0 and 1, then twice as many each."""
    if level > 1:
        half = _zeros(level - 1)
        return np.stack([_through(half, place) for place in half])
    table = _byte_table()
    tables = np.empty((_WORD, 256), np.uint64)
    for place in range(_WORD):
        value = np.arange(256, dtype=np.uint64) << np.uint64(8 * place)
        for _ in range(_WORD):
            value = table[(value & np.uint64(0xFF)).astype(np.intp)] ^ (value >> np.uint64(8))
        tables[place] = value
    return tables
