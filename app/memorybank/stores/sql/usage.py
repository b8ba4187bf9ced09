"""The statements about usage. Those that write expect a transaction around them."""

from __future__ import annotations

from collections.abc import Mapping

from memorybank.domain.usage import Count, Endpoint
from memorybank.stores.sql.connection import Connection


def add(connection: Connection, counts: Mapping[Endpoint, Count]) -> None:
    """Add what was counted."""
    connection.executemany(
        "INSERT INTO usage (tenant, day, endpoint, requests, refused, failed)"
        " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (tenant, day, endpoint) DO UPDATE SET"
        " requests = usage.requests + excluded.requests,"
        " refused = usage.refused + excluded.refused, failed = usage.failed + excluded.failed",
        [
            (where.tenant, where.day, where.name, count.requests, count.refused, count.failed)
            for where, count in counts.items()
        ],
    )


def of_tenant(connection: Connection, tenant: str, *, first: str, last: str) -> dict[str, Count]:
    """Return what a tenant asked from one day to another, both included, by endpoint."""
    found = connection.execute(
        "SELECT endpoint, sum(requests), sum(refused), sum(failed) FROM usage"
        " WHERE tenant = ? AND day BETWEEN ? AND ? GROUP BY endpoint ORDER BY endpoint",
        (tenant, first, last),
    )
    return {str(row[0]): Count(*map(int, row[1:])) for row in found}
