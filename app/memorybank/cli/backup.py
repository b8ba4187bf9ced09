"""`memorybank backup prepare`: what an init container does before the database is replicated."""

from __future__ import annotations

import argparse
from pathlib import Path

from memorybank.errors import MemoryBankError

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
    from memorybank.configuration import load
    from memorybank.server.backups import prepare as make

    overrides = {} if arguments.data is None else {"data": str(arguments.data)}
    settings = load(file=arguments.config, overrides=overrides)
    logs.configure(settings.logging.level, settings.logging.format)
    make(settings)


def _leave_behind(error: MemoryBankError, file: Path) -> None:
    """Tell the kubelet, which shows it in the status of the pod."""
    said = error.message if error.hint is None else f"{error.message}; {error.hint}"
    try:
        if file.exists():
            file.write_bytes(said.encode()[:_MOST_BYTES])
    except OSError:
        return  # it is on standard error as well
