"""A version that migrates keeps the database of before, and an older one goes back to it."""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import apsw
import pytest

from memorybank import trail
from memorybank.backup.chain import Origin
from memorybank.domain.memory import MemoryFilter
from memorybank.errors import ConfigurationError, StoreUnavailable
from memorybank.stores.sqlite import care, former
from memorybank.stores.sqlite import connection as schema
from memorybank.stores.sqlite.care import go_back
from memorybank.stores.sqlite.connection import Migration
from memorybank.stores.sqlite.store import SqliteStore
from tests.support.memory_samples import a_memory, a_vector
from tests.support.replication import Pod

KNOWN = schema.migrations()[-1].version
NEXT = Migration(KNOWN + 1, "next", "CREATE TABLE nexts (id INTEGER PRIMARY KEY) STRICT")
CALLER = trail.Actor("acme/key-1")

Version = Callable[[], None]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "memory_bank.db"


def _version(monkeypatch: pytest.MonkeyPatch, steps: list[Migration]) -> Version:
    def become() -> None:
        for each in (schema, care):
            monkeypatch.setattr(each, "migrations", lambda: steps)

    return become


@pytest.fixture
def newer(monkeypatch: pytest.MonkeyPatch) -> Version:
    """Makes this process the next version, with a migration more."""
    return _version(monkeypatch, [*schema.migrations(), NEXT])


@pytest.fixture
def older(monkeypatch: pytest.MonkeyPatch) -> Version:
    """Makes it this version again."""
    return _version(monkeypatch, schema.migrations())


async def stored(database: Path, content: str, *, by: trail.Actor | None = CALLER) -> int | None:
    """Store a memory as somebody; return what there is a way back to afterwards."""
    store = await SqliteStore.open(database, model="m")
    token = trail.actor.set(by)
    try:
        await store.add(a_memory(content), a_vector())
        return store.care.way_back
    finally:
        trail.actor.reset(token)
        await store.close()


async def contents(database: Path) -> list[str]:
    store = await SqliteStore.open(database, model="m")
    page = await store.list_memories("acme", MemoryFilter(), limit=100, cursor=None)
    await store.close()
    return sorted(each.content for each in page.memories)


async def way_back(database: Path) -> int | None:
    store = await SqliteStore.open(database, model="m")
    await store.close()
    return store.care.way_back


async def test_an_older_version_goes_back_when_nobody_has_written_since(
    database: Path, newer: Version, older: Version
) -> None:
    await stored(database, "before")
    newer()
    assert await stored(database, "its own", by=None) == KNOWN, "what nobody asked for is no loss"
    older()
    assert await contents(database) == ["before"]
    assert await way_back(database) is None
    assert await stored(database, "after") is None
    assert await contents(database) == ["after", "before"]


async def test_probes_and_what_is_managed_elsewhere_leave_the_way_open(
    database: Path, newer: Version
) -> None:
    await stored(database, "before")
    newer()
    with trail.told_again():
        assert await stored(database, "a probe") == KNOWN


async def test_after_a_write_of_somebody_there_is_no_way_back(
    database: Path, newer: Version, older: Version
) -> None:
    await stored(database, "before")
    newer()
    assert await way_back(database) == KNOWN
    assert await stored(database, "after") is None
    older()
    with pytest.raises(ConfigurationError, match="newer version"):
        await SqliteStore.open(database, model="m")
    newer()
    assert await contents(database) == ["after", "before"]
    kept = database.with_name(f"{database.name}.schema-{KNOWN}.past")
    assert kept.exists(), "people may still want it"


async def test_a_write_is_refused_while_the_way_back_cannot_be_closed(
    database: Path, newer: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stored(database, "before")
    newer()

    def full(_self: former.WayBack) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(former.WayBack, "leave", full)
        with pytest.raises(StoreUnavailable, match="cannot be written"):
            await stored(database, "after")
    assert await contents(database) == ["before"]
    assert await way_back(database) == KNOWN


async def test_a_copy_that_is_old_and_of_use_to_nobody_is_removed(
    database: Path, newer: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stored(database, "before")
    newer()
    await stored(database, "after")
    kept = database.with_name(f"{database.name}.schema-{KNOWN}.past")
    await way_back(database)
    assert kept.exists()
    moment = kept.stat().st_mtime + 8 * 24 * 3_600
    monkeypatch.setattr("memorybank.stores.sqlite.former.time.time", lambda: moment)
    await way_back(database)
    assert not kept.exists()


async def test_a_volume_without_room_for_the_copy_keeps_the_database_as_it_was(
    database: Path, newer: Version, older: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stored(database, "before")
    newer()
    with monkeypatch.context() as patched:
        usage = shutil.disk_usage(database.parent)._replace(free=4_096)
        patched.setattr("memorybank.stores.sqlite.former.shutil.disk_usage", lambda _path: usage)
        with pytest.raises(StoreUnavailable, match="no room for a copy"):
            await SqliteStore.open(database, model="m")
    older()
    assert await contents(database) == ["before"]


def _is_broken_off(
    database: Path, files: Mapping[str, bytes], monkeypatch: pytest.MonkeyPatch, *, after: int
) -> bool:
    """Go back from these files, and let the machine stop after so many file operations; return
    whether it was at work then.
    """
    for each in database.parent.iterdir():
        each.unlink()
    for name, content in files.items():
        database.with_name(name).write_bytes(content)
    operations = itertools.count()

    def counted(real: Callable[..., object]) -> Callable[..., object]:
        def run(*arguments: object, **named: object) -> object:
            if next(operations) >= after:
                raise OSError(5, "the machine stopped")
            return real(*arguments, **named)

        return run

    with monkeypatch.context() as patched:
        for name in ("rename", "unlink"):
            patched.setattr(Path, name, counted(getattr(Path, name)))
        try:
            go_back(database)
        except StoreUnavailable:
            return True
    return False


async def test_a_way_back_that_was_broken_off_anywhere_is_ended_by_the_next_start(
    database: Path, newer: Version, older: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each file operation in turn is the last one before a crash."""
    await stored(database, "before")
    newer()
    store = await SqliteStore.open(database, model="m")
    await store.add(a_memory("its own"), a_vector())
    # As after a kill: the log is there.
    copied = {each.name: each.read_bytes() for each in database.parent.iterdir()}
    await store.close()
    older()
    done = 0
    while _is_broken_off(database, copied, monkeypatch, after=done):
        assert await contents(database) == ["before"], done
        done += 1
    assert await contents(database) == ["before"]
    assert done >= 3


async def test_a_migration_that_was_broken_off_goes_on_and_keeps_the_first_copy(
    database: Path, newer: Version, older: Version
) -> None:
    await stored(database, "before")
    newer()
    copy = database.with_name(f"{database.name}.schema-{KNOWN}")
    with apsw.Connection(str(database)) as connection:
        former.keep(connection, database, schema=KNOWN)
    connection.close()
    written = copy.stat().st_mtime_ns
    assert await way_back(database) == KNOWN
    assert copy.stat().st_mtime_ns == written
    older()
    assert await contents(database) == ["before"]


async def test_a_replicated_bank_goes_back_before_anything_replicates_it(
    tmp_path: Path, newer: Version, older: Version
) -> None:
    pod = Pod(tmp_path, {"volume": {"path": str(tmp_path / "backup")}})
    await stored(pod.database, "before")
    newer()
    assert await way_back(pod.database) == KNOWN
    older()
    prepared = await asyncio.to_thread(pod.prepare)
    assert prepared.epoch.origin is Origin.VOLUME
    assert care.schema_versions(pod.database) == (KNOWN, KNOWN)
    pod.replicate()
    assert await contents(pod.database) == ["before"]
    pod.stop()
