"""The store on one SQLite file, for one process."""

from memorybank.stores.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
