"""How the bank is encrypted, for its administrators."""

from __future__ import annotations

from memorybank.auth.principal import Principal
from memorybank.domain.encryption import EncryptionStatus
from memorybank.ports import AccessStore


class EncryptionService:
    """What administrators of the bank can see of its encryption."""

    def __init__(self, store: AccessStore) -> None:
        self._store = store

    async def status(self, caller: Principal) -> EncryptionStatus:
        """Tell whether the bank is encrypted, and how far a rotation of the ring has got."""
        caller.require_bank()
        return await self._store.encryption()
