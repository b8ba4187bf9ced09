"""The part of a spec that lets the load decide how many pods serve a bank."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from memorybank_operator.api.base import ApiModel, cel, rules

ATOMIC_LIST = {"x-kubernetes-list-type": "atomic"}


class ScalingPolicy(ApiModel):
    """How much may change within some time."""

    type: Literal["Pods", "Percent"]
    """Whether value counts pods, or is a share of those that there are."""
    value: Annotated[int, Field(ge=1)]
    """By how many at the most."""
    period_seconds: Annotated[int, Field(ge=1, le=1_800)]
    """Within how many seconds."""


class ScalingRules(ApiModel):
    """How fast the number of pods changes in one direction."""

    stabilization_window_seconds: Annotated[int, Field(ge=0, le=3_600)] | None = None
    """For how long a lower or higher number has to be asked for before it counts. Left out, as in a
    HorizontalPodAutoscaler: 0 upwards, 300 downwards.
    """
    select_policy: Literal["Max", "Min", "Disabled"] = "Max"
    """Which of the policies counts; Disabled changes nothing in this direction."""
    policies: Annotated[
        tuple[ScalingPolicy, ...], Field(max_length=8, json_schema_extra=ATOMIC_LIST)
    ] = ()
    """How much may change within some time. Left out, as in a HorizontalPodAutoscaler: twice as
    many pods, or four more, each 15 seconds upwards; all at once downwards.
    """


class Behavior(ApiModel):
    """How fast the number of pods changes."""

    scale_up: ScalingRules | None = None
    """When more pods are needed."""
    scale_down: ScalingRules | None = None
    """When fewer pods are needed."""


class Autoscaling(ApiModel):
    """As many pods as the load needs, by a HorizontalPodAutoscaler."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "self.minReplicas <= self.maxReplicas",
                "spec.autoscaling.maxReplicas must not be less than spec.autoscaling.minReplicas: "
                "raise it, or lower minReplicas",
                field_path=".maxReplicas",
            ),
            cel(
                "self.targetCPUUtilization > 0 || self.targetMemoryUtilization > 0",
                "one of spec.autoscaling.targetCPUUtilization and targetMemoryUtilization must be "
                "more than 0, or nothing decides: set one of them, such as the first to 70",
                field_path=".targetCPUUtilization",
            ),
        )
    )

    min_replicas: Annotated[int, Field(ge=1)] = 2
    """Pods that there are at the least."""
    max_replicas: Annotated[int, Field(ge=1)]
    """Pods that there are at the most. Each opens connections to the database."""
    target_cpu_utilization: Annotated[int, Field(alias="targetCPUUtilization", ge=0, le=1_000)] = 70
    """CPU time that pods use on average, in percent of their request, from which on there are more
    of them. 0 pays no heed to it.
    """
    target_memory_utilization: Annotated[int, Field(ge=0, le=1_000)] = 80
    """Memory that pods use on average, likewise. Each pod has the whole index: more of them share
    the load, and not the index, so let the request be well above what that takes, or this be 0.
    """
    behavior: Behavior | None = None
    """How fast the number of pods changes. Left out, as fast as Kubernetes thinks right."""
