"""Taking recovery points, and proving that what is at the destination brings the bank back.

Everything happens on a copy in a folder that goes afterwards. The bank that serves is asked for one
thing at most: what it holds.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from memorybank.backup.destination import Destination
from memorybank.backup.moments import Moment, Restored, Written, offer
from memorybank.backup.point import Point, PointExport
from memorybank.backup.points import Copy, Points, sha256_of, taken
from memorybank.backup.report import Check, Report
from memorybank.configuration import key_ring
from memorybank.errors import BackupDamaged, ConfigurationError, MemoryBankError, StoreUnavailable
from memorybank.ports import StoreFacts
from memorybank.schemas.backups import BackupMark
from memorybank.server.archive import Archive
from memorybank.server.backups import bring_back, points_of, require_opens
from memorybank.server.destinations import backup_of, place_of
from memorybank.server.recall import recall
from memorybank.settings import DATABASE_NAME, Settings
from memorybank.stores.sqlite.connection import migrations
from memorybank.stores.sqlite.facts import (
    check_copy,
    facts_of_copy,
    require_known_copy,
)
from memorybank.version import VERSION

Ask = Callable[[bool], BackupMark | None]
"""Asks the bank that serves for its mark, with what was written on its way there or not; None when
it does not serve.
"""
_SPARE = 16 * 1024 * 1024
"""Bytes that are free where a disk is not full."""
_logger = logging.getLogger(__name__)


def bank_of(settings: Settings) -> str:
    """Return namespace, name and uid of the bank. Raises ConfigurationError."""
    backup = backup_of(settings)
    return f"{backup.bank}/{backup.uid}"


@dataclass(frozen=True, slots=True)
class Drill:
    """Restores a bank beside itself; `report` is filled as far as it gets."""

    settings: Settings
    ask: Ask
    scratch: Path | None
    """Where the copy is made; None: where temporary files are."""
    report: Report

    def take(
        self, name: str, *, owner: str | None, expire: timedelta | None, with_export: bool = False
    ) -> None:
        """Make a recovery point of the newest state, and an export of it if that is asked for; the
        same owner who asks again finds the same one. Raises InvalidRequest when the name is
        another's, and as moments.restore does.
        """
        points = points_of(self.settings)
        there = asyncio.run(points.find(name))
        if there is not None:
            if owner is None or there.id != owner:
                raise taken(name)
            self.report.tell_point(there)
            self.report.already = True
            return
        with self._folder() as folder:
            copy = Path(folder) / DATABASE_NAME
            restored = self._brought(copy)
            facts = facts_of_copy(copy)  # before it is searched, which writes to it
            uploaded = [asyncio.run(points.upload(name, copy))]
            archive = self._archive(Path(folder), name) if with_export else None
            try:
                memories = self._search(copy, archive)
                export = None
                if archive is not None:
                    uploaded.append(asyncio.run(points.upload(name, archive.file)))
                    export = archive.told(memories, uploaded[1])
                point = self._point(name, owner, expire, restored, facts, uploaded[0], export)
                asyncio.run(points.record(point))
            except MemoryBankError:
                asyncio.run(points.discard(uploaded))
                raise
        self.report.tell_point(point)
        asyncio.run(_tidied(points))

    def verify(self, moment: Moment) -> None:
        """Prove that a state of the bank comes back. Raises BackupDamaged when it does not, and as
        moments.restore does.
        """
        with self._folder() as folder:
            copy = Path(folder) / DATABASE_NAME
            if moment.is_newest:
                self.report.source = self._mark()
            restored = self.restore(moment, copy)
            if restored.point is not None:
                asyncio.run(points_of(self.settings).require_export(restored.point))
            self.report.sha256 = sha256_of(copy)
            self._search(copy)

    def _folder(self) -> tempfile.TemporaryDirectory[str]:
        try:
            return tempfile.TemporaryDirectory(prefix="memorybank-", dir=self.scratch)
        except OSError as error:
            raise ConfigurationError(
                f"the folder {self.scratch} cannot be used: {error.strerror}",
                field="scratch",
                hint="name one that is there and writable, with room for the whole database",
            ) from None

    def _mark(self) -> BackupMark | None:
        """Return what the bank holds that a backup of it is compared with."""
        if self.settings.is_replicated:
            return self.ask(False)
        from memorybank.server.postgres import facts_now

        try:
            return _mark_of(facts_now(self.settings))
        except MemoryBankError as error:  # what is at the destination is tried all the same
            _logger.warning("nothing to compare with: %s", error.message)
            return None

    def _brought(self, copy: Path) -> Restored:
        """Bring the newest state of the bank into a file, and check what it is. Raises as `restore`
        does.
        """
        if self.settings.is_replicated:
            self.report.source = mark = self.ask(True)
            return self.restore(Moment(epoch=None if mark is None else mark.epoch), copy)
        return self._checked_copy(copy, self._copied)

    def _copied(self, copy: Path) -> Restored:
        """Copy a bank in PostgreSQL, which has compared every row."""
        from memorybank.server.postgres import Logged, copy_bank

        def seen(facts: StoreFacts) -> None:
            self.report.source = _mark_of(facts)

        found = copy_bank(self.settings, copy, Logged(), seen=seen)
        for each in found.broken_logs:
            _logger.warning("the audit log was broken before of %s", each)
        return Restored(None, None)

    def restore(self, moment: Moment, copy: Path) -> Restored:
        """Restore a moment, and check what it is. Raises BackupDamaged when it is not whole,
        ConfigurationError when it is of a newer version or the key ring does not open it, and as
        moments.restore does.
        """

        def bring(copy: Path) -> Restored:
            return asyncio.run(bring_back(self.settings, moment, copy, check=require_known_schema))

        return self._checked_copy(copy, bring)

    def _checked_copy(self, copy: Path, bring: Callable[[Path], Restored]) -> Restored:
        report = self.report
        report.taken_at = datetime.now(UTC)
        began = time.monotonic()
        restored = bring(copy)
        report.epoch, report.txid, report.bytes = restored.epoch, restored.txid, _size(copy)
        self._require_sound(copy, restored)
        report.restore_seconds = round(time.monotonic() - began, 3)
        return restored

    def _require_sound(self, copy: Path, restored: Restored) -> None:
        report = self.report
        require_known_copy(copy)
        found = check_copy(copy)
        self._checked(Check.of("integrity", "; ".join(found.problems)))
        facts = facts_of_copy(copy)
        report.memories, report.tenants, report.keys = facts.memories, facts.tenants, facts.keys
        report.moment, report.key_ids = facts.changed_at, facts.key_ids
        report.schema_version = facts.schema_version
        if report.source is not None:
            report.data_loss_seconds = _lost(facts, report.source)
        self._checked(Check.of("counts", _miscounted(facts, report, restored)))
        try:
            require_opens(self.settings, copy)
        except ConfigurationError as error:
            report.checks.append(Check.of("keys", error.message))
            raise
        report.checks.append(Check.of("keys", ""))

    def _archive(self, folder: Path, name: str) -> Archive:
        return Archive(folder, key_ring(self.settings), self.report.bank, name)

    def _search(self, copy: Path, archive: Archive | None = None) -> int:
        """Search a copy, and write its export; return how many memories that has."""
        report = self.report
        try:
            found = recall(self.settings, copy, archive)
        except StoreUnavailable as error:
            if shutil.disk_usage(copy.parent).free >= _SPARE:  # else it is the disk
                self._checked(Check.of("recall", error.message))
            raise
        report.ready_seconds = round((report.restore_seconds or 0.0) + found.seconds, 3)
        self._checked(Check.of("recall", found.problem))
        said = f"{found.asked} memories found"
        words = "" if found.degraded is None else f", by their words alone: {found.degraded}"
        report.checks[-1] = Check(name="recall", ok=True, detail=f"{said}{words}")
        return found.exported

    def _checked(self, check: Check) -> None:
        self.report.checks.append(check)
        if not check.ok:
            error = BackupDamaged(
                f"what was restored is not sound: {check.detail}",
                hint="docs/service/backup.md, A damaged backup",
            )
            destination = Destination(place_of(backup_of(self.settings)))
            asyncio.run(offer(error, destination, lambda point: point.name != self.report.name))
            raise error

    def _point(
        self,
        name: str,
        owner: str | None,
        expire: timedelta | None,
        restored: Restored,
        facts: StoreFacts,
        copy: Copy,
        export: PointExport | None,
    ) -> Point:
        at = self.report.taken_at
        assert at is not None  # noqa: S101  # set when the restore began
        return Point(
            name=name,
            id=owner,
            object=copy.object,
            bank=self.report.bank,
            epoch=restored.epoch,
            txid=restored.txid,
            moment=facts.changed_at,
            taken_at=at,
            expires_at=None if expire is None else at + expire,
            change=facts.change,
            memories=facts.memories,
            tenants=facts.tenants,
            keys=facts.keys,
            key_ids=facts.key_ids,
            bytes=copy.bytes,
            sha256=copy.sha256,
            export=export,
            service_version=VERSION,
            schema_version=facts.schema_version,
        )


def require_known_schema(written: Written) -> None:
    """Raise ConfigurationError for a backup of a newer version of the service."""
    newest = migrations()[-1].version
    if written.schema_version > newest:
        raise ConfigurationError(
            f"the backup is of a newer version of the service ({written.service_version}, schema"
            f" {written.schema_version}; this version knows {newest})",
            hint="run that version or a later one",
        )


async def _tidied(points: Points) -> None:
    """Remove the points that have expired; the next time will do, too."""
    try:
        await points.tidy()
    except MemoryBankError as error:
        _logger.warning("expired recovery points could not be removed: %s", error.message)


def _mark_of(facts: StoreFacts) -> BackupMark:
    """Return what a bank in PostgreSQL held just now."""
    return BackupMark(
        at=datetime.now(UTC),
        epoch=None,
        txid=None,
        change=facts.change,
        changed_at=facts.changed_at,
        memories=facts.memories,
        tenants=facts.tenants,
        keys=facts.keys,
        schema_version=facts.schema_version,
    )


def _lost(facts: StoreFacts, source: BackupMark) -> float:
    """Return how much older the newest change of a copy is than that of the bank."""
    if facts.change >= source.change or facts.changed_at is None or source.changed_at is None:
        return 0.0
    return round(max(0.0, (source.changed_at - facts.changed_at).total_seconds()), 3)


def _miscounted(facts: StoreFacts, report: Report, restored: Restored) -> str:
    """Return what a copy has not that it should have."""
    point, source = restored.point, report.source
    if point is not None:
        was = (point.change, point.memories, point.tenants, point.keys)
        found = (facts.change, facts.memories, facts.tenants, facts.keys)
        return "" if was == found else "it does not hold what its record says"
    if source is None:
        return ""
    if report.operation == "take" and facts.change < source.change:
        return f"its newest change is number {facts.change}, and number {source.change} had arrived"
    if facts.change == source.change and facts.memories != source.memories:
        return f"it has {facts.memories} memories, and the bank has {source.memories}"
    return ""


def _size(file: Path) -> int:
    return file.stat().st_size
