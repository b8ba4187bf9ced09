"""What is special about the SQLite store: files, locks, migrations, failing disks."""

from __future__ import annotations

import asyncio
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest

from memorybank.domain.memory import MemoryFilter
from memorybank.errors import ConfigurationError, StoreUnavailable
from memorybank.stores.sql.connection import NOBODY
from memorybank.stores.sqlite import SqliteStore
from memorybank.stores.sqlite.connection import migrations
from memorybank.stores.sqlite.errors import translated, translated_at_start
from tests.support.memory_samples import a_memory, a_vector


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "data" / "memory_bank.db"


@contextmanager
def file_size_limited_to(size: int) -> Iterator[None]:
    """Let the kernel refuse to grow any file of this process beyond `size` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_the_data_folder_is_made_private(database: Path) -> None:
    store = await SqliteStore.open(database, model="m")
    await store.close()
    assert database.parent.stat().st_mode & 0o777 == 0o700


async def test_a_data_folder_has_one_owner_at_a_time(database: Path) -> None:
    store = await SqliteStore.open(database, model="m")
    with pytest.raises(ConfigurationError, match=f"{database.parent} is in use by process"):
        await SqliteStore.open(database, model="m")
    await store.add(a_memory(), a_vector())
    await store.close()
    again = await SqliteStore.open(database, model="m")
    await again.close()


async def test_kill_9_gives_the_data_folder_up(database: Path) -> None:
    command = [sys.executable, "-m", "tests.support.memory_writer", str(database)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        owner.stdout.readline()
        with pytest.raises(ConfigurationError, match=str(owner.pid)):
            await SqliteStore.open(database, model="m")
        owner.kill()
    store = await SqliteStore.open(database, model="m")
    await store.close()


async def test_commits_wait_for_the_disk(database: Path) -> None:
    store = await SqliteStore.open(database, model="m")
    settings = await store._writer.run(
        NOBODY,
        lambda connection: [
            connection.pragma(name) for name in ("journal_mode", "synchronous", "mmap_size")
        ],
    )
    await store.close()
    assert settings == ["wal", 2, 0]


async def written(database: Path, *, checkpoints: bool) -> tuple[int, int]:
    """Write 8 MB, more than SQLite leaves in the log; return the sizes of database and log."""
    store = await SqliteStore.open(database, model="m", checkpoints=checkpoints)
    for _ in range(80):
        await store.add(a_memory("x" * 100_000), a_vector())
    sizes = database.stat().st_size, database.with_name(f"{database.name}-wal").stat().st_size
    await store.close()
    return sizes


async def test_the_log_is_moved_into_the_database_unless_it_is_left_to_litestream(
    tmp_path: Path,
) -> None:
    ours, theirs = tmp_path / "ours" / "bank.db", tmp_path / "theirs" / "bank.db"
    size, log = await written(ours, checkpoints=True)
    assert size > 5_000_000 > log
    assert not ours.with_name("bank.db-wal").exists()  # all of it is in the database
    size, log = await written(theirs, checkpoints=False)
    assert log > 8_000_000 > size
    assert theirs.with_name("bank.db-wal").stat().st_size == log  # left when the store was closed
    again = await SqliteStore.open(theirs, model="m")
    assert (
        len((await again.list_memories("acme", MemoryFilter(), limit=100, cursor=None)).memories)
        == 80
    )
    await again.close()


async def test_a_log_that_nobody_empties_is_emptied_once_it_is_large(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("memorybank.stores.sqlite.writer._MOST_LOG_BYTES", 1_000_000)
    monkeypatch.setattr("memorybank.stores.sqlite.writer._LOG_STEP_BYTES", 500_000)
    store = await SqliteStore.open(database, model="m", checkpoints=False)
    log = database.with_name(f"{database.name}-wal")

    async def largest(memories: int) -> int:
        sizes = []
        for _ in range(memories):
            await store.add(a_memory("x" * 100_000), a_vector())
            sizes.append(log.stat().st_size)
        return max(sizes)

    assert 900_000 < await largest(40) < 1_200_000
    replicating = apsw.Connection(str(database))  # as Litestream does, while it is at work
    replicating.execute("BEGIN")
    replicating.execute("SELECT count(*) FROM memories").fetchall()
    began = time.monotonic()
    assert await largest(40) > 4_000_000, "nothing is overwritten that it has not read"
    assert time.monotonic() - began < 20, "and nobody waits for it"
    replicating.close()
    await largest(6)
    assert log.stat().st_size < 1_200_000
    await store.close()


async def test_a_database_of_a_newer_version_is_refused(database: Path) -> None:
    store = await SqliteStore.open(database, model="m")
    await store.close()
    newest = migrations()[-1].version
    with apsw.Connection(str(database)) as connection:
        connection.execute("INSERT INTO schema_migrations VALUES (?, 'later', 0)", (newest + 1,))
    connection.close()
    with pytest.raises(ConfigurationError, match="newer version") as caught:
        await SqliteStore.open(database, model="m")
    assert caught.value.hint
    # The refusal gave the folder up: the newer version can start.
    with pytest.raises(ConfigurationError, match="newer version"):
        await SqliteStore.open(database, model="m")


def test_migrations_are_numbered_from_one_without_gaps() -> None:
    assert [step.version for step in migrations()] == list(range(1, len(migrations()) + 1))


async def test_a_database_that_litestream_was_faster_with_is_ours(database: Path) -> None:
    database.parent.mkdir()
    connection = apsw.Connection(str(database))
    connection.execute("CREATE TABLE _litestream_seq (id INTEGER PRIMARY KEY, seq INTEGER)")
    connection.execute("CREATE TABLE _litestream_lock (id INTEGER)")
    connection.close()
    store = await SqliteStore.open(database, model="m")
    try:
        assert (await store.stats()).memories == 0
    finally:
        await store.close()


async def test_a_database_of_another_program_is_left_alone(database: Path) -> None:
    database.parent.mkdir()
    connection = apsw.Connection(str(database))
    connection.execute("CREATE TABLE recipes (name)")
    connection.close()
    with pytest.raises(ConfigurationError, match="another program"):
        await SqliteStore.open(database, model="m")
    connection = apsw.Connection(str(database))
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema")]
    connection.close()
    assert tables == ["recipes"]


async def test_a_file_that_is_no_database_is_refused_and_left_alone(database: Path) -> None:
    database.parent.mkdir()
    database.write_text("not a database " * 500)
    with pytest.raises(ConfigurationError, match="not a SQLite database") as caught:
        await SqliteStore.open(database, model="m")
    assert str(database) in caught.value.message
    assert database.read_text() == "not a database " * 500


async def test_a_data_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError) as caught:
        await SqliteStore.open(tmp_path / "file" / "data" / "memory_bank.db", model="m")
    assert caught.value.field == "database.path"
    assert caught.value.hint


async def test_a_write_that_the_disk_refuses_fails_clearly_and_alone(database: Path) -> None:
    store = await SqliteStore.open(database, model="m")
    before, refused, after = a_memory(), a_memory("x" * 200_000), a_memory()
    await store.add(before, a_vector())
    with file_size_limited_to(100_000), pytest.raises(StoreUnavailable) as caught:
        await store.add(refused, a_vector())
    assert caught.value.hint
    await store.add(after, a_vector())
    await store.check()
    found = await store.get_many("acme", [before.id, refused.id, after.id])
    await store.close()
    assert found == [before, after]


async def test_check_fails_while_the_disk_takes_no_writes(database: Path) -> None:
    store = await SqliteStore.open(database, model="m")
    await store.check()
    with file_size_limited_to(4_096), pytest.raises(StoreUnavailable):
        await store.check()
    await store.check()
    await store.close()


async def test_a_damaged_page_is_an_outage_with_a_cure(database: Path) -> None:
    store = await SqliteStore.open(database, model="m")
    memory = a_memory("x" * 100_000)
    await store.add(memory, a_vector())
    await store.close()
    size = database.stat().st_size
    with database.open("r+b") as file:
        file.seek(4_096)
        file.write(b"\xff" * (size - 4_096))

    async def read_again() -> None:
        store = await SqliteStore.open(database, model="m")
        await store.get("acme", memory.id)

    with pytest.raises((ConfigurationError, StoreUnavailable), match="damaged") as caught:
        await read_again()
    assert "backup" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (apsw.FullError, "full"),
        (apsw.IOError, "cannot be read or written"),
        (apsw.CorruptError, "damaged"),
        (apsw.BusyError, "locked"),
        (apsw.SQLError, "database failed"),
    ],
)
def test_every_failure_of_the_database_has_a_sentence_and_a_cure(
    error: type[apsw.Error], words: str
) -> None:
    with pytest.raises(StoreUnavailable, match=words) as caught, translated():
        raise error("details")
    assert caught.value.hint


def test_what_no_retry_cures_stops_the_start() -> None:
    with pytest.raises(ConfigurationError), translated_at_start(Path("x.db")):
        raise apsw.ReadOnlyError
    with pytest.raises(StoreUnavailable), translated_at_start(Path("x.db")):
        raise apsw.FullError


async def test_waiting_writes_share_one_commit(database: Path) -> None:
    store = await SqliteStore.open(database, model="m")
    commits = 0

    def count() -> bool:
        nonlocal commits
        commits += 1
        return False

    await store._writer.run(NOBODY, lambda connection: connection.set_commit_hook(count))
    commits, go_on = 0, threading.Event()
    busy = asyncio.create_task(store._writer.run(NOBODY, lambda _: go_on.wait(60)))
    writes = [asyncio.create_task(store.add(a_memory(), a_vector())) for _ in range(200)]
    await asyncio.sleep(0)  # lets every task hand its write over
    go_on.set()
    await asyncio.gather(busy, *writes)
    await store.close()
    assert commits <= 2  # of what kept the thread busy, and of all that waited meanwhile


async def test_a_cancelled_write_is_either_whole_or_absent(database: Path) -> None:
    store = await SqliteStore.open(database, model="m")
    memories = [a_memory() for _ in range(40)]
    tasks = [asyncio.create_task(store.add(memory, a_vector())) for memory in memories]
    await asyncio.sleep(0)  # lets every task hand its write over
    for task in tasks[::2]:
        task.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    kept = {
        memory.id
        for memory, outcome in zip(memories, outcomes, strict=True)
        if isinstance(outcome, int)
    }
    listed = {change.memory_id for change in await store.changes(0, limit=100)}
    await store.close()
    assert kept == {memory.id for memory in memories[1::2]}
    assert kept <= listed
