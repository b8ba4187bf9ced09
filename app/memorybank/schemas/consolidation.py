"""Consolidation as callers ask for it and are told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from memorybank.domain.consolidation.rules import Fold, Job, Rules, RunStatus
from memorybank.ports import ConsolidationRun, JobReport
from memorybank.schemas.fields import Request, Response

MAX_SHOWN = 1_000
"""Steps that a preview tells of one by one; how many there are in all is always said."""

# Not strict: JSON and query strings have no enumerations, only texts.
JobName = Annotated[Job, Field(strict=False)]


class WhichJobs(Request):
    """Which jobs to run."""

    jobs: Annotated[list[JobName], Field(min_length=1, max_length=len(Job))] = Field(
        list(Job), description="In this order, each once; all, if left out."
    )

    def each_once(self) -> list[Job]:
        """Return them in their order."""
        return list(dict.fromkeys(self.jobs))


class ConsolidationRequest(WhichJobs):
    """Which jobs to run, and how."""

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

    @classmethod
    def of(cls, run: ConsolidationRun) -> ConsolidationRunView:
        """Show a run."""
        return cls(
            id=run.id,
            job=run.job,
            status=run.status,
            cause=run.cause,
            started_at=run.started_at,
            ended_at=run.ended_at,
            examined=run.examined,
            kept=run.kept,
            archived=run.archived,
            error=run.error,
            undone_at=run.undone_at,
        )


class FoldView(Response):
    """One step: some memories are archived, and another one may stand for them."""

    kept: str | None = Field(description="The memory that stands for the others, if one does.")
    archived: list[str]

    @classmethod
    def of(cls, fold: Fold) -> FoldView:
        """Show a step."""
        return cls(
            kept=None if fold.kept is None else fold.kept.id,
            archived=[memory.id for memory in fold.archived],
        )


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

    @classmethod
    def of(cls, runs: Iterable[ConsolidationRun]) -> ConsolidationReport:
        """Show what was begun."""
        return cls(dry_run=False, runs=[ConsolidationRunView.of(run) for run in runs], steps=[])

    @classmethod
    def of_dry(cls, runs: Iterable[ConsolidationRun], folds: Sequence[Fold]) -> ConsolidationReport:
        """Show what would be done."""
        return cls(
            dry_run=True,
            runs=[ConsolidationRunView.of(run) for run in runs],
            steps=[FoldView.of(fold) for fold in folds[:MAX_SHOWN]],
        )


class ConsolidationRunList(Response):
    """Runs, newest first."""

    runs: list[ConsolidationRunView]

    @classmethod
    def of(cls, runs: Iterable[ConsolidationRun]) -> ConsolidationRunList:
        """Show runs."""
        return cls(runs=[ConsolidationRunView.of(run) for run in runs])


class ConsolidationJobView(Response):
    """A job."""

    job: Job
    scheduled: bool
    next_run: datetime | None = Field(description="Null where the schedule does not run it.")
    last_run: ConsolidationRunView | None
    last_success: datetime | None = Field(description="When a run of it last ended well.")

    @classmethod
    def of(cls, report: JobReport) -> ConsolidationJobView:
        """Show a job."""
        return cls(
            job=report.job,
            scheduled=report.scheduled,
            next_run=report.next_run,
            last_run=None if report.last is None else ConsolidationRunView.of(report.last),
            last_success=None if report.last_done is None else report.last_done.ended_at,
        )


class ConsolidationJobs(Response):
    """Which jobs there are, and when they run."""

    enabled: bool
    schedule: str = Field(description="Five fields of cron, in UTC.")
    jobs: list[ConsolidationJobView]

    @classmethod
    def of(cls, rules: Rules, reports: Iterable[JobReport]) -> ConsolidationJobs:
        """Show all jobs."""
        return cls(
            enabled=rules.enabled,
            schedule=rules.schedule,
            jobs=[ConsolidationJobView.of(report) for report in reports],
        )


class ConsolidationUndone(Response):
    """A run that was undone."""

    id: str
    status: Literal[RunStatus.UNDONE] = RunStatus.UNDONE
    restored: int = Field(description="Memories that are as they were before the run.")
    left: int = Field(
        description="Memories that somebody has changed since; they stay as they are."
    )
