"""Forgetting as callers ask for it and are told."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from memorybank.domain.forgetting import Step
from memorybank.domain.memory import MemoryState, MemoryType
from memorybank.schemas.fields import Request, Response

MAX_HORIZONS = 10

Fate = Literal["archived", "trash", "purged", "live"]


class RunRequest(Request):
    """How to run the job."""

    dry_run: bool = Field(False, description="Change nothing, tell what would be done.")


class RunsQuery(Request):
    """Which runs to list."""

    # Not strict: a query string has texts only.
    limit: Annotated[int, Field(ge=1, le=1_000, strict=False)] = Field(
        50, description="How many runs to list at most."
    )


class PreviewQuery(Request):
    """How far to look ahead."""

    # Not strict: a query string has texts only.
    days: Annotated[
        list[Annotated[int, Field(ge=0, le=3_650, strict=False)]],
        Field(min_length=1, max_length=MAX_HORIZONS),
    ] = Field([1, 7, 30], description="Days from now; may be repeated.")


class StepView(Response):
    """What is done to one memory."""

    id: str
    step: Step


class RunView(Response):
    """A run of the forgetting job."""

    id: str
    started_at: datetime
    cause: str = Field(description="`schedule`, or the id of the key that asked for it.")
    archived: int
    trashed: int
    purged: int
    undone_at: datetime | None


class RunReport(RunView):
    """What a run did, or would do."""

    dry_run: bool
    steps: list[StepView] = Field(description="The first 1,000 memories, oldest first.")


class RunList(Response):
    """Runs that changed something, newest first."""

    runs: list[RunView]


class Undone(Response):
    """A run that was undone."""

    restored: int = Field(description="Memories that are back where they were before the run.")


class FateView(Response):
    """What will have become of one memory."""

    id: str
    state: Fate


class ForecastView(Response):
    """What will have become of memories by a day, if nobody uses them until then."""

    days: int
    at: datetime
    archived: int
    trash: int
    purged: int
    memories: list[FateView] = Field(
        description="The first 1,000 that will be in another state than now, oldest first."
    )


class Preview(Response):
    """What the schedule will do."""

    enabled: bool = Field(description="False: it would do this, if it were switched on.")
    forecasts: list[ForecastView]


class ScheduleView(Response):
    """How memories are forgotten, and when the job runs."""

    enabled: bool
    dry_run: bool
    interval_hours: float
    threshold: float
    grace_days: float
    half_life_days: dict[MemoryType, float]
    last_run: datetime | None
    next_run: datetime | None = Field(description="Null when it is switched off.")
    running: bool
    now: datetime = Field(description="By the clock that grace periods are counted by.")


class EmptiedTrash(Response):
    """A trash that is empty, but for what is pinned or on legal hold."""

    purged: int


class StatsView(Response):
    """What there is."""

    total: int = Field(description="Live memories.")
    by_state: dict[MemoryState, int]
    by_type: dict[MemoryType, int] = Field(description="Of live memories, as all below.")
    pinned: int
    average_importance: float | None
    oldest: datetime | None
    newest: datetime | None
    embedding_model: str
