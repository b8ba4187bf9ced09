"""Whether this process should get requests."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from memorybank.errors import MemoryBankError
from memorybank.ports import StoreCare
from memorybank.schemas.health import BackupReport, Check, DiskReport, FollowReport, ReadyReport
from memorybank.services.selftest import SelfTest

_logger = logging.getLogger(__name__)


async def _nothing() -> None:
    """No trouble."""


class Readiness:
    """Ready means: not shutting down, and the self-test passed a moment ago."""

    def __init__(
        self,
        selftest: SelfTest,
        care: StoreCare,
        *,
        version: str,
        revision: str,
        schema_version: int,
        backup: Callable[[], BackupReport | None] = lambda: None,
        follow: Callable[[], FollowReport | None] = lambda: None,
        consolidation: Callable[[], Awaitable[str | None]] = _nothing,
    ) -> None:
        """`consolidation` says what is wrong with its jobs, None when nothing is."""
        self._selftest = selftest
        self._care = care
        self._version = version
        self._revision = revision
        self._schema_version = schema_version
        self._backup = backup
        self._follow = follow
        self._consolidation = consolidation
        self._draining = False
        self._was_ready = True

    def drain(self) -> None:
        """Be unready from now on; requests are still served."""
        self._draining = True

    async def report(self) -> ReadyReport:
        """Return the state, with everything that was tried."""
        backup = self._backup()
        if self._draining:
            checks = [Check(name="lifecycle", status="failed", message="shutting down")]
        elif backup is not None and backup.fenced_by is not None:
            fenced = f"{backup.fenced_by} was promoted in the place of this bank"
            checks = [Check(name="fence", status="failed", message=fenced)]
        else:
            checks = [*await self._selftest.run(), *await self._jobs()]
        disk = await self._care.disk()
        ready = all(check.status in ("ok", "degraded") for check in checks)
        self._log_change(checks, ready=ready)
        return ReadyReport(
            status="ready" if ready else "not_ready",
            version=self._version,
            revision=self._revision,
            schema_version=self._schema_version,
            way_back=self._care.way_back,
            disk=disk and DiskReport(total_bytes=disk.total_bytes, free_bytes=disk.free_bytes),
            backup=backup,
            follow=self._follow(),
            checks=checks,
        )

    async def _jobs(self) -> list[Check]:
        """Tell of jobs that fail; the bank does its own all the same."""
        try:
            trouble = await self._consolidation()
        except MemoryBankError:
            return []  # the self-test says what is wrong with the store
        if trouble is None:
            return []
        return [Check(name="consolidation", status="degraded", message=trouble)]

    def _log_change(self, checks: list[Check], *, ready: bool) -> None:
        if ready and not self._was_ready:
            _logger.info("ready again")
        if self._was_ready and not ready:
            failed = next(check for check in checks if check.status == "failed")
            _logger.warning("not ready: %s: %s", failed.name, failed.message)
        self._was_ready = ready
