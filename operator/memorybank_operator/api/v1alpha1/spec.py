"""What a MemoryBank can be asked for."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from memorybank_operator.api.base import ApiModel, cel, rules
from memorybank_operator.api.quantity import parse_quantity
from memorybank_operator.api.v1alpha1.autoscaling import Autoscaling
from memorybank_operator.api.v1alpha1.backup import PATH as BACKUP_PATH
from memorybank_operator.api.v1alpha1.backup import Backup, Destination
from memorybank_operator.api.v1alpha1.bootstrap import RESTORE_PATH, Bootstrap, Restore
from memorybank_operator.api.v1alpha1.consolidation import Consolidation
from memorybank_operator.api.v1alpha1.disruption import PodDisruptionBudget
from memorybank_operator.api.v1alpha1.edge import Expose, NetworkPolicy
from memorybank_operator.api.v1alpha1.monitoring import Monitoring
from memorybank_operator.api.v1alpha1.pod import (
    Affinity,
    EnvVar,
    LocalReference,
    Resources,
    Toleration,
    TopologySpread,
)
from memorybank_operator.api.v1alpha1.postgres import Postgres, PostgresCluster
from memorybank_operator.api.v1alpha1.replicas import ReadReplicas
from memorybank_operator.api.v1alpha1.service import (
    Audit,
    Auth,
    Cache,
    Cors,
    Embedding,
    Encryption,
    Forgetting,
    Lifecycle,
    Limits,
    Logging,
    Security,
    WriteGate,
)
from memorybank_operator.api.v1alpha1.standby import STANDBY_PATH, Standby
from memorybank_operator.api.v1alpha1.types import (
    Annotations,
    Labels,
    NodeLabels,
    ObjectName,
    SizeQuantity,
)
from memorybank_operator.api.v1alpha1.update import UpdatePolicy
from memorybank_operator.api.v1alpha1.vector import VectorIndex

LIST_MAP_BY_NAME = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
SPREAD_LIST = {
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["topologyKey", "whenUnsatisfiable"],
}
ATOMIC_LIST = {"x-kubernetes-list-type": "atomic"}

ONE_REPLICA = (
    "spec.replicas must be 0 or 1 with storage.engine sqlite, which has a single writer: set it to "
    "1, or to 0 to stop the bank and keep its data; several pods need a bank with storage.engine "
    "postgres"
)
STANDBY_NEEDS_BACKUP = (
    "spec.standby needs spec.backup: what is promoted is backed up from then on, so say where to"
)
NO_AUTOSCALING = (
    "spec.autoscaling needs storage.engine postgres: a bank with storage.engine sqlite has a "
    "single writer, so remove it"
)
ONE_AWAY = PodDisruptionBudget(max_unavailable=1)
"""Of a bank with several pods, whose spec says nothing else."""


class AutoGrow(ApiModel):
    """Growth of the volume before its disk is full."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "!self.enabled || has(self.maxSize)",
                "spec.storage.volume.autoGrow.maxSize must say how large the volume may become "
                "at the most, such as 20Gi",
            )
        )
    )

    enabled: bool = False
    """While true, the operator enlarges the volume when its disk is used to thresholdPercent. The
    spec stays as it is: status.storage.requested and the volume's claim have the size.
    """
    threshold_percent: Annotated[int, Field(ge=50, le=95)] = 80
    """Used share of the disk, in percent, from which on the volume grows. Whether it may grow or
    not, from this share on the condition DiskLow says so.
    """
    step: Annotated[
        str,
        Field(
            max_length=32,
            json_schema_extra=rules(
                cel(
                    "self.matches('^([1-9][0-9]?|100)%$') || (isQuantity(self)"
                    " && !quantity(self).isLessThan(quantity('10Mi')))",
                    "spec.storage.volume.autoGrow.step must be a share of the volume from 1% to "
                    "100%, or a quantity of at least 10Mi, such as 5Gi",
                )
            ),
        ),
    ] = "25%"
    """What is added each time: a share of the volume, or a quantity. The result is rounded up to
    whole Gi, or Mi below 1Gi.
    """
    max_size: (
        Annotated[
            SizeQuantity,
            Field(
                json_schema_extra=rules(
                    cel(
                        "isQuantity(self)",
                        "spec.storage.volume.autoGrow.maxSize must be a quantity, such as 20Gi",
                    )
                )
            ),
        ]
        | None
    ) = None
    """Size that the volume never grows beyond by itself. Needed when enabled."""

    @field_validator("step")
    @classmethod
    def _checked_step(cls, value: str) -> str:
        if not value.endswith("%"):
            parse_quantity(value)
        return value


class Volume(ApiModel):
    """The volume that holds the bank's data."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "!has(oldSelf.storageClassName) || (has(self.storageClassName)"
                " && self.storageClassName == oldSelf.storageClassName)",
                "spec.storage.volume.storageClassName cannot change once it is set: put the old "
                "value back",
            ),
            cel(
                "self.accessMode == oldSelf.accessMode",
                "spec.storage.volume.accessMode cannot change: put the old value back",
            ),
            cel(
                "!self.autoGrow.enabled || !has(self.autoGrow.maxSize)"
                " || !isQuantity(self.autoGrow.maxSize) || !isQuantity(self.size)"
                " || !quantity(self.autoGrow.maxSize).isLessThan(quantity(self.size))",
                "spec.storage.volume.autoGrow.maxSize must not be smaller than "
                "spec.storage.volume.size: raise it, or lower the size",
                field_path=".autoGrow.maxSize",
            ),
        )
    )

    size: Annotated[
        SizeQuantity,
        Field(
            json_schema_extra=rules(
                cel(
                    "isQuantity(self) && !quantity(self).isLessThan(quantity('10Mi'))",
                    "spec.storage.volume.size must be a quantity of at least 10Mi, such as 1Gi",
                ),
            )
        ),
    ] = "1Gi"
    """Size of the volume, such as 1Gi. It can grow where the storage class allows it, and never
    becomes smaller than the volume is (status.storage.capacity).
    """
    storage_class_name: ObjectName | None = None
    """Storage class of the volume. Left out, a new volume gets that of the operator's defaults, or
    the cluster's default class. It cannot change once it is set.
    """
    access_mode: Literal["ReadWriteOnce", "ReadWriteOncePod"] = "ReadWriteOnce"
    """ReadWriteOnce: one node at a time. ReadWriteOncePod: one pod at a time, where the storage
    driver supports it. It cannot change.
    """
    auto_grow: AutoGrow = AutoGrow()
    """Growth of the volume before its disk is full, where the storage class allows it."""


class Storage(ApiModel):
    """Where memories are kept."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "self.engine == oldSelf.engine",
                "spec.storage.engine cannot change: put the old value back, or bring the memories "
                "over by `memorybank move` and make the bank again (docs/banks/moving.md)",
                field_path=".engine",
            ),
            cel(
                "self.engine != 'postgres' || has(self.postgres)",
                "spec.storage.postgres must say which database, with storage.engine postgres: set "
                "urlSecretRef to name and key of the Secret entry with its address, or cluster to "
                "{} for one of the bank's own",
                field_path=".engine",
            ),
            cel(
                "self.engine == 'postgres' || !has(self.postgres)",
                "spec.storage.postgres is for storage.engine postgres: set that, or remove it",
                field_path=".postgres",
            ),
            # Its defaults are written into every spec.
            cel(
                "self.engine != 'postgres' || (self.volume.size == '1Gi'"
                " && !has(self.volume.storageClassName)"
                " && self.volume.accessMode == 'ReadWriteOnce' && !self.volume.autoGrow.enabled"
                " && !has(self.volume.autoGrow.maxSize))",
                "spec.storage.volume is for storage.engine sqlite, since a bank in PostgreSQL has "
                "no volume: remove it",
                field_path=".volume",
            ),
        )
    )

    engine: Literal["sqlite", "postgres"] = "sqlite"
    """The database. sqlite keeps everything in one file on the volume, for one pod. postgres keeps
    it in a PostgreSQL database, for one pod or several. It cannot change.
    """
    volume: Volume = Volume()
    """The volume of the database, with engine sqlite."""
    postgres: Postgres | None = None
    """The PostgreSQL database, with engine postgres."""

    @property
    def cluster(self) -> PostgresCluster | None:
        """What is said of servers of the bank's own; None when it wants none."""
        return None if self.postgres is None else self.postgres.cluster

    @property
    def has_volume(self) -> bool:
        """Whether the bank keeps its memories on a volume of its own."""
        return self.engine == "sqlite"


class ServiceAccount(ApiModel):
    """The service account of the bank's pod. Its token is not mounted."""

    annotations: Annotations = Field(default_factory=dict)
    """Annotations for the service account, as cloud providers use them to grant access."""


class Spec(ApiModel):
    """What the bank should be. Everything has a default; an empty spec gives a working bank."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "self.storage.engine != 'sqlite' || self.replicas <= 1",
                ONE_REPLICA,
                field_path=".replicas",
            ),
            cel(
                "!has(self.autoscaling) || self.storage.engine == 'postgres'",
                NO_AUTOSCALING,
                field_path=".autoscaling",
            ),
            cel(
                "!has(self.autoscaling) || self.storage.engine != 'postgres' || self.replicas <= 1",
                "spec.replicas must be left out with spec.autoscaling, which decides how many pods "
                "run: set spec.autoscaling.minReplicas, or replicas to 0 to stop the bank",
                field_path=".replicas",
            ),
            cel(
                "!has(self.autoscaling) || !has(self.resources)"
                " || self.autoscaling.targetCPUUtilization == 0"
                " || (has(self.resources.requests) && 'cpu' in self.resources.requests)"
                " || (has(self.resources.limits) && 'cpu' in self.resources.limits)",
                "spec.resources.requests.cpu must be set, as spec.autoscaling.targetCPUUtilization "
                "is a share of it: set it, or the target to 0",
                field_path=".resources",
            ),
            cel(
                "!has(self.autoscaling) || !has(self.resources)"
                " || self.autoscaling.targetMemoryUtilization == 0"
                " || (has(self.resources.requests) && 'memory' in self.resources.requests)"
                " || (has(self.resources.limits) && 'memory' in self.resources.limits)",
                "spec.resources.requests.memory must be set, as "
                "spec.autoscaling.targetMemoryUtilization is a share of it: set it, or the target "
                "to 0",
                field_path=".resources",
            ),
            cel(
                "!has(self.version) || !has(self.image)",
                "spec.version and spec.image both choose the image: remove one of them",
                field_path=".version",
            ),
            cel(
                "!self.encryption.enabled || self.vector.provider != 'chroma'",
                "spec.vector.provider must be embedded in an encrypted bank: Chroma would hold its "
                "vectors in clear",
                field_path=".vector.provider",
            ),
            cel(
                "!self.encryption.enabled || self.storage.engine != 'postgres'",
                "spec.encryption.enabled must be false with storage.engine postgres, which the "
                "service does not encrypt: encrypt the disk of the database's server, or make a "
                "bank with storage.engine sqlite",
                field_path=".encryption.enabled",
            ),
            cel(
                "self.vector.provider != 'chroma' || self.storage.engine != 'postgres'",
                "spec.vector.provider must be embedded or pgvector with storage.engine postgres: "
                "several pods would fill the same Chroma",
                field_path=".vector.provider",
            ),
            cel(
                "self.vector.provider != 'pgvector' || self.storage.engine == 'postgres'",
                "spec.vector.provider pgvector needs storage.engine postgres, of which it is a "
                "part: set that, or write embedded or chroma",
                field_path=".vector.provider",
            ),
            cel(
                "!has(self.backup) || self.storage.engine == 'sqlite' || has(self.backup.points)",
                "spec.backup.points.schedule must be set with storage.engine postgres, whose bank "
                "has recovery points and is not replicated: say when they are taken",
                field_path=".backup",
            ),
            cel(
                "!has(self.backup) || self.storage.engine == 'sqlite'"
                " || (self.backup.durability == 'async' && self.backup.syncInterval == '1s'"
                " && self.backup.snapshotInterval == '24h' && !has(self.backup.resources)"
                " && !has(self.backup.copies) && self.backup.copyInterval == '10s')",
                "spec.backup.durability, syncInterval, snapshotInterval, resources, copies and "
                "copyInterval are of what replicates banks with storage.engine sqlite: remove them",
                field_path=".backup",
            ),
            cel(
                "!has(self.bootstrap) || !has(self.bootstrap.restore) || has(self.backup)",
                "spec.bootstrap.restore needs spec.backup: what is restored is backed up from then "
                "on, so say where to",
                field_path=".bootstrap.restore",
            ),
            cel(
                "self.deletionPolicy != 'Snapshot' || self.storage.engine == 'sqlite'",
                "spec.deletionPolicy Snapshot is for storage.engine sqlite, since what is in "
                "PostgreSQL stays when its bank is deleted: write Retain",
                field_path=".deletionPolicy",
            ),
            cel(
                "self.deletionPolicy != 'Snapshot' || has(self.backup)",
                "spec.deletionPolicy Snapshot needs spec.backup, where the last recovery point "
                "goes: say where to, or write Retain or Delete",
                field_path=".deletionPolicy",
            ),
            cel(
                "!has(self.standby) || has(self.backup)",
                STANDBY_NEEDS_BACKUP,
                field_path=".standby",
            ),
            cel(
                "!has(self.readReplicas) || self.storage.engine == 'sqlite'",
                "spec.readReplicas is for storage.engine sqlite: remove it, and raise "
                "spec.replicas, since pods that share PostgreSQL all read and write",
                field_path=".readReplicas",
            ),
            cel(
                "!has(self.readReplicas) || has(self.backup)",
                "spec.readReplicas needs spec.backup, which they follow: say where to",
                field_path=".readReplicas",
            ),
            cel(
                "!has(self.readReplicas) || self.vector.provider == 'embedded'",
                "spec.vector.provider must be embedded with spec.readReplicas: they write nothing, "
                "and compare vectors in memory",
                field_path=".vector.provider",
            ),
            cel(
                "!has(self.readReplicas) || !has(self.standby) || !self.standby.enabled",
                "spec.readReplicas follow backups that a bank has once it is promoted: remove it "
                "while spec.standby.enabled is true",
                field_path=".readReplicas",
            ),
            cel(
                "!has(self.standby) || self.storage.engine == 'sqlite'",
                "spec.standby is for storage.engine sqlite: remove it, and have a standby of the "
                "PostgreSQL server itself, such as a replica cluster of CloudNativePG",
                field_path=".standby",
            ),
            cel(
                "!has(self.standby) || !has(self.bootstrap)",
                "spec.bootstrap is for a bank without spec.standby, which begins with what it "
                "follows: remove one of them",
                field_path=".bootstrap",
            ),
            cel(
                "!has(self.standby) || self.vector.provider == 'embedded'",
                "spec.vector.provider must be embedded with spec.standby: a standby writes "
                "nothing, and a vector server would have to be filled",
                field_path=".vector.provider",
            ),
            cel(
                "!has(self.standby) || !self.encryption.enabled"
                " || has(self.encryption.keySecretRef)",
                "spec.encryption.keySecretRef must name a Secret with the key ring of the bank "
                "that spec.standby follows: a generated one would not open it",
                field_path=".encryption",
            ),
            cel(
                "!has(self.standby) || !self.standby.enabled"
                " || (has(oldSelf.standby) && oldSelf.standby.enabled)",
                "spec.standby.enabled cannot become true: this bank has memories of its own, which "
                "would be lost. To go back to the other bank, make a new MemoryBank there with a "
                "spec.standby that follows this one, and promote that",
                field_path=".standby",
            ),
            cel(
                "!has(oldSelf.standby) || !oldSelf.standby.enabled || has(self.standby)",
                "spec.standby cannot be removed while the bank follows another one: promote it by "
                "spec.standby.enabled false first",
            ),
        )
    )

    version: (
        Annotated[
            str,
            Field(
                max_length=128,
                json_schema_extra=rules(
                    cel(
                        "self.matches('^[A-Za-z0-9_][A-Za-z0-9_.-]*$')",
                        "spec.version must be the tag of an image, such as 0.1.0",
                    )
                ),
            ),
        ]
        | None
    ) = None
    """Version of the memory service: the operator's default image with this tag. Left out, the
    operator's default version. Not together with image.
    """
    image: (
        Annotated[
            str,
            Field(
                max_length=512,
                json_schema_extra=rules(
                    cel(
                        "self.matches('^[a-zA-Z0-9][a-zA-Z0-9._:/@-]*$')",
                        "spec.image must be the reference of an image, such as "
                        "registry.example/memorybank-app:0.1.0 or one with @sha256:...; leave it "
                        "out for the operator's default",
                    )
                ),
            ),
        ]
        | None
    ) = None
    """Image of the memory service; a digest is allowed. Left out, the operator's default image."""
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    """When the node asks the registry for the image."""
    image_pull_secrets: Annotated[
        tuple[LocalReference, ...], Field(max_length=8, json_schema_extra=LIST_MAP_BY_NAME)
    ] = ()
    """Secrets with the credentials of registries."""
    replicas: Annotated[int, Field(ge=0)] = 1
    """Pods that serve the bank: 1, or more with storage.engine postgres; 0 stops it and keeps its
    data. With autoscaling, only whether there are any.
    """
    autoscaling: Autoscaling | None = None
    """As many pods as the load needs, with storage.engine postgres. It needs a metrics server."""
    hibernate: bool = False
    """While true, no pod runs; data, keys and URL are kept, and so is spec.replicas. The bank wakes
    with all of it when this is false again.
    """
    restart: Annotated[str, Field(max_length=128)] = ""
    """A new text, such as the time, restarts the pod."""
    paused: bool = False
    """While true, the operator changes nothing of this bank. The bank itself keeps running."""
    storage: Storage = Storage()
    """Where memories are kept."""
    backup: Backup | None = None
    """Where backups go. With storage.engine sqlite everything that is written is replicated there
    continuously, and a bank whose volume is lost is restored from there. Left out, there are none.
    """
    standby: Standby | None = None
    """Another bank whose backups this one follows, to be promoted when that is lost. Left out, the
    bank is one of its own from the beginning.
    """
    read_replicas: ReadReplicas | None = None
    """More pods that answer what reads, at the Service NAME-read, some seconds behind the bank,
    since they follow its backups. With storage.engine sqlite; what serves a bank in PostgreSQL
    are spec.replicas. Left out, there are none.
    """
    bootstrap: Bootstrap | None = None
    """What the bank begins with, as long as it has neither a database nor backups of its own. Left
    out, with nothing.
    """
    embedding: Embedding = Embedding()
    """What turns texts into vectors."""
    vector: VectorIndex = VectorIndex()
    """Where vectors are compared."""
    encryption: Encryption = Encryption()
    """Whether the database on the volume holds no clear text."""
    auth: Auth = Auth()
    """Who may use the bank."""
    limits: Limits = Limits()
    """What a client may ask of the bank."""
    cors: Cors = Cors()
    """Which web pages may use the bank from a browser."""
    security: Security = Security()
    """By which addresses the bank may be asked for."""
    audit: Audit = Audit()
    """Who did what, kept in a chain of hashes; never contents."""
    forgetting: Forgetting = Forgetting()
    """When memories are forgotten that nobody uses."""
    consolidation: Consolidation = Consolidation()
    """When few memories are made of many."""
    write_gate: WriteGate = WriteGate()
    """What is kept out of memories."""
    cache: Cache = Cache()
    """What is remembered so that it need not be computed again."""
    lifecycle: Lifecycle = Lifecycle()
    """How a pod of the bank stops."""
    logging: Logging = Logging()
    """What the memory service writes to its log."""
    resources: Resources | None = None
    """Compute resources of the memory service. Set, it replaces the whole default: that of the
    operator's defaults, or requests of 100m cpu and 256Mi memory and a limit of 512Mi memory.
    """
    node_selector: NodeLabels = Field(default_factory=dict)
    """Labels that a node must have to run the pod."""
    tolerations: Annotated[
        tuple[Toleration, ...],
        Field(max_length=32, json_schema_extra=ATOMIC_LIST),
    ] = ()
    """Taints of nodes that do not keep the pod away."""
    affinity: Annotated[
        Affinity, Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})
    ] = Field(default_factory=dict)
    """Affinity of the pod, as in a pod's spec."""
    topology_spread_constraints: Annotated[
        tuple[TopologySpread, ...], Field(max_length=8, json_schema_extra=SPREAD_LIST)
    ] = ()
    """How pods spread over zones and nodes. Left out here and in the operator's defaults, those of
    a bank with storage.engine postgres spread over nodes as far as there are any.
    """
    priority_class_name: ObjectName | None = None
    """Priority class of the pod."""
    pod_labels: Labels = Field(default_factory=dict)
    """More labels for the pod."""
    pod_annotations: Annotations = Field(default_factory=dict)
    """More annotations for the pod."""
    env: Annotated[
        tuple[EnvVar, ...],
        Field(max_length=64, json_schema_extra=LIST_MAP_BY_NAME),
    ] = ()
    """More environment variables for the memory service, and for what replicates the bank."""
    service_account: ServiceAccount = ServiceAccount()
    """The service account of the pod."""
    pod_disruption_budget: PodDisruptionBudget | None = None
    """When a node may be emptied of the bank's pods. Left out, at any time of a single pod, and of
    one at a time where there are several.
    """
    expose: Expose = Expose()
    """How the bank is reached from outside of the cluster."""
    network_policy: NetworkPolicy = NetworkPolicy()
    """Who may connect to the bank, and whom its pod may connect to."""
    monitoring: Monitoring = Monitoring()
    """Who looks at the bank's metrics, where the cluster has the Prometheus Operator."""
    update_policy: UpdatePolicy = UpdatePolicy()
    """How the bank takes changes that restart its pod."""
    deletion_policy: Literal["Retain", "Snapshot", "Delete"] = "Retain"
    """What becomes of the volume when the bank is deleted. Retain keeps it, and a bank of the same
    name finds its memories again. Snapshot takes a last recovery point, which spec.backup is needed
    for, and deletes the volume once that has all that the bank has; when it cannot be taken within
    an hour, or the bank does not serve, the volume is kept. Delete deletes it with the bank. What
    is in a PostgreSQL database stays in any case: a bank that names it again finds its memories.
    """
    deletion_protection: bool = False
    """While true, the API server refuses to delete the bank, by an admission policy that comes with
    the chart. The deletion of its namespace goes on unhindered.
    """

    @property
    def followed(self) -> Standby | None:
        """The bank that this one follows; None of one that takes writes."""
        return self.standby if self.standby is not None and self.standby.enabled else None

    @property
    def backed_up(self) -> Backup | None:
        """How the bank is backed up now: not at all while it follows another one."""
        return self.backup if self.followed is None else None

    @property
    def readers(self) -> ReadReplicas | None:
        """The read replicas, None of a bank without, and without backups that they could follow."""
        return self.read_replicas if self.replicated is not None else None

    @property
    def restore(self) -> Restore | None:
        """The backup that the bank begins with; None when it begins with nothing."""
        if self.standby is not None:
            return Restore(from_bank=self.standby.from_bank, destination=self.standby.destination)
        return None if self.bootstrap is None else self.bootstrap.restore

    @property
    def replicated(self) -> Backup | None:
        """The backup that the bank's pod replicates to; None for a bank without, and for one in
        PostgreSQL, which has recovery points alone.
        """
        return self.backed_up if self.storage.has_volume else None

    @property
    def source(self) -> tuple[str, Destination] | None:
        """Where the backup is that the bank begins with, or follows, and the field that says so;
        None when it is where its own backups go, and of a bank that begins with nothing.
        """
        if self.followed is not None and self.followed.destination is None:
            assert self.backup is not None  # noqa: S101 - the API server sees to that
            return f"{BACKUP_PATH}.destination", self.backup.destination
        if self.restore is None or self.restore.destination is None:
            return None
        path = RESTORE_PATH if self.standby is None else STANDBY_PATH
        return f"{path}.destination", self.restore.destination

    @property
    def pods(self) -> int:
        """How many pods are to run; with autoscaling, whether any are."""
        return 0 if self.hibernate else self.replicas

    @property
    def autoscaled(self) -> Autoscaling | None:
        """What decides how many pods are to run; None when the spec itself says it."""
        return self.autoscaling if self.pods else None

    @property
    def relies_on_servers(self) -> bool:
        """Whether the bank's pods need others to do all of their job: a database, a model or an
        index that they do not have themselves.
        """
        return (
            not self.storage.has_volume
            or self.embedding.provider != "builtin"
            or self.vector.provider == "chroma"
        )

    @property
    def disruption_budget(self) -> PodDisruptionBudget | None:
        """How many pods may be away while nodes are emptied; None when nothing limits it."""
        several = self.replicas > 1 or self.autoscaling is not None
        if self.pod_disruption_budget is None and several:
            return ONE_AWAY
        return self.pod_disruption_budget

    @model_validator(mode="after")
    def _one_writer(self) -> Self:
        """Guard what would ruin data even where the cluster has an older CRD without the rule."""
        if self.storage.engine == "sqlite" and self.replicas > 1:
            raise ValueError(ONE_REPLICA)
        if self.storage.engine == "sqlite" and self.autoscaling is not None:
            raise ValueError(NO_AUTOSCALING)
        if self.standby is not None and self.backup is None:
            raise ValueError(STANDBY_NEEDS_BACKUP)
        return self
