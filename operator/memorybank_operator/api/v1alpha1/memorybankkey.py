"""The MemoryBankKey resource: a key to a bank, delivered in a Secret."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

from pydantic import ConfigDict, Field

from memorybank_operator.api.base import ApiModel, StatusModel, cel, rules
from memorybank_operator.api.duration import PATTERN, parse_duration
from memorybank_operator.api.v1alpha1.resource import BankReference, Resource
from memorybank_operator.api.v1alpha1.status import Conditions, ResourceStatus
from memorybank_operator.api.v1alpha1.types import Duration, ObjectName

Tenant = Annotated[
    str,
    Field(
        max_length=63,
        json_schema_extra=rules(
            cel(
                "self.matches('^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$')",
                "write the name of a tenant: up to 63 lower-case letters, digits, '.', '_' and "
                "'-', beginning and ending with a letter or digit",
            )
        ),
    ),
]
Role = Annotated[
    str,
    Field(
        max_length=63,
        json_schema_extra=rules(
            cel(
                "self.matches('^[a-z]([a-z0-9_-]{0,61}[a-z0-9])?$')",
                "write admin, developer, readonly, or a role of the bank's spec.auth.roles",
            )
        ),
    ),
]


class Rotation(ApiModel):
    """When the key is replaced by another one, in the same Secret."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                f"!has(self.every) || !self.every.matches('{PATTERN}')"
                " || duration(self.every) >= duration('1m')",
                "spec.rotation.every must be at least 1m",
                field_path=".every",
            ),
            cel(
                f"!self.overlap.matches('{PATTERN}') || duration(self.overlap) <= duration('720h')",
                "spec.rotation.overlap must be at most 720h, which is 30 days",
                field_path=".overlap",
            ),
            cel(
                f"!has(self.every) || !self.every.matches('{PATTERN}')"
                f" || !self.overlap.matches('{PATTERN}')"
                " || duration(self.overlap) < duration(self.every)",
                "spec.rotation.overlap must be shorter than spec.rotation.every, or former keys "
                "pile up: shorten the overlap, or rotate less often",
                field_path=".overlap",
            ),
        )
    )

    every: Duration | None = None
    """Replace the key when it is so old. Absent: only on request."""
    overlap: Duration = "1h"
    """How long the former key stays valid beside the new one, from the rotation on; 0s refuses it
    as soon as the new one is in the Secret. Changed during an overlap, it holds for that one.
    """
    request: Annotated[str, Field(max_length=128)] = ""
    """A new text, such as the time, replaces the key once; status.rotation.request echoes it when
    that is done.
    """

    @property
    def interval(self) -> timedelta | None:
        """`every` as a span."""
        return None if self.every is None else parse_duration(self.every)

    @property
    def overlap_span(self) -> timedelta:
        """`overlap` as a span."""
        return parse_duration(self.overlap)


class KeySpec(ApiModel):
    """What the key should be."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "self.bankRef == oldSelf.bankRef",
                "spec.bankRef cannot change: make another MemoryBankKey for the other bank",
            ),
            cel(
                "has(self.secretName) == has(oldSelf.secretName)"
                " && (!has(self.secretName) || self.secretName == oldSelf.secretName)",
                "spec.secretName cannot change, since pods use that Secret: make another "
                "MemoryBankKey with the other name",
            ),
        )
    )

    bank_ref: BankReference
    """The bank that the key opens."""
    tenant: Tenant = "default"
    """Whose memories the key opens. The tenant must exist in the bank."""
    role: Role = "developer"
    """What the key allows: admin, developer (read, write, delete), readonly, or a role of the
    bank's spec.auth.roles.
    """
    expires_at: datetime | None = None
    """The key opens nothing from then on. Absent: never."""
    rotation: Rotation = Rotation()
    """When the key is replaced by another one, in the same Secret."""
    secret_name: ObjectName | None = None
    """Name of the Secret that the key is delivered in. Absent: the name of the MemoryBankKey."""


class FormerKeyStatus(StatusModel):
    """A key that was replaced and is still valid."""

    key_id: str
    """By which id the bank lists it."""
    until: datetime
    """It is refused from then on."""


class RotationStatus(StatusModel):
    """The rotations of the key."""

    last: datetime
    """When the key in the Secret was made."""
    next: datetime | None = None
    """When the schedule replaces it; absent without spec.rotation.every."""
    request: str = ""
    """The text of spec.rotation.request that was done last."""
    former: tuple[FormerKeyStatus, ...] = ()
    """Former keys that are still valid, oldest first."""


class MemoryBankKeyStatus(ResourceStatus):
    """What the operator says about the key. The key itself never shows here."""

    conditions: Conditions = ()
    """Ready is always present; Expiring, Reconciling and Stalled only while True."""
    secret_name: str = ""
    """The Secret with URL and key (servicebinding.io); empty before it exists."""
    key_id: str = ""
    """By which id the bank lists the key; it opens nothing."""
    rotation: RotationStatus | None = None
    """The rotations of the key; absent before there is one."""


class MemoryBankKey(Resource):
    """A key to a MemoryBank, made by the operator and delivered in a Secret; it opens the bank for
    as long as this object exists.
    """

    spec: KeySpec
    """What the key should be."""
    status: MemoryBankKeyStatus = MemoryBankKeyStatus()
    """What the operator says about the key."""

    @property
    def secret(self) -> str:
        """Name of the Secret."""
        return self.spec.secret_name or self.metadata.name
