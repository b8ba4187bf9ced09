"""The MemoryBankBackup resource: a recovery point of a bank."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import ConfigDict, Field

from memorybank_operator.api.base import ApiModel, StatusModel, cel, rules
from memorybank_operator.api.v1alpha1.backup import ExportFormat, hours, within
from memorybank_operator.api.v1alpha1.resource import BankReference, Resource
from memorybank_operator.api.v1alpha1.status import Conditions, ResourceStatus
from memorybank_operator.api.v1alpha1.types import Duration


class BackupSpec(ApiModel):
    """Of which bank the recovery point is, and how long it is kept. It cannot change."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "self == oldSelf",
                "spec cannot change, for it says what was taken: make another MemoryBankBackup",
            ),
            within("expireAfter", "1h", "87600h", unit="1h", path="spec"),
        )
    )

    bank: BankReference
    """The bank that the recovery point is of."""
    expire_after: Duration | None = None
    """How long the recovery point is kept at the destination: whole hours up to 87600h. Left out,
    until it is removed there.
    """
    export: ExportFormat | None = None
    """An export of the same state, of all tenants, beside it: JSONL is what `memorybank import` and
    any other program reads. Of an encrypted bank it is sealed by the key ring. Left out, none.
    """

    @property
    def expire_hours(self) -> int | None:
        """`expire_after` in hours; None for never."""
        return None if self.expire_after is None else hours(self.expire_after)


class ExportStatus(StatusModel):
    """What the export beside a recovery point has."""

    memories: int
    """Memories in it."""
    bytes: int
    """Its size at the destination, compressed."""
    sha256: Annotated[str, Field(max_length=64)]
    """Of what is at the destination, in hex."""


class PointStatus(StatusModel):
    """What the recovery point has, as it was found when it was restored and checked."""

    epoch: Annotated[str, Field(max_length=128)] | None = None
    """The epoch that it was restored from, as in status.backup.epoch of the bank; absent for a bank
    in PostgreSQL, of which it was copied.
    """
    txid: Annotated[str, Field(max_length=128)] | None = None
    """The last transaction of that epoch that is in it."""
    moment: datetime | None = None
    """When the newest change was made that is in it; absent in a bank without any."""
    taken_at: datetime
    """When it was taken."""
    restore_seconds: float
    """How long it took until the database was there and checked."""
    ready_seconds: float | None = None
    """How long it took until searches of it were answered."""
    data_loss_seconds: float | None = None
    """How much older its newest change is than the newest of the bank then; absent when the bank
    did not serve.
    """
    memories: int
    """Memories in it."""
    tenants: int
    """Tenants in it."""
    keys: int
    """Keys in it."""
    bytes: int
    """Size of the database, in bytes."""
    size: Annotated[str, Field(max_length=32)] = ""
    """The same for people."""
    schema_version: int
    """Schema of the database: services that know this or a newer one read it."""
    key_ids: tuple[Annotated[str, Field(max_length=128)], ...] = ()
    """Of an encrypted bank: the keys of the key ring that open it."""
    sha256: Annotated[str, Field(max_length=64)]
    """Of the database, in hex."""
    export: ExportStatus | None = None
    """The export beside it; absent when none was asked for."""


class MemoryBankBackupStatus(ResourceStatus):
    """What the operator says about the recovery point."""

    phase: Annotated[str, Field(max_length=32)] = ""
    """One word for people: Pending, Taking, Complete, Failed or Expired."""
    conditions: Conditions = ()
    """Complete is always present; Reconciling and Stalled only while True."""
    point: PointStatus | None = None
    """What the recovery point has; absent before it is taken."""
    expires_at: datetime | None = None
    """From when on it is removed from the destination; absent for never."""


class MemoryBankBackup(Resource):
    """A recovery point of a MemoryBank: a whole copy of it at the destination of its backups,
    which was restored and checked before it was put there.
    """

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "size(self.metadata.name) <= 63 && "
                "self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
                "metadata.name must have at most 63 characters, lower-case letters, digits and "
                "'-', and begin and end with a letter or digit: it is the name of the recovery "
                "point at the destination",
            )
        ),
    )

    spec: BackupSpec
    """Of which bank the recovery point is, and how long it is kept."""
    status: MemoryBankBackupStatus = MemoryBankBackupStatus()
    """What the operator says about the recovery point."""
