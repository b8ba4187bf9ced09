"""Acknowledging what is at the destination of the backups, and nothing before."""

from __future__ import annotations

from collections.abc import Callable

from memorybank.backup.watch import Freshness
from memorybank.errors import BackupUnavailable

_SECONDS = 5.0
"""How long the writes of a group wait for the destination."""
_AGAIN = "send it again when backups arrive: docs/service/backup.md, Replicated writes"


class Barrier:
    """Stands between the commit of a group of writes and their acknowledgement.

    Once nothing arrives, writes are refused before they are made, or acknowledged as they are,
    until a look at the backups finds that everything has arrived.
    """

    def __init__(
        self,
        sync: Callable[[float], object],
        *,
        refuses: bool,
        failed: Callable[[], None] = lambda: None,
    ) -> None:
        """`sync` returns when everything that was committed has arrived, or raises
        BackupUnavailable; `failed` hears that it did.
        """
        self.refuses = refuses
        """Whether writes are refused while nothing arrives."""
        self._sync = sync
        self._failed = failed
        self._problem = ""

    @property
    def holds(self) -> bool:
        """Whether what is acknowledged now has arrived."""
        return not self._problem or self.refuses

    def looked(self, seen: Freshness) -> None:
        """Hear of a look at the backups."""
        self._problem = seen.problem

    def admit(self) -> None:
        """Let a write begin. Raises BackupUnavailable when it would be refused afterwards."""
        if self._problem and self.refuses:
            raise BackupUnavailable(
                f"nothing is written while backups do not arrive: {self._problem}", hint=_AGAIN
            )

    def confirm(self) -> None:
        """Return when what was committed may be acknowledged. Raises BackupUnavailable."""
        if not self._problem:
            try:
                self._sync(_SECONDS)
            except BackupUnavailable as error:
                self._problem = error.message
                self._failed()
        if self._problem and self.refuses:
            raise BackupUnavailable(
                "the write is in the database, but it has not arrived in the backup:"
                f" {self._problem}",
                hint=f"{_AGAIN}; with the same Idempotency-Key it is found, not made twice",
            )
