"""A copy of a database, that of a bank that goes on being written elsewhere."""

from __future__ import annotations

import threading
from pathlib import Path

import apsw
import pytest

from memorybank.domain.memory import Touch
from memorybank.encryption import KeyRing
from memorybank.errors import ConfigurationError, ReadOnly, StoreUnavailable
from memorybank.stores.sqlite import SqliteStore, pages
from memorybank.stores.sqlite.follower import SqliteFollower, Turns
from tests.support.memory_samples import a_key, a_memory, a_vector, later

PAGE = 4096
OLD = KeyRing("k1", {"k1": bytes(range(32))})
NEW = KeyRing("k2", {"k2": bytes(range(1, 33))})
BOTH = KeyRing("k2", {**OLD.keys, **NEW.keys})


async def written(file: Path, *contents: str, ring: KeyRing | None = None) -> list[str]:
    """Write memories into a bank, and stop it."""
    store = await SqliteStore.open(file, model="test", ring=ring)
    memories = [a_memory(each, tenant="default") for each in contents]
    for each in memories:
        await store.add(each, a_vector(1.0))
    await store.access.rewrap_keys()
    await store.close()
    return [each.id for each in memories]


def copied(file: Path, copy: Path) -> Path:
    copy.write_bytes(file.read_bytes())
    pages.settle(copy)
    return copy


async def bring(store: SqliteFollower, file: Path) -> None:
    """Make the copy what the database of the bank is."""
    content = file.read_bytes()
    parts = {at // PAGE + 1: content[at : at + PAGE] for at in range(0, len(content), PAGE)}
    assert await store.put(parts, count=len(parts), page_bytes=PAGE)


async def test_what_comes_later_is_read_and_nothing_is_written(tmp_path: Path) -> None:
    bank = tmp_path / "bank.db"
    (first,) = await written(bank, "one")
    store = await SqliteFollower.open(copied(bank, tmp_path / "copy.db"), model="test")
    try:
        before = await store.marks()
        memory = await store.get("default", first)
        assert memory is not None
        (second,) = await written(bank, "two")
        await bring(store, bank)
        assert await store.get("default", second) is not None
        after = await store.marks()
        assert after.seq > before.seq
        assert after.access != before.access
        assert after.feed == before.feed
        content = (tmp_path / "copy.db").read_bytes()
        for write in (
            store.add(a_memory("three"), a_vector(1.0)),
            store.delete("default", first),
            store.access.add_key(a_key()),
            store.embeddings.activate("test"),
        ):
            with pytest.raises(ReadOnly):
                await write
        await store.touch([Touch("default", first, 1, later(1))])
        await store.access.note_use({"x": later(1)})
        assert (tmp_path / "copy.db").read_bytes() == content
    finally:
        await store.close()


async def test_another_file_is_another_feed(tmp_path: Path) -> None:
    bank, other = tmp_path / "bank.db", tmp_path / "other.db"
    (first,) = await written(bank, "one")
    (second,) = await written(other, "two")
    store = await SqliteFollower.open(copied(bank, tmp_path / "copy.db"), model="test")
    try:
        before = await store.marks()
        assert await store.switch(copied(other, tmp_path / "next.db"))
        assert await store.get("default", first) is None
        assert await store.get("default", second) is not None
        assert (await store.marks()).feed != before.feed
        connection = apsw.Connection(str(other))
        connection.execute("UPDATE schema_migrations SET version = 999 WHERE version = 1")
        connection.close()
        with pytest.raises(ConfigurationError, match="newer schema"):
            await store.switch(copied(other, tmp_path / "newer.db"))
        assert await store.get("default", second) is not None
    finally:
        await store.close()


async def test_a_snapshot_stays_what_it_was(tmp_path: Path) -> None:
    bank = tmp_path / "bank.db"
    await written(bank, "one")
    store = await SqliteFollower.open(copied(bank, tmp_path / "copy.db"), model="test")
    try:
        async with store.transfer.snapshot(None) as snapshot:
            await written(bank, "two")
            await bring(store, bank)
            kept = await snapshot.memories(after=0, limit=10)
        assert [each.memory.content for each in kept] == ["one"]
        async with store.transfer.snapshot(None) as snapshot:
            assert len(await snapshot.memories(after=0, limit=10)) == 2
    finally:
        await store.close()


async def test_a_new_key_is_asked_for_and_taken(tmp_path: Path) -> None:
    bank = tmp_path / "bank.db"
    (first,) = await written(bank, "one", ring=OLD)
    copy = copied(bank, tmp_path / "copy.db")
    with pytest.raises(ConfigurationError, match="is encrypted"):
        await SqliteFollower.open(copy, model="test")
    store = await SqliteFollower.open(copy, model="test", ring=OLD)
    try:
        assert await store.get("default", first) is not None
        await written(bank, "two", ring=BOTH)
        await bring(store, bank)
        with pytest.raises(StoreUnavailable, match="needs the key k2"):
            await store.get("default", first)
        await store.access.use_ring(NEW)
        memory = await store.get("default", first)
        assert memory is not None
        assert memory.content == "one"
    finally:
        await store.close()


def test_who_changes_something_waits_for_readers_and_not_for_ever() -> None:
    turns = Turns()
    with turns.reading(), turns.changing(0.01) as free:
        assert not free
    entered, leave = threading.Event(), threading.Event()

    def read() -> None:
        with turns.reading():
            entered.set()
            leave.wait()

    reader = threading.Thread(target=read)
    reader.start()
    entered.wait()
    threading.Timer(0.05, leave.set).start()
    with turns.changing(60) as free:
        assert free
    reader.join()
    with turns.reading():
        pass
