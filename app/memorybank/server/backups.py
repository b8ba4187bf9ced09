"""The backups that the settings ask for."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from memorybank.backup.asking import Litestream
from memorybank.backup.backlog import Backlog
from memorybank.backup.barrier import Barrier
from memorybank.backup.care import Care
from memorybank.backup.chain import Chain
from memorybank.backup.copies import Copied, Told, known
from memorybank.backup.destination import Destination, newest_bank
from memorybank.backup.fence import SETTLE_SECONDS, Fence, Fences
from memorybank.backup.guard import Guard
from memorybank.backup.litestream import CONFIG, HOLD, SOCKET, Plan, program
from memorybank.backup.moments import Moment, Restored, Written, offer, restore
from memorybank.backup.objects import Place
from memorybank.backup.point import Point
from memorybank.backup.points import Points
from memorybank.backup.prepare import Incarnation, Prepared, Start
from memorybank.backup.prepare import prepare as begin
from memorybank.backup.private import write_private
from memorybank.backup.restoring import Restorer
from memorybank.backup.rewinds import Rewinds
from memorybank.backup.watch import LOOK_SECONDS, SYNC_SECONDS, Freshness, Watch
from memorybank.configuration import key_ring
from memorybank.errors import BackupUnavailable, ConfigurationError
from memorybank.schemas.backups import BackupMark
from memorybank.schemas.health import BackupReport, CopyReport
from memorybank.server.destinations import backup_of, copies_of, place_in, place_of
from memorybank.settings import (
    BackupSettings,
    RestoreSettings,
    S3Settings,
    Settings,
)
from memorybank.stores.sqlite.care import go_back
from memorybank.stores.sqlite.connection import migrations
from memorybank.stores.sqlite.facts import (
    facts_of_copy,
    facts_of_served,
    require_known_copy,
    require_ring,
)
from memorybank.stores.sqlite.lineage import begin_lineage
from memorybank.stores.sqlite.lock import locked
from memorybank.version import VERSION

if TYPE_CHECKING:
    from memorybank.telemetry import Telemetry

_logger = logging.getLogger(__name__)


def prepare(settings: Settings) -> None:
    """Find or restore the database, begin its epoch and write Litestream's configuration. Of a bank
    in PostgreSQL, restore what it begins with, unless it has begun.

    Raises ConfigurationError, and as backup.prepare and replacing.begin do.
    """
    backup = backup_of(settings)
    if settings.database.engine == "postgres":
        from memorybank.server.replacing import begin as begin_on_server

        begin_on_server(settings)
        return
    place = place_of(backup)
    database = settings.database_path
    rewinds = Rewinds(database)
    if rewinds.is_pending:
        with locked(database):
            rewinds.finish()
    rewound = rewinds.not_begun()

    def prove(copy: Path) -> None:
        require_opens(settings, copy)
        begin_lineage(copy)

    incarnation = Incarnation(
        database=database,
        bank=backup.bank,
        service_version=VERSION,
        schema_version=migrations()[-1].version,
        prove=prove,
        source=None if rewound is None else rewound.told,
    )
    if incarnation.has_database:
        go_back(database)  # before anything replicates it
    prepared = asyncio.run(_begun(backup, incarnation, place))
    if prepared.recorded:
        prepared = prepared.model_copy(update={"fence": _fence(place)})
    if rewound is not None and prepared.recorded:
        rewinds.note_begun(rewound)
    plan = Plan(
        database=settings.database_path,
        epoch=prepared.epoch.name,
        replica=place.replica(prepared.epoch.name),
        sync_seconds=backup.sync_seconds,
        snapshot_hours=backup.snapshot_hours,
        retention_hours=backup.retention_hours,
        run_dir=backup.run_dir,
        metrics_port=backup.metrics_port,
    )
    write_private(backup.run_dir / CONFIG, plan.text())
    (backup.run_dir / HOLD).unlink(missing_ok=True)  # of the epoch before
    prepared.save(backup.run_dir)
    _logger.info("prepared", extra={"details": prepared.epoch.model_dump(mode="json")})


async def chain(settings: Settings) -> Chain:
    """Return the epochs of the bank, and when each was written to last. Raises ConfigurationError,
    and as Destination does.
    """
    return await Destination(place_of(backup_of(settings))).chain()


async def bring_back(
    settings: Settings,
    moment: Moment,
    database: Path,
    *,
    check: Callable[[Written], None] = lambda _each: None,
    prove: Callable[[Path], None] = lambda _restored: None,
) -> Restored:
    """Restore a moment of the bank into a file of its own; return what that was. Raises as
    moments.restore does, to which `check` and `prove` are passed.
    """
    backup = backup_of(settings)
    place = place_of(backup)
    with tempfile.TemporaryDirectory(prefix="memorybank-") as folder:
        restorer = replace(_restorer(backup, place, backup.s3), run_dir=Path(folder))
        return await restore(
            Destination(place), restorer, moment, database, check=check, prove=prove
        )


def require_opens(settings: Settings, copy: Path) -> None:
    """Raise ConfigurationError unless this version and the key ring open what was restored; it says
    which recovery point needs none of the keys that are missing.
    """
    require_known_copy(copy)
    if settings.database.engine == "postgres" and facts_of_copy(copy).key_ids:
        raise ConfigurationError(
            "what was restored is encrypted, which a bank in PostgreSQL cannot be",
            field="database.engine",
            hint="begin a bank in SQLite with it, and with its key ring",
        )
    ring = key_ring(settings)
    try:
        require_ring(copy, ring)
    except ConfigurationError as error:
        needed = set(facts_of_copy(copy).key_ids)
        usable = (set() if ring is None else set(ring.keys)) - needed

        def may_be(point: Point) -> bool:
            return usable.issuperset(point.key_ids) and set(point.key_ids) != needed

        asyncio.run(offer(error, Destination(place_of(backup_of(settings))), may_be))
        raise


def lift_fence(settings: Settings) -> Fence | None:
    """Let the bank take writes again though another one was promoted in its place; return what
    kept it from that, None when nothing did. Raises ConfigurationError and BackupUnavailable.
    """
    backup = backup_of(settings)
    # A fence that is left at a copy is brought to the first destination again.
    places = (*copies_of(backup).values(), place_of(backup))

    async def lift() -> Fence | None:
        found = [await Fences(each).lift() for each in places]
        return next((each for each in reversed(found) if each is not None), None)

    return asyncio.run(lift())


def remove_point(settings: Settings, name: str) -> bool:
    """Remove a recovery point, from the copies, too; return whether there was one. Raises
    ConfigurationError and BackupUnavailable.
    """
    backup = backup_of(settings)
    # What the first destination has is brought to the copies again.
    places = (place_of(backup), *copies_of(backup).values())

    async def remove() -> bool:
        return any([await Points(each).remove(name) for each in places])

    return asyncio.run(remove())


def points_of(settings: Settings) -> Points:
    """Return the recovery points of the bank. Raises ConfigurationError."""
    return Points(place_of(backup_of(settings)))


class Backups:
    """The backups of a bank that serves."""

    def __init__(
        self,
        database: Path,
        watch: Watch,
        litestream: Litestream,
        barrier: Barrier | None,
        guard: Guard,
        backlog: Backlog,
        copies: Callable[[], Sequence[Copied]],
    ) -> None:
        self.guard = guard
        """What acknowledged writes have to pass."""
        self._barrier = barrier
        self._database = database
        self._watch = watch
        self._litestream = litestream
        self._backlog = backlog
        self._copies = copies

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """See that they are fresh until left."""
        async with self._watch.running(), self.guard.running():
            try:
                yield
            finally:
                self._litestream.hang_up()

    def report(self) -> BackupReport:
        """Return what is known of them now."""
        epoch, seen = self._watch.prepared.epoch, self._watch.seen
        fence = self.guard.fence
        return BackupReport(
            epoch=epoch.name,
            parent=epoch.parent,
            origin=epoch.origin.value,
            durability="replicated" if self._barrier and self._barrier.holds else "async",
            synced_at=seen.synced_at,
            recoverable_from=seen.recoverable_from,
            problem=seen.problem,
            problem_since=seen.problem_since,
            waiting_bytes=self._backlog.waiting(),
            fenced_by=None if fence is None else fence.by,
            fenced_at=None if fence is None else fence.at,
            copies=[CopyReport(**each.model_dump()) for each in self._copies()],
        )

    async def mark(self, *, sync: bool) -> BackupMark:
        """See Replicated."""
        return await asyncio.to_thread(self._mark, sync)

    def _mark(self, sync: bool) -> BackupMark:
        at = datetime.now(UTC)
        found = facts_of_served(self._database)
        # What was read was committed before: it has arrived when that is confirmed.
        txid = self._litestream.sync(SYNC_SECONDS) if sync else None
        return BackupMark(
            at=at,
            epoch=self._watch.prepared.epoch.name,
            txid=txid,
            change=found.change,
            changed_at=found.changed_at,
            memories=found.memories,
            tenants=found.tenants,
            keys=found.keys,
            schema_version=found.schema_version,
        )


def open_backups(settings: Settings, telemetry: Telemetry) -> Backups:
    """Return the backups of a bank whose pod was prepared. Raises ConfigurationError."""
    backup = backup_of(settings)
    prepared = Prepared.load(backup.run_dir)
    litestream = Litestream(backup.run_dir / SOCKET, settings.database_path)
    kind = "s3" if backup.volume is None else "volume"
    if prepared.restore_seconds is not None:
        telemetry.restored(kind, seconds=prepared.restore_seconds)
    barrier = None
    if backup.durability == "replicated":
        barrier = Barrier(
            litestream.sync,
            refuses=backup.when_unreachable == "refuse",
            failed=lambda: watch.look_soon(),
        )

    care = Care(
        Destination(place_of(backup)),
        Points(place_of(backup)),
        prepared,
        settings.database_path,
        keep=timedelta(hours=backup.retention_hours),
    )
    backlog = Backlog(
        settings.database_path,
        prepared.epoch.name,
        backup.run_dir,
        most_bytes=backup.max_waiting_bytes,
        reach=care.reach,
        clear=care.clear,
    )

    opened = datetime.now(UTC)
    names = [each.name for each in backup.copies]

    def copies() -> Sequence[Copied]:
        told = Told.load(backup.run_dir) if names else None
        return known(told, names, since=opened, now=datetime.now(UTC))

    def looked(seen: Freshness) -> None:
        for each in copies():
            telemetry.copied(
                each.name,
                at=each.copied_at,
                healthy=not each.problem,
                waiting_bytes=each.waiting_bytes,
            )
        telemetry.backup_looked(
            kind,
            synced_at=seen.synced_at,
            recoverable_from=seen.recoverable_from,
            healthy=not seen.problem,
            waiting_bytes=backlog.waiting(),
        )
        if barrier is not None:
            barrier.looked(seen)

    watch = Watch(
        prepared,
        litestream.sync,
        care,
        backlog,
        look_seconds=max(LOOK_SECONDS, backup.sync_seconds),
        database_bytes=_size(settings.database_path),
        looked=looked,
    )
    guard = Guard(
        Fences(place_of(backup)),
        prepared.fence,
        barrier,
        looked=lambda fence: telemetry.fenced(fence is not None),
    )
    return Backups(settings.database_path, watch, litestream, barrier, guard, backlog, copies)


def _restorer(backup: BackupSettings, place: Place, s3: S3Settings | None) -> Restorer:
    return Restorer(
        program=program(),
        place=place,
        run_dir=backup.run_dir,
        ca_file=None if s3 is None else s3.ca_file,
        seconds=backup.restore_seconds,
    )


async def start_of(backup: BackupSettings, source: RestoreSettings) -> Start:
    """Return what a new bank begins with. Raises ConfigurationError, and as newest_bank does."""
    where, section = (
        (source, "backup.restore") if source.s3 or source.volume else (backup, "backup")
    )
    bank = source.bank or backup.bank
    uid = source.uid or await newest_bank(place_in(where, bank, section), but=backup.uid)
    place = place_in(where, f"{bank}/{uid}", section)
    if source.fence:
        fence = Fence(by=f"{backup.bank}/{backup.uid}", at=datetime.now(UTC))
        await Fences(place).put(fence)
        await asyncio.sleep(SETTLE_SECONDS)  # what is restored then has all that counts
    return Start(
        bank=f"{bank}/{uid}",
        destination=Destination(place),
        restorer=_restorer(backup, place, where.s3),
        moment=Moment(at=source.at, epoch=source.epoch, point=source.point),
    )


async def _begun(backup: BackupSettings, incarnation: Incarnation, place: Place) -> Prepared:
    """Begin an epoch; where there is no database yet, nobody else makes one meanwhile."""
    lock = nullcontext() if incarnation.has_database else locked(incarnation.database)
    restorer = _restorer(backup, place, backup.s3)
    start = None if backup.restore is None else partial(start_of, backup, backup.restore)
    with lock:
        return await begin(
            Destination(place), incarnation, restorer, start=start, now=datetime.now(UTC)
        )


def _fence(place: Place) -> Fence | None:
    try:
        return Fences(place).find()
    except BackupUnavailable as error:
        _logger.warning("whether another bank was promoted is not known: %s", error.message)
        return None


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0
