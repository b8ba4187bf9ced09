"""How the service says that it is well."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from memorybank.schemas.fields import Response


class Check(Response):
    """One thing that was tried."""

    name: str
    status: Literal["ok", "failed", "skipped"]
    message: str | None = Field(None, description="Why it failed.")


class Health(Response):
    """The process runs and answers."""

    status: Literal["ok"] = "ok"
    version: str


class ReadyReport(Response):
    """Whether the service does its job: what was tried, and how it went."""

    status: Literal["ready", "not_ready"]
    version: str
    revision: str = Field(description="MEMORY_BANK_REVISION of this process; empty when unset.")
    checks: list[Check]
