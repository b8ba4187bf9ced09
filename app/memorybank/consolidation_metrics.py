"""What is counted and measured of the consolidation jobs, over all tenants."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from memorybank.domain.consolidation.rules import Job, RunStatus
from memorybank.ports import ConsolidationRun

_BUCKETS = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 3_600)
"""Seconds: from a tenant with nothing to do to one with millions of memories."""


class ConsolidationMetrics:
    """Hears of every run that ended."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._runs = Counter(
            "memorybank_consolidation_runs",
            "Runs of consolidation jobs that ended, by how.",
            ("job", "result"),
            registry=registry,
        )
        self._archived = Counter(
            "memorybank_consolidation_archived",
            "Memories that a job archived: hand-offs and duplicates in the place of which another"
            " one stands, and decisions.",
            ("job",),
            registry=registry,
        )
        self._kept = Counter(
            "memorybank_consolidation_kept",
            "Memories that stand for others since a job ran.",
            ("job",),
            registry=registry,
        )
        self._seconds = Histogram(
            "memorybank_consolidation_duration_seconds",
            "Time that a run on the memories of one tenant took, rests included.",
            ("job",),
            buckets=_BUCKETS,
            registry=registry,
        )
        self._succeeded = Gauge(
            "memorybank_consolidation_last_success_timestamp_seconds",
            "When a run of the job last ended well here.",
            ("job",),
            registry=registry,
        )
        self._failures = Gauge(
            "memorybank_consolidation_failures_in_a_row",
            "Runs of the job that failed here since one ended well.",
            ("job",),
            registry=registry,
        )
        for job in Job:
            self._failures.labels(job.value).set(0)

    def ended(self, run: ConsolidationRun) -> None:
        """Count a run."""
        job = run.job.value
        self._runs.labels(job, run.status.value).inc()
        self._archived.labels(job).inc(run.archived)
        self._kept.labels(job).inc(run.kept)
        if run.ended_at is None:
            return
        seconds = (run.ended_at - run.started_at).total_seconds()
        self._seconds.labels(job).observe(max(seconds, 0.0))
        if run.status is RunStatus.DONE:
            self._succeeded.labels(job).set(run.ended_at.timestamp())
            self._failures.labels(job).set(0)
        elif run.status is RunStatus.FAILED:
            self._failures.labels(job).inc()
