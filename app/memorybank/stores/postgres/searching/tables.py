"""The tables that are searched, and keeping them up with the change feed.

One transaction at a time, of whatever process, reads a stretch of the feed and brings the tables up
to it; it sees the state of one moment, so it can neither miss a change nor write over a later one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg

from memorybank.domain.feed import FeedPage, MemoryColumns
from memorybank.domain.text import terms
from memorybank.errors import ConfigurationError
from memorybank.ports import Vector
from memorybank.stores.postgres.connection import Server, Session
from memorybank.stores.postgres.errors import URL_FIELD
from memorybank.stores.postgres.searching.lexemes import document
from memorybank.stores.postgres.searching.statements import literal
from memorybank.stores.postgres.sessions import Beginning, limited
from memorybank.stores.sql.connection import Connection
from memorybank.stores.sql.feed import read_page
from memorybank.stores.sql.sealing import PLAIN

_WORDS = "words"
_PAGE = 1_000
"""Memories that are read, and written, at a time: their vectors are 8 MB of text."""
_PAGE_INDEXED = 200
"""Once there is an index of vectors, into which each takes some milliseconds to insert."""
_OLDEST = (0, 8)
"""Of pgvector: it began to go on with a scan whose finds a filter leaves out."""
_MOST_DIMENSIONS = 4_000
"""Of vectors of half precision that pgvector can index; of others it is half as many."""
_LOCK = 0x6D656D5F686E7377
"""Of the advisory lock that who builds an index of vectors holds: `mem_hnsw`."""
_BUILDING_MEMORY = "256MB"
"""Of the server, for building an index of vectors: 200,000 of 384 dimensions fit in."""


@dataclass(frozen=True, slots=True)
class Space:
    """The vectors of one embedding space, in a table of their own."""

    model: str
    dimensions: int
    table: str

    @property
    def nearness(self) -> str:
        """The name of the index by which near vectors are found."""
        return f"{self.table}_by_nearness"


@dataclass(frozen=True, slots=True)
class Step:
    """How far the tables are after a stretch of the feed."""

    position: int
    complete: bool
    """Whether there was no later change."""
    memories: int
    """That were read."""


def filling(server: Server) -> Beginning:
    """Return how a transaction begins that brings tables up to date, while no other one does.

    LOCK comes before the moment that the transaction sees is fixed.
    """
    return limited(
        "ISOLATION LEVEL REPEATABLE READ",
        server.statement_seconds,
        idle=False,
        then="LOCK TABLE indexed IN SHARE ROW EXCLUSIVE MODE",
    )


def building() -> Beginning:
    """Return how a transaction begins that changes tables or builds an index, however long."""
    return limited(
        "ISOLATION LEVEL READ COMMITTED",
        None,
        then=(
            f"SET LOCAL maintenance_work_mem = '{_BUILDING_MEMORY}';"
            f" SELECT pg_advisory_xact_lock({_LOCK})"
        ),
    )


def prepare(session: Session, model: str, dimensions: int) -> Space:
    """Make what is missing to search vectors of a space. Raises ConfigurationError.

    Tables of spaces that were discarded are dropped.
    """
    _require_extension(session)
    if dimensions > _MOST_DIMENSIONS:
        raise ConfigurationError(
            f"pgvector indexes vectors of {_MOST_DIMENSIONS} dimensions at most, and those of"
            f" {model} have {dimensions}",
            field="vector.provider",
            hint="set embedding.dimensions to fewer, if the model can, or write `embedded`",
        )
    generation = session.execute("SELECT id FROM generations WHERE model = ?", (model,)).get
    space = Space(model, dimensions, f"near_{generation}")
    dimensions_there = session.execute(
        "SELECT atttypmod FROM pg_attribute WHERE attrelid = to_regclass(?) AND attname = 'vector'",
        (space.table,),
    ).get
    if dimensions_there != dimensions:
        _drop(session, space.table)
        _make(session, space)
    _drop_discarded(session)
    return space


def _require_extension(session: Session) -> None:
    version = _extension(session)
    if version is None:
        try:
            with session.raw.transaction():
                session.execute("CREATE EXTENSION vector")
        except psycopg.errors.InsufficientPrivilege:
            raise ConfigurationError(
                "the database has not the extension pgvector, and the user of the service may not"
                " add it",
                field=URL_FIELD,
                hint="let an administrator run CREATE EXTENSION vector in this database, or set"
                " vector.provider to `embedded`",
            ) from None
        except (psycopg.errors.FeatureNotSupported, psycopg.errors.UndefinedFile):
            raise ConfigurationError(
                "the database server has no pgvector",
                field=URL_FIELD,
                hint="install pgvector 0.8 or later there, or set vector.provider to `embedded`",
            ) from None
        version = _extension(session)
    if tuple(map(int, str(version).split(".")[:2])) < _OLDEST:
        raise ConfigurationError(
            f"the database has pgvector {version}, which is too old",
            field=URL_FIELD,
            hint="install pgvector 0.8 or later on the server, and let an administrator run"
            " ALTER EXTENSION vector UPDATE in this database",
        )


def _extension(session: Session) -> str | None:
    """Return the version of the extension in this database, None where it is not added."""
    found: str | None = session.execute(
        "SELECT extversion FROM pg_extension WHERE extname = 'vector'"
    ).get
    return found


def _make(session: Session, space: Space) -> None:
    setting = "(SELECT current_setting('memorybank.tenant', true))"
    session.raw.execute(
        f"CREATE TABLE {space.table} (created_seq bigint PRIMARY KEY,"
        ' tenant text COLLATE "C" NOT NULL, id text COLLATE "C" NOT NULL,'
        f" vector halfvec({space.dimensions}) NOT NULL, UNIQUE (tenant, id));"
        f" ALTER TABLE {space.table} ALTER COLUMN vector SET STORAGE PLAIN;"
        f" CREATE POLICY wall ON {space.table}"
        f" USING (CASE {setting} WHEN '*' THEN true ELSE tenant = {setting} END);"
        f" ALTER TABLE {space.table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY".encode()
    )
    session.execute("INSERT INTO indexed (part, position) VALUES (?, 0)", (space.table,))


def _drop_discarded(session: Session) -> None:
    dropped = session.execute(
        "SELECT part FROM indexed WHERE part <> ?"
        " AND NOT EXISTS (SELECT 1 FROM generations WHERE part = 'near_' || id)",
        (_WORDS,),
    ).fetchall()
    for (table,) in dropped:
        _drop(session, table)


def start_over(session: Connection) -> None:
    """Drop all that is derived from a bank in whose place another one comes: `prepare` and
    `advance` make it anew.
    """
    for (table,) in session.execute(
        "SELECT part FROM indexed WHERE part <> ?", (_WORDS,)
    ).fetchall():
        _drop(session, table)
    session.execute("TRUNCATE words")
    session.execute("UPDATE indexed SET position = 0")


def _drop(session: Connection, table: str) -> None:
    session.execute(f"DROP TABLE IF EXISTS {table}")
    session.execute("DELETE FROM indexed WHERE part = ?", (table,))


def _is_there(session: Connection, name: str) -> bool:
    return session.execute("SELECT to_regclass(?)::text", (name,)).get is not None


def build_nearness(session: Session, space: Space) -> None:
    """Build the index of a space's vectors, unless it is there. Until then all are compared.

    It is built of what is there, in a fraction of the time that adding one by one takes.
    """
    if not _is_there(session, space.nearness):
        session.execute(
            f"CREATE INDEX {space.nearness} ON {space.table} USING hnsw (vector halfvec_ip_ops)"
        )


def advance(session: Session, space: Space, *, words: bool) -> Step:
    """Bring the vectors of a space, and with `words` words, one stretch of the feed further."""
    most = min(_PAGE, _PAGE_INDEXED) if _is_there(session, space.nearness) else _PAGE
    positions = dict(session.execute("SELECT part, position FROM indexed"))
    parts = [space.table, *([_WORDS] if words else [])]
    after = min(positions[part] for part in parts)
    page = read_page(session, after, limit=most, model=space.model, seal=PLAIN)
    if page.seq > after:
        behind = [part for part in parts if positions[part] < page.seq]
        _write(session, page, space, behind)
        session.execute("UPDATE indexed SET position = ? WHERE part = ANY(?)", (page.seq, behind))
    return _step(page)


def renew(session: Session, space: Space, after: int) -> Step:
    """Write once more what the tables should hold of one stretch of the feed."""
    page = read_page(session, after, limit=_PAGE, model=space.model, seal=PLAIN)
    _write(session, page, space, [space.table, _WORDS])
    return _step(page)


def sweep(session: Session, space: Space) -> None:
    """Remove what the tables should not hold."""
    for table in (space.table, _WORDS):
        session.execute(f"DELETE FROM {_too_much(table)}")


def differing(session: Session, space: Space, after: int) -> tuple[Step, int]:
    """Count, of one stretch of the feed, the memories that the tables hold wrongly."""
    while not advance(session, space, words=True).complete:
        pass  # up to the moment that this transaction sees
    page = read_page(session, after, limit=_PAGE, model=space.model, seal=PLAIN)
    count = 0
    if page.memories is not None:
        vectors = [_halfvec(each, space) for each in page.memories.vectors]
        count = session.execute(
            "SELECT count(*) FROM unnest(?::text[], ?::text[], ?::text[], ?::bigint[], ?::int[],"
            " ?::text[], ?::text[]) AS said (tenant, id, session, moment, length, lexemes, vector)"
            f" LEFT JOIN words USING (tenant, id) LEFT JOIN {space.table} AS near"
            " USING (tenant, id)"
            " WHERE (words.session, words.moment, words.length, words.lexemes, near.vector)"
            " IS DISTINCT FROM (said.session, said.moment, said.length, said.lexemes::tsvector,"
            f" said.vector::halfvec({space.dimensions}))",
            (*_words_of(page.memories), vectors),
        ).get
    return _step(page), int(count)


def strange(session: Session, space: Space) -> int:
    """Count the memories that the tables hold and should not."""
    return sum(
        int(session.execute(f"SELECT count(*) FROM {_too_much(table)}").get)
        for table in (space.table, _WORDS)
    )


def _too_much(table: str) -> str:
    """Return the rows of a table that no memory has, or one in the trash, as SQL names them."""
    return (
        f"{table} WHERE NOT EXISTS (SELECT 1 FROM memories"
        f" WHERE memories.created_seq = {table}.created_seq AND state <> 'trash')"
    )


def _step(page: FeedPage) -> Step:
    return Step(page.seq, page.complete, 0 if page.memories is None else len(page.memories.ids))


def _write(session: Session, page: FeedPage, space: Space, parts: Sequence[str]) -> None:
    for part in parts:
        _remove(session, part, page.gone)
    if page.memories is not None:
        if _WORDS in parts:
            _put_words(session, page.memories)
        if space.table in parts:
            _put_vectors(session, page.memories, space)


def _remove(session: Session, table: str, memories: Sequence[tuple[str, str]]) -> None:
    if memories:
        session.execute(
            f"DELETE FROM {table} USING unnest(?::text[], ?::text[]) AS gone (tenant, id)"
            f" WHERE {table}.tenant = gone.tenant AND {table}.id = gone.id",
            ([tenant for tenant, _ in memories], [each for _, each in memories]),
        )


def _put_words(session: Session, memories: MemoryColumns) -> None:
    session.execute(
        "INSERT INTO words (created_seq, tenant, id, session, moment, length, lexemes)"
        " SELECT created_seq, tenant, id, said.session, said.moment, said.length,"
        " said.lexemes::tsvector"
        " FROM unnest(?::text[], ?::text[], ?::text[], ?::bigint[], ?::int[], ?::text[])"
        " AS said (tenant, id, session, moment, length, lexemes) JOIN memories USING (tenant, id)"
        " ON CONFLICT (tenant, id) DO UPDATE SET (created_seq, session, moment, length, lexemes)"
        " = (excluded.created_seq, excluded.session, excluded.moment, excluded.length,"
        " excluded.lexemes)",
        _words_of(memories),
    )


def _words_of(memories: MemoryColumns) -> tuple[Sequence[object], ...]:
    """Return tenants, ids, sessions, moments, lengths and lexemes."""
    lengths, documents = [], []
    for tenant, text, tags in zip(memories.tenants, memories.texts, memories.tags, strict=True):
        found = terms("\n".join([text, *tags]))
        lengths.append(len(found))
        documents.append(document(tenant, found))
    return (
        list(memories.tenants),
        list(memories.ids),
        list(memories.sessions),
        list(memories.moments),
        lengths,
        documents,
    )


def _put_vectors(session: Session, memories: MemoryColumns, space: Space) -> None:
    lines = list(
        zip(
            memories.tenants,
            memories.ids,
            (_halfvec(each, space) for each in memories.vectors),
            strict=True,
        )
    )
    _remove(session, space.table, [(tenant, each) for tenant, each, vector in lines if not vector])
    held = [line for line in lines if line[2]]
    if held:
        session.execute(
            f"INSERT INTO {space.table} (created_seq, tenant, id, vector)"
            f" SELECT created_seq, tenant, id, said.vector::halfvec({space.dimensions})"
            " FROM unnest(?::text[], ?::text[], ?::text[]) AS said (tenant, id, vector)"
            " JOIN memories USING (tenant, id)"
            " ON CONFLICT (tenant, id) DO UPDATE SET (created_seq, vector)"
            f" = (excluded.created_seq, excluded.vector) WHERE {space.table}.vector"
            " IS DISTINCT FROM excluded.vector",
            tuple(map(list, zip(*held, strict=True))),
        )


def _halfvec(vector: Vector | None, space: Space) -> str | None:
    """Return a vector as the database reads it; None for one that is not of this length."""
    if vector is None or vector.shape != (space.dimensions,):
        return None
    return literal(vector)
