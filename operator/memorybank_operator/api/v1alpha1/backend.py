"""What all servers have in common that a bank can have of its own."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from memorybank_operator.api.base import ApiModel, cel, rules
from memorybank_operator.api.v1alpha1.types import ObjectName, SizeQuantity

BackendVolumeSize = Annotated[
    SizeQuantity,
    Field(
        json_schema_extra=rules(
            cel(
                "isQuantity(self) && !quantity(self).isLessThan(quantity('10Mi'))",
                "write a quantity of at least 10Mi, such as 2Gi",
            ),
        )
    ),
]


class BackendVolume(ApiModel):
    """The volume of such a server. What is on it can be had again."""

    size: BackendVolumeSize
    """Size of the volume."""
    storage_class_name: ObjectName | None = None
    """Storage class of the volume. Left out, the cluster's default class."""
