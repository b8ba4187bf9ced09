"""What a bank says of its backups to its administrators."""

from __future__ import annotations

from typing import Protocol

from memorybank.auth.principal import Principal
from memorybank.errors import Conflict
from memorybank.schemas.backups import BackupMark, MarkRequest
from memorybank.schemas.health import BackupReport


class Replicated(Protocol):
    """The backups of a bank that is being replicated."""

    def report(self) -> BackupReport:
        """Return what is known of them now."""

    async def mark(self, *, sync: bool) -> BackupMark:
        """Return what the bank holds; with `sync`, once all of it has arrived. Raises
        BackupUnavailable when it does not.
        """


class BackupService:
    """For whoever takes a backup, or checks one."""

    def __init__(self, backups: Replicated | None) -> None:
        self._backups = backups

    def report(self) -> BackupReport | None:
        """Return how fresh the backups are; None without any."""
        return None if self._backups is None else self._backups.report()

    async def mark(self, caller: Principal, request: MarkRequest) -> BackupMark:
        """Return what the bank holds now. Raises Forbidden, Conflict without backups,
        BackupUnavailable.
        """
        caller.require_bank()
        if self._backups is None:
            raise Conflict(
                "this bank is not replicated by its service",
                hint="name a destination in the settings (`backup`), or in spec.backup of the"
                " MemoryBank; a bank in PostgreSQL is not asked: its recovery points are taken"
                " from the database itself",
            )
        return await self._backups.mark(sync=request.sync)
