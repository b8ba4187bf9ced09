"""How the service says that it is well."""

from __future__ import annotations

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

    status: Literal["ok"] = "ok"
    version: str


class DiskReport(Response):
    """The disk of the database, as `df` shows it."""

    total_bytes: int
    free_bytes: int


class ReadyReport(Response):
    """Whether the service does its job: what was tried, and how it went."""

    status: Literal["ready", "not_ready"]
    version: str
    revision: str = Field(description="MEMORY_BANK_REVISION of this process; empty when unset.")
    schema_version: int = Field(
        description="Schema of the database; a service that knows only older ones does not open it."
    )
    disk: DiskReport | None = Field(description="Null when it does not answer in time.")
    checks: list[Check]
