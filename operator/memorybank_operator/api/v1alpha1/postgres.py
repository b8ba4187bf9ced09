"""The part of a spec that says which PostgreSQL database holds a bank's memories."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from memorybank_operator.api.base import ApiModel, cel, rules
from memorybank_operator.api.v1alpha1.backend import BackendVolumeSize
from memorybank_operator.api.v1alpha1.pod import Resources
from memorybank_operator.api.v1alpha1.service import SecretReference
from memorybank_operator.api.v1alpha1.types import ImageReference, ObjectName

PATH = "spec.storage.postgres.cluster"


class PostgresCluster(ApiModel):
    """Servers of PostgreSQL for this bank alone, which CloudNativePG runs where it is installed."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "!isQuantity(self.size) || !isQuantity(oldSelf.size)"
                " || !quantity(self.size).isLessThan(quantity(oldSelf.size))",
                f"{PATH}.size cannot become smaller: keep the old size or a larger one",
                field_path=".size",
            ),
            cel(
                "has(self.storageClassName) == has(oldSelf.storageClassName)"
                " && (!has(self.storageClassName)"
                " || self.storageClassName == oldSelf.storageClassName)",
                f"{PATH}.storageClassName cannot change: put the old value back",
                field_path=".storageClassName",
            ),
        )
    )

    instances: Annotated[int, Field(ge=1, le=9)] = 3
    """Servers, of which one takes writes; another one takes over when it is lost."""
    size: BackendVolumeSize = "10Gi"
    """Size of each server's volume. It can grow where the storage class allows it."""
    storage_class_name: ObjectName | None = None
    """Storage class of the volumes. Left out, the cluster's default class. It cannot change."""
    image: ImageReference | None = None
    """Image of PostgreSQL 15 or newer, as CloudNativePG publishes them. Left out, the one that it
    takes by itself.
    """
    resources: Resources = Resources()
    """Compute resources of each server. Left out, none are asked for and none are limits."""


class Postgres(ApiModel):
    """A PostgreSQL database, 15 or newer, and how the bank's pods use it."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "has(self.urlSecretRef) != has(self.cluster)",
                "name one of both: urlSecretRef with the Secret entry that has the address of a "
                "database, or cluster: {} for servers of the bank's own",
            ),
            cel(
                "has(self.cluster) == has(oldSelf.cluster)",
                f"{PATH} cannot be added or removed: put the old value back, make another bank, "
                "and bring the memories over by an export and an import",
                field_path=".cluster",
            ),
        )
    )

    url_secret_ref: SecretReference | None = None
    """Entry of a Secret with the address of the database, user and password included, such as
    postgresql://user:password@host:5432/name. The user owns the database, and may be no superuser.
    Pods take another user or password while they run; another server or database replaces them.
    """
    cluster: PostgresCluster | None = None
    """Servers of the bank's own, by CloudNativePG. The operator makes its Cluster <bank>-postgres,
    which under deletionPolicy Retain outlives the bank, as all data does.
    """
    readers: Annotated[int, Field(ge=1, le=64)] = 4
    """Connections of each pod that read; one more writes. None relies on a session, so a PgBouncer
    may stand in between, in any pool mode.
    """
    connect_seconds: Annotated[int, Field(ge=2, le=60)] = 5
    """Seconds that the server may take to accept a connection."""
    statement_seconds: Annotated[int, Field(ge=1, le=3_600)] = 30
    """Seconds that the server may take for a statement; for one of an export, a hundred times as
    many.
    """
