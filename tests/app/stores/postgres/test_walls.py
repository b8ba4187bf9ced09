"""The second wall: what a statement that forgets the tenant can see and do all the same."""

from __future__ import annotations

import asyncio
import os
import subprocess
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql

from memorybank.domain.audit import EventKind
from memorybank.domain.consolidation.rules import Fold, Job
from memorybank.domain.forgetting import Step
from memorybank.domain.memory import Link, LinkType, MemoryType
from memorybank.domain.tenants import UNLIMITED, Tenant
from memorybank.domain.usage import Count, Endpoint
from memorybank.domain.work.episodes import Step as EpisodeStep
from memorybank.errors import ConfigurationError, StoreUnavailable
from memorybank.ports import Claim, ConsolidationRun, ForgettingRun, NewSteps
from memorybank.stores.postgres import PostgresStore, schema
from memorybank.stores.sql.connection import EVERYONE, NOBODY, Connection
from tests.support import postgres
from tests.support.memory_samples import NOON, a_key, a_memory, a_vector, later

pytestmark = pytest.mark.slow

BOTH = ("acme", "beta")
OPEN = {
    *("encryption", "feed", "generations", "indexed", "lease", "moves", "rewinds"),
    *("schema_migrations", "steady_clock", "words"),
}
"""Tables without a row of any tenant; and one that no index would serve behind a wall: what it
finds is told by joining memories (see test_searching)."""
OWNER = dict.fromkeys(
    (
        *("audit", "audit_chains", "consolidation_runs", "data_keys", "deletions"),
        *("forgetting_runs", "idempotency", "keys", "memories", "revisions", "steps", "usage"),
    ),
    "tenant",
) | {
    "tenants": "name",
    "vectors": "(SELECT tenant FROM memories WHERE created_seq = vectors.created_seq)",
    "links": "(SELECT tenant FROM memories WHERE created_seq = source)",
    "forgetting_changes": "(SELECT tenant FROM forgetting_runs WHERE id = run)",
    "consolidation_changes": "(SELECT tenant FROM consolidation_runs WHERE id = run)",
}
"""In SQL, whose a row is; of every table that has a wall."""


@pytest.fixture(scope="module")
def filled() -> Iterator[str]:
    """The name of a database with rows of two tenants behind every wall."""
    name = f"walls-{uuid.uuid4().hex[:12]}"
    url = postgres.migrated(name)
    asyncio.run(fill(url))
    postgres.server().execute(
        "INSERT INTO data_keys VALUES ('acme', 'k1', 'a'), ('beta', 'k1', 'b')", name
    )
    postgres.server().cut(name)
    yield name
    postgres.server().drop(name)


@pytest.fixture
def database(filled: str) -> Iterator[str]:
    name = f"copy-{uuid.uuid4().hex[:12]}"
    yield postgres.server().database(name, like=filled)
    postgres.server().drop(name)


@pytest.fixture
async def store(database: str) -> AsyncIterator[PostgresStore]:
    opened = await open_on(database)
    yield opened
    await opened.close()


async def open_on(url: str) -> PostgresStore:
    """One reader: what one read leaves behind is what the next one meets."""
    return await PostgresStore.open(
        postgres.reached(url), model="model-1", audited=EventKind, readers=1
    )


async def fill(url: str) -> None:
    store = await open_on(url)
    for tenant in BOTH:
        await store.access.add_tenant(Tenant(tenant, NOON, UNLIMITED))
        await store.access.add_key(a_key(tenant, tenant=tenant))
        kept, aged, gone = (a_memory(f"{tenant} {number}", tenant=tenant) for number in range(3))
        for each in (kept, aged, gone):
            await store.add(each, a_vector())
        await store.delete(tenant, gone.id)
        await store.link(tenant, Link(kept.id, aged.id, LinkType.RELATED_TO, NOON))
        again = a_memory(f"{tenant} again", tenant=tenant, id=kept.id, revision=2)
        await store.revise([(again, a_vector())], by="key-1", action="update")
        vitals, _ = await store.forgetting.vitals(tenant, after=0, limit=10)
        run = ForgettingRun(f"run-{tenant}", tenant, later(1), "schedule")
        await store.forgetting.take(run, [(vitals[1], Step.ARCHIVE)])
        fold = Fold((a_memory(f"{tenant} folded", tenant=tenant),))
        await store.add(fold.archived[0], a_vector())
        consolidation = ConsolidationRun(
            f"merge-{tenant}", tenant, Job.MERGE_DUPLICATES, "schedule", later(1)
        )
        await store.consolidation.fold(consolidation, fold, None, at=later(1))
        claimed = a_memory(f"{tenant} claimed", tenant=tenant, type=MemoryType.EPISODE)
        claim = Claim(tenant, "key-1", "once", b"digest", "{}", NOON)
        await store.add_claimed([(claimed, a_vector())], claim, since=NOON)
        await store.episodes.add_steps(tenant, [NewSteps(claimed.id, [EpisodeStep("x", NOON)])])
        await store.access.add_activity({Endpoint(tenant, "2026-03-01", "GET /"): Count(1)}, [])
    await store.close()


async def owners(store: PostgresStore, whose: str, table: str) -> list[str]:
    """Return whose the rows are that a statement without any condition finds."""
    found = await store._read(
        whose,
        lambda connection: connection.execute(f"SELECT {OWNER[table]} FROM {table}").fetchall(),
    )
    return sorted(owner for (owner,) in found)


def rows(url: str, *tables: str) -> dict[str, list[Any]]:
    """Return all rows, in the order of their columns, as the superuser sees them."""
    name = url.split("/")[3].split("?")[0]
    with psycopg.connect(
        host=str(postgres.server().folder), user="postgres", dbname=name
    ) as connection:
        return {
            table: connection.execute(
                sql.SQL("SELECT {0}::text FROM {0} ORDER BY 1").format(sql.Identifier(table))
            ).fetchall()
            for table in tables
        }


def test_every_table_with_rows_of_a_tenant_has_a_wall_that_binds_its_owner(filled: str) -> None:
    with psycopg.connect(postgres.server().url(filled)) as connection:
        found = connection.execute(
            "SELECT relname, relrowsecurity AND relforcerowsecurity FROM pg_class"
            " WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
        ).fetchall()
    assert {table for table, walled in found if walled} == set(OWNER)
    assert {table for table, walled in found if not walled} == OPEN


@pytest.mark.parametrize("table", sorted(OWNER))
async def test_a_read_that_forgets_the_tenant_finds_rows_of_its_own_alone(
    store: PostgresStore, table: str
) -> None:
    everyone = await owners(store, EVERYONE, table)
    assert set(everyone) >= set(BOTH)
    for tenant in BOTH:
        assert await owners(store, tenant, table) == [tenant] * everyone.count(tenant)
    assert await owners(store, NOBODY, table) == []
    assert await owners(store, "nobody-of-this-name", table) == []


@pytest.mark.parametrize("table", sorted(OWNER))
async def test_a_write_that_forgets_the_tenant_changes_rows_of_its_own_alone(
    store: PostgresStore, database: str, table: str
) -> None:
    def of_beta() -> dict[str, list[Any]]:
        found = rows(database, *OWNER)
        return {each: [row for row in found[each] if "beta" in str(row)] for each in found}

    everyone = await owners(store, EVERYONE, table)
    before = of_beta()
    column = "name" if table == "tenants" else "tenant"
    if column in columns(database, table):
        # A row of another tenant cannot be touched, nor can one be made of a row of one's own.
        touched = await changed(store, "acme", f"UPDATE {table} SET {column} = {column}")
        assert touched == everyone.count("acme")
        with pytest.raises(StoreUnavailable, match="another tenant"):
            await changed(store, "acme", f"UPDATE {table} SET {column} = 'gamma'")
    assert await changed(store, "acme", f"DELETE FROM {table}") == everyone.count("acme")
    assert await owners(store, EVERYONE, table) == [each for each in everyone if each != "acme"]
    assert of_beta() == before
    assert await changed(store, NOBODY, f"DELETE FROM {table}") == 0


INSERTS = {
    "tenants": "('gamma', 'active', 0, NULL, NULL, NULL, 0)",
    "deletions": "(99, 'beta', 'x')",
    "idempotency": "('beta', 'key', 'name', '', '{}', 0)",
    "audit_chains": "('gamma', 1, 'x', 0, '')",
    "audit": "('beta', 999, 0, 'a', 'r', 'x', NULL, '{}', '', '')",
    "usage": "('beta', '2026-01-01', 'GET /', 1, 0, 0)",
    "data_keys": "('gamma', 'k1', 'x')",
    "vectors": "(%(memory)s, %(other)s, 'x')",
    "links": "(%(memory)s, %(memory)s, 'related_to', 0)",
    "forgetting_changes": "('run-beta', %(memory)s, 'live', NULL, NULL)",
    "consolidation_changes": "('merge-beta', %(memory)s, 1, false, NULL, NULL, 'live', NULL, NULL)",
}


@pytest.mark.parametrize("table", sorted(INSERTS))
async def test_a_row_of_another_tenant_cannot_be_made(store: PostgresStore, table: str) -> None:
    """Nor hung onto what is another tenant's, whose numbers anybody could guess."""

    def numbers(connection: Connection) -> dict[str, int]:
        connection.execute(
            "INSERT INTO generations (model, state, created_at) VALUES ('o', 'kept', 0)"
        )
        other = connection.execute("SELECT id FROM generations WHERE model = 'o'").get
        memory = connection.execute(
            "SELECT max(created_seq) FROM memories WHERE tenant = 'beta'"
        ).get
        return {"memory": memory, "other": other}

    values = INSERTS[table] % await store._write(EVERYONE, numbers)
    for whose in ("acme", NOBODY):
        with pytest.raises(StoreUnavailable, match="another tenant"):
            await changed(store, whose, f"INSERT INTO {table} VALUES {values}")
    assert await changed(store, EVERYONE, f"INSERT INTO {table} VALUES {values}") == 1


async def test_a_memory_of_another_tenant_cannot_be_made(store: PostgresStore) -> None:
    with pytest.raises(StoreUnavailable, match="another tenant"):
        await store._write("acme", store._insertion([(a_memory(tenant="beta"), a_vector())]))


async def test_writes_that_share_a_commit_each_see_their_own_tenant(store: PostgresStore) -> None:
    def seen(connection: Connection) -> list[str]:
        found = connection.execute("SELECT DISTINCT tenant FROM memories").fetchall()
        return [tenant for (tenant,) in found]

    def failing(connection: Connection) -> None:
        assert seen(connection) == ["beta"]
        raise ValueError

    answers = await asyncio.gather(
        *(store._write(whose, seen) for whose in (*BOTH, NOBODY)),
        store._write("beta", failing),
        store._write(NOBODY, seen),
        store._write("acme", seen),
        return_exceptions=True,
    )
    assert answers[:3] == [["acme"], ["beta"], []]
    assert isinstance(answers[3], ValueError)
    assert answers[4:] == [[], ["acme"]]


def test_who_says_nothing_sees_nothing(filled: str) -> None:
    with psycopg.connect(postgres.server().url(filled)) as owner:
        for table in OWNER:
            assert owner.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


async def test_a_user_whom_no_wall_binds_is_refused(database: str) -> None:
    server = postgres.server()
    user = f"user-{uuid.uuid4().hex[:12]}"
    for attribute in ("SUPERUSER", "BYPASSRLS"):
        server.execute(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'x' IN ROLE {}").format(
                sql.Identifier(user), sql.Identifier(postgres.OWNER)
            )
        )
        server.execute(sql.SQL(f"ALTER ROLE {{}} {attribute}").format(sql.Identifier(user)))
        name = database.split("/")[3].split("?")[0]
        with pytest.raises(ConfigurationError, match="every tenant's rows") as caught:
            await open_on(server.url(name, user=user, password="x"))
        assert caught.value.field == "database.url_file"
        server.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(user)))


async def test_a_database_from_before_the_walls_keeps_every_row(filled: str) -> None:
    server = postgres.server()
    name = f"before-{uuid.uuid4().hex[:12]}"
    url = server.database(name)
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute(schema.migrations()[0].script.encode())
        owner.execute(
            "CREATE TABLE schema_migrations (version integer PRIMARY KEY, name text NOT NULL,"
            " applied_at timestamptz NOT NULL DEFAULT now());"
            " INSERT INTO schema_migrations (version, name) VALUES (1, 'initial')"
        )
    later = {
        *("schema_migrations", "lease", "indexed", "words", "moves", "rewinds", "steps"),
        *("consolidation_runs", "consolidation_changes"),
    }
    tables = sorted((OWNER.keys() | OPEN) - later)
    copy(filled, name, tables)
    before = rows(url, *tables)
    assert all(before[table] for table in OWNER.keys() - later)
    store = await open_on(url)
    assert rows(url, *tables) == before
    assert (await store.care.integrity()).problems == []
    assert await owners(store, "beta", "memories") == ["beta"] * 4
    await store.close()
    server.drop(name)


def copy(source: str, target: str, tables: list[str]) -> None:
    """Fill tables as they are in another database, whatever watches over them."""
    host = str(postgres.server().folder)
    with (
        psycopg.connect(host=host, user="postgres", dbname=source) as reader,
        psycopg.connect(host=host, user="postgres", dbname=target) as writer,
    ):
        writer.execute("SET session_replication_role = replica")
        for table in tables:
            name = sql.Identifier(table)
            writer.execute(sql.SQL("DELETE FROM {}").format(name))
            with (
                reader.cursor().copy(sql.SQL("COPY {} TO STDOUT").format(name)) as out,
                writer.cursor().copy(sql.SQL("COPY {} FROM STDIN").format(name)) as into,
            ):
                for block in out:
                    into.write(block)


async def test_the_owner_dumps_and_restores_every_row_as_the_page_says(database: str) -> None:
    server = postgres.server()
    name = f"restored-{uuid.uuid4().hex[:12]}"
    url = server.database(name)
    await asyncio.to_thread(dump_and_restore, database, url)
    assert rows(url, *OWNER, *OPEN) == rows(database, *OWNER, *OPEN)
    store = await open_on(url)
    assert set(await owners(store, "acme", "memories")) == {"acme"}
    await store.close()
    server.drop(name)


def dump_and_restore(source: str, target: str) -> None:
    dumped = subprocess.run(
        [str(postgres.BIN / "pg_dump"), "--enable-row-security", "--format=custom", source],
        check=True, stdout=subprocess.PIPE,
        env={**os.environ, "PGOPTIONS": "-c memorybank.tenant=*"},
    ).stdout  # fmt: skip
    subprocess.run(
        [str(postgres.BIN / "pg_restore"), "--no-owner", "--exit-on-error", f"--dbname={target}"],
        check=True, input=dumped,
    )  # fmt: skip


def columns(url: str, table: str) -> set[str]:
    with psycopg.connect(url) as owner:
        found = owner.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_name = %s", (table,)
        ).fetchall()
    return {name for (name,) in found}


async def changed(store: PostgresStore, whose: str, statement: str) -> int:
    """Run a statement in a write, and return how many rows it changed."""

    def write(connection: Connection) -> int:
        connection.execute(statement)
        return connection.changes()

    return await store._write(whose, write)
