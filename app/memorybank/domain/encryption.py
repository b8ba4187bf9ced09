"""How a bank is encrypted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EncryptionStatus:
    """Whether a bank is encrypted, and how far the newest key of the ring has got."""

    enabled: bool
    active_key: str | None
    """The id of the ring's key that wraps what is new."""
    data_keys: Mapping[str, int]
    """How many tenants' keys each key of the ring wraps now."""
