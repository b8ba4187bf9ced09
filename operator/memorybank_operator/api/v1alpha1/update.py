"""How a bank takes changes of its pod, and what its status says about them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from memorybank_operator.api.base import ApiModel, StatusModel, cel, rules


class UpdatePolicy(ApiModel):
    """How the bank takes changes that restart its pod."""

    mode: Literal["Automatic", "Supervised"] = "Automatic"
    """Automatic makes every change at once. Supervised holds a change that restarts the pod, shows
    it in status.plan, and makes it when approved names that plan. What needs no restart, and the
    repair of what somebody changed or deleted, is never held.
    """
    approved: Annotated[
        str,
        Field(
            max_length=64,
            json_schema_extra=rules(
                cel(
                    "self.matches('^([0-9a-f]{16})?$')",
                    "spec.updatePolicy.approved must be the id of a plan, as status.plan.id shows "
                    "it: 16 digits and letters from a to f",
                )
            ),
        ),
    ] = ""
    """Id of the plan that may be carried out, from status.plan.id. It is worth nothing for any
    other plan.
    """
    rollback: Literal["Automatic", "Never"] = "Automatic"
    """What happens when another image of the service does not prove itself within deadlineSeconds.
    Automatic goes back to the one that did, and with it to the database as it was before the new
    one migrated it, unless somebody has written since. Never leaves it as it is.
    """
    deadline_seconds: Annotated[int, Field(ge=10, le=86_400)] = 600
    """Seconds that another image of the service has to prove itself."""


class Made(StatusModel):
    """What a pod was made from."""

    revision: str
    """Revision of the pod template."""
    generation: int
    """Generation of the bank's spec that it was first made for."""
    since: datetime
    """When the operator gave it to the Deployment."""
    image: str
    """Image of the service."""
    version: str = ""
    """Version of the service, as it said; empty before it did."""
    schema_version: int = 0
    """Schema of its database, as it said; 0 before it did."""
    proven: bool = False
    """Whether it stored, found and deleted a memory."""
    takes_changes: bool | None = None
    """False when the service said that it takes no changed settings or Secrets while it runs: each
    change of one makes a new pod.
    """
    spec: Annotated[
        dict[str, Any],
        Field(
            json_schema_extra={
                "x-kubernetes-preserve-unknown-fields": True,
                "x-kubernetes-map-type": "atomic",
            }
        ),
    ] = Field(default_factory=dict)
    """The parts of the spec that shape the pod, without what is at its default."""
    defaults: (
        Annotated[
            dict[str, Any],
            Field(
                json_schema_extra={
                    "x-kubernetes-preserve-unknown-fields": True,
                    "x-kubernetes-map-type": "atomic",
                }
            ),
        ]
        | None
    ) = None
    """What the spec leaves out and the operator's defaults gave to the pod; absent for nothing."""


class Rejected(StatusModel):
    """What did not prove itself."""

    revision: str
    """Revision of the pod template that was taken back."""
    image: str
    """Its image."""
    message: str
    """Why it was taken back."""


class RolloutStatus(StatusModel):
    """What the pod is made from, what it was made from before, and what was taken back."""

    current: Made | None = None
    """What the Deployment has now."""
    previous: Made | None = None
    """What proved itself last before that."""
    rejected: Rejected | None = None
    """What was taken back; tried again when it would be another one."""


class PlannedObject(StatusModel):
    """One object that would change."""

    kind: str
    """Kind of the object."""
    name: str
    """Name of the object."""
    fields: Annotated[
        tuple[str, ...], Field(json_schema_extra={"x-kubernetes-list-type": "atomic"})
    ]
    """Fields that would change, at most 20; never their values."""


class PlanStatus(StatusModel):
    """A change that waits, and what it would do."""

    id: str
    """Names this plan; spec.updatePolicy.approved with it lets the change be made."""
    reason: str
    """Why it waits, as in the condition UpdatePending."""
    image: str
    """Image that the pod would run."""
    revision: str
    """Revision that the pod template would have."""
    objects: Annotated[
        tuple[PlannedObject, ...], Field(json_schema_extra={"x-kubernetes-list-type": "atomic"})
    ] = ()
    """Objects that would change."""
    restarts: Annotated[
        tuple[str, ...], Field(json_schema_extra={"x-kubernetes-list-type": "atomic"})
    ] = ()
    """What would restart."""
    irreversible: Annotated[
        tuple[str, ...], Field(json_schema_extra={"x-kubernetes-list-type": "atomic"})
    ] = ()
    """What could not be taken back."""
