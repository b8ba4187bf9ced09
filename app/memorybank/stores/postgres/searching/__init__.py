"""Searching inside PostgreSQL: words by tsvector, meanings by pgvector."""

from memorybank.stores.postgres.searching.index import PostgresIndex

__all__ = ["PostgresIndex"]
