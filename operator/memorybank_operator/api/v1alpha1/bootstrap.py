"""What a new bank begins with."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from memorybank_operator.api.base import ApiModel, cel, rules
from memorybank_operator.api.v1alpha1.backup import Destination
from memorybank_operator.api.v1alpha1.types import ObjectName

RESTORE_PATH = "spec.bootstrap.restore"


class FromBank(ApiModel):
    """A bank that has, or had, backups at the destination. It need not exist any more."""

    name: ObjectName
    """Its name."""
    namespace: ObjectName | None = None
    """Its namespace, in this cluster or another one. Left out, the bank's own."""
    uid: (
        Annotated[
            str,
            Field(
                max_length=63,
                json_schema_extra=rules(
                    cel(
                        "self.matches('^[A-Za-z0-9][A-Za-z0-9-]*$')",
                        "write the metadata.uid of that bank, which is the name of its folder at "
                        "the destination",
                    )
                ),
            ),
        ]
        | None
    ) = None
    """Its metadata.uid, where several banks had that name one after the other. Left out, the one
    that was backed up last.
    """


Timestamp = Annotated[
    str,
    Field(
        max_length=64,
        json_schema_extra=rules(
            cel(
                r"self.matches(r'^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?"
                r"(Z|[+-]\d\d:\d\d)$')",
                "write a time with its zone, such as 2026-11-22T15:00:00Z",
            )
        ),
    ),
]
EpochName = Annotated[
    str,
    Field(
        max_length=32,
        json_schema_extra=rules(
            cel(
                "self.matches('^[0-9]{8}-[0-9a-f]{8}$')",
                "write the name of an epoch, such as 00000003-5be90a13: "
                "status.backup.epoch of a bank has it, and its folder at the destination",
            )
        ),
    ),
]
PointName = Annotated[
    str,
    Field(
        max_length=63,
        json_schema_extra=rules(
            cel(
                "!format.dns1123Label().validate(self).hasValue()",
                "write the name of a recovery point, which is that of its MemoryBankBackup: up to "
                "63 lower-case letters, digits and '-', beginning and ending with a letter or "
                "digit",
            )
        ),
    ),
]


class Restore(ApiModel):
    """A backup that a new bank begins with."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "!has(self.backup) || (!has(self.timestamp) && !has(self.epoch))",
                f"{RESTORE_PATH}.backup names a recovery point, which has one state: remove "
                "timestamp and epoch, or remove backup",
                field_path=".backup",
            )
        )
    )

    from_bank: FromBank | None = None
    """Whose backup it is. Left out, that of a former bank of the same namespace and name."""
    destination: Destination | None = None
    """Where it is. Left out, at spec.backup.destination."""
    timestamp: Timestamp | None = None
    """The last state up to this moment, such as 2026-11-22T15:00:00Z. Left out, the newest one."""
    epoch: EpochName | None = None
    """The incarnation whose state it is, as status.backup.epoch says. Left out, the newest one, or
    the one that was at that moment what the newest one went on from.
    """
    backup: PointName | None = None
    """A recovery point, by the name of its MemoryBankBackup, which need not exist any more. Left
    out, what was replicated.
    """


class Bootstrap(ApiModel):
    """What a new bank begins with. It has no effect on a bank that has a database or backups."""

    restore: Restore | None = None
    """A backup. A bank for which there is none does not start."""
