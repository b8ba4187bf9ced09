"""What the operator says about a bank."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from memorybank_operator.api.base import StatusModel
from memorybank_operator.api.v1alpha1.update import PlanStatus, RolloutStatus


class Condition(StatusModel):
    """One aspect of the bank's state (metav1.Condition)."""

    type: Annotated[str, Field(max_length=316)]
    """Type of the condition."""
    status: Literal["True", "False", "Unknown"]
    """Whether the condition holds."""
    observed_generation: Annotated[int, Field(ge=0)] = 0
    """Generation of the bank that the condition is about."""
    last_transition_time: datetime
    """When the status of the condition changed last."""
    reason: Annotated[str, Field(max_length=1024)]
    """One word that says why, for tools."""
    message: Annotated[str, Field(max_length=32768)] = ""
    """A sentence that says why, for people."""


Conditions = Annotated[
    tuple[Condition, ...],
    Field(
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
        }
    ),
]


class ResourceStatus(StatusModel):
    """What the status of every kind has."""

    observed_generation: int = -1
    """Generation of the spec that this status is about; -1 before the operator saw it."""
    conditions: Conditions = ()

    def condition(self, kind: str) -> Condition | None:
        """Return the condition of a type, None when there is none."""
        return next((each for each in self.conditions if each.type == kind), None)


class Endpoints(StatusModel):
    """Where the bank is reached: by spec.expose, or within the cluster; metrics always within."""

    http: str
    """The REST API, version 1 under /v1."""
    mcp: str
    """The Model Context Protocol, streamable HTTP."""
    metrics: str
    """Metrics for Prometheus."""


class Binding(StatusModel):
    """The Secret for those who use the bank (servicebinding.io)."""

    name: str
    """Name of the Secret; its entries are type, provider, uri, host, port and token."""


class StorageStatus(StatusModel):
    """The volume as it is."""

    capacity: Annotated[str, Field(max_length=32)]
    """Size of the volume."""
    requested: Annotated[str, Field(max_length=32)] | None = None
    """Size that the volume's claim asks for. More than capacity while the volume grows, and more
    than spec.storage.volume.size where it was larger already: a volume never shrinks.
    """
    used_percent: Annotated[int, Field(ge=0, le=100)] | None = None
    """How much of the disk is used, as the pod said. It is written anew when it is 5 off; absent
    before a pod said it.
    """
    message: Annotated[str, Field(max_length=1024)] | None = None
    """What is remarkable about the size; absent when nothing is."""


class ServersBackupStatus(StatusModel):
    """What CloudNativePG says of the backups that it makes itself of the bank's servers."""

    archiving: bool | None = None
    """Whether what is written is archived continuously; absent where nothing is to be, and before
    that is known.
    """
    last_backup_time: datetime | None = None
    """When the last good backup was made. Some plugins do not say it."""
    recoverable_from: datetime | None = None
    """The earliest moment to which the servers can be restored. Some plugins do not say it."""


class CopyStatus(StatusModel):
    """A copy of the backups."""

    name: Annotated[str, Field(max_length=32)]
    """As spec.backup.copies names it."""
    destination: Annotated[str, Field(max_length=1024)]
    """The bank's own folder there."""
    last_copy: datetime | None = None
    """While there is a problem, when all that was at the first destination was there; absent if it
    never was.
    """
    problem: Annotated[str, Field(max_length=1024)] | None = None
    """Why it does not go on; absent when it does."""


class BackupStatus(StatusModel):
    """The backups as they are. It is written when one of its fields changes but lastSync and
    recoverableTo, or the condition BackupHealthy does, and while all is well each hour.
    """

    destination: Annotated[str, Field(max_length=1024)] | None = None
    """The bank's own folder at the destination; absent for a bank without spec.backup."""
    servers: ServersBackupStatus | None = None
    """What CloudNativePG says of its own backups of the bank's servers; absent where none are made.
    """
    epoch: Annotated[str, Field(max_length=128)] | None = None
    """The part of it that the pod replicates to: each pod has one of its own, with a higher number
    than those before.
    """
    origin: Annotated[str, Field(max_length=32)] | None = None
    """Where the pod had its database from: volume, backup or, of a new bank, restored (what
    spec.bootstrap says) or nothing.
    """
    last_sync: datetime | None = None
    """While BackupHealthy is False, when all was last at the destination; absent if it never was.
    """
    recoverable_from: datetime | None = None
    """From when on every moment can be restored, by the clock of the destination; absent before the
    first whole copy was there.
    """
    recoverable_to: datetime | None = None
    """To when every moment can be restored at least. While BackupHealthy is True, that goes on to a
    few seconds ago, and this is written anew when it is an hour behind.
    """
    last_verification: datetime | None = None
    """For when the newest verification that ended was scheduled, good or bad."""
    last_verified: datetime | None = None
    """When a backup was last restored and found whole, by a verification or for a recovery point.
    """
    measured_restore_seconds: float | None = None
    """How long it took then until the database was there and checked."""
    measured_data_loss_seconds: float | None = None
    """How much older the newest change in it was than the newest of the bank; absent when the bank
    did not serve.
    """
    last_backup: Annotated[str, Field(max_length=63)] | None = None
    """The newest recovery point, by the name of its MemoryBankBackup."""
    last_backup_time: datetime | None = None
    """When it was taken."""
    last_scheduled: datetime | None = None
    """For when the newest recovery point by spec.backup.points was scheduled."""
    copies: (
        Annotated[
            tuple[CopyStatus, ...],
            Field(
                json_schema_extra={
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["name"],
                }
            ),
        ]
        | None
    ) = None
    """The further destinations, as spec.backup.copies has them; absent without any."""


class StandbyStatus(StatusModel):
    """The bank that is followed, or was until this one was promoted. It is written when one of its
    fields but moment changes, or the condition Following does.
    """

    source: Annotated[str, Field(max_length=1024)]
    """The folder of its backups."""
    epoch: Annotated[str, Field(max_length=128)] | None = None
    """The part of it that is read; of a promoted bank, that was read last."""
    lag_seconds: Annotated[int, Field(ge=0)] | None = None
    """What had arrived there so long ago is served here, at the most, in steps: 5, 10, 20, 30, 60,
    120 and so on; the metric memorybank_follow_lag_seconds of the pod is exact. Absent before it is
    known, and of a promoted bank.
    """
    moment: datetime | None = None
    """While Following is False, when the newest change that is here was replicated."""
    promoted: bool | None = None
    """True of a bank that was promoted; else absent."""


class ReadReplicasStatus(StatusModel):
    """The read replicas as they are."""

    url: str
    """Where they are reached, within the cluster."""
    replicas: Annotated[int, Field(ge=0)] = 0
    """Pods that exist."""
    ready_replicas: Annotated[int, Field(ge=0)] = 0
    """Pods that answer, since they are not further behind than spec.readReplicas.maxLag."""
    lag_seconds: Annotated[int, Field(ge=0)] | None = None
    """What had arrived at the destination so long ago is served by each of them, in steps: 5, 10,
    20, 30, 60, 120 and so on; the metric memorybank_follow_lag_seconds of each pod is exact. Absent
    before it is known, and while none answers.
    """


class MemoryBankStatus(ResourceStatus):
    """What the operator says about the bank. Nothing here is read from memories or keys."""

    phase: str = ""
    """One word for people: Pending, Running, Failed, Stopped, Paused or Deleting."""
    conditions: Conditions = ()
    """The bank's state. Ready is always present; Reconciling, Stalled, Paused only while True."""
    url: str = ""
    """Where agents reach the bank: by spec.expose, or within the cluster."""
    endpoints: Endpoints | None = None
    """Where each face of the bank is reached."""
    binding: Binding | None = None
    """The Secret with URL and key; absent before it exists."""
    version: str = ""
    """Version of the memory service, as it said when it answered last."""
    image: str = ""
    """Image that the Deployment runs."""
    revision: str = ""
    """Revision of the pod template that the spec asks for, as in the annotation
    memorybank.dev/revision of the pod.
    """
    resync: str = ""
    """The text of the annotation memorybank.dev/resync whose re-sync is done: every object was read
    from the API server and compared, and the bank, where it has pods, was probed since.
    """
    configuration: str = ""
    """Fingerprint of the configuration and the secrets that the pod proved to run by last. It
    changes when a change is in effect, with or without a new pod.
    """
    replicas: int = 0
    """Pods that exist."""
    ready_replicas: int = 0
    """Pods that serve requests."""
    selector: str = ""
    """Label selector of the bank's pods, for the scale subresource."""
    storage: StorageStatus | None = None
    """The volume; absent before it is bound."""
    backup: BackupStatus | None = None
    """The backups; absent for a bank without, and whose servers have none."""
    standby: StandbyStatus | None = None
    """The bank that is followed, or was; absent for a bank without spec.standby."""
    read_replicas: ReadReplicasStatus | None = None
    """The read replicas; absent for a bank without spec.readReplicas."""
    plan: PlanStatus | None = None
    """A change of the pod that waits, and what it would do; absent while none does."""
    rollout: RolloutStatus | None = None
    """What the pod is made from; absent before there is a Deployment."""
