"""`memorybank backup`: the replicated backups of a bank, and its recovery points."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from memorybank.cli.bank import not_a_bank
from memorybank.cli.remote import RemoteBank
from memorybank.cli.show import show, table
from memorybank.cli.transfer import appearing
from memorybank.errors import (
    BackupUnavailable,
    ConfigurationError,
    Conflict,
    InvalidRequest,
    MemoryBankError,
    NotFound,
)

if TYPE_CHECKING:
    from memorybank.backup.moments import Moment
    from memorybank.backup.report import Operation, Report
    from memorybank.schemas.backups import BackupMark
    from memorybank.server.drills import Drill
    from memorybank.settings import Settings

_POINTS = ("name", "taken_at", "expires_at", "memories", "bytes", "epoch")
_AGAIN_SECONDS = 1.0
"""Between two questions to a bank that does not serve yet."""
_logger = logging.getLogger(__name__)


def prepare(arguments: argparse.Namespace) -> int:
    """Find or restore the database, begin its epoch and write Litestream's configuration."""
    try:
        _prepare(arguments)
    except MemoryBankError as error:
        said = error.message if error.hint is None else f"{error.message}; {error.hint}"
        _leave_behind(said, arguments.termination_log)
        raise
    return 0


def _prepare(arguments: argparse.Namespace) -> None:
    from memorybank import logs
    from memorybank.server.backups import prepare as make

    settings = _settings(arguments)
    logs.configure(settings.logging.level, settings.logging.format)
    make(settings)


def list_epochs(arguments: argparse.Namespace) -> int:
    """Show the epochs at the destination, newest first."""
    from memorybank.server.backups import chain

    found = asyncio.run(chain(_settings(arguments)))
    newest = found.newest()
    epochs = sorted(found.epochs.values(), key=lambda each: each.order, reverse=True)
    told = [
        each.model_dump(mode="json")
        | {
            "written": written.isoformat() if (written := found.written.get(each.name)) else None,
            "newest": each == newest,
        }
        for each in epochs
    ]
    lines = [
        f"{each['name']}  {each['began']}  {each['written'] or '-'}  {each['origin']}"
        for each in told
    ]
    title = "EPOCH              BEGAN  LAST WRITTEN  FROM"
    show(arguments, told, "\n".join([title, *lines]) if lines else "there are no backups yet")
    return 0


def restore(arguments: argparse.Namespace) -> int:
    """Bring a moment of the bank back into a file that appears when it is whole."""
    from memorybank.server.backups import bring_back, require_opens

    file: Path = arguments.file
    if file.exists():
        raise Conflict(f"{file} is there already", hint="name a file that is not, or move it away")
    moment = _moment(arguments)
    began = time.monotonic()
    settings = _settings(arguments)
    opens = partial(require_opens, settings)
    restored = asyncio.run(bring_back(settings, moment, file, prove=opens))
    seconds = time.monotonic() - began
    size = file.stat().st_size
    answer = {
        "file": str(file),
        "bytes": size,
        "epoch": restored.epoch,
        "txid": restored.txid,
        "point": moment.point,
        "seconds": round(seconds, 3),
    }
    of = f"epoch {restored.epoch}" if moment.point is None else f"the point {moment.point}"
    show(arguments, answer, f"{file}: {size:,} bytes of {of}, {seconds:.1f} s")
    return 0


def points(arguments: argparse.Namespace) -> int:
    """Show the recovery points at the destination, newest first."""
    from memorybank.server.backups import points_of

    found = asyncio.run(points_of(_settings(arguments)).all())
    told = [each.model_dump(mode="json", exclude={"object"}) for each in found]
    show(arguments, told, table(told, _POINTS, nothing="there are no recovery points"))
    return 0


def export(arguments: argparse.Namespace) -> int:
    """Write the export of a recovery point into a file that appears when it is whole, or to
    standard output when it was checked.
    """
    from memorybank.server.archive import exported

    settings, name = _settings(arguments), arguments.name
    if arguments.file == "-":
        with exported(settings, name, within=None, compressed=False) as pieces:
            sys.stdout.buffer.writelines(pieces)
        return 0
    file = Path(arguments.file)
    if file.exists():
        raise Conflict(f"{file} is there already", hint="name a file that is not, or move it away")
    compressed = file.suffix == ".gz"
    with (
        appearing(file) as target,
        exported(settings, name, within=file.parent, compressed=compressed) as pieces,
    ):
        target.writelines(pieces)
    size = file.stat().st_size
    answer = {"file": str(file), "bytes": size, "point": name}
    show(arguments, answer, f"{file}: {size:,} bytes of the point {name}")
    return 0


def remove(arguments: argparse.Namespace) -> int:
    """Remove a recovery point."""
    from memorybank.server.backups import remove_point

    if not remove_point(_settings(arguments), arguments.name):
        raise NotFound(
            f"there is no recovery point {arguments.name} at the destination",
            hint="name one that `memorybank backup points` shows",
        )
    show(arguments, {"removed": arguments.name}, arguments.name)
    return 0


def lift(arguments: argparse.Namespace) -> int:
    """Let the bank take writes though another one was promoted in its place."""
    from memorybank.server.backups import lift_fence

    fence = lift_fence(_settings(arguments))
    told = None if fence is None else fence.model_dump(mode="json")
    words = "there is no fence" if fence is None else f"lifted: {fence.told}"
    show(arguments, {"lifted": told}, words)
    return 0


def take(arguments: argparse.Namespace) -> int:
    """Make a recovery point of the bank."""

    def make(drill: Drill) -> None:
        hours = arguments.expire_hours
        expire = None if hours is None else timedelta(hours=hours)
        drill.take(arguments.name, owner=arguments.id, expire=expire, with_export=arguments.export)

    return _drill(arguments, "take", make, name=arguments.name)


def verify(arguments: argparse.Namespace) -> int:
    """Prove that the bank comes back from what is at the destination."""
    return _drill(
        arguments, "verify", lambda drill: drill.verify(_moment(arguments)), name=arguments.point
    )


def rewind(arguments: argparse.Namespace) -> int:
    """Make the database what it was at a moment, while nobody serves it."""

    def run(settings: Settings, report: Report) -> None:
        from memorybank.server.rewinding import rewind

        rewind(settings, arguments.id, _moment(arguments), report, scratch=arguments.scratch)

    return _reported(arguments, "rewind", run, name=arguments.id)


def undo(arguments: argparse.Namespace) -> int:
    """Put back what was there before a rewind."""

    def run(settings: Settings, report: Report) -> None:
        from memorybank.server.rewinding import undo

        undo(settings, arguments.id, report, scratch=arguments.scratch)

    return _reported(arguments, "undo", run, name=arguments.id)


def discard(arguments: argparse.Namespace) -> int:
    """Remove what is kept of a rewind, which cannot be undone then."""
    from memorybank.server.rewinding import discard

    discard(_settings(arguments), arguments.id)
    show(arguments, {"discarded": arguments.id}, arguments.id)
    return 0


def _drill(
    arguments: argparse.Namespace,
    operation: Operation,
    work: Callable[[Drill], None],
    *,
    name: str | None,
) -> int:
    from memorybank.server.drills import Drill

    def run(settings: Settings, report: Report) -> None:
        work(Drill(settings, lambda sync: _mark(arguments, sync), arguments.scratch, report))

    return _reported(arguments, operation, run, name=name)


def _reported(
    arguments: argparse.Namespace,
    operation: Operation,
    run: Callable[[Settings, Report], None],
    *,
    name: str | None,
) -> int:
    """Do something, and tell how it went where whoever started it looks."""
    from memorybank import logs
    from memorybank.backup.report import Failure, Report
    from memorybank.server.drills import bank_of

    report = Report(operation=operation, name=name, bank="")
    try:
        settings = _settings(arguments)
        logs.configure(settings.logging.level, settings.logging.format)
        report.bank = bank_of(settings)
        run(settings, report)
        report.result = "ok"
    except MemoryBankError as error:
        report.error = Failure.of(error)
        raise
    except Exception:
        report.error = Failure(code="internal", message="something went wrong: see the log")
        raise
    finally:
        _leave_behind(report.text(), arguments.termination_log)
        sys.stdout.write(f"{report.text()}\n")
    return 0


def _mark(arguments: argparse.Namespace, sync: bool) -> BackupMark | None:
    """Ask the bank that serves what it holds; None when it is not known where, or does not as long
    as is waited for that.
    """
    if arguments.url is None:
        return None
    last = time.monotonic() + arguments.wait
    while True:
        try:
            return _asked(arguments, sync)
        except MemoryBankError as error:
            if error.code == ConfigurationError.code:
                raise
            if time.monotonic() >= last:
                if error.code == BackupUnavailable.code:
                    raise  # it is asked again: what the mark speaks of has not arrived
                _logger.warning("nothing to compare with: %s", error.message)
                return None
        time.sleep(_AGAIN_SECONDS)


def _asked(arguments: argparse.Namespace, sync: bool) -> BackupMark:
    """Return the bank's mark. Its key is read each time, since that may be a new one."""
    from memorybank.configuration import read_mounted
    from memorybank.schemas.backups import BackupMark

    key = None
    if arguments.token_file is not None:
        what = f"the file {arguments.token_file}"
        key = read_mounted(arguments.token_file, "token_file", what=what).strip()
    bank = RemoteBank(arguments.url, key)
    try:
        answer = bank.request("POST", "/v1/backup/mark", body={"sync": sync})
        return BackupMark.model_validate(answer.value(bank.name))
    except ValidationError:
        raise not_a_bank(bank.name, answer.status) from None


def _moment(arguments: argparse.Namespace) -> Moment:
    from memorybank.backup.moments import Moment

    if arguments.point is not None and (arguments.at or arguments.epoch):
        raise InvalidRequest(
            "a recovery point is one state: it has neither --at nor --epoch",
            field="point",
            hint="leave the others out",
        )
    return Moment(at=arguments.at, epoch=arguments.epoch, point=arguments.point)


def _settings(arguments: argparse.Namespace) -> Settings:
    from memorybank.configuration import load

    overrides = {} if arguments.data is None else {"data": str(arguments.data)}
    return load(file=arguments.config, overrides=overrides)


def _leave_behind(said: str, file: Path) -> None:
    """Tell the kubelet, which shows it in the status of the pod."""
    from memorybank.backup.report import MOST_BYTES

    try:
        if file.exists():
            file.write_bytes(said.encode()[:MOST_BYTES])
    except OSError:
        return  # it is on standard output or standard error as well
