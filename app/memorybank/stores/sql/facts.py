"""What a bank holds, for whoever compares it with a copy."""

from __future__ import annotations

from memorybank.domain.times import maybe_moment
from memorybank.ports import StoreFacts
from memorybank.stores.sql.connection import Connection

SCHEMA = "SELECT max(version) FROM schema_migrations"
_CHANGE = "SELECT seq FROM feed"
_MEMORIES = "SELECT count(*) FROM memories WHERE tenant != '_selftest'"
_TENANTS = "SELECT count(*) FROM tenants WHERE state = 'active'"
_KEYS = "SELECT count(*) FROM keys"
_KEY_IDS = "SELECT key_id FROM encryption UNION SELECT key_id FROM data_keys ORDER BY 1"
_NEWEST = """
SELECT max(moment) FROM (
    SELECT * FROM (
        SELECT {larger}(updated_at, coalesce(state_changed_at, 0)) AS moment
        FROM memories WHERE tenant != '_selftest' ORDER BY seq DESC LIMIT 1
    ) AS changed
    UNION ALL SELECT max(created_at) FROM tenants
    UNION ALL SELECT max({larger}(created_at, coalesce(revoked_at, 0))) FROM keys
) AS moments
"""


def facts(connection: Connection, *, larger: str) -> StoreFacts:
    """Return what a database holds, all of the same moment. `larger` is what it calls the function
    that returns the larger of two numbers.
    """
    with connection:
        numbers = [
            connection.execute(each).get
            for each in (
                SCHEMA, _CHANGE, _NEWEST.format(larger=larger), _MEMORIES, _TENANTS, _KEYS,
            )
        ]  # fmt: skip
        key_ids = tuple(name for (name,) in connection.execute(_KEY_IDS))
    schema_version, change, changed_at, memories, tenants, keys = numbers
    return StoreFacts(
        schema_version, change, maybe_moment(changed_at), memories, tenants, keys, key_ids
    )
