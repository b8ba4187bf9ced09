"""Searching inside PostgreSQL: the answers of an index in memory, shared by all processes."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg import sql

from memorybank.domain.memory import MemoryFilter, MemoryState
from memorybank.domain.search import Refinement
from memorybank.domain.tenants import UNLIMITED, Tenant
from memorybank.errors import ConfigurationError, OutdatedVector
from memorybank.ports import PENDING, Vector
from memorybank.search import MemoryIndex
from memorybank.spaces import of_space
from memorybank.stores.postgres import PostgresIndex, PostgresStore
from memorybank.stores.postgres.searching import index as index_module
from memorybank.stores.postgres.searching import statements, tables
from memorybank.stores.postgres.searching.statements import Meant
from memorybank.stores.sql.connection import Connection
from tests.support import pgbouncer, postgres
from tests.support.memory_samples import NOON, a_memory, later
from tests.support.service import service
from tests.support.word_embedder import WordEmbedder

pytestmark = pytest.mark.slow

ALL = MemoryFilter()
DIMENSIONS = 64
WORDS = ("apple", "pears", "plum", "quince", "cherry", "fig", "grape", "lemon", "melon", "olive")


@pytest.fixture
def name() -> Iterator[str]:
    name = f"inside-{uuid.uuid4().hex[:12]}"
    postgres.searchable(name)
    yield name
    postgres.server().drop(name)


@pytest.fixture
async def store(name: str) -> AsyncIterator[PostgresStore]:
    store = await opened(name)
    yield store
    await store.close()


@pytest.fixture
async def index(store: PostgresStore) -> AsyncIterator[PostgresIndex]:
    async with searching(store) as index:
        yield index


async def opened(name: str, *, model: str = "m") -> PostgresStore:
    return await PostgresStore.open(postgres.reached(postgres.server().url(name)), model=model)


@asynccontextmanager
async def searching(
    store: PostgresStore, *, model: str = "m", dimensions: int = DIMENSIONS
) -> AsyncIterator[PostgresIndex]:
    index = await store.search_inside(model=model, dimensions=dimensions)
    try:
        yield index
    finally:
        await index.close()


async def embedded(*texts: str) -> Sequence[Vector]:
    return list(await WordEmbedder().embed(texts))


async def stored(store: PostgresStore, count: int, **fields: Any) -> list[str]:
    """Store memories in three projects, most of them in sessions, one in four red."""
    dice = np.random.default_rng(11)
    texts = [" ".join(dice.choice(WORDS, size=int(dice.integers(3, 9)))) for _ in range(count)]
    memories = [
        a_memory(
            text,
            project=f"p{at % 3}",
            session=f"s{at // 9}" if at % 4 else None,
            tags=("red",) if at % 4 == 0 else (),
            metadata={"ticket": at % 5, "who": "Zoë"},
            title=f"{text.split()[0].title()} pie" if at % 6 == 0 else None,
            created_at=later(at),
            importance=0.25 if at % 5 else 0.75,
            **fields,
        )
        for at, text in enumerate(texts)
    ]
    await store.add_many(list(zip(memories, await embedded(*texts), strict=True)))
    return [memory.id for memory in memories]


async def ids(
    index: PostgresIndex | MemoryIndex, query: str, *, limit: int = 10, **options: Any
) -> list[str]:
    vector = (await embedded(query))[0]
    asked: dict[str, Any] = {"tenant": "acme", "where": ALL, "vector": vector} | options
    return [hit.memory_id for hit in await index.search(query=query, limit=limit, **asked)]


def superuser(name: str) -> psycopg.Connection[Any]:
    folder = str(postgres.server().folder)
    return psycopg.connect(host=folder, user="postgres", dbname=name, autocommit=True)


FILTERS: list[tuple[MemoryFilter, dict[str, Any]]] = [
    (ALL, {}),
    (MemoryFilter(project="p2"), {}),
    (MemoryFilter(session="s3"), {}),
    (MemoryFilter(tags_all=frozenset({"red"}), valid_at=NOON), {}),
    (MemoryFilter(created_after=later(60)), {"tags_any": frozenset({"red", "blue"})}),
    (ALL, {"metadata": {"ticket": 3, "who": "Zoë"}}),
    (ALL, {"min_score": 0.3}),
]


async def test_what_is_found_is_what_the_index_in_memory_finds(
    store: PostgresStore, index: PostgresIndex
) -> None:
    await stored(store, 120)
    await stored(store, 40, tenant="beta")
    embedded_index = MemoryIndex(store, dimensions=DIMENSIONS)
    both = (embedded_index, index)
    await asyncio.gather(*(each.catch_up() for each in both))
    for text, (where, refined) in itertools.product(("apple pear", "a melon, an olive"), FILTERS):
        vector = (await embedded(text))[0]
        for asked, words in ((vector, True), (vector, False), (None, True)):
            refine = Refinement(words=words, **refined)
            expected, found = [
                await each.search("acme", text, vector=asked, where=where, limit=10, refine=refine)
                for each in both
            ]
            assert [hit.score for hit in found] == pytest.approx(
                [hit.score for hit in expected], abs=2e-3
            ), (text, where, refine, asked is None)
        assert await index.facets("acme", where) == await embedded_index.facets("acme", where)
    for begun in ("pea", "PIE", "re", "apple pe", "apple pears"):
        expected_next, found_next = [
            await each.suggest("acme", begun, where=ALL, limit=6) for each in both
        ]
        assert found_next == expected_next, begun
    await embedded_index.close()


async def test_with_diversity_what_repeats_a_better_hit_comes_later(
    store: PostgresStore, index: PostgresIndex
) -> None:
    texts = ["apple pears", "apple pears plum", "apple fig", "pears grape"]
    memories = [a_memory(text) for text in (*texts[:1] * 5, *texts[1:])]
    vectors = await embedded(*(memory.content for memory in memories))
    await store.add_many(list(zip(memories, vectors, strict=True)))
    await index.catch_up()
    said = {memory.id: memory.content for memory in memories}
    plain = [said[each] for each in await ids(index, "apple pears", limit=4)]
    assert plain == texts[:1] * 4
    refine = Refinement(diversity=0.9)
    spread = [said[each] for each in await ids(index, "apple pears", limit=4, refine=refine)]
    assert spread[0] == texts[0]
    assert len(set(spread)) >= 3


@pytest.mark.parametrize("few", [0, 4])
async def test_of_many_the_nearest_and_the_fittest_are_found_within_every_filter(
    store: PostgresStore, index: PostgresIndex, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    """By the index of vectors (few = 0), and by comparing all that is meant."""
    monkeypatch.setattr(index_module, "_ALL", 20)
    monkeypatch.setattr(index_module, "_NEAREST", 40)
    monkeypatch.setattr(index_module, "_TOLD", 200)
    monkeypatch.setattr(index_module, "_TALLIED", few)
    await stored(store, 1_500)
    embedded_index = MemoryIndex(store, dimensions=DIMENSIONS)
    both = (embedded_index, index)
    await asyncio.gather(*(each.catch_up() for each in both))
    met = wanted = 0
    scores, best = [], []
    for text, (where, refined) in itertools.product(("apple pear", "olive fig fig"), FILTERS[:6]):
        vector = (await embedded(text))[0]
        for words in (True, False):
            refine = Refinement(words=words, **refined)
            expected, found = [
                await each.search("acme", text, vector=vector, where=where, limit=10, refine=refine)
                for each in both
            ]
            assert len(found) == len(expected)
            scores += [hit.score for hit in found]
            best += [hit.score for hit in expected]
            if not words:
                met += len({hit.memory_id for hit in expected} & {hit.memory_id for hit in found})
                wanted += len(expected)
    assert met / wanted >= 0.97
    assert sum(scores) / sum(best) >= 0.98
    await embedded_index.close()


@pytest.mark.parametrize("few", [False, True])
async def test_the_index_of_vectors_is_used_unless_few_are_meant(
    store: PostgresStore, index: PostgresIndex, few: bool
) -> None:
    await stored(store, 300)
    await index.catch_up()
    meant = Meant.by("acme", MemoryFilter(project="p1"), Refinement())
    vector = (await embedded("apple"))[0]

    def plan(connection: Connection) -> str:
        statements.begin(connection, kept=40)
        explained = _Explained(connection)
        statements.nearest(explained, meant, index._space.table, vector, count=40, few=few)
        return explained.plan

    assert (index._space.nearness in await store._read("acme", plan)) is not few


class _Explained:
    """A connection that tells the plan of a statement instead of its rows."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.plan = ""

    def execute(self, statement: str, values: Sequence[Any] = ()) -> Any:
        lines = self._connection.execute(f"EXPLAIN {statement}", values).fetchall()
        self.plan = "\n".join(line for (line,) in lines)
        return ()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


async def test_a_memory_is_found_as_it_is_and_gone_at_once(
    store: PostgresStore, index: PostgresIndex
) -> None:
    memory = a_memory("apple")
    [apple, pear] = await embedded("apple", "pear")
    await index.catch_up(await store.add(memory, apple))
    assert await ids(index, "apple") == [memory.id]
    changed = replace(memory, content="pear")
    await index.catch_up(await store.replace(changed, pear))
    assert await ids(index, "apple", vector=None) == []
    assert np.allclose(await index.vector("acme", memory.id), pear)  # type: ignore[arg-type]
    await index.catch_up(await store.replace(changed, PENDING))
    assert await index.vector("acme", memory.id) is None
    assert await ids(index, "pear") == [memory.id]
    await index.catch_up(await store.replace(replace(changed, state=MemoryState.TRASH), None))
    assert await ids(index, "pear", where=MemoryFilter(states=frozenset())) == []
    await index.catch_up(await store.replace(changed, pear))
    assert await ids(index, "pear") == [memory.id]
    await index.catch_up(await store.delete("acme", memory.id))
    assert await ids(index, "pear") == []
    assert (await index.check()).differing == 0


async def test_a_word_that_was_asked_for_in_vain_finds_what_is_stored_then(
    store: PostgresStore, index: PostgresIndex
) -> None:
    await stored(store, 600)
    await index.catch_up()
    assert await ids(index, "zebra", vector=None) == []
    memory = a_memory("a zebra")
    await index.catch_up(await store.add(memory, PENDING))
    assert await ids(index, "zebra", vector=None) == [memory.id]
    assert (await ids(index, "zebra"))[0] == memory.id


async def test_a_scan_that_meets_too_few_is_followed_by_comparing_all(
    store: PostgresStore, index: PostgresIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit in ("_ALL", "_TALLIED"):
        monkeypatch.setattr(index_module, limit, 0)
    monkeypatch.setattr(statements, "_MOST_SCANNED", 1)
    monkeypatch.setattr(index_module, "_KEPT", 1)
    monkeypatch.setattr(index_module, "_NEAREST", 10)
    await stored(store, 300)
    await index.catch_up()
    where, refine = MemoryFilter(tags_all=frozenset({"red"})), Refinement(words=False)
    found = await ids(index, "melon", where=where, refine=refine, limit=5)
    embedded_index = MemoryIndex(store, dimensions=DIMENSIONS)
    await embedded_index.catch_up()
    assert found == await ids(embedded_index, "melon", where=where, refine=refine, limit=5)
    await embedded_index.close()


async def test_what_one_process_has_indexed_every_other_one_finds(
    name: str, store: PostgresStore, index: PostgresIndex
) -> None:
    other_store = await opened(name)
    async with searching(other_store) as other:
        for number in range(20):
            memory = a_memory(f"word{number}")
            await index.catch_up(await store.add(memory, (await embedded("w"))[0]))
            assert await ids(other, f"word{number}", vector=None) == [memory.id]
    await other_store.close()


async def test_several_processes_that_write_and_index_at_once_miss_nothing(
    name: str, store: PostgresStore, index: PostgresIndex
) -> None:
    other_store = await opened(name)
    async with searching(other_store) as other:
        made: list[str] = []

        async def work(one: PostgresStore, searched: PostgresIndex) -> None:
            for _ in range(12):
                memory = a_memory("plum")
                await searched.catch_up(await one.add(memory, (await embedded("plum"))[0]))
                changed = replace(memory, content="plums and figs")
                await searched.catch_up(await one.replace(changed, None))
                made.append(memory.id)

        await asyncio.gather(
            *(work(store, index) for _ in range(3)), *(work(other_store, other) for _ in range(3))
        )
        for each in (index, other):
            assert set(await ids(each, "fig", vector=None, limit=200)) == set(made)
            assert (await each.check()).differing == 0
    await other_store.close()


async def test_behind_pgbouncer_nothing_stays_behind_in_a_connection(name: str) -> None:
    pooled = postgres.reached(pgbouncer.bouncer().url(name))
    store = await PostgresStore.open(pooled, model="m")
    async with searching(store) as index:
        await stored(store, 60)
        await index.catch_up()
        found = await asyncio.gather(*(ids(index, word) for word in WORDS * 3))
        assert all(found)
        settings = await store._read(
            "acme",
            lambda connection: (
                connection.execute(
                    "SELECT current_setting('enable_sort'), current_setting('enable_seqscan')"
                ).get
            ),
        )
        assert settings == ("on", "on")
    await store.close()


async def test_a_bank_that_was_there_before_is_indexed_whole_at_the_start(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "_PAGE", 50)
    await stored(store, 230)
    async with searching(store) as index:
        await index.catch_up()
        check = await index.check()
        assert (check.compared, check.differing) == (230, 0)


async def test_a_check_counts_what_is_wrong_and_a_rebuild_mends_it(
    name: str, store: PostgresStore, index: PostgresIndex
) -> None:
    await stored(store, 30)
    await index.catch_up()
    near = sql.Identifier(index._space.table)
    with superuser(name) as damage:
        damage.execute("DELETE FROM words WHERE created_seq = 1")
        damage.execute("UPDATE words SET lexemes = '' WHERE created_seq = 2")
        damage.execute("UPDATE words SET moment = 0 WHERE created_seq = 3")
        damage.execute(sql.SQL("DELETE FROM {} WHERE created_seq = 4").format(near))
        damage.execute(
            sql.SQL("UPDATE {} SET vector = (SELECT vector FROM {} WHERE created_seq = 9)"
            " WHERE created_seq = 5").format(near, near)
        )  # fmt: skip
        damage.execute(
            "INSERT INTO words VALUES (99, 'acme', 'strange', NULL, 0, 1, '''x'':1'::tsvector)"
        )
    check = await index.check()
    assert (check.compared, check.differing) == (30, 6)
    assert await index.rebuild() == 30
    assert (await index.check()).differing == 0


async def test_another_model_takes_over_with_vectors_of_another_length(
    name: str, store: PostgresStore, index: PostgresIndex
) -> None:
    await stored(store, 30)
    await index.catch_up()
    later_store = await opened(name, model="longer")
    unembedded = await later_store.embeddings.unembedded(0, limit=100, model="longer")
    longer = of_space(np.eye(30, 96, dtype=np.float32), "longer")
    await later_store.embeddings.embedded(
        list(zip(unembedded, longer, strict=True)), model="longer"
    )
    meanwhile = a_memory("quince")

    async def commit() -> None:
        await store.embeddings.activate("longer")

    switch = asyncio.create_task(index.rebuild(("longer", 96), before=commit))
    await index.catch_up(await store.add(meanwhile, (await embedded("quince"))[0]))
    assert await switch == 31
    vector = of_space((await embedded("apple"))[0], "m")
    with pytest.raises(OutdatedVector):
        await index.search("acme", "apple", vector=vector, where=ALL, limit=5)
    hits = await index.search("acme", "zebra", vector=longer[7], where=ALL, limit=1)
    assert hits[0].memory_id == unembedded[7].memory.id
    assert meanwhile.id in await ids(index, "quince", vector=None, limit=100)
    assert (await index.check()).differing == 0
    await store.embeddings.discard(but="longer")
    async with searching(later_store, model="longer", dimensions=96):
        with superuser(name) as looking:
            left = looking.execute(
                "SELECT relname FROM pg_class WHERE relname LIKE 'near_%' AND relkind = 'r'"
            ).fetchall()
    assert left == [(index._space.table,)]
    await later_store.close()


async def test_a_deleted_tenant_leaves_nothing_that_could_be_searched(
    name: str, store: PostgresStore, index: PostgresIndex
) -> None:
    await store.access.add_tenant(Tenant("beta", NOON, UNLIMITED))
    await stored(store, 20, tenant="beta")
    await stored(store, 5)
    await index.catch_up()
    await store.access.begin_deletion("beta")
    await store.access.finish_deletions()
    await index.catch_up()
    with superuser(name) as looking:
        for table in ("words", index._space.table):
            counted = sql.SQL("SELECT tenant, count(*) FROM {} GROUP BY 1")
            found = looking.execute(counted.format(sql.Identifier(table))).fetchall()
            assert found == [("acme", 5)], table


async def test_a_search_that_asks_for_another_tenant_finds_nothing_behind_the_wall(
    store: PostgresStore, index: PostgresIndex
) -> None:
    await stored(store, 30)
    await stored(store, 30, tenant="beta")
    await index.catch_up()
    vector = (await embedded("apple"))[0]
    meant = Meant.by("acme", ALL, Refinement())

    def search(connection: Connection) -> list[Any]:
        known = index._known.of(connection, "acme", at=index.seq)
        one = index_module._Search(connection, known, index._space, meant, Refinement(), 10)
        return one.hits(vector, {"apple": 1})

    assert len(await store._read("acme", search)) == 10
    for whose in ("beta", ""):
        assert await store._read(whose, search) == []


async def test_a_missing_extension_is_named_with_its_cure() -> None:
    name = f"bare-{uuid.uuid4().hex[:12]}"
    postgres.migrated(name)
    store = await opened(name)
    with pytest.raises(ConfigurationError, match="may not add it") as caught:
        await store.search_inside(model="m", dimensions=DIMENSIONS)
    assert caught.value.field == "database.url_file"
    assert "CREATE EXTENSION vector" in (caught.value.hint or "")
    postgres.server().execute("CREATE EXTENSION vector", name)
    async with searching(store) as index:  # once an administrator has done so
        await index.catch_up()
    with superuser(name) as administrator:
        administrator.execute(
            "UPDATE pg_extension SET extversion = '0.7.4' WHERE extname = 'vector'"
        )
    with pytest.raises(ConfigurationError, match=r"pgvector 0\.7\.4, which is too old") as caught:
        await store.search_inside(model="m", dimensions=DIMENSIONS)
    assert "ALTER EXTENSION vector UPDATE" in (caught.value.hint or "")
    await store.close()
    postgres.server().drop(name)


async def test_vectors_too_long_to_be_indexed_are_refused(store: PostgresStore) -> None:
    with pytest.raises(ConfigurationError, match="4000 dimensions at most") as caught:
        await store.search_inside(model="m", dimensions=4_096)
    assert caught.value.field == "vector.provider"


async def test_the_whole_service_is_served_by_the_database(name: str, tmp_path: Path) -> None:
    (tmp_path / "url").write_text(postgres.server().url(name))
    database = {
        "engine": "postgres", "url_file": str(tmp_path / "url"), "connect_seconds": 60,
    }  # fmt: skip
    async with (
        service(tmp_path, database=database, vector={"provider": "pgvector"}) as running,
        running.client(running.admin_key) as api,
    ):
        texts = ["An apple pie for Ada.", "Apple juice, and a fig.", "The boiler is from 1987."]
        made = [
            (await api.post("/v1/memories", json={"content": text})).json()["id"] for text in texts
        ]
        found = (await api.post("/v1/search", json={"query": "boiler", "limit": 1})).json()
        assert [hit["memory"]["id"] for hit in found["results"]] == made[2:]
        assert found["degraded"] is None
        like = (await api.get(f"/v1/memories/{made[0]}/similar?limit=1")).json()
        assert [hit["memory"]["id"] for hit in like["results"]] == made[1:2]
        counted = (await api.post("/v1/facets", json={})).json()
        assert counted["total"] == 3
        assert (await api.post("/v1/admin/index/check")).json()["ok"]
        assert (await api.post("/v1/admin/index/rebuild")).json()["memories"] >= 3
        shown = (await api.get("/v1/admin/status")).json()["index"]
        assert (shown["lag"], shown["vectors"]) == (0, None)


@pytest.mark.parametrize(
    ("engine", "provider", "message", "hint"),
    [
        ("sqlite", "pgvector", "the bank is in SQLite", "choose the engine postgres"),
        ("postgres", "chroma", "no use for Chroma", "write `embedded` or `pgvector`"),
    ],
)
async def test_what_does_not_go_together_is_refused_with_its_cure(
    name: str, tmp_path: Path, engine: str, provider: str, message: str, hint: str
) -> None:
    (tmp_path / "url").write_text(postgres.server().url(name))
    url_file = {} if engine == "sqlite" else {"url_file": str(tmp_path / "url")}
    database = {"engine": engine} | url_file
    with pytest.raises(ConfigurationError, match=message) as caught:
        async with service(tmp_path, database=database, vector={"provider": provider}):
            pass
    assert caught.value.field == "vector.provider"
    assert hint in (caught.value.hint or "")
