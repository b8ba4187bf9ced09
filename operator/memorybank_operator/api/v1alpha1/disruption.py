"""The part of a spec that says when a node may be emptied of the bank's pod."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from memorybank_operator.api.base import ApiModel, cel, rules


class PodDisruptionBudget(ApiModel):
    """How many pods may be away while nodes are emptied, such as for their own upgrade."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "has(self.minAvailable) != has(self.maxUnavailable)",
                "set either minAvailable or maxUnavailable",
            )
        )
    )

    min_available: Annotated[int, Field(ge=0)] | None = None
    """Pods that have to serve. As many as there are has a drain of the node wait until somebody
    moves the bank, such as by spec.hibernate.
    """
    max_unavailable: Annotated[int, Field(ge=0)] | None = None
    """Pods that may be away. 0 has a drain of the node wait until somebody moves the bank."""
