"""The backups that the settings ask for."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from base64 import b64decode
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
from memorybank.backup.objects import Bucket, Folder, Place
from memorybank.backup.point import Point
from memorybank.backup.points import Points
from memorybank.backup.prepare import Incarnation, Prepared, Start
from memorybank.backup.prepare import prepare as begin
from memorybank.backup.private import write_private
from memorybank.backup.restoring import Restorer
from memorybank.backup.rewinds import Rewinds
from memorybank.backup.watch import LOOK_SECONDS, SYNC_SECONDS, Freshness, Watch
from memorybank.configuration import key_ring, read_mounted
from memorybank.errors import BackupUnavailable, ConfigurationError
from memorybank.schemas.backups import BackupMark
from memorybank.schemas.health import BackupReport, CopyReport
from memorybank.settings import (
    BackupSettings,
    CopySettings,
    FollowSettings,
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

CUSTOMER_KEY_BYTES = 32
"""Of AES-256, the only one that servers of S3 know."""
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


def backup_of(settings: Settings) -> BackupSettings:
    """Return where the backups are, and how they are made. Raises ConfigurationError."""
    if settings.backup is None:
        raise ConfigurationError(
            "there are no backups in the settings", field="backup", hint="name a destination"
        )
    return settings.backup


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


def place_of(backup: BackupSettings) -> Place:
    """Return where the backups of the bank are. Raises ConfigurationError."""
    return place_in(backup, f"{backup.bank}/{backup.uid}", "backup")


def copies_of(backup: BackupSettings) -> dict[str, Place]:
    """Return where the copies of the backups are, by name. Raises ConfigurationError."""
    own = f"{backup.bank}/{backup.uid}"
    return {
        each.name: place_in(each, own, f"backup.copies[{number}]")
        for number, each in enumerate(backup.copies)
    }


def place_in(
    where: BackupSettings | CopySettings | RestoreSettings | FollowSettings, own: str, section: str
) -> Place:
    """Return a folder of the destination that a section of the settings names. Raises
    ConfigurationError.
    """
    if where.volume is not None:
        return Folder(where.volume.path / own)
    s3 = where.s3
    assert s3 is not None  # noqa: S101  # one of the two is there
    return Bucket(
        bucket=s3.bucket,
        path=f"{s3.path}/{own}" if s3.path else own,
        region=s3.region,
        endpoint=s3.endpoint,
        path_style=s3.path_style,
        access_key_id=_read(s3.access_key_id_file, f"{section}.s3.access_key_id_file"),
        secret_access_key=_read(s3.secret_access_key_file, f"{section}.s3.secret_access_key_file"),
        ca=_certificates(s3, f"{section}.s3.ca_file"),
        kms_key_id=s3.kms_key_id,
        customer_key=_customer_key(s3, f"{section}.s3.customer_key_file"),
    )


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


def _certificates(s3: S3Settings, field: str) -> str | None:
    text = _read(s3.ca_file, field)
    if text is not None and "-----BEGIN CERTIFICATE-----" not in text:
        raise ConfigurationError(
            f"{s3.ca_file} holds no certificate",
            field=field,
            hint="write certificates in PEM into it",
        )
    return text


def _customer_key(s3: S3Settings, field: str) -> str | None:
    text = _read(s3.customer_key_file, field)
    if text is not None and not _is_key(text):
        raise ConfigurationError(
            f"{s3.customer_key_file} holds no key",
            field=field,
            hint=f"write {CUSTOMER_KEY_BYTES} random bytes in base64 into it, such as of"
            f" openssl rand -base64 {CUSTOMER_KEY_BYTES}",
        )
    return text


def _is_key(text: str) -> bool:
    try:
        return len(b64decode(text, validate=True)) == CUSTOMER_KEY_BYTES
    except ValueError:
        return False


def _read(file: Path | None, field: str) -> str | None:
    if file is None:
        return None
    text = read_mounted(file, field, what=f"the file {file}").strip()
    if not text:
        raise ConfigurationError(
            f"the file {file} is empty", field=field, hint="correct the entry of the Secret"
        )
    return text
