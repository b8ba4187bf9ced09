"""Pages that are brought into a database: all or none, whoever reads, whenever it ends."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from memorybank.errors import StoreUnavailable
from memorybank.stores.sqlite import pages

SIZE = 4096
_READER = """
import fcntl, sys
with open(sys.argv[1], "r+b") as file:
    fcntl.lockf(file, fcntl.LOCK_SH, 510, 0x40000002)
    print("locked", flush=True)
    sys.stdin.read()
"""
"""Another process that reads, as SQLite says it."""


def database(file: Path, rows: int, said: str) -> Path:
    connection = apsw.Connection(str(file))
    connection.pragma("journal_mode", "wal")
    connection.execute("CREATE TABLE told (number INTEGER PRIMARY KEY, said TEXT)")
    connection.executemany(
        "INSERT INTO told VALUES (?, ?)", [(number, said * 100) for number in range(rows)]
    )
    connection.pragma("wal_checkpoint", "truncate")
    connection.close()
    pages.settle(file)
    return file


def content(file: Path) -> dict[int, bytes]:
    whole = file.read_bytes()
    return {at // SIZE + 1: whole[at : at + SIZE] for at in range(0, len(whole), SIZE)}


def told(file: Path) -> tuple[int, str]:
    """Return how many rows there are and what they say, as SQLite reads it; it must be whole."""
    pages.recover(file)
    connection = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        assert connection.pragma("integrity_check") == "ok"
        said = connection.execute("SELECT substr(said, 1, 4) FROM told").fetchall()
        ((only,),) = set(said)
        return len(said), str(only)
    finally:
        connection.close()


@pytest.mark.parametrize(("before", "after"), [(50, 300), (300, 50), (100, 100)])
def test_whenever_it_ends_the_database_is_what_it_was_or_what_it_is_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: int, after: int
) -> None:
    """Each file operation may be the last; what is on the disk then is looked at."""
    file = database(tmp_path / "copy.db", before, "old ")
    new = content(database(tmp_path / "new.db", after, "new "))
    moments: list[Path] = []

    def noted(act: Callable[..., object]) -> Callable[..., object]:
        def run(*arguments: object, **named: object) -> object:
            folder = tmp_path / f"moment-{len(moments)}"
            folder.mkdir()
            for each in tmp_path.glob("copy.db*"):
                shutil.copy(each, folder)
            moments.append(folder)
            return act(*arguments, **named)

        return run

    monkeypatch.setattr(os, "fsync", noted(os.fsync))
    monkeypatch.setattr(Path, "rename", noted(Path.rename))
    monkeypatch.setattr(Path, "unlink", noted(Path.unlink))
    pages.put(file, new, count=len(new), page_bytes=SIZE)
    monkeypatch.undo()
    assert told(file) == (after, "new ")
    found = [told(each / "copy.db") for each in moments]
    assert set(found) == {(before, "old "), (after, "new ")}
    assert found == sorted(found, key=lambda each: each[1] == "new "), "and never back"


def test_who_has_it_open_sees_what_is_new(tmp_path: Path) -> None:
    file = database(tmp_path / "copy.db", 200, "old ")
    reader = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READONLY)
    assert reader.execute("SELECT count(*) FROM told").get == 200
    new = content(database(tmp_path / "new.db", 200, "new "))
    without_first = {number: page for number, page in new.items() if number != 1}
    for _ in range(3):
        pages.put(file, without_first, count=len(new), page_bytes=SIZE)
        assert reader.execute("SELECT DISTINCT substr(said, 1, 4) FROM told").get == "new "
    reader.close()


def test_another_process_that_reads_is_waited_for(tmp_path: Path) -> None:
    file = database(tmp_path / "copy.db", 10, "old ")
    new = content(database(tmp_path / "new.db", 10, "new "))
    reading = subprocess.Popen(
        [sys.executable, "-c", _READER, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert reading.stdout is not None
    assert reading.stdout.readline() == b"locked\n"
    try:
        with pytest.raises(StoreUnavailable):
            pages.put(file, new, count=len(new), page_bytes=SIZE)
    finally:
        reading.communicate()
    assert told(file) == (10, "old ")
    pages.put(file, new, count=len(new), page_bytes=SIZE)
    assert told(file) == (10, "new ")
