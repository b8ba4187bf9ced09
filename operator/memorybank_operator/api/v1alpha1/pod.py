"""The parts of a spec that shape the bank's pod."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from memorybank_operator.api.base import ApiModel, cel, rules
from memorybank_operator.api.v1alpha1.types import ComputeQuantity, DataKey, Labels, ObjectName
from memorybank_operator.constants import RESERVED_ENVIRONMENT

ResourceList = Annotated[dict[str, ComputeQuantity], Field(max_length=4)]
"""As cpu, memory, ephemeral-storage and a device: Kubernetes 1.33 takes each quantity for three
million characters when it estimates what rules cost, and refuses definitions with more of them.
"""


class Resources(ApiModel):
    """Compute resources of a container."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "!has(self.requests) || !has(self.limits)"
                " || self.requests.all(k, !(k in self.limits)"
                " || [string(self.requests[k])].all(r, [string(self.limits[k])].all(l,"
                " !isQuantity(r) || !isQuantity(l)"
                " || !quantity(r).isGreaterThan(quantity(l)))))",
                "a request must not be larger than the limit of the same resource: lower the one "
                "or raise the other",
            )
        )
    )

    requests: ResourceList = Field(default_factory=dict)
    """What the scheduler reserves for the pod, such as cpu and memory."""
    limits: ResourceList = Field(default_factory=dict)
    """What the pod may use at most. Above the memory limit it is stopped and started again."""


BUILT_IN_RESOURCES = Resources(
    requests={"cpu": "100m", "memory": "256Mi"}, limits={"memory": "512Mi"}
)
"""Of banks for which nobody says anything else."""


class LocalReference(ApiModel):
    """Names an object in the bank's namespace."""

    name: ObjectName
    """Name of the object."""


class KeyReference(ApiModel):
    """Names one entry of a Secret or ConfigMap in the bank's namespace."""

    name: ObjectName
    """Name of the Secret or ConfigMap."""
    key: DataKey
    """Key of the entry."""
    optional: bool = False
    """Whether the pod starts without it when it does not exist."""


class EnvVarSource(ApiModel):
    """Where the value of a variable comes from."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "has(self.secretKeyRef) != has(self.configMapKeyRef)",
                "set either secretKeyRef or configMapKeyRef",
            )
        )
    )

    secret_key_ref: KeyReference | None = None
    """Entry of a Secret."""
    config_map_key_ref: KeyReference | None = None
    """Entry of a ConfigMap."""


class EnvVar(ApiModel):
    """One variable of the memory service's environment."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel("has(self.value) != has(self.valueFrom)", "set either value or valueFrom")
        )
    )

    name: Annotated[
        str,
        Field(
            max_length=128,
            json_schema_extra=rules(
                cel(
                    "self.matches('^[A-Za-z_][A-Za-z0-9_]*$')",
                    "write the name of a variable: letters, digits and '_', not beginning with a "
                    "digit",
                ),
                cel(
                    f"!(self in {list(RESERVED_ENVIRONMENT)})",
                    f"{', '.join(RESERVED_ENVIRONMENT)} are set by the operator: remove the "
                    "variable (an own admin key goes into spec.auth.adminKeySecretRef)",
                ),
            ),
        ),
    ]
    """Name of the variable. Those that the operator sets itself are refused."""
    value: Annotated[str, Field(max_length=4096)] | None = None
    """The value as text. Secrets belong into valueFrom.secretKeyRef."""
    value_from: EnvVarSource | None = None
    """Takes the value from a Secret or ConfigMap."""


class Toleration(ApiModel):
    """Lets the pod run on nodes with a matching taint."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "has(self.key) || (has(self.operator) && self.operator == 'Exists')",
                "a toleration without key must have operator Exists",
            ),
            cel(
                "!has(self.value) || !has(self.operator) || self.operator != 'Exists'",
                "a toleration with operator Exists has no value: remove value or use operator "
                "Equal",
            ),
            cel(
                "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
                "tolerationSeconds needs effect NoExecute",
            ),
        )
    )

    key: Annotated[str, Field(max_length=316)] | None = None
    """Key of the taint; without it, and with operator Exists, every taint matches."""
    operator: Literal["Equal", "Exists"] | None = None
    """Equal (when left out) compares the value, Exists does not."""
    value: Annotated[str, Field(max_length=63)] | None = None
    """Value of the taint."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Effect of the taint; without it, every effect matches."""
    toleration_seconds: int | None = None
    """How long the pod stays on a node that gets the taint; NoExecute only."""


class LabelSelector(ApiModel):
    """Selects pods by their labels."""

    match_labels: Labels = Field(default_factory=dict)
    """Labels that the pods have, with their values."""


class TopologySpread(ApiModel):
    """How evenly pods spread over the values of a node's label."""

    max_skew: Annotated[int, Field(ge=1)] = 1
    """By how many pods two values of the label may differ."""
    topology_key: Annotated[
        str,
        Field(
            max_length=316,
            json_schema_extra=rules(
                cel(
                    "!format.qualifiedName().validate(self).hasValue()",
                    "write the key of a node's label, such as topology.kubernetes.io/zone",
                )
            ),
        ),
    ]
    """Key of the node's label, such as topology.kubernetes.io/zone."""
    when_unsatisfiable: Literal["DoNotSchedule", "ScheduleAnyway"] = "ScheduleAnyway"
    """What becomes of a pod that would make it uneven."""
    label_selector: LabelSelector | None = None
    """Which pods are counted, such as all of a team by spec.podLabels. Left out, this bank's."""


Affinity = dict[str, Any]
"""As in a pod's spec; the API server checks it when the Deployment is applied."""
