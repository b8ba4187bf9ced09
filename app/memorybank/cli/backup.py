"""`memorybank backup prepare`, `list` and `restore`: the replicated backups of a bank."""

from __future__ import annotations

import argparse
import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING

from memorybank.cli.show import show
from memorybank.errors import Conflict, MemoryBankError

if TYPE_CHECKING:
    from memorybank.settings import Settings

_MOST_BYTES = 4_096
"""What a kubelet reads of a termination message."""


def prepare(arguments: argparse.Namespace) -> int:
    """Find or restore the database, begin its epoch and write Litestream's configuration."""
    try:
        _prepare(arguments)
    except MemoryBankError as error:
        _leave_behind(error, arguments.termination_log)
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
    from memorybank.backup.moments import Moment
    from memorybank.server.backups import bring_back

    file: Path = arguments.file
    if file.exists():
        raise Conflict(f"{file} is there already", hint="name a file that is not, or move it away")
    moment = Moment(at=arguments.at, epoch=arguments.epoch)
    began = time.monotonic()
    epoch = asyncio.run(bring_back(_settings(arguments), moment, file))
    seconds = time.monotonic() - began
    size = file.stat().st_size
    answer = {"file": str(file), "bytes": size, "epoch": epoch.name, "seconds": round(seconds, 3)}
    show(arguments, answer, f"{file}: {size:,} bytes of epoch {epoch.name}, {seconds:.1f} s")
    return 0


def _settings(arguments: argparse.Namespace) -> Settings:
    from memorybank.configuration import load

    overrides = {} if arguments.data is None else {"data": str(arguments.data)}
    return load(file=arguments.config, overrides=overrides)


def _leave_behind(error: MemoryBankError, file: Path) -> None:
    """Tell the kubelet, which shows it in the status of the pod."""
    said = error.message if error.hint is None else f"{error.message}; {error.hint}"
    try:
        if file.exists():
            file.write_bytes(said.encode()[:_MOST_BYTES])
    except OSError:
        return  # it is on standard error as well
