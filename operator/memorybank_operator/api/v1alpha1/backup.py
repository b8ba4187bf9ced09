"""Where a bank's backups go, how often, and what a write waits for."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from memorybank_operator.api.base import ApiModel, cel, rules
from memorybank_operator.api.duration import PATTERN, parse_duration
from memorybank_operator.api.v1alpha1.pod import LocalReference, Resources
from memorybank_operator.api.v1alpha1.types import DataKey, Duration, ObjectName, Schedule

PATH = "spec.backup"
S3_PATH = f"{PATH}.destination.s3"
COPIES_PATH = f"{PATH}.copies"
ACCESS_KEY_ID, SECRET_ACCESS_KEY = "accessKeyId", "secretAccessKey"
"""Entries of the Secret with the credentials."""
BACKUP_RESOURCES = Resources(requests={"cpu": "20m", "memory": "64Mi"}, limits={"memory": "256Mi"})
"""Of what replicates banks for which nobody says anything else."""
COPY_RESOURCES = Resources(requests={"cpu": "20m", "memory": "96Mi"}, limits={"memory": "384Mi"})
"""Of what makes copies: it has some megabytes of each at a time, however large the bank is."""

_FOLDER = "[A-Za-z0-9_-][A-Za-z0-9._-]*"
Folder = Annotated[
    str,
    Field(
        max_length=256,
        json_schema_extra=rules(
            cel(
                f"self.matches('^({_FOLDER}(/{_FOLDER})*)?$')",
                "write names of folders with / between them, such as memory/production: of "
                "letters, digits, '.', '_' and '-', and neither beginning nor ending with /",
            )
        ),
    ),
]


def within(
    field: str, shortest: str, longest: str, *, unit: str = "1s", path: str = PATH
) -> dict[str, str]:
    """Return the rule that a span of time, where there is one, is between two others, and so many
    whole units.
    """
    whole = parse_duration(unit).seconds
    beginning = f"!has(self.{field}) || !self.{field}.matches('{PATTERN}')"
    within = f"duration(self.{field}) >= duration('{shortest}')"
    within += f" && duration(self.{field}) <= duration('{longest}')"
    if whole > 1:
        within += f" && duration(self.{field}).getSeconds() % {whole} == 0"
    kind = "whole hours" if whole > 1 else "a span of time"
    return cel(
        f"{beginning} || ({within})",
        f"{path}.{field} must be {kind} from {shortest} to {longest}",
        field_path=f".{field}",
    )


class CertificateReference(ApiModel):
    """Names the entry of a Secret that holds certificates."""

    name: ObjectName
    """Name of the Secret, in the bank's namespace."""
    key: DataKey = "ca.crt"
    """Key of the entry, which holds certificates in PEM."""


class CustomerKeyReference(ApiModel):
    """Names the entry of a Secret that holds a key by which a server encrypts."""

    name: ObjectName
    """Name of the Secret, in the bank's namespace."""
    key: DataKey = "customerKey"
    """Key of the entry, which holds 32 bytes in base64, as of `openssl rand -base64 32`."""


class S3Encryption(ApiModel):
    """By which key the server encrypts what is written."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "has(self.kmsKeyId) != has(self.customerKeySecretRef)",
                "name one of both: kmsKeyId, a key that the server keeps, or customerKeySecretRef, "
                "one that it does not; what the bucket does by default needs neither",
            )
        )
    )

    kms_key_id: (
        Annotated[
            str,
            Field(
                max_length=512,
                json_schema_extra=rules(
                    cel(
                        "self.matches('^[A-Za-z0-9:/_.-]+$')",
                        "write the id, the ARN or the alias of a key, such as alias/memories",
                    )
                ),
            ),
        ]
        | None
    ) = None
    """A key of the server's key management (SSE-KMS): its id, ARN or alias. Whoever reads and
    writes the bucket has to be allowed to use it. It may be another one at any time.
    """
    customer_key_secret_ref: CustomerKeyReference | None = None
    """A key that the server gets with each request and does not keep (SSE-C), over https alone.
    What is in a folder is read by the key that it was written by: with another key, name another
    path. Without it nothing brings the backups back.
    """


class S3(ApiModel):
    """A bucket of Amazon S3, or of a server that speaks like it."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "!has(self.encryption) || !has(self.encryption.customerKeySecretRef)"
                " || !has(self.endpoint) || self.endpoint.startsWith('https://')",
                "endpoint must be of https:// with encryption.customerKeySecretRef, since each "
                "request has the key: give the server a certificate (caSecretRef), or use kmsKeyId",
                field_path=".endpoint",
            )
        )
    )

    bucket: Annotated[
        str,
        Field(
            max_length=63,
            json_schema_extra=rules(
                cel(
                    "self.matches('^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$')",
                    "write the name of a bucket, which exists: 3 to 63 lower-case letters, digits, "
                    "'.' and '-', beginning and ending with a letter or digit",
                )
            ),
        ),
    ]
    """The bucket, which exists. Banks of many clusters may share one."""
    path: Folder = ""
    """Folder in the bucket, such as memory/production. Left out, the bucket's root. Each bank has
    one of its own in it, NAMESPACE/NAME/UID.
    """
    endpoint: (
        Annotated[
            str,
            Field(
                max_length=512,
                json_schema_extra=rules(
                    cel(
                        r"self.matches(r'^https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])"
                        r"(:[0-9]{1,5})?$')",
                        "write http:// or https:// and a host, perhaps with a port, such as "
                        "https://s3.example.org:9000; a folder goes into path, and credentials "
                        "into the Secret of secretRef",
                    )
                ),
            ),
        ]
        | None
    ) = None
    """Where the server answers, such as https://s3.example.org:9000. Left out, Amazon's, by
    region.
    """
    region: Annotated[
        str,
        Field(
            max_length=64,
            json_schema_extra=rules(
                cel(
                    "self.matches('^[A-Za-z0-9-]+$')",
                    "write the name of a region, such as eu-central-1: letters, digits and '-'",
                )
            ),
        ),
    ] = "us-east-1"
    """Region of the bucket. Most servers other than Amazon's take any."""
    force_path_style: bool | None = None
    """Whether the bucket is named in the path of addresses and not in their host. Left out, true
    with an endpoint and false without.
    """
    secret_ref: LocalReference | None = None
    """Secret with the entries accessKeyId and secretAccessKey. Left out, the identity of the pod
    is used, as cloud providers give it by annotations of spec.serviceAccount.
    """
    ca_secret_ref: CertificateReference | None = None
    """Certificates that the endpoint's is checked by, besides those that the image trusts."""
    encryption: S3Encryption | None = None
    """By which key the server encrypts what is written. Left out, as the bucket is set."""

    @property
    def customer_key(self) -> CustomerKeyReference | None:
        """The key that goes with each request."""
        return None if self.encryption is None else self.encryption.customer_key_secret_ref

    @property
    def has_path_style(self) -> bool:
        """Whether addresses name the bucket in their path."""
        return self.endpoint is not None if self.force_path_style is None else self.force_path_style

    @property
    def urls(self) -> tuple[str, ...]:
        """Where requests go, in terms of hosts and ports; the pod's identity is had from Amazon's
        token service.
        """
        amazon = f"{self.region}.amazonaws.com"
        identity = () if self.secret_ref is not None else (f"https://sts.{amazon}",)
        return (self.endpoint or f"https://s3.{amazon}", *identity)


class BackupVolume(ApiModel):
    """A volume that is not the bank's own."""

    claim_name: ObjectName
    """The PersistentVolumeClaim, in the bank's namespace, which exists. Several banks may share
    one. It has to be on the node of the bank, or on any (ReadWriteMany).
    """
    path: Folder = ""
    """Folder in the volume. Left out, its root. Each bank has one of its own in it,
    NAMESPACE/NAME/UID.
    """


class Destination(ApiModel):
    """Where backups go."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "has(self.s3) != has(self.volume)",
                "name one of both: s3 with the bucket, or volume with the claim of a volume that "
                "is not the bank's own",
            )
        )
    )

    s3: S3 | None = None
    """A bucket of Amazon S3, or of a server that speaks like it."""
    volume: BackupVolume | None = None
    """A volume that is not the bank's own."""


MOST_COPIES = 3


class BackupCopy(Destination):
    """A further destination, to which what is at the first one is copied."""

    name: Annotated[
        str,
        Field(
            max_length=32,
            json_schema_extra=rules(
                cel(
                    "self.matches('^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$')",
                    "write a name of lower case letters, digits and '-', such as far-away",
                )
            ),
        ),
    ]
    """How it is called in status and metrics. No other copy of the bank has it."""


class Verify(ApiModel):
    """Whether backups are tried by restoring them, and when."""

    enabled: bool = True
    """Whether the newest backup is restored into a pod of its own from time to time, and searched
    there; the bank is left alone.
    """
    schedule: Schedule | None = None
    """When, by the five fields of cron, in UTC. Left out, once a day, at a minute of the bank's
    own.
    """


ExportFormat = Literal["JSONL"]
"""JSON Lines, as the service's own export and import have them, compressed."""


class Points(ApiModel):
    """Recovery points that are taken by a schedule."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            within("expireAfter", "1h", "87600h", unit="1h", path=f"{PATH}.points")
        )
    )

    schedule: Schedule
    """When a MemoryBankBackup is made, by the five fields of cron, in UTC, such as `30 2 * * *`."""
    expire_after: Duration = "720h"
    """How long each of them is kept: whole hours up to 87600h."""
    export: ExportFormat | None = None
    """What is put beside each of them, as `spec.export` of a MemoryBankBackup. The last recovery
    point of a bank with deletionPolicy Snapshot has it, too.
    """


def _elsewhere(one: str, other: str) -> str:
    """Return the expression that two destinations are different places."""
    same_endpoint = (
        f"has({one}.s3.endpoint) == has({other}.s3.endpoint)"
        f" && (!has({one}.s3.endpoint) || {one}.s3.endpoint == {other}.s3.endpoint)"
    )
    return (
        f"!(has({one}.s3) && has({other}.s3) && {one}.s3.bucket == {other}.s3.bucket"
        f" && {one}.s3.path == {other}.s3.path && {same_endpoint})"
        f" && !(has({one}.volume) && has({other}.volume)"
        f" && {one}.volume.claimName == {other}.volume.claimName"
        f" && {one}.volume.path == {other}.volume.path)"
    )


class Backup(ApiModel):
    """Where a bank's backups go, how often, and what a write waits for."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            within("syncInterval", "1s", "1h"),
            within("snapshotInterval", "1h", "720h", unit="1h"),
            within("copyInterval", "1s", "1h"),
            cel(
                "!has(self.copyResources) || has(self.copies)",
                f"{PATH}.copyResources is of what makes {PATH}.copies: remove it, or name copies",
                field_path=".copyResources",
            ),
            cel(
                "!has(self.copies) || self.copies.all(each,"
                f" {_elsewhere('each', 'self.destination')}"
                " && self.copies.all(other, each.name == other.name"
                f" || ({_elsewhere('each', 'other')})))",
                f"{PATH}.copies must be at other places than {PATH}.destination and each other: "
                "name another bucket, path or volume, or remove the copy",
                field_path=".copies",
            ),
            within("retention", "1h", "87600h", unit="1h"),
            cel(
                f"!self.snapshotInterval.matches('{PATTERN}')"
                f" || !self.retention.matches('{PATTERN}')"
                " || duration(self.snapshotInterval) <= duration(self.retention)",
                f"{PATH}.retention must be at least as long as {PATH}.snapshotInterval: keep "
                "backups longer, or make snapshots more often",
                field_path=".retention",
            ),
            cel(
                "self.durability == 'replicated' || self.whenUnreachable == 'refuse'",
                f"{PATH}.whenUnreachable is for {PATH}.durability replicated, since with async no "
                "write waits for the destination: set that, or remove it",
                field_path=".whenUnreachable",
            ),
        )
    )

    destination: Destination
    """Where backups go."""
    sync_interval: Duration = "1s"
    """How often what was written is brought there: from 1s to 1h. With durability async, a lost
    volume loses what was written within about this time.
    """
    snapshot_interval: Duration = "24h"
    """How often a copy of the whole database is made there: whole hours from 1h to 720h. A restore
    begins with the newest one.
    """
    retention: Duration = "720h"
    """How long every state is kept: whole hours up to 87600h, and not less than snapshotInterval.
    """
    durability: Literal["async", "replicated"] = "async"
    """What an answer to a write means. async: it is on the bank's volume, and soon at the
    destination. replicated: it is at the destination.
    """
    when_unreachable: Literal["refuse", "acknowledge"] = "refuse"
    """With durability replicated, what becomes of writes while the destination does not take them.
    refuse: they fail with status 503. acknowledge: they are answered as with async, and the
    condition BackupHealthy says so.
    """
    verify: Verify = Verify()
    """Whether backups are tried by restoring them, and when."""
    points: Points | None = None
    """Recovery points that are taken by a schedule. Left out, none is."""
    copies: Annotated[
        tuple[BackupCopy, ...],
        Field(
            max_length=MOST_COPIES,
            json_schema_extra={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
            },
        ),
    ] = ()
    """Further destinations, at most three, that have what the first one has, some seconds later,
    and keep what that one loses.
    """
    copy_interval: Duration = "10s"
    """How often what is new at the destination is brought to the copies: from 1s to 1h."""
    copy_resources: Resources | None = None
    """Compute resources of the container that makes the copies. Set, it replaces the whole default:
    requests of 20m cpu and 96Mi memory and a limit of 384Mi memory.
    """
    resources: Resources | None = None
    """Compute resources of the container that replicates. Set, it replaces the whole default:
    requests of 20m cpu and 64Mi memory and a limit of 256Mi memory.
    """

    @property
    def volumes(self) -> dict[str, BackupVolume]:
        """The volumes of the destination and of copies, by the fields that name them."""
        places = {f"{PATH}.destination": self.destination} | {
            f"{COPIES_PATH}[{number}]": each for number, each in enumerate(self.copies)
        }
        return {
            f"{path}.volume": each.volume
            for path, each in places.items()
            if each.volume is not None
        }

    @property
    def sync_seconds(self) -> int:
        """`sync_interval` in seconds."""
        return int(parse_duration(self.sync_interval).total_seconds())

    @property
    def copy_seconds(self) -> int:
        """`copy_interval` in seconds."""
        return int(parse_duration(self.copy_interval).total_seconds())

    @property
    def snapshot_hours(self) -> int:
        """`snapshot_interval` in hours."""
        return hours(self.snapshot_interval)

    @property
    def retention_hours(self) -> int:
        """`retention` in hours."""
        return hours(self.retention)


def hours(span: str) -> int:
    """Return the whole hours of a span of time."""
    return int(parse_duration(span).total_seconds()) // 3600
