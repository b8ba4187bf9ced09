"""A database of the first version, written by its own code, keeps every memory."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import apsw
import pytest

from memorybank.auth import tokens
from memorybank.domain.memory import Memory, MemoryFilter, MemoryState, Origin
from memorybank.domain.times import from_microseconds
from memorybank.search.index import MemoryIndex
from memorybank.stores.sqlite import SqliteStore
from memorybank.stores.sqlite.connection import migrations
from tests.support.word_embedder import WordEmbedder

FIXTURE = Path(__file__).parents[3] / "data" / "first_slice.db.gz"
KEY = "mb_" + "A" * 43
ALL = MemoryFilter(states=frozenset())


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "bank.db"
    path.write_bytes(gzip.decompress(FIXTURE.read_bytes()))
    return path


def rows_before(path: Path) -> Iterator[dict[str, Any]]:
    """What is in the tables of version 1, read without the service."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    assert connection.execute("SELECT max(version) FROM schema_migrations").get == 1
    cursor = connection.execute("SELECT * FROM memories ORDER BY created_seq DESC")
    for row in cursor:
        yield dict(zip((name for name, _ in cursor.get_description()), row, strict=True))
    connection.close()


async def test_every_memory_comes_along_whole(database: Path) -> None:
    before = list(rows_before(database))
    assert len(before) == 16
    store = await SqliteStore.open(database, model=WordEmbedder.model)
    after: list[Memory] = []
    for tenant in ("default", "beta"):
        page = await store.list_memories(tenant, ALL, limit=100, cursor=None)
        after += page.memories
    assert {memory.id: memory for memory in after} == {
        row["id"]: Memory(
            id=row["id"],
            tenant=row["tenant"],
            content=row["content"],
            created_at=from_microseconds(row["created_at"]),
            updated_at=from_microseconds(row["updated_at"]),
            title=row["title"],
            type=row["type"],
            project=row["project"],
            session=row["session"],
            tags=tuple(json.loads(row["tags"])),
            metadata=json.loads(row["metadata"]),
            importance=row["importance"],
            occurred_at=None
            if row["occurred_at"] is None
            else from_microseconds(row["occurred_at"]),
            state=MemoryState.LIVE,
            origin=Origin.AGENT,
        )
        for row in before
    }
    await store.close()


async def test_what_was_stored_then_is_found_known_and_used_now(database: Path) -> None:
    embedder = WordEmbedder()
    store = await SqliteStore.open(database, model=embedder.model)
    assert await store.access.find_key(tokens.digest(KEY)) is not None
    index = MemoryIndex(store, dimensions=embedder.dimensions)
    await index.catch_up()
    question = "when is the staging database rebuilt"
    [vector] = await embedder.embed([question])
    hits = await index.search("default", question, vector=vector, where=MemoryFilter(), limit=1)
    [found] = await store.get_many("default", [hit.memory_id for hit in hits])
    assert found.content == "The staging database is rebuilt every Sunday night."
    [[same]] = await store.same_words(
        "default", ["staging database is rebuilt every sunday night!"]
    )
    assert same.id == found.id
    changed = replace(found, content="It is rebuilt on Mondays.", revision=2)
    assert await store.revise([(changed, None)], by="k", action="update")
    page = await store.history("default", found.id, before=None, limit=10)
    assert page is not None
    assert [revision.memory.content for revision in page.revisions] == [found.content]
    await index.close()
    await store.close()


async def test_a_migrated_database_has_the_schema_of_a_new_one(
    database: Path, tmp_path: Path
) -> None:
    for path in (database, tmp_path / "new.db"):
        await (await SqliteStore.open(path, model="m")).close()
    old, new = (
        sorted(
            " ".join(sql.split())
            for (sql,) in apsw.Connection(str(path)).execute(
                "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL"
            )
        )
        for path in (database, tmp_path / "new.db")
    )
    assert old == new
    applied = apsw.Connection(str(database)).execute("SELECT count(*) FROM schema_migrations").get
    assert applied == len(migrations())
