"""`memorybank backup rewind` and `undo`: another state of the bank in the place of its database,
while nobody serves it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from memorybank.backup.moments import Moment
from memorybank.backup.prepare import source_of
from memorybank.backup.report import Report
from memorybank.backup.rewinds import Rewind, Rewinds, State, undone
from memorybank.errors import InvalidRequest, MemoryBankError, NotFound, StoreUnavailable
from memorybank.server.drills import Drill
from memorybank.settings import Settings
from memorybank.stores.sqlite import former
from memorybank.stores.sqlite.care import fold_log
from memorybank.stores.sqlite.lineage import begin_lineage
from memorybank.stores.sqlite.lock import locked

_logger = logging.getLogger(__name__)
_TOLD = {"operation", "result", "name", "bank", "already", "error"}
"""What a report says of a command rather than of what was restored."""


def rewind(
    settings: Settings, name: str, moment: Moment, report: Report, *, scratch: Path | None = None
) -> None:
    """Make the database what it was at a moment; again by the same name it stays as it is. A bank
    in PostgreSQL needs `scratch`, or a folder for temporary files, for copies of it.

    Nothing is touched before what was restored is found to be whole, known and opened by the key
    ring. Raises as drills.Drill does, ConfigurationError while a process serves the database.
    """
    if settings.database.engine == "postgres":
        from memorybank.server import replacing

        replacing.rewind(settings, name, moment, scratch, report)
        return
    with _held(settings.database_path) as rewinds:
        if done_before(rewinds.find(name), report):
            return
        place = rewinds.place(name)
        drill = Drill(settings, lambda _sync: None, None, report)
        try:
            restored = drill.restore(moment, place)
            begin_lineage(place)
        except MemoryBankError:
            place.unlink(missing_ok=True)
            raise
        rewinds.rewind(
            Rewind(
                id=name,
                state=State.REWINDING,
                source=source_of(report.bank, moment, restored),
                at=datetime.now(UTC),
                replaced=_settled(settings.database_path),
                report=of_report(report),
            )
        )
        _logger.warning("the bank was rewound: %s", source_of(report.bank, moment, restored))


def undo(settings: Settings, name: str, report: Report, *, scratch: Path | None = None) -> None:
    """Put back what was there before a rewind; again, it stays as it is. Raises NotFound when there
    was none, or when what was there is kept no more; ConfigurationError while a process serves the
    database.
    """
    if settings.database.engine == "postgres":
        from memorybank.server import replacing

        replacing.undo(settings, name, scratch, report)
        return
    with _held(settings.database_path) as rewinds:
        done = to_undo(name, rewinds.find(name), rewinds.last(), report)
        if done is None:
            return
        rewinds.require_kept(done)
        _settled(settings.database_path)
        rewinds.undo(done.model_copy(update={"at": datetime.now(UTC)}))
        _logger.warning("the rewind %s was undone", name)


def discard(settings: Settings, name: str) -> None:
    """Remove what is kept of a rewind, which can be undone no more then. Raises NotFound."""
    if settings.database.engine == "postgres":
        from memorybank.server import replacing

        replacing.discard(settings, name)
        return
    rewinds = Rewinds(settings.database_path)
    if rewinds.find(name) is None:
        raise unknown(name)
    with _on_disk(settings.database_path):
        rewinds.discard(name)


@contextmanager
def _held(database: Path) -> Iterator[Rewinds]:
    """Hold the database, and end what somebody began."""
    with locked(database), _on_disk(database):
        rewinds = Rewinds(database)
        rewinds.finish()
        rewinds.sweep()
        yield rewinds


@contextmanager
def _on_disk(database: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreUnavailable(
            f"the data folder {database.parent} cannot be written: {error.strerror}",
            hint="look at the volume: is it full? The same command again goes on",
        ) from None


def _settled(database: Path) -> bool:
    """Make one file of what is there, if it is a database that can be read, and let no older
    version of the service put back in its place what it was before a migration; return whether
    there is any.
    """
    former.end_way_back(database)
    former.WayBack(database).leave()
    if not database.exists():
        return False
    if not fold_log(database):
        _logger.warning("what is there is damaged; it is kept as it is")
    return True


def done_before(done: Rewind | None, report: Report) -> bool:
    """Tell again of a rewind that was done; return whether it was. Raises InvalidRequest when it
    was undone since.
    """
    if done is None:
        return False
    if done.state is State.UNDONE:
        raise undone(done)
    _tell_again(done, report)
    return True


def to_undo(name: str, done: Rewind | None, last: Rewind | None, report: Report) -> Rewind | None:
    """Return the rewind that is to be undone; None when it was. Raises NotFound, and InvalidRequest
    when it was not the last one.
    """
    if done is None:
        raise unknown(name)
    if done.state is State.UNDONE:
        report.already = True
        return None
    if done != last:
        raise InvalidRequest(
            f"the bank was rewound again after {name}",
            field="id",
            hint="undo the last rewind, or rewind to another state by another id",
        )
    return done


def of_report(report: Report) -> dict[str, Any]:
    """Return what is told again of what was restored."""
    return report.model_dump(mode="json", exclude=_TOLD)


def _tell_again(done: Rewind, report: Report) -> None:
    for field, value in Report.model_validate(
        {"operation": report.operation, "bank": report.bank, **done.report}
    ):
        if field not in _TOLD:
            setattr(report, field, value)
    report.already = True


def unknown(name: str) -> NotFound:
    """Return the error for an id that no rewind has."""
    return NotFound(
        f"the bank was never rewound by the id {name}", hint="correct the id: it is that of rewind"
    )
