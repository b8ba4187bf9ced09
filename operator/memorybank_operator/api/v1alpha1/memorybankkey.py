"""The MemoryBankKey resource: a key to a bank, delivered in a Secret."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, ValidationError

from memorybank_operator.api.base import ApiModel, StatusModel, cel, rules
from memorybank_operator.api.v1alpha1.memorybank import Metadata, invalid_spec
from memorybank_operator.api.v1alpha1.status import Condition, Conditions
from memorybank_operator.api.v1alpha1.types import ObjectName

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


class BankReference(ApiModel):
    """Names a bank."""

    name: ObjectName
    """Name of the MemoryBank, in the key's namespace."""


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
    secret_name: ObjectName | None = None
    """Name of the Secret that the key is delivered in. Absent: the name of the MemoryBankKey."""


class MemoryBankKeyStatus(StatusModel):
    """What the operator says about the key. The key itself never shows here."""

    observed_generation: int = -1
    """Generation of the spec that this status is about; -1 before the operator saw the key."""
    conditions: Conditions = ()
    """Ready is always present; Reconciling and Stalled only while True."""
    secret_name: str = ""
    """The Secret with URL and key (servicebinding.io); empty before it exists."""
    key_id: str = ""
    """By which id the bank lists the key; it opens nothing."""

    def condition(self, kind: str) -> Condition | None:
        """Return the condition of a type, None when there is none."""
        return next((each for each in self.conditions if each.type == kind), None)


class MemoryBankKey(ApiModel):
    """A key to a MemoryBank, made by the operator and delivered in a Secret; it opens the bank for
    as long as this object exists.
    """

    model_config = ConfigDict(extra="ignore")

    metadata: Metadata
    spec: KeySpec
    """What the key should be."""
    status: MemoryBankKeyStatus = MemoryBankKeyStatus()
    """What the operator says about the key."""

    @property
    def name(self) -> str:
        """Name of the MemoryBankKey."""
        return self.metadata.name

    @property
    def secret(self) -> str:
        """Name of the Secret."""
        return self.spec.secret_name or self.metadata.name

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> Self:
        """Read a resource as the API server shows it; raises InvalidSpec as MemoryBank does."""
        try:
            return cls.model_validate(body)
        except ValidationError as error:
            raise invalid_spec(error) from None
