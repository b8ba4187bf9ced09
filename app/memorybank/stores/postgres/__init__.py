"""The store on a PostgreSQL database, for one process or several."""

from memorybank.stores.postgres.searching import PostgresIndex
from memorybank.stores.postgres.store import PostgresStore

__all__ = ["PostgresIndex", "PostgresStore"]
