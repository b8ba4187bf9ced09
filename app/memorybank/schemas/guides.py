"""Answers of the routes that common deployment guides call, as those describe them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from memorybank.schemas.fields import Request, Response
from memorybank.schemas.forgetting import StatsView


class MemoryStats(Response):
    """What a tenant holds."""

    tenant_id: str
    total_memories: int = Field(description="Live ones.")
    avg_importance: float | None
    oldest_memory: datetime | None
    newest_memory: datetime | None
    embedding_provider: str = Field(description="The model that makes the vectors.")


class ForgettingCurveRun(Response):
    """What a run did."""

    status: Literal["forgetting curve applied"] = "forgetting curve applied"
    timestamp: datetime
    archived: int
    trashed: int
    purged: int


class SchedulerJob(Response):
    """Something that is done from time to time."""

    id: str
    name: str
    next_run: datetime | None = Field(description="null while it is switched off.")
    trigger: str
    last_run: datetime | None = Field(description="null when it never ran.")
    last_result: str | None = Field(description="How that run ended, or `running`.")


class SchedulerStatus(Response):
    """What is done from time to time, and when."""

    status: Literal["running", "stopped"]
    scheduler_state: Literal[0, 1] = Field(description="1 where any job has a next run.")
    jobs: list[SchedulerJob]


class MetricsQuery(Request):
    """Whose figures."""

    tenant_id: str | None = Field(
        None,
        description="The tenant of the key. Left out, the answer is Prometheus' text of the whole"
        " bank, for its administrators, where `server.metrics_on_port` allows it.",
    )


class TenantMetrics(StatsView):
    """The figures of a tenant."""

    tenant_id: str
    timestamp: datetime


class EverythingQuery(Request):
    """What to export."""

    tenant_id: str | None = Field(
        None, description="The tenant of the key, which implies it; another one is refused."
    )
    # Not strict: a query string has texts only.
    include_events: Annotated[bool, Field(strict=False)] = Field(
        True, description="Whether memories of type event are in the file, too."
    )
