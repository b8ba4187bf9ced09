"""More pods that answer what reads, beside the one that writes."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from memorybank_operator.api.base import ApiModel, rules
from memorybank_operator.api.duration import parse_duration
from memorybank_operator.api.v1alpha1.backup import within
from memorybank_operator.api.v1alpha1.pod import Resources
from memorybank_operator.api.v1alpha1.types import Duration

READ_REPLICAS_PATH = "spec.readReplicas"


class ReadReplicas(ApiModel):
    """Pods that follow the bank's backups and answer what reads, behind a Service of their own."""

    model_config = ConfigDict(
        json_schema_extra=rules(within("maxLag", "5s", "24h", path=READ_REPLICAS_PATH))
    )

    replicas: Annotated[int, Field(ge=1, le=10)] = 2
    """How many there are, from 1 to 10; none while the bank has no pod. Each asks the destination
    of the backups once a second.
    """
    max_lag: Duration = "60s"
    """How far behind what has arrived at the destination one may be and be asked: from 5s to 24h.
    """
    resources: Resources | None = None
    """Compute resources of each. Left out, those of the bank's own pod. The copy is on the disk of
    the node: ephemeral-storage bounds it.
    """

    @property
    def max_lag_seconds(self) -> int:
        """`max_lag` in seconds."""
        return int(parse_duration(self.max_lag).total_seconds())
