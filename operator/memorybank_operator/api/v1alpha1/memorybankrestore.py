"""The MemoryBankRestore resource: a bank is put back to a state that its backups have."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import ConfigDict, Field

from memorybank_operator.api.base import ApiModel, StatusModel, cel, rules
from memorybank_operator.api.v1alpha1.bootstrap import EpochName, PointName, Timestamp
from memorybank_operator.api.v1alpha1.resource import BankReference, Resource
from memorybank_operator.api.v1alpha1.status import Conditions, ResourceStatus

_STATES = ("timestamp", "epoch", "backup", "latest")


def _kept(field: str) -> str:
    """Return that a field is as it was."""
    return (
        f"has(self.{field}) == has(oldSelf.{field})"
        f" && (!has(self.{field}) || self.{field} == oldSelf.{field})"
    )


class RestoredPoint(ApiModel):
    """Names a recovery point."""

    name: PointName
    """Name of its MemoryBankBackup, which need not exist any more."""


class RestoreSpec(ApiModel):
    """Which bank is put back, and to what. Only rollback can change."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                f"[{', '.join(f'has(self.{each})' for each in _STATES)}]"
                ".filter(each, each).size() == 1 && (!has(self.latest) || self.latest)",
                "name one state: timestamp, epoch, backup with the name of a recovery point, or "
                "latest: true",
            ),
            cel(
                " && ".join(["self.bank == oldSelf.bank", *map(_kept, (*_STATES, "check"))]),
                "spec cannot change but for rollback: make another MemoryBankRestore",
            ),
            cel(
                "self.rollback || !oldSelf.rollback",
                "spec.rollback cannot be taken back: make another MemoryBankRestore",
                field_path=".rollback",
            ),
            cel(
                "!self.check || !self.rollback",
                "spec.rollback puts back what a restore replaced, and with spec.check nothing is "
                "replaced: remove one of both",
                field_path=".rollback",
            ),
        )
    )

    bank: BankReference
    """The bank that is put back."""
    timestamp: Timestamp | None = None
    """The last state up to this moment, such as 2026-11-22T15:00:00Z."""
    epoch: EpochName | None = None
    """The last state of this epoch, as status.backup.epoch of the bank named it."""
    backup: RestoredPoint | None = None
    """A recovery point."""
    latest: bool | None = None
    """The newest state, for a bank whose volume is damaged."""
    check: bool = False
    """Whether the state is only restored into a pod of its own and searched there, to see how it
    would go. The bank is left alone.
    """
    rollback: bool = False
    """Set to true later: what was there before the restore is put back."""


class RestoredStatus(StatusModel):
    """What was restored."""

    epoch: Annotated[str, Field(max_length=128)] = ""
    """The epoch that it was restored from."""
    moment: datetime | None = None
    """When the newest change was made that is in it; absent when there is none."""
    memories: int | None = None
    """Memories in it."""
    restore_seconds: float | None = None
    """How long it took until the database was there and checked."""


class MemoryBankRestoreStatus(ResourceStatus):
    """What the operator says about the restore."""

    phase: Annotated[str, Field(max_length=32)] = ""
    """How far it is: Pending, Checking, SafetyCopy, Stopping, Restoring, Starting, Complete,
    Failed, RollingBack or RolledBack.
    """
    conditions: Conditions = ()
    """Complete is always present; Reconciling and Stalled only while True."""
    safety_backup: Annotated[str, Field(max_length=63)] = ""
    """The MemoryBankBackup of what the bank was before; empty before it is taken, and when it
    could not be.
    """
    restored: RestoredStatus | None = None
    """What was restored; absent before it is."""


class MemoryBankRestore(Resource):
    """A MemoryBank is put back, in place, to a state that its backups have: checked before, what
    it was kept twice, and stopped for as long as it takes.
    """

    spec: RestoreSpec
    """Which bank is put back, and to what."""
    status: MemoryBankRestoreStatus = MemoryBankRestoreStatus()
    """What the operator says about the restore."""
