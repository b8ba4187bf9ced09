"""Reading what Litestream replicates, and what was damaged meanwhile."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from memorybank.backup import ltx
from memorybank.backup.arrivals import joined
from memorybank.backup.crc64 import crc64
from memorybank.errors import BackupDamaged
from tests.app.backup.conftest import MakePod
from tests.support.replication import write


@pytest.fixture
def files(make_pod: MakePod, tmp_path: Path) -> list[Path]:
    """Files that a real Litestream wrote, in order; the last one ends with what the database is."""
    pod = make_pod({"volume": {"path": str(tmp_path / "backups")}})
    pod.prepare()
    with pod.writing() as connection:
        write(connection, 0)
        pod.replicate()
        for number in range(1, 8):
            write(connection, number)
            pod.wait_until_synced()
    pod.stop()
    return sorted((tmp_path / "backups").rglob("ltx/0/*.ltx"))


def test_the_pages_of_all_files_are_the_database(files: list[Path], tmp_path: Path) -> None:
    changes = [ltx.read(each.read_bytes(), each.name) for each in files]
    assert [each.first for each in changes] == list(range(1, len(files) + 1))
    whole = joined(changes)
    assert sorted(whole.pages) == list(range(1, whole.pages_after + 1))
    made = b"".join(whole.pages[number] for number in sorted(whole.pages))
    (database,) = tmp_path.rglob("memory_bank.db")
    database.with_name("checkpointed.db").write_bytes(made)
    assert made.startswith(b"SQLite format 3\x00")
    assert len(made) == whole.pages_after * whole.page_bytes


def test_a_byte_that_is_another_is_noticed(files: list[Path]) -> None:
    content = files[-1].read_bytes()
    dice = random.Random(1)  # noqa: S311  # which bytes
    for _ in range(200):
        place = dice.randrange(len(content))
        damaged = bytearray(content)
        damaged[place] ^= 1 << dice.randrange(8)
        with pytest.raises(BackupDamaged, match=r"x\.ltx"):
            ltx.read(bytes(damaged), "x.ltx")


def test_a_file_that_ends_too_early_is_noticed(files: list[Path]) -> None:
    content = files[0].read_bytes()
    for size in (0, 3, 99, 100, 107, len(content) // 2, len(content) - 9, len(content) - 1):
        with pytest.raises(BackupDamaged):
            ltx.read(content[:size], "x.ltx")


@pytest.mark.parametrize(
    ("block", "size"),
    [
        (b"", 4),
        (b"\x10", 1),
        (b"\x00\x00\x00", 4),
        (b"\x10a\x05\x00", 8),
        (b"\x10a\x01\x00", 4),
        (b"\xf0\xff\xff", 4),
        (b"\x40abcd", 5),
    ],
)
def test_a_block_that_is_none_is_refused(block: bytes, size: int) -> None:
    with pytest.raises((ValueError, IndexError)):
        ltx.unpacked(block, size)


@pytest.mark.parametrize(
    ("block", "said"),
    [
        (b"\x40abcd", b"abcd"),
        (b"\xf0\x05" + b"x" * 20, b"x" * 20),
        (b"\x10a\x01\x00\x10b", b"aaaaab"),
        (b"\x35abc\x03\x00\x10!", b"abcabcabcabc!"),
        (b"\x1fa\x01\x00\xff\x00\x10z", b"a" * (1 + 4 + 15 + 255) + b"z"),
    ],
)
def test_blocks_are_unpacked(block: bytes, said: bytes) -> None:
    assert ltx.unpacked(block, len(said)) == said


def _slowly(data: bytes) -> int:
    value = 0xFFFFFFFFFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0xD800000000000000 if value & 1 else 0)
    return value ^ 0xFFFFFFFFFFFFFFFF


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 16, 17, 63, 64, 65, 100, 1000, 4097])
def test_the_checksum_is_that_of_its_definition(size: int) -> None:
    data = random.Random(size).randbytes(size)  # noqa: S311
    assert crc64(data) == _slowly(data)


def test_the_checksum_has_the_published_check_value() -> None:
    check: Callable[[bytes], int] = crc64
    assert check(b"123456789") == 0xB90956C775A41001
