"""How the service says that it is well."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from memorybank.schemas.fields import Response

Status = Literal["ok", "degraded", "failed", "skipped"]


class Check(Response):
    """One thing that was tried."""

    name: str
    status: Status = Field(
        description="`degraded`: without it the service does its job less well, and is ready."
    )
    message: str | None = Field(None, description="Why it failed.")


class Health(Response):
    """The process runs and answers."""

    status: Literal["healthy"] = "healthy"
    version: str
    timestamp: datetime
    uptime: float = Field(description="Seconds since the process serves.")


class ProcessMemory(Response):
    """Memory of a process."""

    rss: int = Field(description="Bytes that are in memory.")


class ProcessCpu(Response):
    """Processor time that a process had, in microseconds."""

    user: int
    system: int


class Live(Response):
    """The process runs and answers, and what it takes for that."""

    status: Literal["alive"] = "alive"
    version: str
    pid: int
    memory: ProcessMemory
    cpu: ProcessCpu


class DiskReport(Response):
    """The disk of the database, as `df` shows it."""

    total_bytes: int
    free_bytes: int


class CopyReport(Response):
    """How far a copy of the backups is."""

    name: str
    copied_at: datetime | None = Field(
        description="What was at the first destination then is there; null until that is known."
    )
    problem: str = Field(description="Why it does not go on; empty when it does.")
    problem_since: datetime | None
    waiting_bytes: int | None = Field(
        description="What is known to be missing there; null before it is known."
    )


class BackupReport(Response):
    """How fresh the backups are. A fence alone makes the service unready."""

    epoch: str = Field(description="What this process replicates to.")
    parent: str | None = Field(description="The epoch that it went on from.")
    origin: Literal["nothing", "volume", "backup", "restored"] = Field(
        description="What the database began with at the start of the pod."
    )
    durability: Literal["async", "replicated"] = Field(
        description="What an acknowledged write means now."
    )
    synced_at: datetime | None = Field(
        description="When everything that was committed then is known to have arrived: to when the"
        " bank can be restored."
    )
    recoverable_from: datetime | None = Field(
        description="From when on every moment can be restored, by the clock of the destination;"
        " null while it is not known."
    )
    problem: str = Field(description="Why the last look failed; empty when it did not.")
    problem_since: datetime | None
    waiting_bytes: int = Field(
        description="How much is on the volume that is not known to have arrived."
    )
    fenced_by: str | None = Field(
        None,
        description="Namespace, name and uid of the bank that was promoted in the place of this one"
        ", which is not ready then and takes no writes.",
    )
    fenced_at: datetime | None = Field(None, description="When that was.")
    copies: list[CopyReport] = Field(
        [], description="The further destinations. They make no service unready."
    )


class FollowReport(Response):
    """What is known of the bank that is followed."""

    epoch: str = Field(description="The epoch of the bank that is read here.")
    transaction: int = Field(description="The last one of that epoch that is here.")
    written_at: datetime | None = Field(
        description="When it was replicated, by the clock of the primary's node."
    )
    lag_seconds: float | None = Field(
        description="What had arrived at the destination so long ago is found here, at the latest;"
        " null before that is known for the first time. What is on its way there is not in it."
    )
    problem: str = Field(description="Why the last look failed; empty when it did not.")
    problem_since: datetime | None


class ReadyReport(Response):
    """Whether the service does its job: what was tried, and how it went."""

    status: Literal["ready", "not_ready"]
    version: str
    revision: str = Field(description="MEMORY_BANK_REVISION of this process; empty when unset.")
    schema_version: int = Field(
        description="Schema of the database; a service that knows only older ones does not open it,"
        " unless there is a `way_back` for it."
    )
    way_back: int | None = Field(
        None,
        description="Schema that an older version can put the database back to without losing"
        " anything, since nobody has written after a migration; null for none.",
    )
    disk: DiskReport | None = Field(description="Null when it does not answer in time.")
    backup: BackupReport | None = Field(None, description="Null when none is configured.")
    follow: FollowReport | None = Field(None, description="Null for a bank of its own.")
    checks: list[Check]
