"""Another state of a bank in the place of the one that its database in PostgreSQL holds.

It is done in one transaction, while nobody serves the bank, and what was there is a recovery point
by then (ADR 120). Loaded where it is needed, as server/postgres.py is.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from memorybank.backup.moments import Moment, restore
from memorybank.backup.prepare import source_of
from memorybank.backup.report import Report
from memorybank.backup.rewinds import Rewind, State
from memorybank.errors import BackupDamaged, ConfigurationError, InvalidRequest, NotFound
from memorybank.server.backups import points_of, require_opens, start_of
from memorybank.server.destinations import backup_of
from memorybank.server.drills import Drill, bank_of, require_known_schema
from memorybank.server.postgres import PATIENT_SECONDS, Logged, server_of
from memorybank.server.rewinding import done_before, of_report, to_undo, unknown
from memorybank.services.leadership import LEASE_SECONDS
from memorybank.settings import DATABASE_NAME, Settings
from memorybank.stores.postgres import moving as postgres
from memorybank.stores.postgres import replacing
from memorybank.stores.postgres.moving import PostgresEnd
from memorybank.stores.sql import contents
from memorybank.stores.sql.connection import Connection
from memorybank.stores.sql.copying import replace
from memorybank.stores.sqlite import moving as sqlite
from memorybank.stores.sqlite.care import migrate_database

_FIRST = "*"
"""What a bank began with has the place of a rewind, under an id that no rewind has."""
_LONGEST = 63
_logger = logging.getLogger(__name__)


class _Begun(Exception):
    """Another pod was first."""


def begin(settings: Settings) -> None:
    """Make the bank what the settings say that it begins with, once, in a database that holds
    nothing. Raises ConfigurationError when it holds something else, and as moments.restore does.
    """
    backup = backup_of(settings)
    if backup.restore is None:
        return
    server = server_of(settings, statement_seconds=PATIENT_SECONDS)
    with postgres.target(server) as end:
        with end.moment() as moment:
            if _has_begun(moment):
                return
        start = asyncio.run(start_of(backup, backup.restore))
        with tempfile.TemporaryDirectory(prefix="memorybank-") as folder:
            copy = Path(folder) / DATABASE_NAME
            restored = asyncio.run(
                restore(
                    start.destination,
                    start.restorer,
                    start.moment,
                    copy,
                    check=require_known_schema,
                    prove=partial(require_opens, settings),
                )
            )
            told = source_of(start.bank, start.moment, restored)
            try:
                _replace(end, copy, _rewind(_FIRST, told, replaced=False), still=_require_new)
            except _Begun:
                return
        _logger.info("the bank begins with %s", told)


def rewind(
    settings: Settings, name: str, moment: Moment, scratch: Path | None, report: Report
) -> None:
    """Make the bank what it was at a recovery point; again by the same name it stays as it is.

    Nothing is touched before that was found to be whole, and what is there is a recovery point.
    Raises as drills.Drill does, ConfigurationError while a service serves the bank.
    """
    if moment.point is None:
        raise InvalidRequest(
            "a bank in PostgreSQL is put back to a recovery point",
            field="point",
            hint="name one that `memorybank backup points` shows",
        )
    with _unserved(settings) as end:
        if done_before(_find(end, name), report):
            return
        with _folder(scratch) as folder:
            copy = folder / DATABASE_NAME
            restored = Drill(settings, _unasked, folder, report).restore(moment, copy)
            told = source_of(report.bank, moment, restored)
            kept = _keep(settings, end, _before(name), folder)
            record = _rewind(name, told, replaced=kept, report=report)
            _replace(end, copy, record)
        _logger.warning("the bank was rewound: %s", told)


def undo(settings: Settings, name: str, scratch: Path | None, report: Report) -> None:
    """Put back what was there before a rewind; again, it stays as it is. Raises NotFound when there
    was none, or when what was there is kept no more; ConfigurationError while a service serves the
    bank.
    """
    with _unserved(settings) as end:
        done = to_undo(name, _find(end, name), _last(end), report)
        if done is None:
            return
        if not done.replaced:
            raise NotFound(
                f"there was no bank before the rewind {name}",
                hint="rewind to another recovery point, by another id",
            )
        with _folder(scratch) as folder:
            copy = folder / DATABASE_NAME
            before = Moment(point=_before(name))
            Drill(settings, _unasked, folder, report).restore(before, copy)
            _keep(settings, end, _after(name), folder)
            undone = {"state": State.UNDONE, "at": datetime.now(UTC)}
            _replace(end, copy, done.model_copy(update=undone))
        report.name = name
        _logger.warning("the rewind %s was undone", name)


def discard(settings: Settings, name: str) -> None:
    """Remove what is kept of a rewind, which can be undone no more then. Raises NotFound."""
    with postgres.source(server_of(settings)) as end:
        if _find(end, name) is None:
            raise unknown(name)
    points = points_of(settings)
    for each in (_before(name), _after(name)):
        asyncio.run(points.remove(each))


@contextmanager
def _unserved(settings: Settings) -> Iterator[PostgresEnd]:
    """Open the database once nobody serves it."""
    with postgres.target(server_of(settings, statement_seconds=PATIENT_SECONDS)) as end:
        replacing.require_unserved(end, seconds=2 * LEASE_SECONDS)
        yield end


@contextmanager
def _folder(scratch: Path | None) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="memorybank-", dir=scratch) as folder:
        yield Path(folder)


def _find(end: PostgresEnd, name: str) -> Rewind | None:
    return next((each for each in _all(end) if each.id == name), None)


def _last(end: PostgresEnd) -> Rewind | None:
    done = (each for each in _all(end) if each.id != _FIRST)
    return max(done, key=lambda each: each.at, default=None)


def _all(end: PostgresEnd) -> list[Rewind]:
    with end.moment() as connection:
        return [Rewind.model_validate_json(each) for each in replacing.records(connection)]


def _has_begun(connection: Connection) -> bool:
    """Say whether the bank has begun with what it was to begin with. Raises ConfigurationError when
    it has begun with something else.
    """
    records = map(Rewind.model_validate_json, replacing.records(connection))
    if any(each.id == _FIRST for each in records):
        return True
    if not contents.is_empty(connection):
        raise ConfigurationError(
            "the database holds a bank already, and it did not begin with a backup",
            field="backup.restore",
            hint="name an empty database for the bank that begins with one, or take backup.restore"
            " away; what is there is not touched",
        )
    return False


def _require_new(connection: Connection) -> None:
    if _has_begun(connection):
        raise _Begun


def _keep(settings: Settings, end: PostgresEnd, name: str, scratch: Path) -> bool:
    """Make a recovery point of what is there, in place of one that an attempt before this has made;
    return whether there was anything.
    """
    with end.moment() as moment:
        if contents.is_empty(moment):
            return False
    asyncio.run(points_of(settings).remove(name))
    report = Report(operation="take", name=name, bank=bank_of(settings))
    keep = timedelta(hours=backup_of(settings).retention_hours)
    try:
        Drill(settings, _unasked, scratch, report).take(name, owner=None, expire=keep)
    except BackupDamaged as error:
        raise BackupDamaged(
            f"what is there cannot be kept, and is not replaced: {error.message}",
            hint="begin a new bank, in another database, with the recovery point",
        ) from None
    return True


def _replace(
    end: PostgresEnd,
    copy: Path,
    record: Rewind,
    *,
    still: Callable[[Connection], None] = lambda _connection: None,
) -> None:
    """Make the bank what a copy is, and write that down; `still` raises what is against it by
    then.
    """
    migrate_database(copy)

    def empty(connection: Connection) -> None:
        still(connection)
        replacing.empty(connection)

    with sqlite.source(copy) as source:
        replace(
            source,
            end,
            Logged(),
            empty=empty,
            note=lambda to: replacing.note(to, record.id, record.model_dump_json()),
        )


def _rewind(name: str, source: str, *, replaced: bool, report: Report | None = None) -> Rewind:
    return Rewind(
        id=name,
        state=State.REWOUND,
        source=source,
        at=datetime.now(UTC),
        replaced=replaced,
        begun=True,
        report={} if report is None else of_report(report),
    )


def _before(name: str) -> str:
    """Name the recovery point of what was there before a rewind."""
    return _named("before", name)


def _after(name: str) -> str:
    """Name that of what was there before it was undone."""
    return _named("after", name)


def _named(word: str, name: str) -> str:
    whole = f"{word}-{name}"
    if len(whole) <= _LONGEST:
        return whole
    return f"{word}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def _unasked(_sync: bool) -> None:
    return None
