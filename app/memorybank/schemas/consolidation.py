"""Consolidation as callers ask for it and are told."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from memorybank.domain.consolidation.rules import Job, RunStatus
from memorybank.schemas.fields import Request, Response

# Not strict: JSON and query strings have no enumerations, only texts.
JobName = Annotated[Job, Field(strict=False)]


class ConsolidationRequest(Request):
    """Which jobs to run, and how."""

    jobs: Annotated[list[JobName], Field(min_length=1, max_length=len(Job))] = Field(
        list(Job), description="In this order, each once; all, if left out."
    )
    dry_run: bool = Field(False, description="Change nothing, tell what would be done.")


class ConsolidationRunsQuery(Request):
    """Which runs to list."""

    job: JobName | None = Field(None, description="Of this job only.")
    # Not strict: a query string has texts only.
    limit: Annotated[int, Field(ge=1, le=1_000, strict=False)] = Field(
        50, description="How many runs to list at most."
    )


class ConsolidationRunView(Response):
    """A run of a consolidation job."""

    id: str
    job: Job
    status: RunStatus
    cause: str = Field(description="`schedule`, or the id of the key that asked for it.")
    started_at: datetime
    ended_at: datetime | None
    examined: int = Field(description="Memories that were read.")
    kept: int = Field(description="Memories that stand for others from then on.")
    archived: int = Field(description="Memories that were archived.")
    error: str | None = Field(description="Why it failed.")
    undone_at: datetime | None


class FoldView(Response):
    """One step: some memories are archived, and another one may stand for them."""

    kept: str | None = Field(description="The memory that stands for the others, if one does.")
    archived: list[str]


class ConsolidationReport(Response):
    """Runs that were asked for, in the order of the jobs."""

    dry_run: bool
    runs: list[ConsolidationRunView] = Field(
        description="Those that have begun. After 25 seconds the answer does not wait any longer:"
        " the last one may be `running`."
    )
    steps: list[FoldView] = Field(
        description="Of a dry run: what each job would do by itself, the first 1,000 steps."
    )


class ConsolidationRunList(Response):
    """Runs, newest first."""

    runs: list[ConsolidationRunView]


class ConsolidationJobView(Response):
    """A job."""

    job: Job
    scheduled: bool
    next_run: datetime | None = Field(description="Null where the schedule does not run it.")
    last_run: ConsolidationRunView | None
    last_success: datetime | None = Field(description="When a run of it last ended well.")


class ConsolidationJobs(Response):
    """Which jobs there are, and when they run."""

    enabled: bool
    schedule: str = Field(description="Five fields of cron, in UTC.")
    jobs: list[ConsolidationJobView]


class ConsolidationUndone(Response):
    """A run that was undone."""

    id: str
    status: Literal[RunStatus.UNDONE] = RunStatus.UNDONE
    restored: int = Field(description="Memories that are as they were before the run.")
    left: int = Field(
        description="Memories that somebody has changed since; they stay as they are."
    )
