"""When the memory service of a bank makes few memories of many. What is at its default here is at
its default in the service; tests/contract compares.
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field

from memorybank_operator.api.base import ApiModel, cel, rules
from memorybank_operator.api.v1alpha1.types import Schedule

ConsolidationJob = Literal["compress_handoffs", "archive_decisions", "merge_duplicates"]
CONSOLIDATION_JOBS: tuple[ConsolidationJob, ...] = get_args(ConsolidationJob)
"""What the service calls its jobs, in the order in which they run."""


class Consolidation(ApiModel):
    """Jobs that make few memories of many, by rules alone. Each run of them can be undone."""

    enabled: bool = False
    """Whether the jobs run by the schedule. They can always be asked to run."""
    schedule: Schedule = "30 3 * * *"
    """When, by the five fields of cron, in UTC. What was missed is made up for once."""
    jobs: Annotated[
        tuple[ConsolidationJob, ...],
        Field(
            min_length=1,
            max_length=len(CONSOLIDATION_JOBS),
            json_schema_extra={"x-kubernetes-list-type": "atomic"}
            | rules(
                cel(
                    "self.all(one, self.exists_one(other, other == one))",
                    "spec.consolidation.jobs must name each job once",
                )
            ),
        ),
    ] = CONSOLIDATION_JOBS
    """What runs, in this order: compress_handoffs (one hand-off says what the old ones said),
    archive_decisions (those that another one took the place of, or that nobody uses),
    merge_duplicates (one memory for those that say the same).
    """
