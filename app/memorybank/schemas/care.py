"""What administrators see of the bank's own condition."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from memorybank.domain.configuration import ConfigurationReport
from memorybank.ports import StoreCheck, StoreStatus, VectorsStatus
from memorybank.schemas.fields import Response


class StoreView(Response):
    """The store: what it is and how large."""

    engine: str
    schema_version: int
    counts: dict[str, int] = Field(description="Rows by kind, over all tenants.")
    database_bytes: int
    log_bytes: int = Field(description="Of the write-ahead log.")
    reusable_bytes: int = Field(description="In the database, left by what was deleted.")
    disk_free_bytes: int | None = Field(description="null where the disk is another machine's.")
    disk_total_bytes: int | None
    connections: int = Field(description="Open connections to the database.")


class VectorServerView(Response):
    """The server that compares vectors."""

    position: int = Field(description="The newest change that it knows.")
    lag: int = Field(description="Changes that it does not know yet.")
    missing: int = Field(description="Vectors that it still has to get after it lost some.")
    problem: str | None = Field(
        description="Why it is not asked, and meanings are compared roughly; null when it is."
    )

    @classmethod
    def of(cls, status: VectorsStatus | None, newest: int) -> VectorServerView | None:
        """Show its state; `newest` is the last change of the store."""
        if status is None:
            return None
        return cls(
            position=status.position,
            lag=max(0, newest - status.position),
            missing=status.missing,
            problem=status.problem,
        )


class IndexView(Response):
    """The search index."""

    position: int = Field(description="The newest change that can be found.")
    lag: int = Field(description="Changes that are stored and cannot be found yet.")
    vectors: VectorServerView | None = Field(
        description="The vector server; null when the vectors are part of the index."
    )


class EmbedderView(Response):
    """The embedding model in use."""

    model: str
    dimensions: int


class PoolView(Response):
    """What serves readers and writers of the store, at this moment."""

    readers: int
    readers_busy: int
    writes_waiting: int


class CacheView(Response):
    """The cache of vectors, since the service began."""

    entries: int
    capacity: int
    hits: int = Field(description="Texts whose vectors it knew.")
    misses: int = Field(description="Texts that had to be embedded.")


class BankStatus(Response):
    """The bank as a whole: for its administrators."""

    version: str
    uptime_seconds: float
    store: StoreView
    index: IndexView
    embedder: EmbedderView
    pool: PoolView
    cache: CacheView | None = Field(description="Null without a cache.")


class ConfigurationView(Response):
    """Which configuration the service runs by, without a value of it."""

    file: str | None = Field(
        description="The first 16 hexadecimal digits of the SHA-256 of the configuration file in "
        "effect; null without a file."
    )
    secrets: dict[str, str] = Field(
        description="The same of each file with a secret, by the setting that names it: of the "
        "setting's name, a colon, and the secret without white space around it."
    )
    needs_restart: list[str] = Field(
        description="Settings that the file has otherwise than the running service."
    )
    problem: str | None = Field(
        description="Why the files as they are now are not in effect; null when they are."
    )
    loaded_at: datetime | None = Field(description="When what is in effect was read.")

    @classmethod
    def of(cls, report: ConfigurationReport) -> ConfigurationView:
        """Show a report."""
        return cls(
            file=report.file,
            secrets=dict(report.secrets),
            needs_restart=list(report.needs_restart),
            problem=report.problem,
            loaded_at=report.loaded_at,
        )


class CheckReport(Response):
    """What reading every page of the database has shown."""

    ok: bool
    problems: list[str] = Field(description="At most 100; never contents.")
    counts: dict[str, int] = Field(description="Rows by kind, over all tenants.")
    seconds: float

    @classmethod
    def of(cls, check: StoreCheck, seconds: float) -> CheckReport:
        """Show a check."""
        return cls(
            ok=not check.problems,
            problems=check.problems,
            counts=dict(check.counts),
            seconds=round(seconds, 3),
        )


class IndexCheckReport(Response):
    """What comparing the search index in memory with the database has shown."""

    ok: bool
    compared: int = Field(description="Memories that can be found, over all tenants.")
    differing: int = Field(description="Memories that the index has not, or not as they are.")
    rebuilt: bool = Field(description="Whether the index was built anew for that.")
    cached_dropped: int = Field(description="Remembered vectors that were damaged, and dropped.")
    seconds: float


class IndexRebuilt(Response):
    """The search index was dropped and built anew."""

    memories: int = Field(description="Memories that can be found, over all tenants.")
    cached_dropped: int = Field(description="Remembered vectors that were dropped.")
    seconds: float


def store_view(status: StoreStatus) -> StoreView:
    """Show the state of a store."""
    return StoreView(
        engine=status.engine,
        schema_version=status.schema_version,
        counts=dict(status.counts),
        database_bytes=status.database_bytes,
        log_bytes=status.log_bytes,
        reusable_bytes=status.reusable_bytes,
        disk_free_bytes=status.disk and status.disk.free_bytes,
        disk_total_bytes=status.disk and status.disk.total_bytes,
        connections=status.connections,
    )
