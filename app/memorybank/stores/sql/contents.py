"""All that a bank holds, as rows that are the same whichever database they are in.

For who moves a bank from one database to another: what is told of rows so that two banks can be
compared, rows as they are, and how they get into an empty place. Nothing of it looks into a row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from memorybank.stores.sql import rows
from memorybank.stores.sql.connection import Connection

Key = tuple[Any, ...]
Row = tuple[Any, ...]
Tally = dict[str, tuple[int, int]]
"""By owner: how many rows, and the sum of their digests, which is the same in whichever stretches
they were read.
"""

ROWS_AT_ONCE = 400
"""Rows that are in memory: of the longest memories that there may be, some 100 MB."""
_DIGESTS: Final = 2**256
_BANK: Final = ""
"""Whose rows are that are no tenant's."""


def _named(columns: str) -> tuple[str, ...]:
    return tuple(columns.split(", "))


@dataclass(frozen=True, slots=True)
class Table:
    """A table of a bank, and how two of them are compared."""

    name: str
    key: tuple[str, ...]
    others: tuple[str, ...]
    """All columns but the key."""
    owner: str = f"'{_BANK}'"
    """In SQL, whose a row is."""
    told_by: tuple[str, ...] | None = None
    """Columns without a change of which a row of this key is the same; None: all."""
    flags: frozenset[str] = frozenset()
    """Columns that are true or false, for which SQLite has numbers."""
    dropped_first: str | None = None
    """What refers to a row, by the key, and does not go with it by itself."""

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns, those of the key first."""
        return (*self.key, *self.others)

    def page(self, connection: Connection, after: Key | None, last: Key | None) -> dict[Key, Row]:
        """Return what is told of the next rows behind a key and up to another, or to the end, by
        key and in their order: of as many as are taken at once.
        """
        return self._told(connection, after, last, most=ROWS_AT_ONCE)

    def between(
        self, connection: Connection, after: Key | None, last: Key | None, *, whole: bool = False
    ) -> dict[Key, Row]:
        """Return what is told of all these rows. `whole` tells everything."""
        return self._told(connection, after, last, whole=whole)

    def tally(self, connection: Connection, after: Key | None, last: Key | None) -> Tally:
        """Read all these rows, with everything that they hold."""
        found: Tally = {}
        columns = (self.owner, *self.columns)
        for owner, *row in self._found(connection, columns, after=after, last=last):
            count, total = found.get(owner, (0, 0))
            found[owner] = count + 1, (total + int(digest(row), 16)) % _DIGESTS
        return found

    def count(self, connection: Connection) -> int:
        """Return how many rows there are."""
        return int(connection.execute(f"SELECT count(*) FROM {self.name}").get)

    def rows(self, connection: Connection, keys: Sequence[Key]) -> list[Row]:
        """Return the rows of keys, which are in order."""
        wanted = set(keys)
        clause = f"({self._list}) >= ({rows.placeholders(self._list)})"
        clause += f" AND ({self._list}) <= ({rows.placeholders(self._list)})"
        found = connection.execute(
            f"SELECT {', '.join(self.columns)} FROM {self.name} WHERE {clause}",
            (*keys[0], *keys[-1]),
        )
        read = self._plain(self.columns, found)
        return [row for row in read if row[: len(self.key)] in wanted]

    def drop(self, connection: Connection, keys: Iterable[Key]) -> None:
        """Delete rows, and what hangs on them."""
        gone = list(keys)
        if gone and self.dropped_first is not None:
            connection.executemany(self.dropped_first, gone)
        if gone:
            clause = " AND ".join(f"{name} = ?" for name in self.key)
            connection.executemany(f"DELETE FROM {self.name} WHERE {clause}", gone)

    @property
    def _list(self) -> str:
        return ", ".join(self.key)

    def _told(
        self,
        connection: Connection,
        after: Key | None,
        last: Key | None,
        *,
        whole: bool = False,
        most: int | None = None,
    ) -> dict[Key, Row]:
        told = self.others if whole or self.told_by is None else self.told_by
        found = self._found(connection, (*self.key, *told), after=after, last=last, most=most)
        return {row[: len(self.key)]: row[len(self.key) :] for row in found}

    def _found(
        self,
        connection: Connection,
        columns: tuple[str, ...],
        *,
        after: Key | None,
        last: Key | None,
        most: int | None = None,
    ) -> list[Row]:
        clauses: list[str] = []
        values: list[Any] = []
        for compared, key in ((">", after), ("<=", last)):
            if key is not None:
                clauses.append(f"({self._list}) {compared} ({rows.placeholders(self._list)})")
                values += key
        where = f" WHERE {' AND '.join(clauses)}" if clauses else ""
        limit = "" if most is None else f" LIMIT {most}"
        found = connection.execute(
            f"SELECT {', '.join(columns)} FROM {self.name}{where} ORDER BY {self._list}{limit}",
            values,
        )
        return self._plain(columns, found)

    def _plain(self, columns: tuple[str, ...], found: Iterable[Any]) -> list[Row]:
        """Return rows as they are whichever database they come from."""
        flags = [place for place, name in enumerate(columns) if name in self.flags]
        if not flags:
            return list(map(tuple, found))
        plain = list(map(list, found))
        for row in plain:
            for place in flags:
                row[place] = bool(row[place])
        return list(map(tuple, plain))


_OF_A_MEMORY = "(SELECT tenant FROM memories WHERE memories.created_seq = {})"
_MARKED = frozenset({"pinned", "legal_hold"})

TENANTS: Final = Table(
    "tenants",
    ("name",),
    _named("state, created_at, max_memories, requests_per_minute, burst, memories"),
    owner="name",
)
TABLES: Final = (
    Table(
        "generations",
        ("id",),
        _named("model, state, embedder, dimensions, created_at, activated_at"),
        dropped_first="DELETE FROM vectors WHERE generation = ?",
    ),
    Table(
        "memories",
        ("created_seq",),
        ("seq", *_named(rows.WRITTEN_COLUMNS)),
        owner="tenant",
        told_by=("seq", "accessed_at", "access_count"),
        flags=_MARKED,
    ),
    Table(
        "vectors",
        ("created_seq", "generation"),
        ("vector",),
        owner=_OF_A_MEMORY.format("vectors.created_seq"),
        told_by=(),  # another text is another `seq` of its memory, which goes with all its vectors
    ),
    Table(
        "revisions",
        ("created_seq", "revision"),
        (
            *("replaced_at", "replaced_by", "action"),
            *(name for name in _named(rows.MEMORY_COLUMNS) if name != "revision"),
        ),
        owner="tenant",
        told_by=(),
        flags=_MARKED,
    ),
    Table(
        "links",
        ("source", "target", "type"),
        ("created_at",),
        owner=_OF_A_MEMORY.format("source"),
    ),
    Table(
        "steps",
        ("created_seq", "number"),
        ("tenant", "at", "said"),
        owner="tenant",
        told_by=(),
    ),
    Table(
        "forgetting_runs",
        ("added",),
        _named("id, tenant, started_at, cause, archived, trashed, purged, undone_at"),
        owner="tenant",
    ),
    Table(
        "forgetting_changes",
        ("run", "created_seq"),
        _named("state, state_changed_at, state_run"),
        owner=_OF_A_MEMORY.format("forgetting_changes.created_seq"),
    ),
    Table(
        "consolidation_runs",
        ("added",),
        _named(
            "id, tenant, job, cause, started_at, status, examined, kept, archived, ended_at,"
            " error, undone_at, alive_at"
        ),
        owner="tenant",
    ),
    Table(
        "consolidation_changes",
        ("run", "created_seq"),
        _named("number, kept, revision, linked, state, state_changed_at, state_run, undone"),
        owner=_OF_A_MEMORY.format("consolidation_changes.created_seq"),
        flags=frozenset({"kept", "undone"}),
    ),
    Table(
        "keys",
        ("added",),
        _named(
            "id, tenant, name, role, digest, created_at, revoked_at, bootstrap, expires_at,"
            " last_used_at, rotated_from, managed"
        ),
        owner="tenant",
        flags=frozenset({"bootstrap", "managed"}),
    ),
    Table(
        "idempotency",
        ("tenant", "key_id", "name"),
        _named("digest, answer, created_at"),
        owner="tenant",
    ),
    Table(
        "audit",
        ("tenant", "seq"),
        _named("at, actor, request_id, action, target, details, previous, hash"),
        owner="tenant",
        told_by=(),
    ),
    Table(
        "audit_chains",
        ("tenant",),
        _named("seq, hash, pruned_seq, pruned_hash"),
        owner="tenant",
    ),
    Table("usage", _named("tenant, day, endpoint"), _named("requests, refused, failed"), "tenant"),
    Table("steady_clock", ("id",), _named("wall, steady, job_ran_at")),
    TENANTS,
)
"""What goes along, in an order in which nothing refers to what comes later.

Tenants are the last: while there are none, no quota keeps a memory out and nobody counts them, so
that in the end they hold as many as was written down.
"""
LEFT_BEHIND: Final = frozenset(
    {"deletions", "indexed", "lease", "moves", "rewinds", "schema_migrations", "words"}
)
"""What is of one database alone: whoever follows the feed begins anew, as at every start, and what
only searches need is made anew there."""
SEALED: Final = frozenset({"encryption", "data_keys"})
"""What only an encrypted bank has, which is not moved."""


def schema(connection: Connection) -> int:
    """Return the version of the tables."""
    return int(connection.execute("SELECT max(version) FROM schema_migrations").get)


def numbered(connection: Connection) -> int:
    """Return the number of the newest change."""
    return int(connection.execute("SELECT seq FROM feed").get)


def number(connection: Connection, seq: int) -> None:
    """Let changes be numbered from here on."""
    connection.execute("UPDATE feed SET seq = ?", (seq,))


def drop_tenants(connection: Connection) -> None:
    """Let no quota and no count stand in the way of memories."""
    connection.execute("DELETE FROM tenants")


def is_empty(connection: Connection) -> bool:
    """Say whether nobody has used this bank yet."""
    return numbered(connection) == 0 and not any(
        connection.execute(f"SELECT 1 FROM {table.name} LIMIT 1").fetchone()
        for table in TABLES
        if table is not TENANTS  # each bank begins with one
    )


def is_encrypted(connection: Connection) -> bool:
    """Say whether what memories say is sealed."""
    return connection.execute("SELECT 1 FROM encryption").fetchone() is not None


@dataclass(slots=True)
class Census:
    """How many rows of each table everybody has, and a digest of them."""

    seq: int
    counts: dict[tuple[str, str], int] = field(default_factory=dict)
    """By owner and table."""
    digests: dict[tuple[str, str], str] = field(default_factory=dict)
    """Of all columns of all rows."""

    def add(self, table: Table, tallies: Iterable[Tally]) -> None:
        """Count a table in that was read in stretches."""
        whole: Tally = {}
        for tally in tallies:
            for owner, (count, total) in tally.items():
                before, sum_before = whole.get(owner, (0, 0))
                whole[owner] = before + count, (sum_before + total) % _DIGESTS
        for owner, (count, total) in whole.items():
            self.counts[owner, table.name] = count
            self.digests[owner, table.name] = f"{total:064x}"

    def owners(self) -> list[str]:
        """Return the tenants that have anything, in order."""
        return sorted({owner for owner, _ in self.counts} - {_BANK})

    def digest(self, owner: str) -> str:
        """Return one digest for all that a tenant has."""
        parts = [f"{name} {self.digests.get((owner, name), '')}\n" for name in _NAMES]
        return hashlib.sha256("".join(parts).encode()).hexdigest()


_NAMES = [table.name for table in TABLES]


def digest(told: object) -> str:
    """Return the SHA-256, hex, of what is told of rows."""
    return hashlib.sha256(repr(told).encode(errors="surrogatepass")).hexdigest()
