"""Looking after a PostgreSQL database, as far as that is not its operators' work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from memorybank.ports import Disk, PoolStatus, StoreCheck, StoreStatus
from memorybank.stores.postgres.schema import migrations
from memorybank.stores.sql.connection import EVERYONE, Connection, Run

_MOST_PROBLEMS = 100
_COUNTED = ("memories", "keys", "tenants")
_CHECKS = {
    "SELECT name FROM tenants WHERE memories <>"
    " (SELECT count(*) FROM memories WHERE tenant = tenants.name)": "the tenant {} is miscounted",
    "SELECT 'x' FROM feed WHERE seq < (SELECT coalesce(max(seq), 0) FROM memories)"
    " OR seq < (SELECT coalesce(max(seq), 0) FROM deletions)": "the feed lags behind its changes",
    "SELECT source.id FROM links JOIN memories AS source ON source.created_seq = source"
    " JOIN memories AS target ON target.created_seq = target"
    " WHERE source.tenant <> target.tenant": "a link of the memory {} leaves its tenant",
    "SELECT revisions.id FROM revisions JOIN memories USING (created_seq)"
    " WHERE (revisions.tenant, revisions.id) <> (memories.tenant, memories.id)": (
        "a revision of the memory {} is of another"
    ),
    "SELECT memories.id FROM steps JOIN memories USING (created_seq)"
    " WHERE steps.tenant <> memories.tenant": "a step of the episode {} is of another tenant",
}
"""What must return nothing, and what it means when it does."""


@dataclass(frozen=True, slots=True)
class CareTables:
    """See StoreCare. The server looks after its files and its disk itself."""

    read: Run
    pool: Callable[[], PoolStatus]
    connections: Callable[[], int]

    @property
    def schema_version(self) -> int:
        """See StoreCare."""
        return migrations()[-1].version

    @property
    def way_back(self) -> int | None:
        """See StoreCare. Several processes write: nobody could say that nobody did."""
        return None

    @property
    def damaged(self) -> bool:
        """See StoreCare: a server that meets damage says so in its own log."""
        return False

    async def integrity(self) -> StoreCheck:
        """See StoreCare: what refers to what, and whether counts are right."""
        return await self.read(EVERYONE, check)

    async def status(self) -> StoreStatus:
        """See StoreCare."""
        return await self.read(EVERYONE, self._status)

    async def disk(self) -> Disk | None:
        """See StoreCare: a client is not told."""
        return None

    def _status(self, connection: Connection) -> StoreStatus:
        version, schema, size = connection.execute(
            "SELECT current_setting('server_version'),"
            " (SELECT max(version) FROM schema_migrations), pg_database_size(current_database())"
        ).fetchone()
        return StoreStatus(
            engine=f"postgresql {version.split()[0]}",
            schema_version=schema,
            counts=_counts(connection, *_COUNTED),
            database_bytes=size,
            log_bytes=0,
            reusable_bytes=0,
            disk=None,
            connections=self.connections(),
        )


def check(connection: Connection) -> StoreCheck:
    """Look at what refers to what, and whether counts are right."""
    problems: list[str] = []
    for statement, meaning in _CHECKS.items():
        found: list[Any] = connection.execute(f"{statement} LIMIT {_MOST_PROBLEMS}").fetchall()
        problems += [meaning.format(value) for (value,) in found]
    return StoreCheck(problems[:_MOST_PROBLEMS], _counts(connection, *_COUNTED, "vectors"))


def _counts(connection: Connection, *tables: str) -> dict[str, int]:
    return {table: int(connection.execute(f"SELECT count(*) FROM {table}").get) for table in tables}
