"""Encryption as administrators see it: ids of keys, never keys."""

from __future__ import annotations

from pydantic import Field

from memorybank.domain.encryption import EncryptionStatus
from memorybank.schemas.fields import Response


class EncryptionView(Response):
    """Whether the bank is encrypted, and how far the active key of the ring has got."""

    enabled: bool
    active_key: str | None = Field(description="The id of the key that wraps what is new.")
    data_keys: dict[str, int] = Field(
        description="How many tenants' keys each key of the ring wraps now. A key that is not here "
        "and not active may leave the ring."
    )
    rotating: bool = Field(description="Whether some are still wrapped by another key.")

    @classmethod
    def of(cls, status: EncryptionStatus) -> EncryptionView:
        """Show the state."""
        return cls(
            enabled=status.enabled,
            active_key=status.active_key,
            data_keys=dict(status.data_keys),
            rotating=any(key != status.active_key for key in status.data_keys),
        )
